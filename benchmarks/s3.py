"""S3, both directions, beside plain copies of the same files: python -m benchmarks.s3 SERIES_DIR [--gigabytes 5]

On a SeaweedFS server started for it. Two versions of a series go up and the second comes down; then one tensor of 1 MB is read out of a
safetensors file of 5 GB. Every step is a process of its own. Clients take turns; a run that is not timed goes through a proxy that counts
requests and bytes.
"""

import argparse
import contextlib
import json
import shutil
import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.measure import (
    Cost,
    Figures,
    MismatchError,
    Recorder,
    Tools,
    alternate,
    check_same,
    fresh_folder,
    isolated,
    options,
    reported,
    run,
    size_bytes,
    warm,
)
from benchmarks.page import publish
from benchmarks.peers import find_series, find_versions
from benchmarks.stores import OURS, PROGRAMS, CasRegistry
from benchmarks.wire import Wire, counting_proxy

BUCKET = "bench"
BIG_FILE = "model.safetensors"
TENSOR_BYTES = 1024 * 1024
COUNTED = 0  # the number of the run that goes through the proxy


@dataclass(frozen=True, slots=True)
class Client:
    """One way to speak to the server: a client of `programs/s3_client.py`, with options of its own."""

    title: str
    program: str
    extra: dict[str, Any]
    leaves: tuple[str, ...] = ()

    @property
    def layout(self) -> str:
        """What it makes in the bucket; clients of one layout read each other's."""
        return "registry" if self.program == OURS else "plain"


@dataclass(frozen=True, slots=True)
class Lab:
    """The server, and a proxy in front of it that counts."""

    options: dict[str, Any]
    wire: Wire
    tools: Tools
    folder: Path

    def run(self, client: Client, verb: str, name: str, *arguments: str | Path, counted: bool) -> Cost:
        options = {**self.options, **client.extra}
        if counted:
            options["client_kwargs"] = {**options["client_kwargs"], "endpoint_url": self.wire.url}
        environment = {
            **isolated(self.folder / "home" / name, self.tools),
            "BENCH_OPTIONS": json.dumps(options),
            "BENCH_RESULT": str(self.folder / "result"),
        }
        command = [sys.executable, PROGRAMS / "s3_client.py", client.program, verb, f"s3://{BUCKET}/{name}", *arguments]
        return run(command, cwd=self.folder, environment=environment)

    def measure(
        self, client: Client, verb: str, name: str, *arguments: str | Path, raw_bytes: int, counted: bool
    ) -> Figures | None:
        """What a step took, or how many requests and bytes it needed; None where the client has no such verb."""
        before = self.wire.requests, self.wire.sent_bytes, self.wire.received_bytes
        cost = self.run(client, verb, name, *arguments, counted=counted)
        seconds, peak_mib = reported(cost)
        if not seconds:
            return None
        if not counted:
            return {"raw_bytes": raw_bytes, "seconds": round(sum(seconds), 4), "peak_mib": round(peak_mib, 1)}
        after = self.wire.requests, self.wire.sent_bytes, self.wire.received_bytes
        names = ("requests", "sent_bytes", "received_bytes")
        return {name: new - old for name, new, old in zip(names, after, before, strict=True)}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options(__doc__)
    parser.add_argument("folder", metavar="SERIES_DIR", type=Path, help="folder of series, each a folder of versions")
    parser.add_argument("--series", help="the series that goes up and down (default: the last by name)")
    parser.add_argument("--gigabytes", type=float, default=5, help="the size of the file with the tensor; 0 leaves it out")
    wanted = parser.parse_args(arguments)
    recorder = Recorder("s3", wanted.json)
    tools = Tools(wanted.venvs)
    clients = find_clients(tools, recorder)
    first, second = find_versions(find_series(wanted.folder, [wanted.series] if wanted.series else None)[-1])[:2]
    with laboratory(wanted.work, tools) as lab:
        for number, client in _counted_then_timed(wanted.runs, clients):
            with recorder.guard("up and down", client.title):
                copies(lab, client, number, (first, second), recorder)
    if wanted.gigabytes:
        with laboratory(wanted.work, tools) as lab:
            one_tensor(lab, clients, wanted, recorder)
    publish(recorder, wanted.page)
    return recorder.exit_status()


@contextlib.contextmanager
def laboratory(work: Path | None, tools: Tools) -> Iterator[Lab]:
    """A fresh server with a bucket."""
    from tests.support.servers import seaweedfs

    with fresh_folder(work) as folder:
        (folder / "server").mkdir()
        with seaweedfs(folder / "server") as server, counting_proxy(server.endpoint_url) as wire:
            server.make_bucket(BUCKET)
            yield Lab(dict(server.storage_options), wire, tools, folder)


def find_clients(tools: Tools, recorder: Recorder) -> list[Client]:
    """cas_registry by both of its libraries where obstore is there, and plain copies by each."""
    from importlib.metadata import version

    here = Path(sys.prefix)
    has_obstore = tools.python("obstore") == here / "bin" / "python"
    recorder.know(OURS, CasRegistry.version(tools) or "")
    recorder.know("s3fs", version("s3fs"))
    clients = [Client(OURS, "cas_registry", {}, (".reg",)), Client("s3fs", "s3fs", {})]
    if has_obstore:
        recorder.know("obstore", version("obstore"))
        clients.insert(1, Client(f"{OURS} by fsspec", "cas_registry", {"backend": "fsspec"}, (".reg",)))
        clients.append(Client("obstore", "obstore", {}))
    return clients


def copies(lab: Lab, client: Client, number: int, versions: tuple[Path, Path], recorder: Recorder) -> None:
    """One run of one client: a version up, the same again, the next one up, and that down."""
    name, counted = f"{client.title}-{number}".replace(" ", "-"), number == COUNTED
    warm(versions)
    steps = [("a version up", versions[0]), ("the same again", versions[0]), ("the next version up", versions[1])]
    for case, version in steps:
        figures = lab.measure(client, "put", name, version, raw_bytes=size_bytes(version), counted=counted)
        recorder.add(case, client.title, number, figures or {})
    out = lab.folder / "out"
    out.mkdir()
    figures = lab.measure(client, "get", name, out, raw_bytes=size_bytes(versions[1]), counted=counted)
    check_same(versions[1], out, ignoring=client.leaves)
    shutil.rmtree(out)
    recorder.add("that version down", client.title, number, figures or {})


def one_tensor(lab: Lab, clients: Sequence[Client], wanted: argparse.Namespace, recorder: Recorder) -> None:
    """The big file goes up once as a version and once as it is; then one tensor of it is read, in turns."""
    case = f"one tensor of 1 MiB out of {wanted.gigabytes:g} GB"
    source = lab.folder / "big"
    name, expected = make_big_file(source, int(wanted.gigabytes * 1e9))
    up = f"{wanted.gigabytes:g} GB up"
    there: set[str] = set()
    for client in clients:
        if client.layout not in there:
            there.add(client.layout)
            with recorder.guard(up, client.title):
                figures = lab.measure(client, "put", client.layout, source, raw_bytes=size_bytes(source), counted=False)
                recorder.add(up, client.title, 1, figures or {})
    shutil.rmtree(source)
    for number, client in _counted_then_timed(wanted.runs, clients):
        with recorder.guard(case, client.title):
            (lab.folder / "result").unlink(missing_ok=True)
            figures = lab.measure(
                client,
                "tensor",
                client.layout,
                BIG_FILE,
                name,
                raw_bytes=TENSOR_BYTES,
                counted=number == COUNTED,
            )
            if figures is None:
                continue
            if (lab.folder / "result").read_bytes() != expected:
                raise MismatchError("another tensor came back")
            recorder.add(case, client.title, number, figures)


def make_big_file(folder: Path, size: int) -> tuple[str, bytes]:
    """A safetensors file of many tensors of random bytes, 1 MiB each; the name and the bytes of one in the middle."""
    folder.mkdir()
    random = Random(0)  # noqa: S311 - data, no secret
    count = max(3, size // TENSOR_BYTES)
    wanted, expected = count // 2, b""
    header = {
        f"layer.{number}.weight": {
            "dtype": "F32",
            "shape": [TENSOR_BYTES // 4096, 1024],
            "data_offsets": [number * TENSOR_BYTES, (number + 1) * TENSOR_BYTES],
        }
        for number in range(count)
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with (folder / BIG_FILE).open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for number in range(count):
            data = random.randbytes(TENSOR_BYTES)
            file.write(data)
            if number == wanted:
                expected = data
    return f"layer.{wanted}.weight", expected


def _counted_then_timed(runs: int, clients: Sequence[Client]) -> Iterator[tuple[int, Client]]:
    yield from ((COUNTED, client) for client in clients)
    yield from alternate(runs, clients)


if __name__ == "__main__":
    sys.exit(main())
