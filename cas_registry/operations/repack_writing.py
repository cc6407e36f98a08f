"""The packs and maps of a repack: chunks as the ledger says they are to be stored, and maps that say where they then lie.

Whatever is written is handed to a `Sink`; one that only measures gives the figures of a dry run, by the same steps.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from typing import Protocol

from cas_registry.codecs import Base, Buffer, encode_chunk
from cas_registry.model.ids import ID_BYTES, FileId, MapName, PackName, TreeId
from cas_registry.model.maps import (
    CHUNK_REF_BYTES,
    FILE_BYTES,
    PLACEMENT_BYTES,
    ChunkMap,
    Covers,
    MapBuilder,
    PackInfo,
    Reference,
)
from cas_registry.model.on_load import OnLoad, shared_mark
from cas_registry.model.packs import CHUNK_ROW_BYTES, RECIPE_BYTES, RECIPE_CHUNKS, PackBuilder, Recipe
from cas_registry.model.placement import Codec
from cas_registry.operations.placing import INLINE_BYTES
from cas_registry.operations.progress import Progress
from cas_registry.operations.repack_ledger import Ledger, Move, Moved
from cas_registry.operations.transfer import (
    GROUP_CHUNKS,
    GROUP_RAW_BYTES,
    GROUPS_IN_FLIGHT,
    PACKS_IN_FLIGHT,
    PackBuffers,
    fetch_stored,
    map_ordered,
)
from cas_registry.operations.version_files import BIG_FILE_BYTES, VersionFile, list_files
from cas_registry.store.objects import ObjectStore
from cas_registry.store.refs import Version

Encoded = tuple[Codec, Buffer]


class Sink(Protocol):
    """Where packs and maps go."""

    def put_pack(self, name: PackName, data: memoryview) -> None: ...
    def put_map(self, data: bytes) -> Reference: ...


class Measuring:
    """Keeps nothing."""

    def put_pack(self, name: PackName, data: memoryview) -> None:
        """Keep nothing."""

    def put_map(self, data: bytes) -> Reference:
        """What the map would be named by."""
        return Reference(MapName.of(data), len(data))


class Uploading:
    """Stores packs while the next ones fill, and maps at once. `finish` returns when all packs are stored."""

    def __init__(self, objects: ObjectStore, executor: Executor) -> None:
        self._objects = objects
        self._executor = executor
        self._uploads: deque[Future[PackInfo]] = deque()

    def put_pack(self, name: PackName, data: memoryview) -> None:
        """Begin to store a pack."""
        self._settle(PACKS_IN_FLIGHT - 1)
        self._uploads.append(self._executor.submit(self._objects.write_pack, name, data))

    def put_map(self, data: bytes) -> Reference:
        """Store a map."""
        return self._objects.write_map(data)

    def finish(self) -> None:
        """Wait for the packs."""
        self._settle(0)

    def abandon(self) -> None:
        """Cancel what has not begun: packs that nothing names are garbage."""
        for upload in self._uploads:
            upload.cancel()
        self._uploads.clear()

    def _settle(self, in_flight: int) -> None:
        while len(self._uploads) > in_flight:
            self._uploads.popleft().result()


def measured(moves: Iterable[Move]) -> Iterator[tuple[Move, Encoded]]:
    """Each chunk with as many bytes as it will take, whatever they are."""
    for move in moves:
        codec = Codec.DELTA if move.base is not None else move.located.placement.codec if move.kept else Codec.PLANES
        yield move, (codec, bytes(move.stored_bytes))


def encoded(
    objects: ObjectStore, executor: Executor, moves: Iterable[Move], level: int, total: int, progress: Progress
) -> Iterator[tuple[Move, Encoded]]:
    """Each chunk in its new form, decoded and hashed: IntegrityError at the first that is damaged."""
    done = 0
    groups = map_ordered(
        executor, lambda group: (group, _encode_group(objects, group, level)), _groups(moves), in_flight=GROUPS_IN_FLIGHT
    )
    for group, forms in groups:
        yield from zip(group, forms, strict=True)
        done += sum(move.located.placement.raw_bytes for move in group)
        progress.update("write", done, total)


def write_packs(ledger: Ledger, forms: Iterable[tuple[Move, Encoded]], pack_bytes: int, sink: Sink) -> list[PackInfo]:
    """Fill packs with these chunks, then with the recipes of all files; the ledger learns where everything lies."""
    filler = _Filler(ledger, pack_bytes, sink)
    for move, (codec, stored) in forms:
        filler.add(move, codec, stored)
    for filed in ledger.files():
        for first in range(0, len(filed.row), RECIPE_CHUNKS):
            chunks = ledger.digests(filed.row[first : first + RECIPE_CHUNKS])
            filler.add_recipe(filed.number, Recipe(filed.file, filed.size_bytes, len(filed.row), first, chunks))
    filler.finish()
    return filler.packs


class _Filler:
    """One pack at a time."""

    def __init__(self, ledger: Ledger, pack_bytes: int, sink: Sink) -> None:
        self._ledger = ledger
        self._pack_bytes = pack_bytes
        self._buffers = PackBuffers(pack_bytes, reuse=False)
        self._sink = sink
        self._begin()
        self.packs: list[PackInfo] = []

    def add(self, move: Move, codec: Codec, stored: Buffer) -> None:
        self._make_room(CHUNK_ROW_BYTES + ID_BYTES + len(stored))
        placement = move.located.placement
        offset = self._builder.add(
            placement.chunk.digest, stored, raw_bytes=placement.raw_bytes, codec=codec, element=placement.element,
            base=move.base_id if codec is Codec.DELTA else None,
        )  # fmt: skip
        self._chunks.append(Moved(move.number, offset, len(stored), codec))

    def add_recipe(self, file: int, recipe: Recipe) -> None:
        self._make_room(RECIPE_BYTES + len(recipe.chunks) * ID_BYTES)
        self._builder.add_recipe(recipe)
        self._files.append(file)

    def finish(self) -> None:
        if not self._builder.is_empty:
            self._close()

    def _make_room(self, size_bytes: int) -> None:
        if self._builder.size_bytes + size_bytes > self._pack_bytes and not self._builder.is_empty:
            self._close()

    def _begin(self) -> None:
        self._builder = PackBuilder(os.urandom(16), buffer=self._buffers.take())
        self._chunks: list[Moved] = []
        self._files: list[int] = []

    def _close(self) -> None:
        name, data = self._builder.finish()
        pack = PackInfo(name, len(data))
        self._sink.put_pack(name, data)
        self._ledger.place(pack, self._chunks, self._files)
        self.packs.append(pack)
        self._begin()


def _groups(moves: Iterable[Move]) -> Iterator[list[Move]]:
    group: list[Move] = []
    raw_bytes = 0
    for move in moves:
        raw_bytes += move.located.placement.raw_bytes
        if group and (raw_bytes > GROUP_RAW_BYTES or len(group) >= GROUP_CHUNKS):
            yield group
            group, raw_bytes = [], move.located.placement.raw_bytes
        group.append(move)
    if group:
        yield group


def _encode_group(objects: ObjectStore, group: Sequence[Move], level: int) -> list[Encoded]:
    bases = {move.base_at for move in group if move.base_at and not move.kept}
    stored = fetch_stored(objects, [*(move.located for move in group), *bases])
    decoded = {located: objects.decode(located, stored) for located in bases}
    forms: list[Encoded] = []
    for move in group:
        placement = move.located.placement
        if move.kept:
            forms.append((placement.codec, objects.verified_form(move.located, stored)))
            continue
        base = None
        if move.base_at:
            base = Base(decoded[move.base_at], move.base_at.placement.element, placement.raw_bytes)
        forms.append(encode_chunk(objects.decode(move.located, stored), placement.element, base, level=level, exhaustive=True))
    return forms


@dataclass(slots=True)
class Needs:
    """The packs and maps that versions need, as their current maps say. Every map is read once."""

    packs: set[PackInfo] = field(default_factory=set)
    maps: dict[MapName, int] = field(default_factory=dict)

    def add_version(self, objects: ObjectStore, root: MapName) -> None:
        """What a version needs: its root, the maps that this names, and their packs."""
        if root in self.maps:
            return
        chunk_map, size_bytes = objects.read_map(root)
        self.add_map(Reference(root, size_bytes), chunk_map.packs)
        self.add_references(objects, chunk_map.references.values())

    def add_references(self, objects: ObjectStore, references: Iterable[Reference]) -> None:
        """What these maps need."""
        missing = [reference for reference in dict.fromkeys(references) if reference.name not in self.maps]
        for start in range(0, len(missing), _MAPS_AT_ONCE):
            batch = missing[start : start + _MAPS_AT_ONCE]
            for reference, chunk_map in zip(batch, objects.read_maps(batch), strict=True):
                self.add_map(reference, chunk_map.packs)

    def add_map(self, reference: Reference, packs: Iterable[PackInfo]) -> None:
        """A map with what it needs."""
        self.maps[reference.name] = reference.size_bytes
        self.packs.update(packs)

    @property
    def size_bytes(self) -> int:
        return sum(pack.size_bytes for pack in self.packs) + sum(self.maps.values())

    def without(self, *others: "Needs") -> "Needs":
        """What these need and none of the others does."""
        packs = self.packs.difference(*(other.packs for other in others))
        maps = {name: size for name, size in self.maps.items() if not any(name in other.maps for other in others)}
        return Needs(packs, maps)


_MAPS_AT_ONCE = 16


def write_maps(
    objects: ObjectStore, ledger: Ledger, versions: Sequence[Version], sink: Sink
) -> tuple[dict[MapName, MapName], Needs]:
    """New root maps of the versions that name a pack which does not stay, by the names of those that they had; and what all versions then need."""
    roots: dict[MapName, MapName] = {}
    needs = Needs()
    for version in versions:
        if version.map in roots:
            continue
        files = [file for file in list_files(objects, version.tree)[0] if file.entry.size_bytes]
        before, _ = objects.read_map(version.map)
        stays = all(map(ledger.stays, before.packs))  # they may hold nothing of it but recipes
        if not stays or any(ledger.file_moves(file.file_id) for file in files):
            roots[version.map] = _write_root(objects, ledger, before, files, sink, needs)
        else:
            needs.add_version(objects, version.map)
    return roots, needs


@dataclass(frozen=True, slots=True)
class _Group:
    """Files that share a reference: one big one, or the small ones right in a folder."""

    covers: Covers
    key: FileId | TreeId
    files: Mapping[FileId, int]  # size in bytes
    row_bytes: int


def _write_root(
    objects: ObjectStore, ledger: Ledger, before: ChunkMap, files: Sequence[VersionFile], sink: Sink, needs: Needs
) -> MapName:
    root = MapBuilder(trees={digest: bytes(data) for digest, data in before.trees.items()})
    inlined: list[FileId] = []
    room = INLINE_BYTES
    for group in sorted(_group_files(ledger, files), key=lambda group: group.row_bytes):
        kept = before.references.get((group.covers, group.key.digest))
        if kept and not any(ledger.file_moves(file) for file in group.files):
            needs.add_references(objects, [kept])
            root.refer(group.covers, group.key, kept)
            continue
        room -= group.row_bytes
        if room >= 0:
            _add_group(root, ledger, group)
            inlined += [file for file in group.files if group.covers is Covers.FILE]
        else:
            reference = _write_group(ledger, group, sink, needs)
            root.refer(group.covers, group.key, replace(reference, on_load=_mark(ledger, group)))
            if isinstance(group.key, FileId):
                ledger.add_hint(group.key, reference)
    for file in files:
        for pack in ledger.recipe_packs(ledger.file(file.file_id).number):
            root.packs.setdefault(pack, len(root.packs))
    written = sink.put_map(root.encode(os.urandom(16)))
    needs.add_map(written, root.packs)
    for identity in inlined:
        ledger.add_hint(identity, written)
    return written.name


def _write_group(ledger: Ledger, group: _Group, sink: Sink, needs: Needs) -> Reference:
    """The map of a group, written once for all versions that have it."""
    known = ledger.group_map(group.covers, group.key)
    if known:
        return known
    builder = MapBuilder()
    _add_group(builder, ledger, group)
    written = sink.put_map(builder.encode(os.urandom(16)))
    needs.add_map(written, builder.packs)
    ledger.set_group_map(group.covers, group.key, written)
    return written


def _group_files(ledger: Ledger, files: Iterable[VersionFile]) -> Iterator[_Group]:
    small: dict[TreeId, dict[FileId, int]] = {}
    big: dict[FileId, int] = {}
    for file in files:
        if file.entry.size_bytes >= BIG_FILE_BYTES:
            big[file.file_id] = file.entry.size_bytes
        else:
            small.setdefault(file.folder, {})[file.file_id] = file.entry.size_bytes
    for identity, size_bytes in big.items():
        yield _Group(Covers.FILE, identity, {identity: size_bytes}, _row_bytes(ledger, identity))
    for folder, members in small.items():
        yield _Group(Covers.FOLDER, folder, members, sum(_row_bytes(ledger, identity) for identity in members))


def _row_bytes(ledger: Ledger, file: FileId) -> int:
    filed = ledger.file(file)
    return FILE_BYTES + len(filed.row) * (PLACEMENT_BYTES + CHUNK_REF_BYTES) + len(filed.index or b"")


def _mark(ledger: Ledger, group: _Group) -> OnLoad:
    return shared_mark(ledger.file(identity).on_load for identity in group.files)


def _add_group(builder: MapBuilder, ledger: Ledger, group: _Group) -> None:
    for identity, size_bytes in group.files.items():
        filed = ledger.file(identity)
        builder.add_file(identity, size_bytes, map(ledger.final, filed.row), on_load=filed.on_load)
        if filed.index is not None:
            builder.add_index(identity, filed.index)
