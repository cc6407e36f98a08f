"""What every test shares: a world without the developer's own settings, real S3 servers, and hypothesis profiles."""

import os
import re
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.reliability.matrix import Row
from tests.support.servers import S3Server, ministack, rclone_s3, seaweedfs

_SERVER_FIXTURES = frozenset({"seaweedfs_server", "ministack_server", "rclone_server", "s3_url", "s3_options"})
_FOREIGN_PREFIXES = ("AWS_", "REG_", "XDG_", "GOOGLE_", "AZURE_")
_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy"})

settings.register_profile("dev", max_examples=30, deadline=None)
settings.register_profile("ci", max_examples=200, deadline=None, derandomize=True, database=None, print_blob=True)
settings.register_profile(
    "nightly", max_examples=2000, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")  # pytest --hypothesis-profile=nightly overrides


if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):  # the programs that tests start would compile the package each time
    sys.dont_write_bytecode = False

_MEMORY, _ENOUGH_BYTES = "/dev/shm", 12 * 2**30  # noqa: S108 - what Linux calls it


def _has_room_in_memory() -> bool:
    try:
        place = os.statvfs(_MEMORY)
        available = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
    except OSError:
        return False
    free_bytes = min(place.f_bavail * place.f_frsize, int(available[1]) * 1024 if available else 0)
    return free_bytes >= _ENOUGH_BYTES and not place.f_flag & os.ST_NOEXEC and os.access(_MEMORY, os.W_OK)


if "TMPDIR" not in os.environ and _has_room_in_memory():  # a quarter of the suite's time is that of the disk otherwise
    os.environ["TMPDIR"] = _MEMORY
    tempfile.tempdir = None

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # run in the background: programs that tests interrupt would ignore it, too
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--matrix-dir", help="leave there what the reliability tests counted, for python -m tests.reliability")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[pytest.TestReport]:
    """A module outside of tests/reliability that names a `ROW` of the matrix counts there too: each of its tests is a case."""
    report = yield
    folder, name = item.config.getoption("--matrix-dir"), getattr(getattr(item, "module", None), "ROW", None)
    if folder and isinstance(name, str) and call.when == "call" and "matrix" not in getattr(item, "fixturenames", ()):
        row = Row(name, cases=1)
        row.write(Path(folder), item.nodeid, passed=not report.failed, seconds=call.duration)
    return report


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """One worker runs all tests that need a server, by a fixture or by a parameter that names one: each is started once."""
    for item in items:
        parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
        names = {*getattr(item, "fixturenames", ()), *(name for name in parameters if isinstance(name, str))}
        if names & _SERVER_FIXTURES:
            item.add_marker(pytest.mark.xdist_group("s3"))
        groups = {str(mark.args[0]) for mark in item.iter_markers("xdist_group")}
        if groups and getattr(config.option, "loadgroup", False) and hasattr(item, "_id"):
            # From pytest 9.2 on, xdist 3.8 writes the group where nobody reads it (pytest-xdist#1386).
            item._id = type(item._id).parse(f"{item.nodeid}@{'_'.join(sorted(groups))}")


@pytest.fixture(scope="session", autouse=True)
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of all homes; it is the home of fixtures that outlive a test."""
    homes = tmp_path_factory.mktemp("homes")
    with pytest.MonkeyPatch.context() as patch:
        _isolate(patch, homes)
        yield homes


@pytest.fixture(autouse=True)
def _own_home(_homes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the developer's settings, credentials, proxies or home, nor what another test left in its own home."""
    home = _homes / secrets.token_hex(8)
    home.mkdir()
    _isolate(monkeypatch, home)


@pytest.fixture(scope="session")
def seaweedfs_server(_homes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="session")
def ministack_server(_homes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with ministack(tmp_path_factory.mktemp("ministack")) as server:
        yield server


@pytest.fixture(scope="session")
def rclone_server(_homes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with rclone_s3(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture(scope="session")
def _s3_bucket(seaweedfs_server: S3Server) -> str:
    return seaweedfs_server.make_bucket("registries")


@pytest.fixture
def s3_url(_s3_bucket: str) -> str:
    """A fresh place on SeaweedFS, to be opened with `s3_options`."""
    return f"s3://{_s3_bucket}/{secrets.token_hex(8)}"


@pytest.fixture
def s3_options(seaweedfs_server: S3Server) -> dict[str, Any]:
    return seaweedfs_server.storage_options


def _isolate(patch: pytest.MonkeyPatch, home: Path) -> None:
    for name in list(os.environ):
        if name.startswith(_FOREIGN_PREFIXES) or name.lower() in _PROXIES:
            patch.delenv(name)
    patch.setenv("HOME", str(home))
    patch.setenv("USERPROFILE", str(home))
    for name in ("CACHE", "CONFIG", "DATA", "STATE"):
        patch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    patch.setenv("REG_CAPTURE", "0")  # of whatever machine the tests run on; those of capturing say otherwise
