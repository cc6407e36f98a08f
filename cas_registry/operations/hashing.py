"""Digests of what lies outside of the registry: files and folders of this machine, and what fsspec reaches.

`blake3:…` of a file is what `b3sum` prints. `tree:…` of a folder is the id that a version with its content has: names, sizes, contents and executable bits,
`.regignore` honoured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import blake3

from cas_registry.errors import BackendError, InvalidInputError, NotFoundError
from cas_registry.operations.progress import Progress
from cas_registry.redaction import redact
from cas_registry.worktree.stat_cache import StatCache

ALGORITHMS = frozenset({"blake3", "tree", "sha256", "sha512", "sha1", "md5", "etag"})
PROTOCOLS = frozenset(
    {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "http", "https", "hf"}
)  # no URL of a stranger opens others
_BLOCK_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Hashing:
    """How it is done: what is remembered of a file or folder hashed before, the clock for that, and whom to tell how far it is."""

    stat_cache: Callable[[Path], StatCache]
    clock_ns: Callable[[], int]
    progress: Progress


def hash_place(place: Path | str, algorithm: str | None, hashing: Hashing) -> str:
    """The digest of a local path, or of a URI. Without an algorithm: `blake3` of a file, `tree` of a folder.

    Raises NotFoundError where there is nothing, InvalidInputError for an algorithm that does not fit, BackendError where it cannot be read.
    """
    if isinstance(place, str):
        return _hash_remote(place, algorithm or "blake3", hashing.progress)
    if not place.exists():
        raise NotFoundError(f"{place} does not exist", path=str(place))
    is_folder = place.is_dir()
    algorithm = algorithm or ("tree" if is_folder else "blake3")
    if is_folder != (algorithm == "tree") or algorithm == "etag":
        raise InvalidInputError(f"{place} is a {'folder' if is_folder else 'file'}; it has no digest by {algorithm}")
    if not is_folder and not place.is_file():
        raise InvalidInputError(f"{place} is neither a file nor a folder", path=str(place))  # a device may never end
    if algorithm in {"tree", "blake3"}:
        return f"{algorithm}:{_identify(place, hashing)}"
    with place.open("rb") as file:
        return _hash_stream(file, place.stat().st_size, algorithm, hashing.progress)


def _identify(place: Path, hashing: Hashing) -> str:
    """The id of a file or folder; what was not touched since it was hashed last is not read."""
    from cas_registry.operations.snapshot import build_trees, identify  # noqa: PLC0415 - with the rest of a commit
    from cas_registry.operations.transfer import worker_pool  # noqa: PLC0415 - likewise
    from cas_registry.worktree.scan import scan  # noqa: PLC0415 - likewise

    snapshot = scan([place])
    cache = hashing.stat_cache(place)
    with worker_pool() as pool:
        ids, _ = identify(snapshot, cache, pool, clock_ns=hashing.clock_ns, progress=hashing.progress)
    cache.save()
    return build_trees(snapshot, ids).root.hex if place.is_dir() else next(iter(ids.values())).hex


def _hash_remote(uri: str, algorithm: str, progress: Progress) -> str:
    protocol = uri.partition("://")[0].lower()
    if "::" in uri or protocol not in PROTOCOLS:
        raise InvalidInputError(f"what lies at {protocol}:// is not read; only at {', '.join(sorted(PROTOCOLS))}")
    if algorithm == "tree":
        raise InvalidInputError("the digest of a folder is computed of local ones only")
    try:
        from fsspec.core import url_to_fs  # noqa: PLC0415 - 0.3 s with its drivers

        files, path = url_to_fs(uri)
        info = files.info(path)
        if info.get("type") == "directory":
            raise InvalidInputError(f"{uri} is a folder; it has no digest by {algorithm}")
        if algorithm == "etag":
            return f"etag:{_etag(info)}"
        with files.open(path, "rb", block_size=_BLOCK_BYTES) as stream:
            return _hash_stream(stream, info.get("size") or 0, algorithm, progress)
    except InvalidInputError:
        raise
    except FileNotFoundError as error:
        if not _is_absence(error):
            raise BackendError(f"cannot read {uri}: {redact(str(error.__cause__))[:300]}", uri=uri) from error
        raise NotFoundError(f"there is nothing at {uri}", uri=uri) from error
    except Exception as error:  # drivers raise what they like
        raise BackendError(f"cannot read {uri}: {redact(str(error))[:300] or type(error).__name__}", uri=uri) from error


def _is_absence(error: FileNotFoundError) -> bool:
    """Whether a store said that it has nothing; fsspec's HTTP says so also of servers that it cannot reach."""
    return (
        error.__cause__ is None
        or isinstance(error.__cause__, FileNotFoundError)
        or getattr(error.__cause__, "status", 0) in {404, 410}
    )


def _etag(info: dict[str, Any]) -> str:
    found = info.get("ETag") or info.get("etag")
    if not isinstance(found, str):
        raise InvalidInputError("the store tells no ETag of it")
    return found.strip('"')


def _hash_stream(stream: IO[bytes], total_bytes: int, algorithm: str, progress: Progress) -> str:
    hasher: Any = blake3.blake3() if algorithm == "blake3" else hashlib.new(algorithm, usedforsecurity=False)
    done = 0
    while data := stream.read(_BLOCK_BYTES):
        hasher.update(data)
        done += len(data)
        progress.update("hash", done, max(done, total_bytes))
    return f"{algorithm}:{hasher.hexdigest()}"
