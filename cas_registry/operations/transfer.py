"""Moving chunks between files and packs: the only place where threads start.

Up: a file's buffers are cut and hashed in the calling thread, batches of pieces are hashed, encoded and verified by workers,
packs are filled in order and uploaded while the next one fills. Down: chunks are fetched in groups, those that lie close
together in one pack by one ranged read; groups overlap, results come back in order.

Memory is bounded by the constants below whatever the size of a file.
"""

import mmap
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Self, TypeVar

from cas_registry.backends import is_remote
from cas_registry.chunking import Piece
from cas_registry.codecs import Base, Buffer, encode_chunk
from cas_registry.errors import IntegrityError
from cas_registry.model.ids import ID_BYTES, ChunkId, FileId
from cas_registry.model.maps import Located, PackInfo
from cas_registry.model.packs import CHUNK_ROW_BYTES, RECIPE_BYTES, RECIPE_CHUNKS, PackBuilder, Recipe
from cas_registry.model.placement import Codec, Placement
from cas_registry.model.tensors import ElementType
from cas_registry.operations.seeds import Seeds
from cas_registry.store.objects import ObjectStore

T = TypeVar("T")
R = TypeVar("R")

READ_BUFFER_BYTES = 2 * 1024 * 1024
BATCHES_IN_FLIGHT = 4  # about 2 MiB each, raw and encoded
PACKS_IN_FLIGHT = 2  # beside the one being filled
GROUP_RAW_BYTES = 8 * 1024 * 1024
GROUP_CHUNKS = 2048
GROUPS_IN_FLIGHT = 4
# glibc gives blocks of this size and less back to the system each time, and faults them in anew, until a larger one was freed once;
# a zeroed block that is never touched costs nothing and is enough: a commit becomes a third faster
_ARENA_BYTES = 31 * 1024 * 1024
TURN_S = (
    0.001  # how long a thread may keep the interpreter when others want it; Python's own 5 ms cost a quarter of the rate (008)
)
BUFFER_HEADROOM_BYTES = 1024 * 1024  # for the rounding of what a pack holds
SPAN_GAP_BYTES = 256 * 1024  # bytes read and thrown away rather than asked for separately
SPAN_BYTES = 16 * 1024 * 1024


@contextmanager
def worker_pool(executor: Executor | None = None, *, threads: int = 0) -> Iterator[Executor]:
    """The given executor, or threads (one more than there are processors) that end with the block."""
    _keep_freed_memory()
    with _short_turns:
        if executor is not None:
            yield executor
            return
        with ThreadPoolExecutor(max_workers=threads or (os.cpu_count() or 1) + 1, thread_name_prefix="cas_registry") as pool:
            yield pool


@cache
def _keep_freed_memory() -> None:
    """Free a block of `_ARENA_BYTES`, once in a process: the second one would be cleared for real."""
    bytes(_ARENA_BYTES)


class _ShortTurns:
    """While any block of it is open, threads pass the interpreter on after `TURN_S`; the last to end restores what was set before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = 0
        self._usual_s = 0.0

    def __enter__(self) -> None:
        with self._lock:
            if self._open == 0:
                self._usual_s = sys.getswitchinterval()
                sys.setswitchinterval(min(self._usual_s, TURN_S))
            self._open += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._open -= 1
            if self._open == 0:
                sys.setswitchinterval(self._usual_s)


_short_turns = _ShortTurns()


def map_ordered(executor: Executor, function: Callable[[T], R], items: Iterable[T], *, in_flight: int) -> Iterator[R]:
    """`function` of each item, in order, with at most `in_flight` under way: a map that does not run ahead."""
    pending: deque[Future[R]] = deque()
    try:
        for item in items:
            if len(pending) >= in_flight:
                yield pending.popleft().result()
            pending.append(executor.submit(function, item))
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


@dataclass(slots=True, eq=False)
class PackSlot:
    """A pack under way: its name is known once it is full."""

    info: PackInfo | None = None


@dataclass(frozen=True, slots=True)
class Lineage:
    """The chunk that a new delta would be made to, and what the deltas to it have cost so far."""

    base: Located
    age: int
    spent: int

    @property
    def pays_bytes(self) -> int:
        """The largest delta worth having: what a version has cost on average since the base was taken (docs/design/005-tensors.md)."""
        return self.spent // (self.age + 1)


def lineage(predecessor: Located) -> Lineage:
    """What to make a delta to, given the same piece of an earlier version: that piece, or the base it is a delta to itself."""
    if predecessor.base is None:
        return Lineage(predecessor, 0, predecessor.placement.stored_bytes)
    return Lineage(predecessor.base, predecessor.age, predecessor.spent)


@dataclass(frozen=True, slots=True)
class Pending:
    """A chunk in a pack whose name may not be known yet."""

    slot: PackSlot
    placement: Placement
    lineage: Lineage | None = None

    def located(self) -> Located:
        """The chunk with its pack, once `PackWriter.finish` has returned."""
        assert self.slot.info is not None  # noqa: S101 - finish names every pack
        if self.lineage is None:
            return Located(self.slot.info, self.placement)
        spent = self.lineage.spent + self.placement.stored_bytes
        return Located(self.slot.info, self.placement, self.lineage.base, self.lineage.age + 1, spent)


@dataclass(frozen=True, slots=True)
class EncodedPiece:
    """A piece after its worker: `stored` is None where the chunk is in the registry already, `lineage` is set for a delta."""

    digest: bytes
    raw_bytes: int
    element: ElementType
    codec: Codec
    stored: Buffer | None
    lineage: Lineage | None = None


class PackBuffers:
    """Memory to fill packs in. Fresh pages cost ten times what writing to used ones does, so folders get buffers back.

    Of a remote store that is not safe to say: an attempt that timed out may still be sending what its buffer holds.
    """

    def __init__(self, pack_bytes: int, *, reuse: bool) -> None:
        self._size_bytes = pack_bytes + BUFFER_HEADROOM_BYTES
        self._reuse = reuse
        self._spare: list[mmap.mmap] = []

    def take(self) -> memoryview:
        """A buffer of more than a pack's size; pages that are never touched cost nothing."""
        return memoryview(self._spare.pop() if self._spare else mmap.mmap(-1, self._size_bytes))

    def give(self, used: memoryview) -> None:
        """Take back (a part of) a buffer that nobody reads any more."""
        if self._reuse and isinstance(used.obj, mmap.mmap):
            self._spare.append(used.obj)


class PackWriter:
    """Fills packs with chunks that are not in the registry yet and uploads them while it goes on. Not thread-safe."""

    def __init__(self, objects: ObjectStore, executor: Executor, *, pack_bytes: int, known: Callable[[bytes], bool]) -> None:
        self._objects = objects
        self._executor = executor
        self._pack_bytes = pack_bytes
        self._known = known
        self._fresh: dict[bytes, Pending] = {}
        remote = is_remote(objects.url)
        self._in_flight = PACKS_IN_FLIGHT if remote else 1  # a disk is as busy with one, and each takes a buffer
        self._buffers = PackBuffers(pack_bytes, reuse=not remote)
        self._builder = PackBuilder(os.urandom(16), buffer=self._buffers.take())
        self._slot = PackSlot()
        self._uploads: deque[tuple[PackSlot, memoryview, Future[PackInfo]]] = deque()
        self.packs: list[PackInfo] = []
        self.new_bytes = 0

    def encode(self, pieces: Sequence[Piece], predecessors: Sequence[Located | None]) -> list[EncodedPiece]:
        """Hash, and encode what is new, as a delta where that is smaller. Called in workers."""
        digests = [ChunkId.of(piece.data).digest for piece in pieces]
        fresh = [not self._known(digest) and digest not in self._fresh for digest in digests]
        lines = [lineage(before) if new and before else None for new, before in zip(fresh, predecessors, strict=True)]
        bases = self._read_bases([line.base for line in lines if line])
        return [
            self._encode(piece, digest, line, bases)
            if new
            else EncodedPiece(digest, len(piece.data), piece.element, Codec.RAW, None)
            for piece, digest, new, line in zip(pieces, digests, fresh, lines, strict=True)
        ]

    def add(self, piece: EncodedPiece) -> Pending:
        """Put an encoded piece that the registry does not have into the current pack, once."""
        pending = self._fresh.get(piece.digest)
        if pending is not None:
            return pending
        assert piece.stored is not None  # noqa: S101 - only of pieces that are known or fresh there is nothing to store
        if self._builder.size_bytes + CHUNK_ROW_BYTES + len(piece.stored) > self._pack_bytes and not self._builder.is_empty:
            self._upload()
        base = piece.lineage.base.placement.chunk if piece.lineage else None
        offset = self._builder.add(
            piece.digest, piece.stored, raw_bytes=piece.raw_bytes, codec=piece.codec, element=piece.element,
            base=base.digest if base else None,
        )  # fmt: skip
        placement = Placement(
            ChunkId(piece.digest), offset, len(piece.stored), piece.raw_bytes, piece.codec, piece.element, base
        )
        self._fresh[piece.digest] = pending = Pending(self._slot, placement, piece.lineage)
        self.new_bytes += piece.raw_bytes
        return pending

    def add_recipe(self, file: FileId, size_bytes: int, digests: list[bytes]) -> None:
        """Record of which chunks a file consists, so that maps can be rebuilt from packs."""
        for first in range(0, len(digests), RECIPE_CHUNKS):
            part = digests[first : first + RECIPE_CHUNKS]
            if self._builder.size_bytes + RECIPE_BYTES + len(part) * ID_BYTES > self._pack_bytes and not self._builder.is_empty:
                self._upload()
            self._builder.add_recipe(Recipe(file, size_bytes, len(digests), first, part))

    def finish(self) -> None:
        """Upload the last pack and wait for all of them."""
        if not self._builder.is_empty:
            self._upload()
        self._settle(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Cancel the uploads that have not begun and forget the others: a failed commit leaves only packs that nothing names."""
        for *_, future in self._uploads:
            future.cancel()
        self._uploads.clear()

    def _read_bases(self, bases: list[Located]) -> Mapping[ChunkId, Buffer]:
        if not bases:
            return {}
        try:
            return dict(zip((base.placement.chunk for base in bases), fetch_group(self._objects, bases), strict=True))
        except IntegrityError:
            return {}  # a base that is lost or damaged is no reason to refuse a commit: its chunks are stored whole

    def _encode(self, piece: Piece, digest: bytes, line: Lineage | None, bases: Mapping[ChunkId, Buffer]) -> EncodedPiece:
        data = bases.get(line.base.placement.chunk) if line else None
        base: Base | None = None
        if line and data is not None:
            base = Base(data, line.base.placement.element, line.base.placement.stored_bytes, line.pays_bytes)
        codec, stored = encode_chunk(piece.data, piece.element, base)
        return EncodedPiece(digest, len(piece.data), piece.element, codec, stored, line if codec is Codec.DELTA else None)

    def _upload(self) -> None:
        self._settle(self._in_flight - 1)
        name, data = self._builder.finish()
        self._uploads.append((self._slot, data, self._executor.submit(self._objects.write_pack, name, data)))
        self._builder = PackBuilder(os.urandom(16), buffer=self._buffers.take())
        self._slot = PackSlot()

    def _settle(self, in_flight: int) -> None:
        while len(self._uploads) > in_flight:
            slot, data, future = self._uploads.popleft()
            slot.info = future.result()
            self._buffers.give(data)
            self.packs.append(slot.info)


def fetch_chunks(
    objects: ObjectStore, executor: Executor, wanted: Iterable[Located], seeds: Seeds | None = None
) -> Iterator[Buffer]:
    """The verified bytes of each chunk, in order. IntegrityError at the first one that is missing or damaged."""
    groups = map_ordered(
        executor, lambda group: fetch_group(objects, group, seeds), _groups(wanted), in_flight=GROUPS_IN_FLIGHT
    )
    for group in groups:
        yield from group


def foresee_fetch(wanted: Iterable[Located], at_hand: Callable[[Located], bool]) -> tuple[int, int]:
    """By how many ranged reads, and of how many bytes, `fetch_chunks` gets these, but for those `at_hand`."""
    requests = size_bytes = 0
    for group in _groups(wanted):
        missing = [located for located in group if not at_hand(located)]
        bases = (located.base for located in missing if located.base and not at_hand(located.base))
        for span in _spans({*missing, *bases}):
            first, last = span[0].placement, span[-1].placement
            requests += 1
            size_bytes += last.offset + last.stored_bytes - first.offset
    return requests, size_bytes


def _groups(wanted: Iterable[Located]) -> Iterator[list[Located]]:
    group: list[Located] = []
    raw_bytes = 0
    for located in wanted:
        if group and (raw_bytes + located.placement.raw_bytes > GROUP_RAW_BYTES or len(group) >= GROUP_CHUNKS):
            yield group
            group, raw_bytes = [], 0
        group.append(located)
        raw_bytes += located.placement.raw_bytes
    if group:
        yield group


def fetch_group(objects: ObjectStore, group: Sequence[Located], seeds: Seeds | None = None) -> list[Buffer]:
    """The verified bytes of these chunks, by few ranged reads; bases of deltas are read along with them.

    Chunks and bases that a seed holds are not read from the store.
    """
    local = seeds.read(group) if seeds else {}
    missing = [located for located in group if located.placement.chunk not in local]
    stored = fetch_stored(objects, missing, local.keys())
    chunks: dict[Located, Buffer] = {}
    for located in missing:
        if located not in chunks:
            base = local.get(located.base.placement.chunk) if located.base else None
            chunks[located] = objects.decode(located, stored, base)
    return [chunks[located] if located in chunks else local[located.placement.chunk] for located in group]


def fetch_stored(
    objects: ObjectStore, group: Sequence[Located], at_hand: Set[ChunkId] = frozenset()
) -> dict[Located, memoryview]:
    """The stored forms of these chunks and of their bases (but for those `at_hand`), by few ranged reads; nothing is verified yet."""
    bases = (located.base for located in group if located.base and located.base.placement.chunk not in at_hand)
    stored: dict[Located, memoryview] = {}
    for span in _spans({*group, *bases}):
        stored.update(objects.read_span(span))
    return stored


def _spans(located: Iterable[Located]) -> Iterator[list[Located]]:
    """Distinct placements, joined where they lie close together in one pack."""
    ordered = sorted(located, key=lambda item: (item.pack.name.digest, item.placement.offset))
    span: list[Located] = []
    for item in ordered:
        if span:
            last = span[-1].placement
            gap = item.placement.offset - (last.offset + last.stored_bytes)
            length = item.placement.offset + item.placement.stored_bytes - span[0].placement.offset
            if item.pack != span[0].pack or gap > SPAN_GAP_BYTES or length > SPAN_BYTES:
                yield span
                span = []
        span.append(item)
    if span:
        yield span
