"""Real object stores on free loopback ports, each started and killed by a context manager."""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

ACCESS_KEY = "AKIATESTSUITEONLY001"
SECRET_KEY = "test-suite-only/secret+key=0123456789abcd"
REGION = "us-east-1"

_START_ATTEMPTS = 3
_START_TIMEOUT_S = 60
_SMALL_GO = {"GOMEMLIMIT": "600MiB", "GOGC": "50"}
_GRPC_OFFSET = 10_000  # SeaweedFS listens there too
_FIRST_PORT, _LAST_PORT = 11_000, 22_000  # below the ephemeral range of Linux, gRPC ports included


@dataclass(frozen=True)
class S3Server:
    """A running server. `storage_options` are fsspec's, as `open_backend` takes them."""

    name: str
    endpoint_url: str
    access_key: str = ACCESS_KEY
    secret_key: str = field(default=SECRET_KEY, repr=False)

    @property
    def storage_options(self) -> dict[str, Any]:
        return {
            "key": self.access_key,
            "secret": self.secret_key,
            "client_kwargs": {"endpoint_url": self.endpoint_url, "region_name": REGION},
        }

    def make_bucket(self, name: str) -> str:
        """Create a bucket unless it is there; returns its name."""
        import s3fs

        filesystem = s3fs.S3FileSystem(**self.storage_options, skip_instance_cache=True, use_listings_cache=False)
        with contextlib.suppress(FileExistsError):
            filesystem.call_s3("create_bucket", Bucket=name)
        return name


BY_POLICY = ("trainers", "collector")  # identities of SeaweedFS that may do what a bucket's policy says, and nothing else


@contextlib.contextmanager
def seaweedfs(folder: Path) -> Iterator[S3Server]:
    """SeaweedFS: right about conditions and credentials; polls once a second under contention, so race few writers."""

    def command(first_port: int) -> Sequence[str]:
        (folder / "weed.json").write_text(
            json.dumps(
                {
                    "identities": [
                        {
                            "name": "tests",
                            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
                            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
                        },
                        *(
                            {"name": name, "credentials": [{"accessKey": name, "secretKey": SECRET_KEY}], "actions": []}
                            for name in BY_POLICY
                        ),
                    ]
                }
            )
        )
        return [
            _executable("weed"),
            "-logtostderr=false",
            f"-logdir={folder}",
            "server",
            f"-dir={folder}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-master.port={first_port + 1}",
            "-master.telemetry=false",
            "-master.electionTimeout=1s",
            "-master.heartbeatInterval=100ms",
            "-master.volumeSizeLimitMB=256",
            "-master.volumePreallocate=false",
            f"-volume.port={first_port + 2}",
            "-volume.max=200",
            "-volume.preStopSeconds=0",
            "-filer",
            f"-filer.port={first_port + 3}",
            f"-filer.localSocket={folder}/f.sock",
            "-s3",
            f"-s3.port={first_port}",
            f"-s3.config={folder}/weed.json",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.localSocket={folder}/s3.sock",
        ]

    def ready(first_port: int) -> bool:
        """S3 answers seconds before the volume server has joined; a write meanwhile backs off for longer than the wait."""
        with urlopen(f"http://127.0.0.1:{first_port + 1}/dir/status", timeout=5) as answer:
            return bool(json.load(answer)["Topology"].get("Max")) and _lists_buckets(first_port)

    def clean_up(first_port: int) -> None:
        """A killed weed leaves its gRPC sockets, which lie in /tmp whatever the flags say."""
        for number, part in enumerate(("s3", "master", "volume", "filer")):
            Path(f"/tmp/seaweedfs-{part}-grpc-{first_port + number + _GRPC_OFFSET}.sock").unlink(missing_ok=True)

    with _running("seaweedfs", folder, command, ports=4, environment=_SMALL_GO, ready=ready, clean_up=clean_up) as server:
        yield server


@contextlib.contextmanager
def ministack(folder: Path) -> Iterator[S3Server]:
    """ministack: right about conditions with many writers; takes any credentials."""

    def environment(first_port: int) -> dict[str, str]:
        return {
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(first_port),
            "SERVICES": "s3",
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(folder / "objects"),
        }

    with _running("ministack", folder, lambda _: [sys.executable, "-m", "ministack"], environment=environment) as server:
        yield server


@contextlib.contextmanager
def rclone_s3(folder: Path) -> Iterator[S3Server]:
    """rclone: accepts create-if-absent and ignores it, as a store that must not be shared does."""
    (folder / "objects").mkdir()

    def command(first_port: int) -> Sequence[str]:
        auth = f"{ACCESS_KEY},{SECRET_KEY}"
        address = f"127.0.0.1:{first_port}"
        objects = str(folder / "objects")
        return [_executable("rclone"), "serve", "s3", "--addr", address, "--auth-key", auth, "--config", os.devnull, objects]

    with _running("rclone", folder, command) as server:
        yield server


def free_ports(count: int, *, offset: int = 0) -> int:
    """The first of `count` ports in a row on which nobody listens now, nor on the same ones plus `offset`."""
    while True:
        first = random.randrange(_FIRST_PORT, _LAST_PORT - count)
        wanted = {first + number + shift for number in range(count) for shift in (0, offset)}
        if all(map(_is_free, wanted)):
            return first


@contextlib.contextmanager
def _running(
    name: str,
    folder: Path,
    command: Callable[[int], Sequence[str]],
    *,
    ports: int = 1,
    ready: Callable[[int], bool] | None = None,
    clean_up: Callable[[int], None] = lambda _: None,
    environment: Mapping[str, str] | Callable[[int], Mapping[str, str]] | None = None,
) -> Iterator[S3Server]:
    """One process group, listening with S3 on the first of its ports; killed at the end, whatever happened."""
    output = folder / "output.txt"
    for _ in range(_START_ATTEMPTS):  # between choosing a port and listening on it, another process may take it
        first_port = free_ports(ports, offset=_GRPC_OFFSET)
        extra = environment(first_port) if callable(environment) else environment or {}
        with output.open("ab") as log:
            process = subprocess.Popen(
                command(first_port),
                cwd=folder,
                env={"PATH": os.defpath, "HOME": str(folder), "TMPDIR": str(folder), **extra},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            if _answers(process, first_port, ready or _lists_buckets):
                yield S3Server(name, f"http://127.0.0.1:{first_port}")
                return
        finally:
            _kill(process)
            clean_up(first_port)
    raise RuntimeError(f"{name} does not start; its output ends so:\n{output.read_text(errors='replace')[-2000:]}")


def _answers(process: "subprocess.Popen[bytes]", port: int, ready: Callable[[int], bool]) -> bool:
    """Whether the server is ready before its process ends or the time is up."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            if not _is_free(port) and ready(port):
                return process.poll() is None  # an answer after our process ended comes from somebody else's server
        time.sleep(0.05)
    return False


def _lists_buckets(port: int) -> bool:
    """Whether S3 answers an authorised request."""
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.session import Session

    client = Session().create_client(
        "s3",
        region_name=REGION,
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 1}),
    )
    try:
        client.list_buckets()
    except (BotoCoreError, ClientError):
        return False
    finally:
        client.close()
    return True


def _kill(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:  # else its number may stand for somebody else's group by now
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _executable(name: str) -> str:
    """The program beside this Python, where pip puts it, or on the path."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed; pip install 'cas-registry[test]'")
    return found
