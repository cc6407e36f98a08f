"""The maps of a merged version, made of those of its two sides. No chunk is read or stored: every file has its row in one of them."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cas_registry.model.ids import FileId, MapName, TreeId
from cas_registry.model.maps import CHUNK_REF_BYTES, FILE_BYTES, PLACEMENT_BYTES, Covers, Located, MapBuilder, Reference
from cas_registry.model.on_load import OnLoad, shared_mark
from cas_registry.model.tree import Tree, TreeEntry, encode_tree
from cas_registry.operations.placing import ATTACHED_TREE_BYTES, INLINE_BYTES
from cas_registry.operations.version_files import BIG_FILE_BYTES, VersionFile, VersionFiles
from cas_registry.store.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class MergeSide:
    """The files of one of the two versions, and its maps."""

    files: Sequence[VersionFile]
    maps: VersionFiles


@dataclass(frozen=True, slots=True)
class _Row:
    """A file as a side's maps have it."""

    size_bytes: int
    chunks: tuple[Located, ...]
    index: bytes | None
    on_load: OnLoad

    @property
    def row_bytes(self) -> int:
        return FILE_BYTES + len(self.chunks) * (PLACEMENT_BYTES + CHUNK_REF_BYTES) + len(self.index or b"")


_Key = tuple[Covers, FileId | TreeId]


def write_merged_maps(
    objects: ObjectStore, files: Sequence[VersionFile], folders: Sequence[TreeId], made: Mapping[TreeId, Tree],
    sides: Sequence[MergeSide],
) -> MapName:  # fmt: skip
    """Write the root map of a version that holds these files, each of which a side holds, and these folders (those near the top first).

    What a side's root names a map for stays there; rows of folders that are new to both go into the root, or a map of their own.
    """
    root = MapBuilder(trees=_attached_trees(folders, made, sides))
    loose: dict[_Key, Mapping[FileId, VersionFile]] = {}
    for (covers, key), members in _groups(files):
        kept = next((found for side in sides if (found := side.maps.root.references.get((covers, key.digest)))), None)
        if kept:
            root.refer(covers, key, kept)
        else:
            loose[covers, key] = members
    rows = _read_rows([file for members in loose.values() for file in members], sides)
    room = INLINE_BYTES
    for (covers, key), members in sorted(loose.items(), key=lambda item: sum(rows[file].row_bytes for file in item[1])):
        room -= sum(rows[file].row_bytes for file in members)
        builder = root if room >= 0 else MapBuilder()
        for file in members:
            builder.add_file(file, rows[file].size_bytes, rows[file].chunks, on_load=rows[file].on_load)
            if (index := rows[file].index) is not None:
                builder.add_index(file, index)
        if builder is not root:
            reference: Reference = objects.write_map(builder.encode(os.urandom(16)))
            root.refer(covers, key, replace(reference, on_load=shared_mark(rows[file].on_load for file in members)))
    return objects.write_map(root.encode(os.urandom(16))).name


def _groups(files: Sequence[VersionFile]) -> Iterator[tuple[_Key, Mapping[FileId, VersionFile]]]:
    small: dict[TreeId, dict[FileId, VersionFile]] = {}
    big: dict[FileId, VersionFile] = {}
    for file in files:
        if file.entry.size_bytes >= BIG_FILE_BYTES:
            big.setdefault(file.file_id, file)
        elif file.entry.size_bytes:
            small.setdefault(file.folder, {}).setdefault(file.file_id, file)
    for identity, file in big.items():
        yield (Covers.FILE, identity), {identity: file}
    for folder, members in small.items():
        yield (Covers.FOLDER, folder), members


def _read_rows(wanted: Sequence[FileId], sides: Sequence[MergeSide]) -> dict[FileId, _Row]:
    """The rows of these files, from the first side that holds each; the maps of a side are read in one round trip."""
    rows: dict[FileId, _Row] = {}
    for side in sides:
        needed = set(wanted) - rows.keys()
        here: dict[FileId, tuple[TreeEntry, TreeId]] = {
            file.file_id: (file.entry, file.folder) for file in side.files if file.entry.id in needed
        }
        side.maps.prepare(here.values())
        for identity, (entry, folder) in here.items():
            index = side.maps.encoded_index(entry, folder)
            rows[identity] = _Row(
                entry.size_bytes, side.maps.chunks(entry, folder), None if index is None else bytes(index), side.maps.on_load(entry, folder)
            )  # fmt: skip
    return rows


def _attached_trees(folders: Sequence[TreeId], made: Mapping[TreeId, Tree], sides: Sequence[MergeSide]) -> dict[bytes, bytes]:
    """Every tree, and the bytes of the topmost ones as far as they are at hand."""
    attached: dict[bytes, bytes] = {}
    room = ATTACHED_TREE_BYTES
    for folder in dict.fromkeys(folders):
        if folder in made:
            data = encode_tree(made[folder])
        else:
            data = next((bytes(found) for side in sides if (found := side.maps.root.trees.get(folder.digest))), b"")
        room -= len(data)
        attached[folder.digest] = data if room >= 0 else b""
    return attached
