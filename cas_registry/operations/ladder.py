"""The ladder of a registry: how many bytes are left after each way of not storing them.

From raw bytes of all versions down: each file once, each chunk once, chunks in their codec, chunks as deltas. All of it is told by
log entries, trees and maps; no pack is read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cas_registry.model.ids import MapName, PackName, TreeId
from cas_registry.model.maps import ChunkMap, Located, Reference
from cas_registry.model.placement import Codec
from cas_registry.operations.progress import Progress
from cas_registry.operations.transfer import map_ordered, worker_pool
from cas_registry.store.objects import ObjectStore

_TREES_AT_ONCE = 256
_MAPS_IN_FLIGHT = 4  # of 64 MiB at most each


@dataclass(frozen=True, slots=True)
class CodecShare:
    """The chunks in one codec: how many, their raw bytes, and what they take in packs."""

    codec: Codec
    chunks: int
    raw_bytes: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Ladder:
    """What is left after each rung, of one model or (`model` is None) of all together.

    `raw_bytes` counts every file of every version, `file_bytes` each distinct file once, `chunk_bytes` each distinct chunk of these once.
    `codecs` splits the chunks by stored form; a chunk that was stored more than once counts as its oldest version has it.
    `base_bytes` are stored bytes of further chunks, which no version here consists of: the deltas here are differences to them.
    Models share files, chunks and bases, so that rungs of models add up to more than those of all.
    """

    model: str | None
    versions: int
    raw_bytes: int
    files: int
    file_bytes: int
    codecs: tuple[CodecShare, ...]
    base_bytes: int

    @property
    def chunks(self) -> int:
        return sum(share.chunks for share in self.codecs)

    @property
    def chunk_bytes(self) -> int:
        return sum(share.raw_bytes for share in self.codecs)

    @property
    def coded_bytes(self) -> int:
        """What chunks would take if those that are deltas were raw: the rung between a chunk's own codec and its predecessor's help."""
        return sum(share.raw_bytes if share.codec is Codec.DELTA else share.stored_bytes for share in self.codecs)

    @property
    def stored_bytes(self) -> int:
        """What the chunks take in packs."""
        return sum(share.stored_bytes for share in self.codecs)


@dataclass(frozen=True, slots=True)
class Ladders:
    """The ladders of models, the one of all together, and what of the packs it stands on.

    `placed_bytes` are the stored bytes that maps of versions name, copies and bases included; `packs` the packs that those maps name.
    """

    whole: Ladder
    models: tuple[Ladder, ...]
    placed_bytes: int
    packs: frozenset[PackName]


def measure_ladders(
    objects: ObjectStore, versions: Mapping[str, Sequence[tuple[TreeId, MapName]]], *, progress: Progress
) -> Ladders:
    """The ladders of models, given the tree and the root map of each of their versions.

    Each tree is read once a model, each map once (a root that another model refers to: twice). Memory grows with the distinct files
    and chunks of all versions, by some 120 and 200 bytes each, however many versions share them. IntegrityError for a tree or
    map that is missing or damaged.
    """
    count = _Count(objects, progress)
    for number, (model, found) in enumerate(versions.items()):
        count.walk(1 << number, model, [tree for tree, _ in found])
    roots: dict[MapName, int] = {}
    for number, found in enumerate(versions.values()):
        for _, root in found:
            roots[root] = roots.get(root, 0) | 1 << number
    count.read_maps(roots)
    return count.ladders()


@dataclass(slots=True)
class _Tally:
    """One ladder under way."""

    model: str | None
    versions: int = 0
    raw_bytes: int = 0
    files: int = 0
    file_bytes: int = 0
    codecs: dict[Codec, list[int]] = field(default_factory=lambda: {codec: [0, 0, 0] for codec in Codec})
    base_bytes: int = 0

    def add_chunk(self, codec: Codec, raw_bytes: int, stored_bytes: int) -> None:
        row = self.codecs[codec]
        row[0] += 1
        row[1] += raw_bytes
        row[2] += stored_bytes

    def ladder(self) -> Ladder:
        shares = tuple(CodecShare(codec, *row) for codec, row in self.codecs.items() if row[0])
        return Ladder(self.model, self.versions, self.raw_bytes, self.files, self.file_bytes, shares, self.base_bytes)


class _Count:
    """Files, chunks and bases seen so far, each with the set of models that it was seen in: one bit a model."""

    def __init__(self, objects: ObjectStore, progress: Progress) -> None:
        self._objects = objects
        self._progress = progress
        self._whole = _Tally(None)
        self._tallies: dict[int, _Tally] = {}
        self._files: dict[bytes, int] = {}
        self._chunks: dict[bytes, int] = {}
        self._bases: dict[bytes, tuple[int, int]] = {}  # digest -> models, stored bytes
        self._placed: set[int] = set()
        self._packs: dict[PackName, int] = {}
        self._placed_bytes = 0

    def walk(self, bit: int, model: str, roots: Sequence[TreeId]) -> None:
        """Count the files of a model's versions."""
        tally = self._tallies[bit] = _Tally(model, len(roots))
        times: dict[TreeId, int] = {}
        for root in roots:
            times[root] = times.get(root, 0) + 1
        seen = set(times)
        level = list(times)
        while level:
            below: list[TreeId] = []
            for start in range(0, len(level), _TREES_AT_ONCE):
                batch = level[start : start + _TREES_AT_ONCE]
                for identity, tree in zip(batch, self._objects.read_trees(batch), strict=True):
                    tally.raw_bytes += times.pop(identity, 0) * tree.size_bytes
                    for entry in tree.entries:
                        if isinstance(entry.id, TreeId):
                            if entry.id not in seen:
                                seen.add(entry.id)
                                below.append(entry.id)
                        else:
                            self._add_file(bit, tally, entry.id.digest, entry.size_bytes)
                self._progress.update("count", tally.file_bytes, tally.raw_bytes)
            level = below
        self._whole.versions += tally.versions
        self._whole.raw_bytes += tally.raw_bytes

    def _add_file(self, bit: int, tally: _Tally, digest: bytes, size_bytes: int) -> None:
        models = self._files.get(digest, 0)
        if models & bit:
            return
        self._files[digest] = models | bit
        for found in (tally, *(() if models else (self._whole,))):
            found.files += 1
            found.file_bytes += size_bytes

    def read_maps(self, roots: Mapping[MapName, int]) -> None:
        """Count the chunks of these root maps and of those that they name; each comes with its models."""
        references: dict[Reference, int] = {}
        done = total = 0
        with worker_pool() as pool:
            read = map_ordered(pool, self._objects.read_map, roots, in_flight=_MAPS_IN_FLIGHT)
            for models, (chunk_map, size_bytes) in zip(roots.values(), read, strict=True):
                self._add_map(chunk_map, models)
                done, total = done + size_bytes, total + size_bytes
                for reference in chunk_map.references.values():
                    if reference not in references:
                        references[reference] = 0
                        total += reference.size_bytes
                    references[reference] |= models
                self._progress.update("map", done, total)
            wanted = {found: models for found, models in references.items() if models & ~roots.get(found.name, 0)}
            more = map_ordered(pool, self._read_reference, wanted, in_flight=_MAPS_IN_FLIGHT)
            for (reference, models), chunk_map in zip(wanted.items(), more, strict=True):
                self._add_map(chunk_map, models)
                done += reference.size_bytes
                self._progress.update("map", done, total)

    def _read_reference(self, reference: Reference) -> ChunkMap:
        return self._objects.read_maps([reference])[0]

    def _add_map(self, chunk_map: ChunkMap, models: int) -> None:
        for pack in chunk_map.packs:
            self._packs.setdefault(pack.name, len(self._packs))
        for digest, (_, first, count, _) in chunk_map.files.items():
            wanted = self._files.get(digest, 0) & models
            if wanted:
                for number in chunk_map.chunks[first : first + count]:
                    self._add_chunk(chunk_map.located(number), wanted)

    def _add_chunk(self, located: Located, models: int) -> None:
        self._place(located)
        placement = located.placement
        digest = placement.chunk.digest
        before = self._chunks.get(digest, 0)
        fresh = models & ~before
        if fresh:
            self._chunks[digest] = before | fresh
            for tally in (*self._of(fresh), *(() if before else (self._whole,))):
                tally.add_chunk(placement.codec, placement.raw_bytes, placement.stored_bytes)
        if located.base:
            self._place(located.base)
            base = located.base.placement
            needed, _ = self._bases.get(base.chunk.digest, (0, 0))
            self._bases[base.chunk.digest] = (needed | models, base.stored_bytes)

    def _place(self, located: Located) -> None:
        """Count the bytes at a place in a pack, once."""
        place = self._packs[located.pack.name] << 32 | located.placement.offset
        if place not in self._placed:
            self._placed.add(place)
            self._placed_bytes += located.placement.stored_bytes

    def _of(self, models: int) -> Iterator[_Tally]:
        for bit, tally in self._tallies.items():
            if models & bit:
                yield tally

    def ladders(self) -> Ladders:
        """What was counted."""
        for digest, (models, stored_bytes) in self._bases.items():
            have = self._chunks.get(digest, 0)
            for tally in (*self._of(models & ~have), *(() if have else (self._whole,))):
                tally.base_bytes += stored_bytes
        each = tuple(tally.ladder() for tally in self._tallies.values())
        return Ladders(self._whole.ladder(), each, self._placed_bytes, frozenset(self._packs))
