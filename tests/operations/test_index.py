"""The index of this machine: what it takes in, what it asks of the store, and what becomes of it when somebody meddles."""

import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import CountingBackend
from cas_registry.errors import BackendError, IntegrityError, NotFoundError, RollbackError
from cas_registry.model.entry import RefKind, decode_entry
from cas_registry.model.ids import CommitId, FileId, TreeId
from cas_registry.model.inputs import Input
from cas_registry.model.note import Note
from cas_registry.operations import index as index_module
from cas_registry.operations.index import Index, ask_index, open_index, open_offline
from cas_registry.operations.progress import NoProgress
from cas_registry.query import parse_condition, parse_order
from cas_registry.query.facts import version_facts
from cas_registry.registry import Registry, registry_over
from cas_registry.store.layout import entry_key
from cas_registry.store.refs import READ_BATCH
from tests.support.folders import File, write_folder
from tests.support.simulated import FarBackend, HookedBackend, make_registry, make_world, memory_with, objects_of
from tests.support.versions import EPOCH_MS, LogWriter

NOW_MS = EPOCH_MS + 1_000_000


@dataclass
class Bench:
    store: MemoryBackend
    backend: CountingBackend
    registry: Registry
    cache: Path

    def open(self, registry: Registry | None = None) -> Index:
        return open_index((registry or self.registry)._stores, self.cache, now_ms=NOW_MS)

    def found(self, text: str, **more) -> list[str]:
        with self.open() as index:
            return [f"{found.model} v{found.number}" for found in index.search(parse_condition(text), **more)]

    @property
    def file(self) -> Path:
        return self.cache / "index" / f"{self.registry.id}.sqlite"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    store = MemoryBackend("index")
    backend = CountingBackend(store)
    return Bench(store, backend, make_registry(backend, make_world()), tmp_path / "cache")


def _series(bench: Bench, model: str = "fraud", count: int = 3) -> tuple[LogWriter, list[CommitId]]:
    writer = LogWriter(bench.registry, model)
    ids = [writer.commit(metrics={"auc": n / 10}, params={"lr": 0.1, "opt": "adam"}) for n in range(1, count + 1)]
    writer.finish()
    return writer, ids


def test_versions_are_found_by_what_their_commits_say(bench: Bench) -> None:
    _series(bench)
    _series(bench, "ranker", 2)
    assert bench.found("metrics.auc >= 0.2") == ["fraud v3", "fraud v2", "ranker v2"]
    assert bench.found("metrics.auc >= 0.2", models=["ranker"]) == ["ranker v2"]
    assert bench.found("params.opt = adam", order=parse_order("metrics.auc:min"), top=3) == [
        "fraud v1",
        "ranker v1",
        "fraud v2",
    ]
    assert bench.found("branch = main") == ["fraud v3", "ranker v2"]
    assert bench.found("metrics.auc > v2") == ["fraud v3"]
    assert bench.found("metrics.auc >= main") == ["fraud v3", "ranker v2"]
    with bench.open() as index:
        assert len(index.search()) == 5
        assert index.models() == ["fraud", "ranker"]
        assert index.synced_ms() == NOW_MS


def test_a_found_version_has_everything_and_the_facts_that_rules_are_judged_by(bench: Bench) -> None:
    writer, (first, *_) = _series(bench)
    base = Input("base", model="fraud", commit=first)
    identity = writer.commit(
        tags=("prod", "best"), params={"lr": 0.5, "warm": True, "none": None}, labels={"state": "new"}, packages={"torch": "2.9"},
        environment={"gpu.0": "A100"}, inputs=(base, Input("train", "s3://data", "sha256:1")), message="größer\nund besser",
    )  # fmt: skip
    note = Note(identity, labels={"state": None, "by": "ana"}, metrics={"late": float("inf")})
    writer.note(note)
    writer.finish()
    with bench.open() as index:
        (found,) = index.search(parse_condition("tag = prod"))
        facts = index.facts("fraud", identity)
    assert (found.tags, found.branches, found.message) == (("best", "prod"), ("main",), "größer\nund besser")
    assert (found.params, found.labels, found.metrics) == ({"lr": 0.5, "warm": True}, {"by": "ana"}, {"late": float("inf")})
    assert found.packages == {"torch": "2.9"}
    assert found.inputs == ("base", f"fraud@{first.hex}", "train", "s3://data", "sha256:1")
    info = bench.registry.model("fraud").show("prod")
    expected = version_facts(
        identity,
        info.commit,
        model="fraud",
        number=4,
        stats=info.stats,
        tags=("prod", "best"),
        branches=("main",),
        notes=(note,),
    )
    assert facts == {name: value for name, value in expected.items() if value is not None}
    assert found.facts() == facts


def test_nothing_new_costs_one_get_a_log_and_what_is_new_is_all_that_is_read(bench: Bench) -> None:
    writer, _ = _series(bench)
    _series(bench, "ranker")
    bench.open().close()
    bench.backend.reset()
    bench.open().close()
    assert sorted(bench.backend.keys) == [
        ("get", entry_key(log, n)) for log, n in (("catalogue", 4), ("fraud", 4), ("ranker", 4))
    ]
    identity = writer.commit()
    writer.finish()
    bench.backend.reset()
    with bench.open() as index:
        assert index.version("fraud", identity).number == 4
    read = [key for _, key in bench.backend.keys if key.startswith(("refs/fraud/", "commits/"))]
    assert sorted(set(read)) == sorted(
        {f"commits/{identity.hex}", "refs/fraud/HEAD", entry_key("fraud", 4), entry_key("fraud", 5)}
    )


def test_a_log_longer_than_a_batch_is_read_whole_and_once(bench: Bench) -> None:
    writer, _ = _series(bench, count=2 * READ_BATCH + 5)
    with bench.open() as index:
        assert [found.number for found in index.search()] == list(range(2 * READ_BATCH + 5, 0, -1))
    bench.backend.reset()
    writer.commit()
    writer.finish()
    assert bench.found("number > 515") == ["fraud v518", "fraud v517", "fraud v516"]
    assert len(bench.backend.keys) < 12


def test_refs_follow_their_moves_and_what_stood_where_is_remembered(bench: Bench) -> None:
    writer, (_, _, third) = _series(bench)
    writer.tag("prod", third, time_ms=10, who="ana", why="good")
    bench.open().close()
    other = writer.commit()
    writer.tag("prod", other, time_ms=20)
    writer.tag("gone", other, time_ms=21)
    writer.tag("gone", None, time_ms=22)
    writer.commit(branch="side")
    writer.finish()
    assert bench.found("tag = prod") == ["fraud v4"]
    assert bench.found("tag = gone") == []
    with bench.open() as index:
        stays = [
            (stay.kind.value, stay.name, stay.since_ms, stay.until_ms, stay.who, stay.why)
            for stay in index.stays("fraud", third)
        ]
        assert stays[0] == ("tag", "prod", 10, 20, "ana", "good")
        assert stays[1][:2] == ("branch", "main")
        assert [(stay.name, stay.until_ms) for stay in index.stays("fraud", other)] == [
            ("gone", 22),
            ("prod", None),
            ("main", None),
        ]
        assert list(index.moves("fraud", RefKind.TAG, "prod")) == bench.registry.model("fraud").history(RefKind.TAG, "prod")
        assert index.moves("fraud", RefKind.TAG, "never") == ()
        assert index.stays("nobody", third) == ()


def test_a_ref_table_that_lies_aside_is_read_as_well(bench: Bench) -> None:
    writer, (_, _, identity) = _series(bench)
    model = bench.registry.model("fraud")
    for n in range(300):
        writer.tag(f"{'x' * 100}-{n}", identity)
    writer.finish()
    model.tag("large", "main")
    assert bench.registry._stores.log("fraud").head().entry.refs.kind == "refs"
    assert bench.found("tag = large") == ["fraud v3"]
    with bench.open() as index:
        assert len(index.version("fraud", identity).tags) == 301


def test_notes_are_kept_with_who_said_so_and_change_what_is_found(bench: Bench) -> None:
    writer, (first, _, _) = _series(bench)
    bench.open().close()
    writer.note(Note(first, metrics={"auc": 0.99}), who="ana", why="measured again", time_ms=5)
    writer.note(Note(first, tag="prod", approved=True), who="bob")
    writer.finish()
    assert bench.found("metrics.auc > 0.9") == ["fraud v1"]
    with bench.open() as index:
        (measured, approved) = index.notes("fraud", first)
    assert (measured.n, measured.who, measured.text, measured.time_ms) == (4, "ana", "measured again", 5)
    assert measured.note == Note(first, metrics={"auc": 0.99})
    assert (approved.note.tag, approved.note.approved, approved.who) == ("prod", True, "bob")
    assert approved.id == bench.registry._stores.log("fraud").read(5).id


def test_retired_versions_are_left_out_until_they_come_back(bench: Bench, tmp_path: Path) -> None:
    model = bench.registry.model("m")
    for seed in ("one", "two"):
        write_folder(tmp_path / "work", {"a": File(seed.encode())})
        model.commit(tmp_path / "work")
    model.retire("main~1")
    assert bench.found("number > 0") == ["m v2"]
    assert bench.found("number > 0", retired=True) == ["m v2", "m v1"]
    model.restore(model.log("main")[1].id.hex)
    assert bench.found("number > 0") == ["m v2", "m v1"]
    bench.registry.retire("m", force=True)
    assert bench.found("number > 0") == []
    with bench.open() as index:
        assert index.models() == []


def test_who_was_made_from_a_version(bench: Bench) -> None:
    _, (first, second, _) = _series(bench)
    writer = LogWriter(bench.registry, "ranker")
    child = writer.commit(inputs=(Input("base", model="fraud", commit=first), Input("again", model="fraud", commit=first)))
    writer.finish()
    with bench.open() as index:
        assert [(found.model, found.commit) for found in index.made_from(first)] == [("ranker", child)]
        assert index.made_from(second) == ()


def test_values_that_versions_share_are_held_once(bench: Bench) -> None:
    writer = LogWriter(bench.registry, "fraud")
    for n in range(20):
        writer.commit(packages={f"package-{k}": "1.0" for k in range(100)}, metrics={"auc": n})
    writer.finish()
    bench.open().close()
    with sqlite3.connect(bench.file) as connection:
        assert connection.execute("SELECT count(*) FROM fact").fetchone() == (120,)
    connection.close()


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats() | st.text(max_size=5), max_size=5))  # fmt: skip
def test_values_come_back_as_they_were_committed(values: dict[str, object]) -> None:
    registry = make_registry(MemoryBackend(), make_world())
    writer = LogWriter(registry, "m")
    identity = writer.commit(params=values)
    with open_index(registry._stores, None, now_ms=NOW_MS) as index:
        found = index.version("m", identity).params
    expected = {
        name: value for name, value in values.items() if value is not None and not (isinstance(value, float) and isnan(value))
    }
    assert found == expected
    assert {name: type(value) for name, value in found.items()} == {name: type(value) for name, value in expected.items()}


def test_without_a_cache_folder_it_is_in_memory(bench: Bench) -> None:
    _series(bench)
    with open_index(bench.registry._stores, None, now_ms=NOW_MS) as index:
        assert len(index.search()) == 3
    assert not bench.cache.exists()


def test_a_folder_that_cannot_be_written_does_not_matter(bench: Bench) -> None:
    _series(bench)
    bench.cache.write_bytes(b"a file where the folder should be")
    with bench.open() as index:
        assert len(index.search()) == 3


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_file_that_is_no_index_is_made_anew(bench: Bench, content: bytes) -> None:
    _series(bench)
    bench.file.parent.mkdir(parents=True)
    bench.file.write_bytes(content)
    assert len(bench.found("number > 0")) == 3
    assert len(bench.found("number > 0")) == 3
    assert bench.file.read_bytes()[:15] == b"SQLite format 3"


def test_another_programs_database_and_another_registrys_index_are_thrown_away(bench: Bench) -> None:
    _series(bench)
    bench.file.parent.mkdir(parents=True)
    with sqlite3.connect(bench.file) as connection:
        connection.execute("CREATE TABLE version (id)")
        connection.execute("PRAGMA application_id = 7")
    connection.close()
    assert len(bench.found("number > 0")) == 3
    other = make_registry(MemoryBackend("other"), make_world())
    with open_index(other._stores, bench.cache, now_ms=NOW_MS) as index:
        assert index.search() == []
    (bench.cache / "index" / f"{other.id}.sqlite").replace(bench.file)
    assert len(bench.found("number > 0")) == 3


def test_damage_inside_is_noticed_and_what_was_asked_is_answered_from_a_new_file(bench: Bench) -> None:
    _series(bench, count=400)
    bench.open().close()
    with sqlite3.connect(bench.file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    data = bytearray(bench.file.read_bytes())
    for page in range(1, len(data) // 4096):
        data[page * 4096 : page * 4096 + 100] = b"\xee" * 100
    bench.file.write_bytes(data)
    answer = ask_index(bench.registry._stores, bench.cache, lambda index: len(index.search()), now_ms=NOW_MS)
    assert answer == 400
    assert len(bench.found("number > 0")) == 400


def test_damage_that_shows_later_is_told_and_gone_the_next_time(bench: Bench) -> None:
    _series(bench)
    with bench.open() as index:
        with sqlite3.connect(bench.file) as connection:
            connection.execute("DROP TABLE note")
        connection.close()
        with pytest.raises(IntegrityError, match="thrown away"):
            index.notes("fraud", CommitId(b"1" * 32))
    assert len(bench.found("number > 0")) == 3


def test_a_file_that_somebody_keeps_locked_is_an_error_that_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    _series(bench)
    bench.open().close()
    monkeypatch.setattr("cas_registry.operations.indexing.database._BUSY_S", 0.01)
    holder = sqlite3.connect(bench.file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(BackendError, match="another process") as caught:
            bench.open()
        assert caught.value.transient
    finally:
        holder.close()


def test_a_log_that_became_another_one_is_read_anew(bench: Bench) -> None:
    before = objects_of(bench.store)
    _series(bench)
    LogWriter(bench.registry, "ranker").commit()
    bench.open().close()
    other = registry_over(memory_with(before), make_world())
    fork = LogWriter(other, "fraud")
    for n in range(5):
        fork.commit(metrics={"fork": n})
    fork.finish()
    with open_index(other._stores, bench.cache, now_ms=NOW_MS) as index:
        assert [found.metrics for found in index.search(parse_condition("model = fraud"))] == [
            {"fork": n} for n in (4, 3, 2, 1, 0)
        ]
        assert [found.number for found in index.search(parse_condition("branch = main and model = fraud"))] == [5]


def test_a_log_that_does_not_follow_on_is_refused(bench: Bench) -> None:
    empty = objects_of(bench.store)
    _series(bench)
    forged = LogWriter(registry_over(memory_with(empty), make_world()), "fraud")
    forged.commit()
    forged.commit()
    key = entry_key("fraud", 2)
    bench.store.put(key, forged._stores.backend.get(key, length=1 << 20))
    with pytest.raises(IntegrityError, match=f"{key} does not follow"):
        bench.open()


def test_a_log_that_was_set_back_is_refused_by_the_watch(bench: Bench, tmp_path: Path) -> None:
    world = make_world(state=tmp_path / "state")
    _series(bench)
    before = objects_of(bench.store)
    bench.open().close()
    writer = LogWriter(bench.registry, "fraud")
    writer.commit()
    writer.commit()
    writer.finish()
    registry_over(FarBackend(bench.store), world).model("fraud").resolve("main")
    older = memory_with(before)
    fork = LogWriter(registry_over(older, make_world()), "fraud")
    fork.commit(message="another")
    fork.finish()
    with pytest.raises(RollbackError):
        bench.open(registry_over(FarBackend(older), world))


def test_two_at_once_take_in_each_entry_once(bench: Bench) -> None:
    _series(bench, count=3 * READ_BATCH)
    bench.open().close()
    _series(bench, count=3 * READ_BATCH)
    results: list[int] = []

    def run() -> None:
        with bench.open() as index:
            results.append(len(index.search()))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [6 * READ_BATCH] * 4


def test_one_who_was_overtaken_goes_on_from_where_the_other_came_to(bench: Bench) -> None:
    _series(bench, count=READ_BATCH + 20)
    overtaking: list[int] = []
    left = [True]

    def hook(method: str, key: str) -> None:
        if key == entry_key("fraud", READ_BATCH + 10) and left:
            left.clear()
            overtaking.append(len(bench.found("number > 0")))

    slow = registry_over(HookedBackend(bench.store, hook), make_world())
    with bench.open(slow) as index:
        assert len(index.search()) == READ_BATCH + 20
    assert overtaking == [READ_BATCH + 20]


def test_a_store_that_fails_half_way_leaves_what_was_taken_in(bench: Bench) -> None:
    _series(bench, count=READ_BATCH + 20)

    def hook(method: str, key: str) -> None:
        if key == entry_key("fraud", READ_BATCH + 10):
            raise BackendError("gone", transient=False)

    with pytest.raises(BackendError, match="gone"):
        bench.open(registry_over(HookedBackend(bench.store, hook), make_world()))
    bench.backend.reset()
    assert len(bench.found("number > 0")) == READ_BATCH + 20
    assert len([key for _, key in bench.backend.keys if key.startswith("refs/fraud/0")]) < 30


def test_offline_answers_from_what_was_seen_last(bench: Bench) -> None:
    writer, _ = _series(bench)
    bench.open().close()
    writer.commit()
    with open_offline(bench.registry.url, bench.cache, now_ms=NOW_MS + 9) as index:
        assert len(index.search()) == 3
        assert index.synced_ms() == NOW_MS
    for url, cache in (
        ("memory://elsewhere", bench.cache),
        (bench.registry.url, None),
        (bench.registry.url, bench.cache / "none"),
    ):
        with pytest.raises(NotFoundError, match="no index of"):
            open_offline(url, cache, now_ms=NOW_MS)
    (bench.cache / "index" / "0.sqlite").write_bytes(b"junk")
    open_offline(bench.registry.url, bench.cache, now_ms=NOW_MS).close()


def test_a_commit_that_a_model_does_not_have_is_not_found(bench: Bench) -> None:
    _series(bench)
    with bench.open() as index, pytest.raises(NotFoundError, match="has no version"):
        index.facts("fraud", CommitId(b"9" * 32))


class TestHoldings:
    @pytest.fixture
    def folders(self, bench: Bench, tmp_path: Path) -> Iterator[Bench]:
        model = bench.registry.model("m")
        write_folder(
            tmp_path / "one", {"a.bin": File(b"weights"), "sub/deep/b.bin": File(b"other"), "sub/copy.bin": File(b"weights")}
        )
        write_folder(tmp_path / "two", {"sub/deep/b.bin": File(b"other"), "c": File(b"new")})
        model.commit(tmp_path / "one", tags=["prod"])
        model.commit(tmp_path / "two", tags=["prod"])
        bench.registry.model("n").commit(tmp_path / "one")
        return bench

    def holdings(self, bench: Bench, data: bytes | FileId | TreeId) -> list[tuple[str, int, str]]:
        wanted = FileId.of(data) if isinstance(data, bytes) else data
        with bench.open() as index:
            index.learn_trees(bench.registry._stores.objects, progress=NoProgress())
            return [(found.model, found.number, found.path) for found in index.holdings(wanted)]

    def test_every_version_and_path_of_a_file_is_found(self, folders: Bench) -> None:
        assert self.holdings(folders, b"weights") == [
            ("m", 1, "a.bin"), ("m", 1, "sub/copy.bin"), ("n", 1, "a.bin"), ("n", 1, "sub/copy.bin"),
        ]  # fmt: skip
        assert self.holdings(folders, b"other") == [
            ("m", 1, "sub/deep/b.bin"),
            ("m", 2, "sub/deep/b.bin"),
            ("n", 1, "sub/deep/b.bin"),
        ]
        assert self.holdings(folders, b"nowhere") == []

    def test_folders_and_whole_versions_are_found_by_their_tree(self, folders: Bench) -> None:
        version = folders.registry.model("m").resolve("main")
        assert self.holdings(folders, version.tree) == [("m", 2, "")]
        (folder,) = (file.id for file in folders.registry.model("m").ls("main:sub"))
        assert isinstance(folder, TreeId)
        assert self.holdings(folders, folder) == [("m", 1, "sub/deep"), ("m", 2, "sub/deep"), ("n", 1, "sub/deep")]

    def test_it_tells_where_refs_stood(self, folders: Bench) -> None:
        with folders.open() as index:
            index.learn_trees(folders.registry._stores.objects, progress=NoProgress())
            first = index.holdings(FileId.of(b"weights"))[0]
            (later,) = index.holdings(FileId.of(b"new"))
        assert [(stay.name, stay.until_ms is None) for stay in first.stays] == [("prod", False), ("main", False)]
        assert [(stay.name, stay.until_ms is None) for stay in later.stays] == [("prod", True), ("main", True)]

    def test_only_trees_that_are_new_are_read(self, folders: Bench, tmp_path: Path) -> None:
        self.holdings(folders, b"weights")
        folders.backend.reset()
        self.holdings(folders, b"weights")
        assert not [key for _, key in folders.backend.keys if key.startswith("trees/")]
        write_folder(tmp_path / "two", {"d": File(b"newer")})
        folders.registry.model("m").commit(tmp_path / "two")
        folders.backend.reset()
        assert self.holdings(folders, b"newer") == [("m", 3, "d")]
        assert len([key for _, key in folders.backend.keys if key.startswith("trees/")]) == 1

    def test_ids_by_their_first_digits(self, folders: Bench) -> None:
        wanted = FileId.of(b"weights")
        tree = folders.registry.model("m").resolve("main").tree
        with folders.open() as index:
            index.learn_trees(folders.registry._stores.objects, progress=NoProgress())
            assert index.ids(wanted.hex[:9]) == [wanted]
            assert index.ids(tree.hex) == [tree]
            assert index.ids("f" * 64) == []


def test_folders_that_hold_each_other_many_times_stop_at_a_limit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from cas_registry.model.tree import Mode, TreeEntry, make_tree

    objects = bench.registry._stores.objects
    entry = TreeEntry("leaf", Mode.FILE, 1, FileId.of(b"x"))
    tree = objects.write_tree(make_tree([entry]))
    for _ in range(40):
        tree = objects.write_tree(make_tree([TreeEntry(name, Mode.FOLDER, 1, tree) for name in "ab"]))
    writer = LogWriter(bench.registry, "m")
    writer.commit(tree=tree)
    writer.finish()
    with bench.open() as index:
        index.learn_trees(objects, progress=NoProgress())
        assert len(index.holdings(FileId.of(b"x"))) < 100_001


def test_the_package_of_an_entry_is_told_by_its_seal(bench: Bench) -> None:
    """The double that writes entries takes an entry's id from its first line, as the format has it."""
    writer, _ = _series(bench, count=1)
    identity, _ = decode_entry(bench.store.get(entry_key("fraud", 1), length=1 << 20))
    assert identity == writer._head_id
    assert index_module.__all__ == sorted(index_module.__all__, key=lambda name: (name[0].islower(), name))


def test_several_who_make_the_file_at_once_all_get_their_answer(bench: Bench) -> None:
    _series(bench, count=50)
    results: list[int] = []
    ready = threading.Barrier(6)

    def run() -> None:
        ready.wait()
        with bench.open() as index:
            results.append(len(index.search()))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [50] * 6


_STEPS = st.lists(st.sampled_from(["commit", "commit", "side", "tag", "move", "untag", "note", "unlabel", "look"]), max_size=25)


@given(_STEPS)
def test_an_index_that_followed_step_by_step_is_the_one_that_is_made_at_once(steps: list[str]) -> None:
    registry = make_registry(MemoryBackend(), make_world())
    with tempfile.TemporaryDirectory() as folder:
        _follow(registry, steps, Path(folder))
        with (
            open_index(registry._stores, Path(folder), now_ms=NOW_MS) as followed,
            open_index(registry._stores, None, now_ms=NOW_MS) as fresh,
        ):
            assert followed.search() == fresh.search()
            for found in fresh.search():
                assert followed.stays("m", found.commit) == fresh.stays("m", found.commit)
                assert followed.notes("m", found.commit) == fresh.notes("m", found.commit)
            model = registry.model("m")
            if fresh.search():
                assert {found.commit for found in fresh.search(parse_condition("exists tag"))} == {
                    ref.commit for ref in model.tags()
                }
                assert {name for found in fresh.search() for name in found.branches} == {ref.name for ref in model.branches()}


def _follow(registry: Registry, steps: list[str], cache: Path) -> None:
    writer = LogWriter(registry, "m")
    ids: list[CommitId] = []
    for number, step in enumerate(steps):
        match step:
            case "commit" | "side":
                ids.append(
                    writer.commit(branch="main" if step == "commit" else "side", metrics={"auc": number % 3}, labels={"a": 1})
                )
            case "look":
                open_index(registry._stores, cache, now_ms=NOW_MS).close()
            case _ if not ids:
                continue
            case "tag" | "move":
                writer.tag("prod" if step == "tag" else "best", ids[-1], time_ms=number)
            case "untag":
                writer.tag("prod", None, time_ms=number)
            case "note":
                writer.note(Note(ids[number % len(ids)], labels={"b": number}, metrics={"auc": number, "late": 1.5}))
            case _:
                writer.note(Note(ids[number % len(ids)], labels={"a": None, "b": None}))
    writer.finish()
