"""The ladder: every rung against a count by hand, from the chunks of every file of every version."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.model.maps import Located
from cas_registry.model.placement import Codec
from cas_registry.operations.ladder import Ladder
from cas_registry.operations.version_files import list_files, locate_files
from cas_registry.registry import Model, Registry
from tests.operations.test_deltas import fp32, trained
from tests.support.folders import KIB, File, make_bytes, write_folder
from tests.support.simulated import RoundTripBackend, make_registry, make_world, objects_of


@pytest.fixture
def store() -> MemoryBackend:
    return MemoryBackend("ladder")


@pytest.fixture
def backend(store: MemoryBackend) -> RoundTripBackend:
    return RoundTripBackend(store)


@pytest.fixture
def registry(backend: RoundTripBackend, tmp_path: Path) -> Registry:
    """Two models: one trains in three steps, the other copies one of its files, and is tuned from it."""
    made = make_registry(backend, make_world(tmp_path / "cache"))
    rng = np.random.default_rng(1)
    weights = {
        "w": rng.standard_normal((700, 600)).astype(np.float32),
        "frozen": rng.standard_normal((300, 300)).astype(np.float32),
    }
    notes = File(b"the same in all versions " * 200)
    work = write_folder(tmp_path / "a", {"model.safetensors": File(fp32(weights)), "notes.txt": notes, "d/copy.txt": notes})
    made.model("first").commit(work)
    for step in range(2):
        weights["w"] = trained(weights, step)["w"]
        write_folder(work, {"model.safetensors": File(fp32(weights)), "notes.txt": notes, "d/copy.txt": notes})
        made.model("first").commit(work)
    other = {"w": trained(weights, 9)["w"]}
    second = write_folder(
        tmp_path / "b",
        {"tuned.safetensors": File(fp32(other)), "blob": File(make_bytes(1, 1500 * KIB)), "t": notes, "none": File(b"")},
    )
    made.model("second").commit(second, base="first@main")
    made.model("second").commit(write_folder(second, {"blob": File(make_bytes(1, 1500 * KIB)), "t": notes}))
    return made


def _chunks(model: Model) -> tuple[int, dict[str, int], list[Located]]:
    """Raw bytes, distinct files and all chunks of a model's versions, one version after another."""
    raw_bytes, files, chunks = 0, {}, []
    for record in reversed(model.log()):
        version = model.resolve(record.id.hex)
        found = list_files(model._stores.objects, version.tree)[0]
        raw_bytes += sum(file.entry.size_bytes for file in found)
        files.update({file.entry.id.hex: file.entry.size_bytes for file in found})
        for row in locate_files(model._stores.objects, version.map, found).values():
            chunks += row
    return raw_bytes, files, chunks


def _check(ladder: Ladder, parts: Iterable[tuple[int, dict[str, int], list[Located]]]) -> None:
    """Compare with a count by hand; a chunk counts as it was seen first."""
    raw_bytes, files, seen, bases = 0, {}, {}, {}
    for more_bytes, more_files, chunks in parts:
        raw_bytes += more_bytes
        files.update(more_files)
        for located in chunks:
            seen.setdefault(located.placement.chunk, located.placement)
            if located.base:
                bases[located.base.placement.chunk] = located.base.placement.stored_bytes
    assert (ladder.raw_bytes, ladder.files, ladder.file_bytes) == (raw_bytes, len(files), sum(files.values()))
    assert ladder.chunks == len(seen)
    assert ladder.chunk_bytes == sum(placement.raw_bytes for placement in seen.values())
    assert ladder.stored_bytes == sum(placement.stored_bytes for placement in seen.values())
    assert ladder.base_bytes == sum(size for chunk, size in bases.items() if chunk not in seen)
    by_codec = Counter(placement.codec for placement in seen.values())
    assert {share.codec: share.chunks for share in ladder.codecs} == by_codec
    delta = next((share for share in ladder.codecs if share.codec is Codec.DELTA), None)
    saved = delta.raw_bytes - delta.stored_bytes if delta else 0
    assert ladder.coded_bytes == ladder.stored_bytes + saved


def test_every_rung_is_what_a_count_by_hand_gives(registry: Registry) -> None:
    stats = registry.stats()
    counted = [_chunks(registry.model(name)) for name in ("first", "second")]
    first, second = stats.ladders
    assert (first.model, first.versions, second.model, second.versions) == ("first", 3, "second", 2)
    _check(first, counted[:1])
    _check(second, counted[1:])
    _check(stats.ladder, counted)
    assert stats.ladder.model is None
    assert stats.ladder.raw_bytes == stats.raw_bytes
    assert stats.ladder.raw_bytes > stats.ladder.file_bytes > stats.ladder.chunk_bytes > stats.ladder.coded_bytes
    assert stats.ladder.coded_bytes > stats.ladder.stored_bytes
    assert first.base_bytes == stats.ladder.base_bytes == 0
    assert second.base_bytes > 0
    assert stats.ladder.file_bytes < first.file_bytes + second.file_bytes


def test_the_bytes_in_packs_are_chunks_frames_and_what_nobody_needs(registry: Registry, store: MemoryBackend) -> None:
    before = registry.stats()
    assert before.unreferenced_bytes == 0
    assert 0 < before.framing_bytes < 10_000
    assert before.placed_bytes + before.framing_bytes == before.bytes["packs"]
    assert before.placed_bytes == before.ladder.stored_bytes
    assert before.metadata_bytes == sum(len(data) for key, data in objects_of(store).items() if not key.startswith("packs/"))
    store.put(f"packs/{'0' * 64}", bytes(1234))
    after = registry.stats()
    assert (after.unreferenced_bytes, after.framing_bytes, after.ladder) == (1234, before.framing_bytes, before.ladder)


def test_each_map_is_read_once_and_no_pack(registry: Registry, backend: RoundTripBackend, tmp_path: Path) -> None:
    """Also one that several versions name because they share a folder of many files."""
    many = {f"many/{number}": File(b"%d" % number) for number in range(1500)}
    for n in range(3):
        registry.model("third").commit(write_folder(tmp_path / "c", {**many, "n": File(b"%d" % n)}))
    backend.reset()
    third = registry.stats().ladders[2]
    maps = Counter(key for method, key in backend.keys if key.startswith("maps/") and method.startswith("get"))
    assert set(maps.values()) == {1}
    assert len(maps) == sum(1 for info in backend.list("maps/")) == 5 + 3 + 1
    assert not [key for _, key in backend.keys if key.startswith("packs/") and key != "packs/"]
    assert (third.files, third.chunks) == (1500, 1500)
    _check(third, [_chunks(registry.model("third"))])


def test_a_chunk_stored_twice_counts_once_and_is_told_beside(
    backend: RoundTripBackend, registry: Registry, tmp_path: Path
) -> None:
    before = registry.stats()
    third = registry.model("third").commit(write_folder(tmp_path / "c", {"n": File(b"the same in all versions " * 200)}))
    after = registry.stats()
    assert after.ladder.chunks == before.ladder.chunks
    assert third.stored_bytes > 0
    again = after.placed_bytes - after.ladder.stored_bytes
    assert 0 < again == after.ladders[2].stored_bytes


def test_progress_goes_up_to_what_there_is(registry: Registry) -> None:
    updates: dict[str, list[tuple[int, int]]] = {}

    class Listener:
        def update(self, stage: str, done_bytes: int, total_bytes: int) -> None:
            updates.setdefault(stage, []).append((done_bytes, total_bytes))

    stats = registry.stats(progress=Listener())
    assert list(updates) == ["count", "map"]
    assert all(done <= total for rows in updates.values() for done, total in rows)
    assert updates["map"][-1] == (stats.bytes["maps"], stats.bytes["maps"])


def test_an_empty_registry_and_an_empty_version_have_ladders(tmp_path: Path) -> None:
    made = make_registry(RoundTripBackend(MemoryBackend("empty")), make_world(tmp_path / "cache"))
    assert made.stats().ladder == Ladder(None, 0, 0, 0, 0, (), 0)
    (tmp_path / "e").mkdir()
    made.model("m").commit(tmp_path / "e", allow_empty=True)
    assert made.stats().ladders == (Ladder("m", 1, 0, 0, 0, (), 0),)
