"""Names to commits: every form of a revision, what it costs, and what is said where there is nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import ConflictError, HostileNameError, InvalidInputError, NotFoundError
from cas_registry.model.commit import Commit
from cas_registry.model.entry import Entry, RefKind, RefTable
from cas_registry.model.ids import CommitId, RefTableId, TreeId
from cas_registry.registry import Model, Registry, registry_over
from cas_registry.store.log import Log
from cas_registry.store.objects import ObjectStore
from tests.support.folders import File, write_folder
from tests.support.simulated import Clock, HookedBackend, RoundTripBackend, lengthen, make_registry, make_world

DAY_MS = 24 * 3600 * 1000
START_MS = 1_762_000_000_000  # 2025-11-01T12:26:40Z


@dataclass
class Bench:
    backend: RoundTripBackend
    registry: Registry
    clock: Clock
    work: Path

    @property
    def model(self) -> Model:
        return self.registry.model("m")

    def commit(self, content: str, *, model: str = "m", **more: object) -> CommitId:
        write_folder(self.work, {"a.txt": File(content.encode())})
        self.clock.frozen_ns += DAY_MS * 1_000_000
        return self.registry.model(model).commit(self.work, message=content, **more).commit


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    backend = RoundTripBackend(MemoryBackend("refs"))
    clock = Clock(ahead_ns=0, frozen_ns=START_MS * 1_000_000)
    return Bench(backend, make_registry(backend, make_world(None, clock=clock)), clock, tmp_path / "work")


# What a revision names


def test_a_branch_a_tag_and_their_ancestors(bench: Bench) -> None:
    ids = [bench.commit(str(n)) for n in range(5)]
    bench.model.tag("prod", "main~2")
    for revision, expected in {
        "main": 4, "main~0": 4, "main~1": 3, "main^": 3, "main^^~2": 0, "main~4": 0, "prod": 2, "prod~1": 1, "m@prod": 2,
        ids[1].hex: 1, ids[3].hex[:8]: 3, f"{ids[3].hex[:12]}~2": 1, f"m@{ids[0].hex}": 0,
    }.items():  # fmt: skip
        version = bench.model.resolve(revision)
        assert (version.commit, version.number) == (ids[expected], expected + 1), revision


def test_a_version_by_its_number_wherever_it_stands_in_the_log(bench: Bench) -> None:
    ids = []
    for n in range(9):
        ids.append(bench.commit(str(n), branch="try" if n % 3 == 2 else "main"))
        for move in range(7 * (n % 3)):  # entries that introduce nothing lie in between
            bench.model.tag(f"t{move % 2}", f"v{n + 1}" if move % 2 else "v1")
    for number, expected in enumerate(ids, start=1):
        version = bench.model.resolve(f"v{number}")
        assert (version.commit, version.number) == (expected, number)
        assert bench.registry.model("other").resolve(f"m@v{number}").commit == expected
    assert bench.model.resolve("v5~1").commit == bench.model.resolve("v4").commit == ids[3]
    with pytest.raises(NotFoundError, match=r"has no version v10; the last one is v9"):
        bench.model.resolve("v10")
    with pytest.raises(NotFoundError, match="no tag, branch or commit 'v0'"):
        bench.model.resolve("v0")
    bench.model.retire("v4", reason="worse")
    with pytest.raises(NotFoundError, match=r"version 4 of model 'm'.*was retired"):
        bench.model.resolve("v4")


def test_a_version_is_found_by_its_number_in_few_reads_however_long_the_log(bench: Bench) -> None:
    for n in range(3):
        bench.commit(str(n))
    lengthen(bench.registry, "m", 1000)
    bench.model.tag("late", "v3")
    bench.backend.round_trips = 0
    assert bench.model.resolve("v2").number == 2
    assert bench.backend.round_trips <= 8  # the head, then a sixteenth of what is left each time


def test_no_branch_or_tag_is_called_as_a_version_is(bench: Bench) -> None:
    bench.commit("1")
    for move in (bench.model.tag, bench.model.branch):
        with pytest.raises(HostileNameError, match="is the version of that number"):
            move("v1", "main")
    bench.commit("a model may", model="v1")
    assert bench.model.resolve("v1@v1").model == "v1"


@pytest.mark.parametrize("revision", ["main~5", "main^^^^^^", "prod~9"])
def test_beyond_the_first_commit_there_is_nothing(bench: Bench, revision: str) -> None:
    for n in range(5):
        bench.commit(str(n))
    bench.model.tag("prod", "main")
    with pytest.raises(NotFoundError, match="has 4 earlier commits only"):
        bench.model.resolve(revision)


def test_earlier_positions_of_a_ref_by_number_and_by_time(bench: Bench) -> None:
    ids = [bench.commit(str(n)) for n in range(4)]
    for n in (0, 2, 1):
        bench.clock.frozen_ns += DAY_MS * 1_000_000
        bench.model.tag("prod", ids[n].hex, reason=f"to {n}")
    assert [bench.model.resolve(f"prod@{{{back}}}").commit for back in range(3)] == [ids[1], ids[2], ids[0]]
    assert [bench.model.resolve(f"main@{{{back}}}").commit for back in range(4)] == ids[::-1]
    moves = bench.model.history(RefKind.TAG, "prod")
    for move in moves:
        at = datetime.fromtimestamp(move.time_ms / 1000, UTC)
        assert bench.model.resolve(f"prod@{{{at.isoformat()}}}").commit == move.commit
        assert bench.model.resolve(f"prod@{{{(at + timedelta(hours=23)).isoformat()}}}").commit == move.commit
        assert bench.model.resolve(f"prod@{{{at.date().isoformat()}}}").commit == move.commit
    assert bench.model.resolve("prod@{yesterday}").commit == ids[2]
    assert bench.model.resolve("main@{1}~1").commit == ids[1]


@pytest.mark.parametrize(
    ("revision", "message"),
    [
        ("prod@{3}", "has moved 2 times only"),
        ("prod@{2020-01-01}", "did not exist then"),
        ("nothing@{1}", "no tag, branch or commit"),
    ],
)
def test_positions_that_a_ref_never_had(bench: Bench, revision: str, message: str) -> None:
    for n in range(3):
        bench.commit(str(n), tags=["prod"])
    with pytest.raises(NotFoundError, match=message):
        bench.model.resolve(revision)


def test_a_tag_hides_no_branch_and_a_name_of_hex_digits_is_a_name_first(bench: Bench) -> None:
    first, second = bench.commit("1"), bench.commit("2")
    bench.model.tag(second.hex[:8], first.hex)
    assert bench.model.resolve(second.hex[:8]).commit == first
    assert bench.model.resolve(second.hex[:9]).commit == second


def test_what_is_not_there_is_said_with_what_is_and_what_may_be_meant(bench: Bench) -> None:
    bench.commit("1", tags=["prod", "v1.4"])
    with pytest.raises(
        NotFoundError, match=r"no tag, branch or commit 'prd'; did you mean 'prod'\? There are: main, prod, v1\.4"
    ):
        bench.model.resolve("prd")
    with pytest.raises(NotFoundError, match="starts with 00000000"):
        bench.model.resolve("00000000")
    with pytest.raises(NotFoundError, match="has no versions yet"):
        bench.registry.model("unknown").resolve("main")
    with pytest.raises(NotFoundError, match="no commit of model 'm' starts with"):
        bench.model.resolve("f" * 64)


def test_seven_hex_digits_are_a_name_and_no_id(bench: Bench) -> None:
    identity = bench.commit("1")
    with pytest.raises(NotFoundError, match="no tag, branch or commit"):
        bench.model.resolve(identity.hex[:7])


def test_digits_that_several_commits_share_are_ambiguous(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ids that begin alike take four billion commits; here the listing says so."""
    ids = [bench.commit(str(n)) for n in range(2)]
    monkeypatch.setattr(ObjectStore, "find_commits", lambda *_: ids)
    with pytest.raises(InvalidInputError, match="is ambiguous") as caught:
        bench.model.resolve("12345678")
    assert all(identity.short in caught.value.message for identity in ids)


def test_the_commit_of_another_model_is_found_by_that_models_name_only(bench: Bench) -> None:
    bench.commit("1")
    other = bench.commit("2", model="other")
    with pytest.raises(NotFoundError, match=r"\(model 'other' has it\)"):
        bench.model.resolve(other.hex[:10])
    assert bench.model.resolve(f"other@{other.hex[:10]}").model == "other"
    assert bench.model.resolve("other@main").commit == other


def test_a_commit_that_lost_its_race_is_not_found(bench: Bench) -> None:
    """Its object is there, made for a position that another writer took."""
    bench.commit("1")
    stores = bench.registry._stores
    orphan = stores.objects.write_commit(
        Commit(tree=TreeId(bytes(32)), parents=(), author="t", time_ms=1, message="lost", log="m", position=0)
    )
    for revision in (orphan.hex, orphan.hex[:8]):
        with pytest.raises(NotFoundError, match="no commit of model"):
            bench.model.resolve(revision)


# What it costs


@pytest.mark.parametrize("revision", ["main", "prod", "m@prod"])
def test_a_name_takes_three_reads_in_two_round_trips_however_long_the_log(bench: Bench, revision: str) -> None:
    bench.commit("1", tags=["prod"])
    lengthen(bench.registry, "m", 500)
    bench.backend.reset()
    bench.model.resolve(revision)
    assert dict(bench.backend.requests) == {"get": 3}
    assert bench.backend.round_trips == 2


def test_an_old_commit_finds_its_map_in_a_few_reads_in_a_log_of_two_thousand_entries(bench: Bench) -> None:
    old = bench.commit("old")
    lengthen(bench.registry, "m", 1_000)
    middle = bench.commit("middle")
    lengthen(bench.registry, "m", 1_000)
    new = bench.commit("new")
    for identity, at in ((old, 1), (middle, 1_002), (new, 2_003)):
        bench.backend.reset()
        version = bench.model.resolve(identity.hex)
        assert version.at == at
        assert bench.model._stores.objects.read_map(version.map)
        assert set(bench.backend.requests) == {"get"}
        assert bench.backend.requests["get"] <= 9, bench.backend.by_area()
    bench.backend.reset()
    assert bench.model.resolve(old.hex[:10]).at == 1
    assert bench.backend.requests.total() <= 10, bench.backend.by_area()
    bench.backend.reset()
    assert bench.model.resolve("main~2").commit == old
    assert bench.backend.requests.total() <= 10, bench.backend.by_area()


# Spilled tables


def test_thousands_of_tags_are_stored_aside_and_still_resolve(bench: Bench) -> None:
    names = [f"release-{number:04}" for number in range(3_000)]
    first = bench.commit("1", tags=names)
    second = bench.commit("2", tags=names[:5])
    assert len(bench.model.tags()) == 3_000
    assert bench.model.resolve("release-0004").commit == second
    assert bench.model.resolve("release-2999").commit == first
    assert bench.model.resolve("release-0004@{1}").commit == first
    bench.backend.reset()
    bench.model.resolve("release-2999")
    assert dict(bench.backend.requests) == {"get": 4}
    entry = bench.backend.get("refs/m/0000000002", length=2**20)
    assert len(entry) < 4_000


def test_a_table_that_shrinks_comes_back_into_its_entry(bench: Bench) -> None:
    names = [f"t{number}-{'x' * 200}" for number in range(200)]
    bench.commit("1", tags=names)
    assert isinstance(_last_entry(bench).refs, RefTableId)
    for name in names:
        bench.model.delete_tag(name)
    assert isinstance(_last_entry(bench).refs, RefTable)
    assert bench.model.tags() == []
    assert len(bench.model.history(RefKind.TAG, names[7])) == 2


def _last_entry(bench: Bench) -> Entry:
    head = bench.registry._stores.log("m").head()
    assert head is not None
    return head.entry


# Moving


def test_a_tag_moves_with_its_reason_and_its_whole_history(bench: Bench) -> None:
    ids = [bench.commit(str(n)) for n in range(3)]
    report = bench.model.tag("prod", "main~2", reason="first")
    assert (report.moved, report.commit, report.previous) == (True, ids[0], None)
    report = bench.model.tag("prod", "main", reason="beats it")
    assert (report.moved, report.commit, report.previous) == (True, ids[2], ids[0])
    assert not bench.model.tag("prod", "main", reason="again").moved
    bench.model.delete_tag("prod", reason="retired")
    bench.model.tag("prod", "main~1", reason="back")
    moves = bench.model.history(RefKind.TAG, "prod")
    assert [(move.commit, move.previous, move.why) for move in moves] == [
        (ids[1], None, "back"),
        (None, ids[2], "retired"),
        (ids[2], ids[0], "beats it"),
        (ids[0], None, "first"),
    ]
    assert {move.who for move in moves} == {"tester@bench"}
    assert [move.n for move in moves] == sorted((move.n for move in moves), reverse=True)


def test_a_deleted_ref_is_gone_but_its_history_stays(bench: Bench) -> None:
    identity = bench.commit("1", tags=["prod"])
    bench.model.branch("try", "main")
    bench.model.delete_tag("prod")
    bench.model.delete_branch("try")
    assert [ref.name for ref in bench.model.branches()] == ["main"]
    assert bench.model.tags() == []
    for name in ("prod", "try"):
        with pytest.raises(NotFoundError):
            bench.model.resolve(name)
    with pytest.raises(NotFoundError, match="has no tag 'prod'"):
        bench.model.delete_tag("prod")
    assert bench.model.history(RefKind.TAG, "prod")[1].commit == identity
    assert bench.model.history(RefKind.BRANCH, "try")[1].commit == identity
    bench.model.tag("prod", identity.hex)
    with pytest.raises(NotFoundError, match="was deleted at that point"):
        bench.model.resolve("prod@{1}")
    assert bench.model.resolve("prod@{2}").commit == identity


def test_expect_guards_a_tag(bench: Bench) -> None:
    ids = [bench.commit(str(n)) for n in range(3)]
    bench.model.tag("prod", "main~2")
    bench.model.tag("prod", "main~1", expect="main~2")
    with pytest.raises(ConflictError) as caught:
        bench.model.tag("prod", "main", expect="main~2")
    assert caught.value.fields == {"expected": ids[0].hex, "actual": ids[1].hex}
    with pytest.raises(ConflictError, match="stands at nothing"):
        bench.model.tag("new", "main", expect="main")
    assert bench.model.resolve("prod").commit == ids[1]


def test_a_branch_does_not_move_unless_forced(bench: Bench) -> None:
    ids = [bench.commit(str(n)) for n in range(2)]
    bench.model.branch("try", "main~1")
    with pytest.raises(ConflictError, match="exists"):
        bench.model.branch("try", "main")
    assert bench.model.resolve("try").commit == ids[0]
    assert bench.model.branch("try", "main", force=True).previous == ids[0]
    assert bench.model.resolve("try").commit == ids[1]


@pytest.mark.parametrize(
    ("taken", "other"),
    [
        (lambda model: model.tag("x", "main"), lambda model: model.branch("x", "main")),
        (lambda model: model.branch("x", "main"), lambda model: model.tag("x", "main")),
        (lambda model: model.branch("x", "main"), lambda model: model.tag("main", "main")),
    ],
)
def test_a_name_is_a_tag_or_a_branch_and_never_both(
    bench: Bench, taken: Callable[[Model], object], other: Callable[[Model], object]
) -> None:
    bench.commit("1")
    taken(bench.model)
    entries = bench.registry._stores.log("m").head()
    with pytest.raises(ConflictError, match="choose another name"):
        other(bench.model)
    assert bench.registry._stores.log("m").head() == entries


def test_moving_a_ref_of_a_model_without_versions_is_refused(bench: Bench) -> None:
    bench.commit("1")
    with pytest.raises(NotFoundError, match="has no versions yet"):
        bench.registry.model("new").tag("prod", "m@main")
    assert bench.registry.model("new").tags() == []
    assert bench.registry.model("new").branches() == []


def test_a_version_of_another_model_becomes_one_of_this_model_when_a_ref_is_put_on_it(bench: Bench) -> None:
    bench.commit("mine")
    bench.commit("older", model="other")
    theirs = bench.commit("theirs", model="other")
    bench.model.tag("imported", "other@main", reason="fork")
    bench.model.branch("fork", "other@main")
    for revision in ("imported", "fork", theirs.hex, theirs.hex[:10]):
        version = bench.model.resolve(revision)
        assert (version.commit, version.model) == (theirs, "m"), revision
        assert bench.model.read_bytes(revision, "a.txt") == b"theirs"
    mine = bench.commit("on top", branch="fork")
    assert bench.model.show("fork").commit.parents == (theirs,)
    assert [record.commit.message for record in bench.model.log("fork")] == ["on top", "theirs", "older"]
    assert bench.model.read_bytes("fork~2", "a.txt") == b"older"
    assert bench.registry.model("other").resolve("main").commit == theirs
    assert mine != theirs
    assert bench.registry.fsck(read_data=True).exit_code == 0


def test_a_commit_made_under_contention_is_found_by_its_id(bench: Bench) -> None:
    """Another entry takes the number for which the commit was made: it is made anew for the next."""
    bench.commit("1")
    interfered: list[str] = []

    def interfere(method: str, key: str) -> None:
        if method == "create" and key == "refs/m/0000000002" and not interfered:
            interfered.append(key)
            bench.model.tag("prod", "main", reason="meanwhile")

    racing = registry_over(HookedBackend(bench.backend, interfere), bench.registry._world)
    write_folder(bench.work, {"a.txt": File(b"contended")})
    report = racing.model("m").commit(bench.work)
    assert interfered
    version = bench.model.resolve(report.commit.hex)
    assert (version.at, version.number) == (3, 2)
    assert bench.model.show("main").commit.position == 2
    assert bench.model.resolve("main") == version


def test_the_log_is_a_chain(bench: Bench) -> None:
    bench.commit("1")
    lengthen(bench.registry, "m", 40)
    bench.commit("2")
    log: Log = bench.registry._stores.log("m")
    head = log.head()
    assert head is not None
    entries = log.read_many(range(1, head.n + 1))
    assert [recorded.entry.prev for recorded in entries] == [None, *(recorded.id for recorded in entries[:-1])]
    assert len({recorded.entry.nonce for recorded in entries}) == head.n
