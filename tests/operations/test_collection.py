"""Collection: what no version needs goes, what one needs stays, whoever is in the way and whatever fails."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cas_registry.backends.local import LocalBackend
from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import AccessError, BackendError, ConflictError, IntegrityError, NotFoundError, RegistryError
from cas_registry.model.collection import Condemned, Verdict
from cas_registry.model.entry import CATALOGUE, Operation
from cas_registry.model.ids import MapName, PackName
from cas_registry.operations import collection
from cas_registry.operations.collection import CollectReport, EpochState
from cas_registry.operations.placing import INLINE_BYTES
from cas_registry.registry import Registry, registry_over
from cas_registry.store.layout import collection_key, entry_key
from cas_registry.store.stores import open_stores
from tests.support.folders import MIB, File, make_bytes, write_folder
from tests.support.simulated import HookedBackend, PauseAt, RoundTripBackend, make_registry, make_world, objects_of

BIG = 2 * MIB


@dataclass
class Bench:
    """A registry in memory, and a folder to commit. A model `base` has what all versions share."""

    store: MemoryBackend
    registry: Registry
    work: Path

    def commit(self, seed: str, model: str = "m", *, registry: Registry | None = None, **more: object) -> str:
        """A version of one big and one small file of their own, and one that all share."""
        write_folder(
            self.work,
            {
                "w.bin": File(make_bytes(sum(seed.encode()), BIG)),
                "c.json": File(seed.encode()),
                "shared.bin": File(make_bytes(0, BIG)),
            },
        )
        return (registry or self.registry).model(model).commit(self.work, **more).commit.hex  # type: ignore[arg-type]

    def collect(self, registry: Registry | None = None, **more: object) -> CollectReport:
        """With nothing too young, and no trash window."""
        options: dict[str, object] = {"delete": True, "grace_s": 0, "trash_window_s": 0} | more
        return (registry or self.registry).gc(**options)  # type: ignore[arg-type]

    def over(self, hook: Callable[[str, str], None]) -> Registry:
        """The same registry through a store that calls `hook` before every request."""
        return registry_over(HookedBackend(self.store, hook), make_world())

    def names(self, prefix: str) -> set[str]:
        return {key for key in objects_of(self.store) if key.startswith(prefix)}

    def check(self, *versions: str, model: str = "m") -> None:
        """These versions read back in every byte, and the registry is whole."""
        for version in versions:
            for file in self.registry.model(model).files(version):
                self.registry.model(model).read_bytes(version, file.path)
        assert self.registry.fsck(read_data=True).exit_code == 0


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    store = MemoryBackend()
    made = Bench(store, make_registry(store), tmp_path / "work")
    write_folder(made.work, {"shared.bin": File(make_bytes(0, BIG))})  # in a pack of its own, found by its hint
    made.registry.model("base").commit(made.work)
    return made


def test_a_registry_of_live_versions_has_nothing_to_collect(bench: Bench) -> None:
    versions = [bench.commit("one"), bench.commit("two")]
    before = objects_of(bench.store)
    report = bench.collect(delete=False)
    assert (report.versions, report.garbage_objects, report.collections) == (3, 0, ())
    assert objects_of(bench.store) == before
    assert bench.collect().collections == ()
    bench.check(*versions)


def test_what_only_a_retired_version_needs_goes_and_what_it_shares_stays(bench: Bench) -> None:
    first, second = bench.commit("one"), bench.commit("two")
    packs = bench.names("packs/")
    bench.registry.model("m").retire(first, reason="wrong split")
    dry = bench.collect(delete=False)
    assert dry.garbage_objects > 0
    assert bench.names("packs/") == packs
    report = bench.collect()
    assert (report.deleted_objects, report.deleted_bytes) == (dry.garbage_objects, dry.garbage_bytes)
    assert [info.state for info in report.collections] == [EpochState.DONE]
    assert bench.collect().deleted_objects == 0
    bench.check(second)
    with pytest.raises(NotFoundError, match="retired"):
        bench.registry.model("m").files(first)


def test_a_deleted_branch_frees_nothing(bench: Bench) -> None:
    bench.commit("one")
    other = bench.commit("two", branch="other")
    bench.registry.model("m").delete_branch("other")
    assert bench.collect().deleted_objects == 0
    bench.check(other)


def test_maps_and_packs_of_a_stopped_commit_go_and_those_of_before_a_repack(bench: Bench) -> None:
    version = bench.commit("one")

    def stop(method: str, key: str) -> None:
        if method == "create" and key == entry_key("m", 2):
            raise BackendError("stopped", transient=False)

    with pytest.raises(RegistryError):
        bench.commit("two", registry=bench.over(stop))
    assert bench.collect().deleted_objects >= 2
    bench.check(version)


def test_young_objects_are_left_alone_as_long_as_they_are_young(bench: Bench) -> None:
    first = bench.commit("one")
    bench.commit("two")
    bench.registry.model("m").retire(first)
    report = bench.collect(grace_s=3600)
    assert (report.garbage_objects, report.deleted_objects) == (0, 0)
    assert report.young_objects > 0
    assert bench.collect(grace_s=0).deleted_objects == report.young_objects


def test_nothing_is_deleted_before_the_trash_window_has_passed_and_undo_saves_it(bench: Bench) -> None:
    first, second = bench.commit("one"), bench.commit("two")
    model = bench.registry.model("m")
    model.retire(first)
    (info,) = bench.collect(trash_window_s=3600).collections
    assert info.state is EpochState.WAITING
    assert info.due_ms is not None
    assert info.since_ms is not None
    assert info.due_ms - info.since_ms == 3_600_000
    assert bench.collect(trash_window_s=3600).deleted_objects == 0
    with pytest.raises(ConflictError, match=r"gc --undo"):
        model.restore(first)
    assert bench.registry.undo_gc(info.epoch, reason="wanted").state is EpochState.CANCELLED
    model.restore(first, reason="wanted")
    assert bench.collect().deleted_objects == 0
    bench.check(first, second)


def test_it_is_too_late_to_undo_what_is_deleted(bench: Bench) -> None:
    first = bench.commit("one")
    bench.commit("two")
    bench.registry.model("m").retire(first)
    (info,) = bench.collect().collections
    with pytest.raises(ConflictError, match="too late"):
        bench.registry.undo_gc(info.epoch)
    for epoch in (0, 2, 10**12):
        with pytest.raises(NotFoundError, match="no collection"):
            bench.registry.undo_gc(epoch)
    with pytest.raises(ConflictError, match="may delete"):
        bench.registry.model("m").restore(first)


def test_a_plan_to_delete_more_than_half_has_to_be_confirmed(bench: Bench) -> None:
    first = bench.commit("one")
    write_folder(bench.work / "small", {"c.json": File(b"{}")})
    bench.registry.model("m").commit(bench.work / "small")
    bench.registry.model("m").retire(first)
    before = bench.names("")
    with pytest.raises(ConflictError, match="more than half") as refusal:
        bench.collect()
    assert bench.names("") - before <= {"gc/HEAD"}
    wanted = refusal.value.fields["objects"]
    with pytest.raises(ConflictError):
        bench.collect(confirmed=wanted - 1)
    assert bench.collect(confirmed=wanted).deleted_objects == wanted


def test_no_version_at_all_is_no_reason_to_delete_everything(bench: Bench) -> None:
    bench.commit("one")
    bench.registry.retire("m")
    bench.registry.retire("base")
    with pytest.raises(ConflictError, match="no version at all") as refusal:
        bench.collect()
    assert bench.collect(confirmed=refusal.value.fields["objects"]).live_objects == 0
    assert bench.names("packs/") == set()
    bench.check(bench.commit("two"))


@pytest.mark.parametrize("area", ["refs/m/", "maps/", "trees/"])
def test_anything_that_cannot_be_read_stops_it(bench: Bench, area: str) -> None:
    first = bench.commit("one")
    bench.commit("two")
    model = bench.registry.model("m")
    model.retire(first)
    root = {
        "refs/m/": entry_key("m", 2),
        "maps/": f"maps/{model.resolve('main').map.hex}",
        "trees/": next(key for key in bench.names("trees/") if b'"remap"' in objects_of(bench.store)[key]),
    }[area]
    bench.store.delete(root)
    packs = bench.names("packs/")
    with pytest.raises(IntegrityError):
        bench.collect()
    assert bench.names("packs/") == packs
    assert bench.names("gc/") <= {"gc/HEAD"}


def test_a_hint_beyond_the_last_entry_stops_it(bench: Bench) -> None:
    first = bench.commit("one")
    bench.commit("two")
    bench.registry.model("m").retire(first)
    bench.store.delete(entry_key("m", 3))
    with pytest.raises(IntegrityError, match="never deleted"):
        bench.collect()


def test_objects_with_other_names_are_nobodys_business(bench: Bench) -> None:
    bench.commit("one")
    bench.store.put("packs/readme.txt", b"hello")
    bench.store.put(f"maps/{'0' * 63}G", b"hello")
    assert bench.collect().deleted_objects == 0


def test_what_broken_writes_left_in_a_folder_goes_after_a_day(tmp_path: Path) -> None:
    store = LocalBackend(tmp_path / "store")
    bench = Bench(MemoryBackend(), make_registry(store, make_world(clock=time.time_ns)), tmp_path / "work")
    version = bench.commit("one")
    left = [tmp_path / "store" / "packs" / f".tmp-4711-{digit * 16}" for digit in "ab"]
    for path, age_s in zip(left, (25 * 3600, 23 * 3600), strict=True):
        path.write_bytes(b"torn")
        os.utime(path, (time.time() - age_s,) * 2)

    assert bench.collect(delete=False).leftover_files == 1
    swept = bench.collect()
    assert (swept.leftover_files, swept.leftover_bytes, swept.deleted_objects) == (1, 4, 0)
    assert [path.exists() for path in left] == [False, True]
    bench.check(version)


def test_what_the_store_does_not_let_go_is_tried_again(bench: Bench) -> None:
    first, second = bench.commit("one"), bench.commit("two")
    bench.registry.model("m").retire(first)
    locked = [True]

    def refuse(method: str, key: str) -> None:
        if method == "delete" and key.startswith("packs/") and locked[0]:
            raise AccessError("under a retention lock")

    report = bench.collect(bench.over(refuse))
    assert report.refused_objects > 0
    assert [info.state for info in report.collections] == [EpochState.DELETING]
    locked[0] = False
    again = bench.collect(bench.over(refuse))
    assert again.refused_objects == 0
    assert [info.state for info in again.collections] == [EpochState.DONE]
    assert bench.collect().deleted_objects == 0
    bench.check(second)


STEPS = ["gc/HEAD", "condemned", "catalogue/", "refs/m/", "delete", "verdict", "maps/", "packs/", "done"]


@pytest.mark.parametrize("step", STEPS)
def test_anybody_goes_on_where_it_was_stopped(bench: Bench, step: str) -> None:
    first, second = bench.commit("one"), bench.commit("two")
    bench.registry.model("m").retire(first)
    expected = bench.collect(delete=False).garbage_objects

    def stop(method: str, key: str) -> None:
        if method in ("put", "create", "delete") and step in key:
            raise BackendError("stopped", transient=False)

    with pytest.raises(RegistryError):
        bench.collect(bench.over(stop))
    bench.check(second)
    bench.check(bench.commit("three"))
    bench.collect()
    assert bench.collect().collections == ()
    assert len(bench.names("maps/") | bench.names("packs/")) == bench.collect(delete=False).live_objects
    assert expected > 0
    bench.check(second)


def test_an_epochs_barrier_stands_in_every_log_and_goes_on_from_there(bench: Bench) -> None:
    first = bench.commit("one")
    bench.commit("two")
    bench.commit("other", model="n")
    bench.registry.retire("n", force=True)
    stores = open_stores(bench.store)
    stores.catalogue.ensure("empty", time_ms=0, who="nobody")
    bench.registry.model("m").retire(first)
    bench.collect(confirmed=_unneeded(bench))
    for log in (CATALOGUE, "m", "n", "empty"):
        head = (stores.catalogue.log if log == CATALOGUE else stores.log(log)).head()
        assert head is not None
        assert (head.entry.op, head.entry.gc_seen) == (Operation.BARRIER, 1)
    bench.check(bench.commit("first", model="empty"), model="empty")
    bench.commit("three")
    assert [head.entry.gc_seen for head in [stores.log("m").head(), stores.log("empty").head()] if head] == [1, 1]
    bench.commit("anew", model="fresh")
    fresh = stores.log("fresh").read(1)
    assert (fresh.entry.gc_seen, fresh.entry.gc_settled) == (1, 0)


def test_what_is_over_is_noted_and_not_asked_for_again(bench: Bench) -> None:
    for number in range(3):
        gone = bench.commit(f"one {number}")
        bench.commit(f"two {number}")
        bench.registry.model("m").retire(gone)
        bench.collect()
    head = open_stores(bench.store).log("m").head()
    assert head is not None
    assert (head.entry.gc_seen, head.entry.gc_settled) == (3, 2)
    counting = RoundTripBackend(bench.store)
    bench.commit("more", registry=registry_over(counting, make_world()))
    assert not [key for _, key in counting.keys if key.startswith("gc/")]


def test_two_at_once_each_do_their_part(bench: Bench) -> None:
    first, second = bench.commit("one"), bench.commit("two")
    bench.registry.model("m").retire(first)
    other: list[CollectReport] = []

    def overtake(method: str, key: str) -> None:
        if method == "create" and key == collection_key(1, "delete") and not other:
            other.append(bench.collect())

    report = bench.collect(bench.over(overtake))
    assert other[0].deleted_objects > 0
    assert [info.state for info in report.collections] == [EpochState.DONE]
    bench.check(second)


# Writers in the way


def test_a_commit_that_slept_through_a_collection_writes_again_what_that_takes(bench: Bench) -> None:
    """It was about to name packs that only it knew, and those of its parent, retired meanwhile."""
    parent = bench.commit("one")
    bench.commit("keeper", model="keeper")

    def sleep(method: str, key: str) -> None:
        if method == "create" and key == entry_key("m", 2) and not bench.names("gc/"):
            bench.registry.model("m").retire(parent, force=True)
            assert bench.collect(confirmed=_unneeded(bench)).deleted_objects > 0

    version = bench.commit("two", registry=bench.over(sleep))
    assert bench.names("gc/")
    bench.check(version)
    assert bench.collect().garbage_objects == 0


def test_a_commit_that_took_its_bytes_from_elsewhere_notices_that_they_go(bench: Bench) -> None:
    """`--base` and hints lead to another model's packs."""
    source = bench.commit("one", model="source")
    bench.commit("first")

    def sleep(method: str, key: str) -> None:
        if method == "create" and key == entry_key("m", 2) and not bench.names("gc/"):
            bench.registry.model("source").retire(source, force=True)
            assert bench.collect(confirmed=_unneeded(bench)).deleted_objects > 0

    version = bench.commit("one", registry=bench.over(sleep), base="source@main")
    bench.check(version)


def test_what_waits_for_its_deletion_is_used_by_no_commit(bench: Bench) -> None:
    source = bench.commit("one", model="source")
    bench.commit("first")
    bench.registry.model("source").retire(source, force=True)
    bench.collect(trash_window_s=3600)
    version = bench.commit("one")
    report = bench.collect()
    assert report.deleted_objects > 0
    bench.check(version)


def test_a_tag_at_a_version_that_goes_is_refused(bench: Bench) -> None:
    source = bench.commit("one", model="source")
    bench.commit("first")
    found = bench.registry.model("source").resolve(source)
    serving = bench.registry.model("m")

    def sleep(method: str, key: str) -> None:
        if method == "create" and key == entry_key("m", 2) and not bench.names("gc/"):
            bench.registry.model("source").retire(source, force=True)
            bench.collect(confirmed=_unneeded(bench))

    with pytest.raises((ConflictError, NotFoundError), match=r"collection|retired"):
        bench.over(sleep).model("m").tag("theirs", f"source@{found.commit.hex}")
    assert serving.tags() == []
    assert bench.registry.fsck(read_data=True).exit_code == 0


def test_a_repack_that_slept_through_a_collection_names_nothing_of_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cas_registry.operations.repack.WORTH_BYTES", 0)
    monkeypatch.setattr("cas_registry.operations.repack.WORTH_SHARE", 0)
    write_folder(bench.work, {f"{number}.txt": File(b"line\n" * 3000 + str(number).encode()) for number in range(20)})
    versions = [bench.registry.model("m").commit(bench.work).commit.hex]
    write_folder(bench.work, {"more.txt": File(b"another line\n" * 9000)})
    versions.append(bench.registry.model("m").commit(bench.work).commit.hex)

    def sleep(method: str, key: str) -> None:
        if method == "create" and key == entry_key("m", 3) and not bench.names("gc/"):
            bench.collect(confirmed=_unneeded(bench))

    with pytest.raises(ConflictError, match="repack again"):
        bench.over(sleep).model("m").repack()
    bench.check(*versions)
    assert bench.registry.model("m").repack().remapped > 0
    bench.check(*versions)


def test_a_commit_right_after_the_first_mark_is_seen_by_the_second(bench: Bench) -> None:
    gone = bench.commit("one")
    bench.commit("two")
    bench.registry.model("m").retire(gone)
    late: list[str] = []

    def overtake(method: str, key: str) -> None:
        if method == "create" and key == collection_key(1, "condemned") and not late:
            late.append("begun")
            late[0] = bench.commit("late", model="late")

    bench.collect(bench.over(overtake))
    bench.check(late[0], model="late")


def test_a_forged_list_of_live_objects_deletes_nothing(bench: Bench) -> None:
    version = bench.commit("one")
    stores = open_stores(bench.store)
    maps, packs = bench.names("maps/"), bench.names("packs/")
    record = Condemned(
        stores.format.registry, 1, frozenset(MapName.parse(key[5:]) for key in maps),
        frozenset(PackName.parse(key[6:]) for key in packs), 1, 0, "mallory",
    )  # fmt: skip
    assert stores.epochs.condemn(record)
    assert stores.epochs.decide(record)
    with pytest.raises(IntegrityError, match=r"Call it off"):
        bench.collect()
    bench.check(version)
    bench.registry.undo_gc(1)
    bench.collect()
    bench.check(version, bench.commit("two"))


def test_a_forged_verdict_over_live_objects_deletes_nothing(bench: Bench) -> None:
    version = bench.commit("one")
    stores = open_stores(bench.store)
    packs = frozenset(PackName.parse(key[6:]) for key in bench.names("packs/"))
    record = Condemned(stores.format.registry, 1, frozenset(), packs, 1, 0, "mallory")
    assert stores.epochs.condemn(record)
    assert stores.epochs.decide(record)
    assert stores.epochs.rule(Verdict(record.registry, 1, delete=True, time_ms=0, who="mallory"))
    with pytest.raises(IntegrityError, match=r"objects that versions need"):
        bench.collect()
    bench.check(version)


def test_an_entry_that_speaks_of_more_collections_than_there_are_stops_writers_at_once(bench: Bench) -> None:
    version = bench.commit("one")
    stores = open_stores(bench.store)
    head = stores.catalogue.head()
    entry = replace(head.entry, n=head.n + 1, prev=head.id, nonce="f" * 32, op=Operation.BARRIER, gc_seen=10**9)
    assert stores.catalogue.log.append(entry)
    with pytest.raises(IntegrityError, match=r"gc/0000000001/condemned is missing"):
        bench.collect()
    with pytest.raises(IntegrityError, match=r"gc/0000000001/condemned is missing"):
        bench.commit("new", model="new")
    bench.check(version)


@pytest.mark.parametrize("record", ["condemned", "delete", "verdict", "done"])
def test_damaged_records_stop_collections_and_no_reader(bench: Bench, record: str) -> None:
    first, second = bench.commit("one"), bench.commit("two")
    bench.registry.model("m").retire(first)
    bench.collect(trash_window_s=3600)
    bench.store.put(collection_key(1, record), b"rubbish")
    bench.check(second)
    with pytest.raises(IntegrityError, match=f"gc/0000000001/{record}"):
        bench.collect()
    bench.check(second)


def test_a_verdict_by_two_is_one(bench: Bench) -> None:
    first = bench.commit("one")
    bench.commit("two")
    bench.registry.model("m").retire(first)

    def overtake(method: str, key: str) -> None:
        if method == "create" and key == collection_key(1, "verdict"):
            open_stores(bench.store).epochs.rule(Verdict(bench.registry.id, 1, delete=False, time_ms=0, who="ana"))

    report = bench.collect(bench.over(overtake))
    assert report.deleted_objects == 0
    assert [info.state for info in report.collections] == [EpochState.CANCELLED]


def test_many_objects_are_several_collections(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "MAX_LISTED", 1)
    first, second = bench.commit("one"), bench.commit("two")
    bench.registry.model("m").retire(first)
    report = bench.collect()
    assert len(report.collections) == report.deleted_objects > 1
    bench.check(second)
    assert INLINE_BYTES  # the big files have maps of their own


def test_progress_is_told(bench: Bench) -> None:
    first = bench.commit("one")
    bench.commit("two")
    bench.registry.model("m").retire(first)
    seen = PauseAt("delete", lambda: None)
    bench.collect(progress=seen)
    assert seen.was_reached


def _unneeded(bench: Bench) -> int:
    return bench.registry.gc(grace_s=0).garbage_objects
