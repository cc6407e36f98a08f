"""A proxy on loopback that counts HTTP requests and bytes: the same for every client, whatever library it speaks with."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

BUFFER_BYTES = 256 * 1024
MAX_HEAD_BYTES = 256 * 1024


@dataclass(slots=True)
class Wire:
    """What went over the wire so far, heads of requests and answers included."""

    url: str = ""
    requests: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0


@contextlib.contextmanager
def counting_proxy(endpoint_url: str) -> Iterator[Wire]:
    """A proxy in front of an HTTP/1.1 server; `url` of what it yields is where clients go. The host header passes as it comes."""
    server = urlsplit(endpoint_url)
    wire = Wire()
    loop = asyncio.new_event_loop()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(server.hostname, server.port, limit=MAX_HEAD_BYTES)
        answers = asyncio.create_task(_pass_answers(upstream_reader, writer, wire))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                await _pass_request(reader, upstream_writer, wire)
        answers.cancel()
        for end in (upstream_writer, writer):
            end.close()

    listening = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0, limit=MAX_HEAD_BYTES))
    wire.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    thread = threading.Thread(target=loop.run_forever, name="counting proxy")
    thread.start()
    try:
        yield wire
    finally:
        asyncio.run_coroutine_threadsafe(_stop(listening), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _pass_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wire: Wire) -> None:
    """One request: its head, and as many bytes of body as the head announces."""
    head = await reader.readuntil(b"\r\n\r\n")
    wire.requests += 1
    wire.sent_bytes += len(head)
    writer.write(head)
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
    }
    if b"chunked" in headers.get(b"transfer-encoding", b"").lower():
        raise ConnectionError("a request of unknown length: this proxy counts bodies with a content-length")
    left = int(headers.get(b"content-length", 0))
    while left:
        data = await reader.read(min(left, BUFFER_BYTES))
        if not data:
            raise ConnectionError("the client went away in the middle of a body")
        left -= len(data)
        wire.sent_bytes += len(data)
        writer.write(data)
        await writer.drain()


async def _pass_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wire: Wire) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(BUFFER_BYTES):
            wire.received_bytes += len(data)
            writer.write(data)
            await writer.drain()
        writer.close()


async def _stop(listening: asyncio.Server) -> None:
    listening.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
