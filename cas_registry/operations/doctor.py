"""Checking a registry's URL end to end: can this machine, with these credentials, work with what is there?

Every question is put to the store itself. Whatever it answers becomes a row of the report; nothing is raised, and the probe's keys
are deleted again where that is allowed.
"""

import contextlib
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from cas_registry.backends import Backend
from cas_registry.backends.local import LocalBackend
from cas_registry.backends.opening import open_backend
from cas_registry.backends.probe import PROBE_PREFIX
from cas_registry.errors import AccessError, NotFoundError, RegistryError
from cas_registry.operations.init import describe_probe, probe_store
from cas_registry.redaction import redact
from cas_registry.store.layout import FORMAT_KEY
from cas_registry.store.stores import Stores, open_stores
from cas_registry.version import __version__

PACKAGES = ("fsspec", "s3fs", "botocore", "blake3", "zstandard", "pyfastcdc")
CLOCK_TOLERANCE_MS = 60_000  # S3 itself refuses requests at 15 minutes
_STAMP_MS = 2_000  # stores stamp whole seconds
_LARGE_CACHE_BYTES = 50 * 10**9


class Health(StrEnum):
    """How a check ended. WARN: works, but worth knowing; SKIPPED: could not be asked since an earlier one failed."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One question: what was found, and what to do where that is not well."""

    name: str
    health: Health
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """All checks in the order in which they were made, and the versions of what they ran on (None: not installed)."""

    url: str
    checks: tuple[Check, ...]
    versions: Mapping[str, str | None]

    @property
    def is_healthy(self) -> bool:
        return all(check.health is not Health.FAIL for check in self.checks)


def examine(
    url: str, storage_options: Mapping[str, Any], *, cache_folder: Path | None, clock_ns: Callable[[], int]
) -> DoctorReport:
    """Ask everything. Takes a few seconds on a store that settles races slowly."""
    versions = {
        "cas_registry": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        **{name: _version(name) for name in PACKAGES},
    }
    scheme, separator, _ = url.partition("://")
    shown = f"{scheme}://…" if separator else url  # what is no URL of ours may carry anything
    checks: list[Check] = []
    try:
        backend = open_backend(url, storage_options)
        shown = backend.url
        checks.append(Check("url", Health.OK, shown))
        checks.extend(_check_store(backend, clock_ns))
    except RegistryError as error:
        checks.append(_failed("url", error))
    asked = {check.name for check in checks}
    checks.extend(Check(name, Health.SKIPPED, "not asked") for name in _STORE_CHECKS if name not in asked)
    checks.append(_check_cache(cache_folder))
    checks.append(_check_versions(versions))
    return DoctorReport(shown, tuple(checks), versions)


_STORE_CHECKS = ("reach", "registry", "create", "write", "delete", "clock")


def _check_store(backend: Backend, clock_ns: Callable[[], int]) -> Iterator[Check]:
    reach = _check_reach(backend)
    yield reach
    if reach.health is Health.FAIL:
        return
    registry, stores = _open(backend)
    yield registry
    if isinstance(backend, LocalBackend) and not Path(backend.url).is_dir():
        return
    try:
        yield _check_create(backend, single_writer=stores is not None and stores.format.single_writer)
        yield from _check_writing(backend, clock_ns)
    finally:
        if isinstance(backend, LocalBackend):
            with contextlib.suppress(OSError):  # others may be probing
                Path(backend.url, PROBE_PREFIX).rmdir()


def _check_reach(backend: Backend) -> Check:
    try:
        backend.get_many([FORMAT_KEY], length=1)
        next(iter(backend.list(PROBE_PREFIX)), None)
    except RegistryError as error:
        return _failed("reach", error)
    if isinstance(backend, LocalBackend) and not Path(backend.url).is_dir():
        return Check("reach", Health.WARN, "the folder does not exist yet", f"reg init {backend.url} makes it")
    return Check("reach", Health.OK, "may read and list")


def _open(backend: Backend) -> tuple[Check, Stores | None]:
    try:
        stores = open_stores(backend)
    except NotFoundError:
        return Check("registry", Health.WARN, "none here yet", f"make one with: reg init {backend.url}"), None
    except RegistryError as error:
        return _failed("registry", error), None
    writers = "for a single writer" if stores.format.single_writer else "shared"
    return Check("registry", Health.OK, f"{stores.format.registry}, {writers}"), stores


def _check_create(backend: Backend, *, single_writer: bool) -> Check:
    try:
        report = probe_store(backend)
    except RegistryError as error:
        return _failed("create", error)
    found = describe_probe(report)
    if report.safe_for_shared_writing:
        return Check("create", Health.OK, found)
    if single_writer:
        return Check("create", Health.WARN, found, "as promised at reg init --single-writer: let one process write at a time")
    return Check("create", Health.FAIL, found, "two writers would overwrite each other: use another store, or --single-writer")


def _check_writing(backend: Backend, clock_ns: Callable[[], int]) -> Iterator[Check]:
    """Write an object, read it back, ask for its age, delete it."""
    key, body = f"{PROBE_PREFIX}{secrets.token_hex(16)}-doctor", secrets.token_bytes(16)
    before_ms = clock_ns() // 1_000_000
    try:
        backend.put(key, body)
        after_ms = clock_ns() // 1_000_000
        same = backend.get(key, length=len(body) + 1) == body
        stamp_ms = backend.stat(key).modified_ms
    except RegistryError as error:
        yield _failed("write", error)
        with contextlib.suppress(RegistryError):
            backend.delete(key)
        return
    wrong = Check("write", Health.FAIL, "what was written does not read back", "do not use this store")
    yield Check("write", Health.OK, "wrote and read back") if same else wrong
    yield _check_delete(backend, key)
    yield _check_clock(before_ms, after_ms, stamp_ms)


def _check_delete(backend: Backend, key: str) -> Check:
    try:
        backend.delete(key)
        gone = backend.get_many([key], length=1) == [None]
    except AccessError:
        return Check(
            "delete", Health.WARN, f"refused; {key} stays", "fine for a writer; collecting garbage needs the right to delete"
        )
    except RegistryError as error:
        return _failed("delete", error)
    if gone:
        return Check("delete", Health.OK, "nothing left behind")
    return Check("delete", Health.WARN, f"{key} can still be read", "a deleted object lives on in a cache on the way")


def _check_clock(before_ms: int, after_ms: int, stamp_ms: int | None) -> Check:
    if stamp_ms is None:
        return Check("clock", Health.SKIPPED, "the store tells no time")
    ahead_ms = max(before_ms - _STAMP_MS - stamp_ms, 0) - max(stamp_ms - after_ms - _STAMP_MS, 0)
    if abs(ahead_ms) <= CLOCK_TOLERANCE_MS:
        return Check("clock", Health.OK, "agrees with the store's")
    direction = "ahead of" if ahead_ms > 0 else "behind"
    found = f"this machine's clock is {abs(ahead_ms) // 1000:,} s {direction} the store's"
    return Check("clock", Health.WARN, found, "nothing depends on it but the times in the log; S3 refuses from 15 minutes on")


def _check_cache(folder: Path | None) -> Check:
    if folder is None:
        return Check("cache", Health.WARN, "none", "set REG_CACHE to a folder")
    probe = folder / f".probe-{secrets.token_hex(8)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
        size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    except OSError as error:
        return Check("cache", Health.FAIL, f"{folder}: {error.strerror}", "set REG_CACHE to a folder that can be written")
    found = f"{folder}, {size_bytes / 10**6:,.1f} MB"
    if size_bytes > _LARGE_CACHE_BYTES:
        return Check("cache", Health.WARN, found, "it may be deleted at any time; files are then read or fetched once more")
    return Check("cache", Health.OK, found)


def _check_versions(versions: Mapping[str, str | None]) -> Check:
    found = ", ".join(f"{name} {version or 'missing'}" for name, version in versions.items())
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        return Check("versions", Health.WARN, found, f"install {' '.join(missing)}")
    return Check("versions", Health.OK, found)


def _version(package: str) -> str | None:
    from importlib import metadata  # noqa: PLC0415 - 15 ms for this verb alone

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _failed(name: str, error: RegistryError) -> Check:
    advice = _ADVICE.get(error.code, "")
    return Check(name, Health.FAIL, redact(error.message), advice)


_ADVICE = {
    "access": "give credentials by the environment (AWS_ACCESS_KEY_ID …), a profile (--storage-option profile=NAME) or a role",
    "backend": "check the network, a proxy, AWS_ENDPOINT_URL and the region",
    "not-found": "create the bucket first, or check its name",
    "unsupported-format": "upgrade cas_registry",
    "integrity": "reg fsck says what can be repaired",
    "invalid-input": "write a folder, s3://bucket/prefix, gs://… or az://…",
}
