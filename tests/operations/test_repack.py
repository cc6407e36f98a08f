"""Versions encoded anew: every byte and every id as before, whoever is in the way, whatever fails."""

import contextlib
import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cas_registry.backends import Backend
from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import RetryingBackend
from cas_registry.errors import (
    AccessError,
    BackendError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    OutcomeUnknownError,
    RegistryError,
)
from cas_registry.model.entry import Operation, RefKind
from cas_registry.model.maps import Located
from cas_registry.model.placement import Codec
from cas_registry.operations import lineages, repack, version_files
from cas_registry.operations.pack_index import PackIndex
from cas_registry.operations.repack_writing import Needs
from cas_registry.operations.version_files import VersionFiles, list_files, locate_files
from cas_registry.registry import Model, Registry, registry_over
from cas_registry.store import log
from cas_registry.store.log import Log
from cas_registry.store.refs import Version
from tests.operations.test_deltas import fp32, safetensors, to_bf16
from tests.support.faulty import Fault, FaultKind, FaultyBackend
from tests.support.folders import KIB, File, Folder, make_bytes, write_folder
from tests.support.simulated import HookedBackend, make_registry, make_world, memory_with, objects_of, with_small_packs

VERSIONS = 5


def _text(words: int) -> bytes:
    """Words that come back, so that a higher level finds more."""
    rng = np.random.default_rng(3)
    known = ["".join(map(chr, rng.integers(97, 123, size=rng.integers(2, 9)))) for _ in range(1500)]
    return " ".join(known[int(number) % 1500] for number in rng.zipf(1.3, size=words)).encode()


TEXT = _text(20_000)


def _walk(count: int = VERSIONS, size: int = 20_000) -> list[np.ndarray]:
    """Weights that move on in one direction: the middle one is the best base."""
    rng = np.random.default_rng(7)
    start, step = rng.standard_normal(size) * 0.05, rng.standard_normal(size) * 1e-5
    return [(start + step * number).astype(np.float32) for number in range(count)]


def _folders(count: int = VERSIONS, size: int = 20_000) -> list[Folder]:
    noise = make_bytes(1, 3 * size)
    return [
        {
            "model.safetensors": File(fp32({"w": weights, "b": weights[:300]})),
            "config.json": File(f'{{"step": {number}}}'.encode()),
            "vocab/words.txt": File(TEXT[: 5 * size] + str(number // 2).encode()),
            "vocab/noise.bin": File(noise),
            "run.sh": File(b"#!/bin/sh\n", executable=True),
            "empty": File(b""),
        }
        for number, weights in enumerate(_walk(count, size))
    ]


def _fill(registry: Registry, work: Path, model: str = "m", folders: list[Folder] | None = None) -> Model:
    found = registry.model(model)
    for number, folder in enumerate(folders or _folders()):
        found.commit(write_folder(work, folder), message=f"step {number}")
    return found


@pytest.fixture(autouse=True)
def _small_borders(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("placing", "repack_writing", "version_files"):
        monkeypatch.setattr(f"cas_registry.operations.{module}.BIG_FILE_BYTES", 6 * KIB)
    for module in ("placing", "repack_writing"):
        monkeypatch.setattr(f"cas_registry.operations.{module}.INLINE_BYTES", 200)
    monkeypatch.setattr(Log.__init__, "__kwdefaults__", {"sleep": lambda _: None})
    monkeypatch.setattr(log, "APPEND_DEADLINE_S", 0.05)


@pytest.fixture
def store() -> MemoryBackend:
    return MemoryBackend("repack")


@pytest.fixture
def registry(store: MemoryBackend) -> Registry:
    return make_registry(store)


@pytest.fixture
def model(registry: Registry, tmp_path: Path) -> Model:
    return _fill(registry, tmp_path / "work")


def _contents(model: Model) -> dict[str, dict[str, str]]:
    """Every version by its id: its files by their bytes."""
    return {
        record.id.hex: {
            file.path: hashlib.sha256(model.read_bytes(record.id.hex, file.path)).hexdigest()
            for file in model.files(record.id.hex)
        }
        for record in model.log()
    }


def _rows(model: Model, version: Version) -> list[Located]:
    files = list_files(model._stores.objects, version.tree)[0]
    return [item for row in locate_files(model._stores.objects, version.map, files).values() for item in row]


def _head(model: Model) -> log.Recorded:
    head = model._stores.log(model.name).head()
    assert head
    return head


def _current(model: Model) -> list[Version]:
    return list(model._stores.refs(model.name).versions(_head(model)))


def _is_whole(registry: Registry) -> None:
    report = registry.fsck(read_data=True)
    assert [finding for finding in report.findings if finding.severity != "note"] == []


# What it does


def test_every_byte_and_every_id_is_as_before(registry: Registry, model: Model, tmp_path: Path) -> None:
    model.tag("prod", "main~2")
    before, log_before = _contents(model), model.log()
    tensors = {name: model.tensor(f"main~{n}", "w").tobytes() for n, name in enumerate("abcde")}
    diff = model.diff("main~3", "main")
    report = model.repack()
    assert report.worthwhile
    assert report.remapped == report.versions == VERSIONS
    assert _contents(model) == before
    assert model.log() == log_before
    assert {name: model.tensor(f"main~{n}", "w").tobytes() for n, name in enumerate("abcde")} == tensors
    assert model.tensors("prod") == model.tensors("main~2")
    again = model.diff("main~3", "main")
    assert replace(again, old=diff.old, new=diff.new) == diff
    model.checkout("prod", tmp_path / "out")
    assert (tmp_path / "out" / "vocab" / "words.txt").read_bytes() == _folders()[2]["vocab/words.txt"].data  # type: ignore[union-attr]
    _is_whole(registry)


def test_the_figures_are_what_the_store_then_holds(store: MemoryBackend, model: Model) -> None:
    before = objects_of(store)
    dry = model.repack(dry_run=True)
    assert objects_of(store) == before
    report = model.repack()
    assert replace(dry, dry_run=False) == report
    after = objects_of(store)
    fresh = {key: data for key, data in after.items() if key.startswith(("packs/", "maps/")) and key not in before}
    assert sum(map(len, fresh.values())) == report.written_bytes
    needed = [len(after[f"packs/{pack}"]) for pack in {row.pack.name.hex for v in _current(model) for row in _rows(model, v)}]
    assert len(needed) == report.packs_after
    assert report.bytes_after == report.bytes_before - report.unreferenced_bytes + report.written_bytes
    assert 0 < report.gained_bytes == report.bytes_before - report.bytes_after
    assert (report.packs_before, report.packs_after) == (VERSIONS, 1)


def test_a_second_time_there_is_nothing_worth_doing(store: MemoryBackend, model: Model) -> None:
    assert model.repack().worthwhile
    before = objects_of(store)
    again = model.repack()
    assert not again.worthwhile
    assert again.reencoded_chunks == 0
    assert objects_of(store) == before


def test_a_base_may_lie_later_than_its_deltas(registry: Registry, tmp_path: Path) -> None:
    steps: list[Folder] = [{"w.safetensors": File(fp32({"w": weights}))} for weights in _walk()]
    model = _fill(registry, tmp_path / "work", folders=steps)
    first = {row.placement.chunk: number for number, version in enumerate(_current(model)) for row in _rows(model, version)}
    assert model.repack().worthwhile
    versions = _current(model)
    rows = [row for row in _rows(model, versions[0]) if row.base]
    assert rows
    assert all(row.base and first[row.base.placement.chunk] > 0 for row in rows)
    assert all(row.base.base is None for version in versions for row in _rows(model, version) if row.base)
    assert [model.read_bytes(f"main~{VERSIONS - 1 - n}", "w.safetensors") for n in range(VERSIONS)] == [
        step["w.safetensors"].data  # type: ignore[union-attr]
        for step in steps
    ]
    _is_whole(registry)


def test_versions_share_maps_and_chunks_as_before(model: Model) -> None:
    def shared() -> list[set[tuple[int, str]]]:
        roots = [VersionFiles(model._stores.objects, version.map).root for version in _current(model)]
        return [{(covers, key.hex()) for covers, key in root.references} for root in roots]

    def maps() -> Counter[str]:
        roots = [VersionFiles(model._stores.objects, version.map).root for version in _current(model)]
        return Counter(reference.name.hex for root in roots for reference in root.references.values())

    kinds, counts = shared(), sorted(maps().values())
    model.repack()
    assert shared() == kinds
    assert sorted(maps().values()) == counts
    assert max(counts) > 1
    placed: dict[object, set[object]] = {}
    for version in _current(model):
        for row in _rows(model, version):
            placed.setdefault(row.placement.chunk, set()).add((row.pack, row.placement.offset))
    assert {len(places) for places in placed.values()} == {1}


def test_files_of_no_tensor_are_compressed_harder_and_only_where_that_helps(model: Model) -> None:
    def sizes() -> dict[str, int]:
        files = list_files(model._stores.objects, model.resolve("main").tree)[0]
        rows = locate_files(model._stores.objects, model.resolve("main").map, files)
        return {path: sum(item.placement.stored_bytes for item in row) for path, row in rows.items()}

    before = sizes()
    model.repack(level=19)
    after = sizes()
    assert after["vocab/words.txt"] < before["vocab/words.txt"] * 0.95
    assert after["vocab/noise.bin"] == before["vocab/noise.bin"]


def test_maps_can_be_rebuilt_from_the_new_packs_alone(store: MemoryBackend, registry: Registry, model: Model) -> None:
    model.repack()
    packs = {row.pack for version in _current(model) for row in _rows(model, version)}
    index = PackIndex(store, {f"packs/{pack.name.hex}": pack.size_bytes for pack in packs}, set())
    for version in _current(model):
        for file in list_files(model._stores.objects, version.tree)[0]:
            assert index.can_rebuild(file.entry) or file.entry.size_bytes == 0, file.path
    for key in [key for key in objects_of(store) if key.startswith("maps/")]:
        store.delete(key)
    assert registry.fsck().exit_code == 1


def test_packs_of_one_size_are_filled_and_a_full_one_without_gain_stays(store: MemoryBackend, tmp_path: Path) -> None:
    registry = with_small_packs(make_registry(store), 64 * KIB)
    folders: list[Folder] = [
        {"big.bin": File(make_bytes(1, 300 * KIB)), "notes.txt": File(TEXT[: 20_000 * number + 10])}
        for number in range(VERSIONS)
    ]
    model = _fill(registry, tmp_path / "work", folders=folders)
    noise = {row.pack for row in locate_files(
        model._stores.objects, model.resolve("main").map, [f for f in list_files(model._stores.objects, model.resolve("main").tree)[0] if f.path == "big.bin"]
    )["big.bin"]}  # fmt: skip
    contents = _contents(model)
    report = model.repack()
    assert report.worthwhile
    assert report.moved_chunks < report.chunks
    packs = {row.pack for version in _current(model) for row in _rows(model, version)}
    assert len(noise & packs) >= len(noise) - 1
    assert sum(pack.size_bytes < 32 * KIB for pack in packs) <= 1
    assert _contents(model) == contents
    _is_whole(registry)


def test_another_types_copy_and_shorter_and_longer_tensors(registry: Registry, tmp_path: Path) -> None:
    folders: list[Folder] = []
    for number, weights in enumerate(_walk()):
        grown = np.concatenate([weights, weights[: 500 * number]])
        half = safetensors({"w": ("BF16", to_bf16(weights))})
        folders.append({"w.safetensors": File(fp32({"w": grown})), "half.safetensors": File(half)})
    model = _fill(registry, tmp_path / "work", folders=folders)
    contents = _contents(model)
    report = model.repack()
    assert report.bytes_after < report.bytes_before
    assert _contents(model) == contents
    _is_whole(registry)


def test_versions_go_on_after_a_repack(registry: Registry, model: Model, tmp_path: Path) -> None:
    model.repack()
    last = _folders(VERSIONS + 1)[-1]
    report = model.commit(write_folder(tmp_path / "work", last), message="on")
    assert report.number == VERSIONS + 1
    assert _head(model).entry.remap is not None
    assert any(row.base for row in _rows(model, model.resolve("main")))
    contents = _contents(model)
    model.repack()
    assert _contents(model) == contents
    _is_whole(registry)


# Names


def test_every_way_to_name_a_version_leads_to_its_new_map(model: Model) -> None:
    model.tag("prod", "main~3")
    model.tag("prod", "main~1")
    ids = [record.id.hex for record in model.log()]
    moves = model.history(RefKind.TAG, "prod")
    old = {version.commit.hex: version.map for version in _current(model)}
    model.repack()
    new = {version.commit.hex: version.map for version in _current(model)}
    assert not set(old.values()) & set(new.values())
    for revision, identity in {
        "main": ids[0], "prod": ids[1], "main~2": ids[2], "main@{3}": ids[3], "prod@{1}": ids[3], ids[4]: ids[4], ids[2][:12]: ids[2],
        f"{ids[1][:12]}~1": ids[2], "prod~1": ids[2],
    }.items():  # fmt: skip
        version = model.resolve(revision)
        assert (version.commit.hex, version.map) == (identity, new[identity]), revision
    assert model.history(RefKind.TAG, "prod") == moves
    entry = _head(model).entry
    assert (entry.op, entry.commit, entry.versions) == (Operation.REMAP, None, VERSIONS)


def test_what_it_costs_to_resolve(tmp_path: Path, store: MemoryBackend, registry: Registry) -> None:
    _fill(registry, tmp_path / "work")
    calls: list[str] = []
    model = registry_over(HookedBackend(store, lambda method, key: calls.append(f"{method} {key}")), make_world()).model("m")

    def cost(revision: str) -> int:
        calls.clear()
        model.resolve(revision)
        return len(calls)

    revisions = ("main", "main~2", "main@{3}", model.log()[2].id.hex)
    before = [cost(revision) for revision in revisions]
    model.repack()
    model.tag("more", "main")
    model.tag("more", "main~1")
    after = [cost(revision) for revision in revisions]
    assert after[0] == before[0] <= 3
    assert all(now <= then + 1 for now, then in zip(after, before, strict=True))


def test_a_tag_set_with_an_old_answer_gets_the_new_map(model: Model) -> None:
    old = model.resolve("main~2")
    model.repack()
    from cas_registry.operations.refs import MoveRequest, set_ref

    set_ref(model._stores, MoveRequest("m", RefKind.TAG, "late", "me", 1), old)
    assert model.resolve("late").map == model.resolve("main~2").map != old.map


def test_who_held_a_version_goes_on_reading(registry: Registry, model: Model) -> None:
    held = model.resolve("main~1")
    rows = _rows(model, held)
    opened = model.open("main~1", "vocab/noise.bin")
    start = opened.read(10)
    model.repack()
    assert _rows(model, held) == rows
    expected = _folders()[VERSIONS - 2]["vocab/noise.bin"]
    assert expected
    assert start + opened.read() == expected.data
    assert registry.model("m").read_bytes("main~1", "vocab/noise.bin") == expected.data


# Several models


def test_a_version_of_another_model_has_a_map_of_its_own_in_each_log(
    registry: Registry, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = registry.model("other")
    other.commit(write_folder(tmp_path / "other", {"a": File(b"a")}))
    other.tag("trusted", "m@main~1")
    mine, theirs = model.resolve("main~1"), other.resolve("trusted")
    assert mine.map == theirs.map
    with monkeypatch.context() as patch:  # as if nobody else needed what is theirs too
        patch.setattr(repack, "_elsewhere", lambda *_: Needs())
        assert model.repack().remapped == VERSIONS
    assert other.resolve("trusted") == theirs
    assert model.resolve("main~1").map != theirs.map
    assert other.resolve("trusted~1").map == model.resolve("main~2").map
    assert other.resolve("m@main~1").map == model.resolve("main~1").map
    _is_whole(registry)
    contents = other.read_bytes("trusted", "model.safetensors")
    registry.repack()
    assert other.read_bytes("trusted", "model.safetensors") == contents
    assert _rows(other, other.resolve("trusted")) == _rows(model, model.resolve("main~1"))
    _is_whole(registry)


def test_what_others_need_is_not_counted_as_freed_and_not_stored_twice(
    registry: Registry, model: Model, tmp_path: Path
) -> None:
    fork = registry.model("fork")
    fork.commit(write_folder(tmp_path / "work", _folders()[-1]), base="m@main")
    alone = fork.repack(dry_run=True)
    assert not alone.worthwhile
    assert alone.moved_chunks == 0 or alone.unreferenced_bytes < alone.bytes_before
    contents = _contents(fork), _contents(model)
    report = registry.repack()
    assert report.models == ("fork", "m")
    assert report.worthwhile
    assert (_contents(fork), _contents(model)) == contents
    packs = {row.pack for found in (fork, model) for version in _current(found) for row in _rows(found, version)}
    assert len(packs) == report.packs_after == 1
    _is_whole(registry)


def test_a_base_in_another_models_pack_stays_one(registry: Registry, tmp_path: Path) -> None:
    steps = [File(fp32({"w": weights})) for weights in _walk(4)]
    registry.model("base").commit(write_folder(tmp_path / "base", {"w.safetensors": steps[0]}))
    tuned = registry.model("tuned")
    for step in steps[1:]:
        tuned.commit(write_folder(tmp_path / "tuned", {"w.safetensors": step, "t.txt": File(TEXT)}), base="base@main")
    assert _rows(tuned, tuned.resolve("main~2"))[-1].base or _rows(tuned, tuned.resolve("main~2"))[0].base
    contents = _contents(tuned)
    tuned.repack(level=19)
    assert _contents(tuned) == contents
    _is_whole(registry)


def test_models_that_are_not_there_and_levels_that_are_not() -> None:
    registry = make_registry(MemoryBackend("none"))
    with pytest.raises(NotFoundError, match="has no versions yet"):
        registry.model("m").repack()
    with pytest.raises(InvalidInputError, match="level is 23"):
        registry.model("m").repack(level=23)
    assert registry.repack().versions == 0


# Races


def _meanwhile(store: MemoryBackend, act: Callable[[], object], entry: str = "refs/m/0000000006") -> Registry:
    """A registry in which `act` happens right before the first attempt to append this entry."""
    done = threading.Event()

    def hook(method: str, key: str) -> None:
        if method == "create" and key == entry and not done.is_set():
            done.set()
            act()

    return registry_over(HookedBackend(store, hook), make_world())


def test_a_commit_that_was_faster_keeps_its_map(store: MemoryBackend, registry: Registry, model: Model, tmp_path: Path) -> None:
    last = _folders(VERSIONS + 1)[-1]
    slow = _meanwhile(store, lambda: model.commit(write_folder(tmp_path / "work", last), message="fast", tags=["prod"]))
    contents = _contents(model)
    report = slow.model("m").repack()
    assert report.remapped == VERSIONS
    assert model.resolve("main").number == VERSIONS + 1
    assert model.resolve("prod").map == model.resolve("main").map == _current(model)[-1].map
    assert {key: value for key, value in _contents(model).items() if key in contents} == contents
    assert model.read_bytes("main", "config.json") == last["config.json"].data  # type: ignore[union-attr]
    _is_whole(registry)


def test_of_two_repacks_at_once_the_second_leaves_it_at_that(store: MemoryBackend, registry: Registry, model: Model) -> None:
    slow = _meanwhile(store, model.repack)
    contents = _contents(model)
    report = slow.model("m").repack()
    assert report.remapped == 0
    assert _head(model).n == VERSIONS + 1
    assert _contents(model) == contents
    _is_whole(registry)


def test_a_tag_that_moved_meanwhile_stands_where_it_was_put(store: MemoryBackend, registry: Registry, model: Model) -> None:
    slow = _meanwhile(store, lambda: model.tag("prod", "main~3"))
    slow.model("m").repack()
    assert model.resolve("prod").map == model.resolve("main~3").map == _current(model)[1].map
    _is_whole(registry)


# Failures


def _before(tmp_path: Path) -> dict[str, bytes]:
    store = MemoryBackend("before")
    _fill(make_registry(store), tmp_path / "work", folders=_folders(2, 2000))
    return objects_of(store)


def _state(store: MemoryBackend) -> object:
    registry = registry_over(store, make_world())
    _is_whole(registry)
    return _contents(registry.model("m"))


def _faults(before: Mapping[str, bytes], kinds: list[FaultKind], *, transient: bool) -> list[Fault]:
    calls: Counter[str] = Counter()

    def count(method: str, _: str) -> None:
        calls[method] += 1

    registry_over(HookedBackend(memory_with(dict(before)), count), make_world()).model("m").repack()
    assert calls["create"] >= 5
    assert calls["flush"] >= 1
    return [
        Fault(method, kind, call=call, transient=transient)
        for method in sorted(calls)
        for call in range(0, calls[method], 4 if method == "get" else 1)  # reads come long before anything is written
        for kind in (kinds[:1] if method == "get" else kinds)
    ]


def test_a_failure_at_any_call_leaves_every_version_and_a_rerun_succeeds(tmp_path: Path) -> None:
    before = _before(tmp_path)
    expected = _state(memory_with(before))
    for fault in _faults(before, [FaultKind.FAIL_BEFORE, FaultKind.FAIL_AFTER, FaultKind.DENY], transient=False):
        store = memory_with(before)
        faulty = FaultyBackend(store, [fault])
        with contextlib.suppress(BackendError, AccessError, OutcomeUnknownError):
            registry_over(faulty, make_world()).model("m").repack()
        faulty.assert_all_hit()
        assert _state(store) == expected, fault
        registry_over(store, make_world()).model("m").repack()
        assert _state(store) == expected, fault
        assert _head(registry_over(store, make_world()).model("m")).entry.remap, fault


def test_a_lost_answer_is_settled_by_trying_again(tmp_path: Path) -> None:
    before = _before(tmp_path)
    expected = _state(memory_with(before))
    for fault in _faults(before, [FaultKind.FAIL_BEFORE, FaultKind.FAIL_AFTER], transient=True):
        if fault.method == "flush":
            continue
        store = memory_with(before)
        backend: Backend = RetryingBackend(FaultyBackend(store, [fault]), sleep=lambda _: None)
        report = registry_over(backend, make_world()).model("m").repack()
        assert report.remapped == 2, fault
        assert _state(store) == expected, fault


def test_damage_stops_it_before_anything_is_written(store: MemoryBackend, model: Model) -> None:
    row = next(row for row in _rows(model, model.resolve("main~2")) if row.placement.codec is not Codec.RAW)
    key = f"packs/{row.pack.name.hex}"
    data = bytearray(objects_of(store)[key])
    data[row.placement.offset + row.placement.stored_bytes // 2] ^= 1
    store.put(key, bytes(data))
    before = objects_of(store)
    with pytest.raises(IntegrityError, match=key):
        model.repack()
    assert objects_of(store) == before


def test_damage_to_what_is_copied_stops_it_too(store: MemoryBackend, model: Model) -> None:
    """Raw chunks are not looked at before they are copied."""
    row = next(row for row in _rows(model, model.resolve("main")) if row.placement.codec is Codec.RAW)
    key = f"packs/{row.pack.name.hex}"
    data = bytearray(objects_of(store)[key])
    data[row.placement.offset] ^= 1
    store.put(key, bytes(data))
    with pytest.raises(IntegrityError, match=key):
        model.repack()
    assert _head(model).n == VERSIONS


def test_one_wrong_bit_on_the_way_is_read_again(tmp_path: Path) -> None:
    before = _before(tmp_path)
    for call in range(0, 30, 7):
        store = memory_with(before)
        faulty = FaultyBackend(store, [Fault("get", FaultKind.FLIP_BIT, key="packs/", call=call)])
        with contextlib.suppress(RegistryError):
            assert registry_over(faulty, make_world()).model("m").repack().remapped == 2
        assert _state(store) == _state(memory_with(before))


# Bounds


def test_what_is_decoded_at_a_time_follows_the_window(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    plan = lineages._plan_window

    def watch(window, line, fetch):
        return plan(window, line, lambda wanted: held.append(len(wanted)) or fetch(wanted))

    monkeypatch.setattr(lineages, "WINDOW_CHUNKS", 2)
    monkeypatch.setattr(lineages, "_plan_window", watch)
    contents = _contents(model)
    model.repack()
    assert held
    assert max(held) <= 3
    assert _contents(model) == contents


def test_the_constants_hang_together() -> None:
    assert version_files.BIG_FILE_BYTES == 6 * KIB
    assert 0 < repack.PACK_FULL <= 1
    assert repack.PACK_STAYS < 1
