"""A version as an artifact in an OCI layout: its files as blobs, its configuration and manifest, and the name that it has there."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from cas_registry.errors import InvalidInputError, LimitError
from cas_registry.model.commit import Commit
from cas_registry.model.ids import FileId
from cas_registry.model.tree import Mode
from cas_registry.operations.card import find_card
from cas_registry.operations.exporting.contents import Contents, FileStream
from cas_registry.operations.exporting.modelpack import (
    Layer,
    encode_config,
    encode_manifest,
    media_type,
    tensor_file_type,
    weigh,
)
from cas_registry.operations.exporting.oci_layout import MAX_DOCUMENT_BYTES, Blob, OciLayout, check_ref_name
from cas_registry.operations.tensors import stored_tensors
from cas_registry.operations.transfer import worker_pool
from cas_registry.operations.version_files import VersionFile
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores

_NO_LICENSE = {"other", "unknown"}  # Hugging Face's words for what SPDX has none for


@dataclass(frozen=True, slots=True)
class Added:
    """What adding a version to a layout did: the kinds of its files by path, which of them were written, whether anything was. A dry run
    knows no digest."""

    name: str
    media_types: Mapping[str, str]
    written: frozenset[str]
    changed: bool
    digest: str | None


def add_version(
    stores: Stores, version: Version, commit: Commit, root: Path, contents: Contents, stream: FileStream, *,
    name: str | None, force: bool, dry_run: bool, executor: Executor | None,
) -> Added:  # fmt: skip
    """Add a version to the layout in `root`, by default under its number. ConflictError where the name stands at another artifact, unless
    `force` moves it; what stood there stays among the blobs. LimitError for more files than a manifest may name."""
    if not contents.sizes:
        raise InvalidInputError(f"{version.model}@{version.commit.short} has no files, and a ModelPack has at least one layer")
    called = check_ref_name(name or f"v{version.number}")
    layout = OciLayout(root)
    layout.check_name(called, version.commit.hex, force=force)
    weights = weigh(stored_tensors(stores, version))
    kinds = {
        path: tensor_file_type() if path in weights.paths else media_type(path, size_bytes)
        for path, size_bytes in contents.sizes.items()
    }
    _check_room(version, commit, kinds, contents)
    blobs = layout.find({file.file_id: file.entry.size_bytes for file in contents.files})
    missing = [file for file in contents.files if file.file_id not in blobs]
    absent = frozenset(file.path for file in missing)
    if dry_run:
        return Added(called, kinds, absent, bool(absent) or not layout.has_name(called, version.commit.hex), None)
    layout.prepare()
    blobs.update(_fetch(layout, _each_once(missing), stream, executor))
    made = {path: layout.add_small(data) for path, data in contents.made.items()}
    executables = {file.path for file in contents.files if file.entry.mode is Mode.EXECUTABLE}
    ids = {file.path: file.file_id for file in contents.files}
    layers = [
        _layer(path, kinds[path], blobs[ids[path]] if path in ids else made[path][0], ids.get(path), executable=path in executables, tested=path in weights.paths)
        for path in contents.sizes
    ]  # fmt: skip
    config, new_config = layout.add_small(encode_config(version, commit, weights, layers, _licenses(stores, version)))
    manifest, new_manifest = layout.add_small(encode_manifest(version, commit, (config.digest, config.size_bytes), layers))
    named = layout.name(called, manifest, version.commit.hex, force=force)
    written = absent | {path for path, (_, new) in made.items() if new}
    return Added(called, kinds, written, bool(written) or new_config or new_manifest or named, f"sha256:{manifest.digest}")


def _fetch(
    layout: OciLayout, files: Sequence[VersionFile], stream: FileStream, executor: Executor | None
) -> dict[FileId, Blob]:
    if not files:
        return {}
    with worker_pool(executor) as pool:
        return {file.file_id: layout.add(parts) for file, parts in stream.read(files, pool)}


def _each_once(files: Iterable[VersionFile]) -> list[VersionFile]:
    """One file of each content."""
    return list({file.file_id: file for file in files}.values())


def _layer(path: str, kind: str, blob: Blob, file: FileId | None, *, executable: bool, tested: bool) -> Layer:
    return Layer(path, kind, tested, blob.size_bytes, executable, blob.digest, file.hex if file else None)


def _check_room(version: Version, commit: Commit, kinds: Mapping[str, str], contents: Contents) -> None:
    """Refuse, before anything is fetched, what no registry would take: a manifest has its size from the paths alone."""
    nothing = "0" * 64
    layers = [Layer(path, kinds[path], False, size, False, nothing, nothing) for path, size in contents.sizes.items()]  # noqa: FBT003 - a row
    size_bytes = len(encode_manifest(version, commit, (nothing, 0), layers))
    if size_bytes > MAX_DOCUMENT_BYTES:
        raise LimitError(
            f"{len(layers):,} files make a manifest of {size_bytes:,} bytes, and registries take {MAX_DOCUMENT_BYTES:,}; export a tar"
        )


def _licenses(stores: Stores, version: Version) -> list[str]:
    card = find_card(stores, version)
    found = card.metadata.get("license") if card else None
    texts = found if isinstance(found, list) else [found]
    return [text for text in texts if isinstance(text, str) and text and text.lower() not in _NO_LICENSE]
