"""Deploying: the folder that is served, what it costs to get there, and the way back."""

import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import (
    BackendError,
    ConflictError,
    FormatError,
    InvalidInputError,
    LocalEditsError,
    RegistryError,
    UnsafeFileError,
)
from cas_registry.operations.deploy import Deployment, Outcome, Reload
from cas_registry.operations.watching import Change, What
from cas_registry.registry import Model, registry_over
from cas_registry.worktree.served import ServedFolder
from tests.support.faulty import Fault, FaultKind, FaultyBackend
from tests.support.folders import KIB, MIB, File, Folder, make_bytes, read_folder, write_folder
from tests.support.simulated import RoundTripBackend, make_registry, make_world

BIG = make_bytes(1, 4 * MIB)


def version_files(number: int) -> Folder:
    """A big file that changes in one place, one that stays, a small one, and a folder of its own."""
    changed = bytearray(BIG)
    changed[2 * MIB : 2 * MIB + 4] = number.to_bytes(4, "big")
    return {
        "model.bin": File(bytes(changed)),
        "same.bin": File(make_bytes(2, MIB + 5)),
        "run.sh": File(b"#!/bin/sh\n", executable=True),
        f"epoch-{number}/log.txt": File(b"loss %d\n" % number),
    }


@dataclass
class Served:
    """A model with versions of `version_files`, and the folder from which it is served."""

    model: Model
    counted: RoundTripBackend
    store: MemoryBackend
    work: Path
    root: Path
    told: list[Reload] = field(default_factory=list)
    failing: set[int] = field(default_factory=set)

    def commit(self, number: int) -> str:
        report = self.model.commit(write_folder(self.work, version_files(number)), tags=["prod"])
        assert report.number == number
        return report.commit.hex

    def deploy(self, revision: str = "prod", **options: object) -> Deployment:
        done = self.model.deploy(revision, self.root, hook=self.hook, **options)
        self.check()
        return done

    def hook(self, reload: Reload) -> None:
        assert reload.folder
        assert (self.root / "current").resolve() == reload.folder.resolve()
        self.told.append(reload)
        if reload.number in self.failing:
            raise RuntimeError(f"version {reload.number} does not load")

    def current(self) -> int | None:
        try:
            name = os.readlink(self.root / "current")
        except FileNotFoundError:
            return None
        return int(name.partition("-")[0][1:])

    def check(self) -> None:
        """`current` names a whole version."""
        number = self.current()
        if number is not None:
            assert read_folder(self.root / "current") == version_files(number)

    def names(self) -> list[int]:
        return sorted(int(path.name.partition("-")[0][1:]) for path in self.root.glob("v*-*"))


@pytest.fixture
def served(tmp_path: Path) -> Served:
    store = MemoryBackend("served")
    counted = RoundTripBackend(store)
    model = make_registry(counted, make_world(tmp_path / "cache")).model("m")
    return Served(model, counted, store, tmp_path / "work", tmp_path / "serve")


# The way there


def test_the_first_version_becomes_a_folder_and_current_names_it(served: Served) -> None:
    commit = served.commit(1)
    done = served.deploy()
    assert (done.outcome, done.serving, done.number, done.previous) == (Outcome.DEPLOYED, done.version.commit, 1, None)
    assert done.folder == served.root / f"v1-{commit[:12]}"
    assert os.readlink(served.root / "current") == f"v1-{commit[:12]}"
    (told,) = served.told
    assert (told.model, told.commit.hex, told.number, told.previous, told.rolled_back) == ("m", commit, 1, None, False)


def test_the_next_one_fetches_what_changed_and_copies_the_rest_from_the_one_before(served: Served) -> None:
    served.commit(1)
    served.deploy()
    served.commit(2)
    served.counted.reset()
    done = served.deploy()
    assert done.checkout
    packs = sum(1 for method, key in served.counted.keys if key.startswith("packs/"))
    assert packs <= 2
    assert done.checkout.fetched_bytes < 300 * KIB
    assert done.checkout.seeded_bytes > 4.7 * MIB
    assert done.checkout.written_bytes == sum(len(file.data) for file in version_files(2).values() if file)
    assert (served.current(), served.told[-1].previous) == (2, served.told[0].commit)
    assert read_folder(served.root / f"v1-{served.told[0].commit.short}") == version_files(1)


def test_what_is_going_to_be_fetched_is_told_before(served: Served) -> None:
    served.commit(1)
    served.deploy()
    served.commit(2)
    plans = []

    def foresee(plan: object) -> None:
        assert served.current() == 1
        plans.append(plan)

    done = served.deploy(foresee=foresee)
    (plan,) = plans
    assert done.checkout
    assert plan.fetch_bytes == done.checkout.fetched_bytes
    assert 0 < plan.fetch_bytes < 300 * KIB


def test_a_neighbour_whose_files_were_edited_is_not_believed(served: Served) -> None:
    served.commit(1)
    first = served.deploy().folder
    assert first
    served.commit(2)
    (first / "same.bin").write_bytes(b"x" * (MIB + 5))
    (first / "model.bin").write_bytes(bytes(4 * MIB))
    done = served.model.deploy("prod", served.root, hook=served.hook)
    served.check()
    assert done.checkout
    assert done.checkout.seeded_bytes < KIB


def test_a_version_that_is_served_already_is_checked_and_nobody_is_told(served: Served) -> None:
    served.commit(1)
    served.deploy()
    done = served.deploy()
    assert (done.outcome, len(served.told)) == (Outcome.UNCHANGED, 1)
    assert done.folder
    (done.folder / "model.bin").write_bytes(b"damaged")
    done = served.deploy()
    assert (done.outcome, len(served.told)) == (Outcome.DEPLOYED, 2)


def test_a_version_whose_folder_is_gone_is_written_again(served: Served) -> None:
    import shutil

    served.commit(1)
    done = served.deploy()
    assert done.folder
    shutil.rmtree(done.folder)
    assert served.model.deploy("prod", served.root).outcome is Outcome.DEPLOYED
    served.check()


def test_going_back_to_the_version_before_fetches_nothing(served: Served) -> None:
    served.commit(1)
    served.deploy()
    served.commit(2)
    served.deploy()
    served.counted.reset()
    done = served.deploy("main~1")
    assert (served.current(), done.outcome) == (1, Outcome.DEPLOYED)
    assert not [key for _, key in served.counted.keys if key.startswith("packs/")]


def test_a_fetch_that_fails_leaves_everything_as_it_was_and_the_next_one_goes_on(served: Served) -> None:
    served.commit(1)
    served.deploy()
    served.commit(2)
    faulty = FaultyBackend(served.store, [Fault("get", FaultKind.FAIL_BEFORE, "packs/", times=None)])
    broken = registry_over(faulty, served.model._world).model("m")
    with pytest.raises(BackendError):
        broken.deploy("prod", served.root, hook=served.hook)
    assert served.current() == 1
    served.check()
    assert len(served.told) == 1
    assert served.deploy().outcome is Outcome.DEPLOYED


# The way back


def test_a_version_that_is_not_taken_up_is_taken_back_and_the_one_before_told_again(served: Served) -> None:
    first = served.commit(1)
    served.deploy()
    second = served.commit(2)
    served.failing = {2}
    done = served.deploy()
    assert (done.outcome, done.failure, served.current()) == (Outcome.ROLLED_BACK, "version 2 does not load", 1)
    assert done.serving
    assert done.serving.hex == first
    assert [(told.number, told.rolled_back) for told in served.told] == [(1, False), (2, False), (1, True)]
    assert served.told[-1].previous
    assert served.told[-1].previous.hex == second
    assert 2 in served.names(), "to be looked at"


def test_a_first_version_that_fails_leaves_no_current(served: Served) -> None:
    served.commit(1)
    served.failing = {1}
    done = served.deploy()
    assert (done.outcome, done.serving, done.folder, served.current()) == (Outcome.ROLLED_BACK, None, None, None)
    assert [told.number for told in served.told] == [1]


def test_the_one_before_may_fail_as_well_which_is_told(served: Served) -> None:
    served.commit(1)
    served.deploy()
    served.commit(2)
    served.failing = {1, 2}
    done = served.deploy()
    assert (done.rollback_failure, served.current()) == ("version 1 does not load", 1)


def test_a_watch_does_not_try_a_bad_version_again_until_the_name_moves(served: Served) -> None:
    def look() -> Change:
        (change,) = served.model.changes("prod", once=True, folder=served.root, hook=served.hook)
        served.check()
        return change

    served.commit(1)
    assert (look().what, served.current()) == (What.STANDS, 1)
    served.commit(2)
    served.failing = {2}
    change = look()
    assert (change.what, change.number, served.current()) == (What.ROLLED_BACK, 1, 1)
    tried = len(served.told)
    change = look()
    assert (change.what, change.number, len(served.told)) == (What.ROLLED_BACK, 1, tried)
    assert change.deployment
    assert change.deployment.outcome is Outcome.REFUSED
    served.model.tag("prod", "main~1")
    assert (look().what, served.current()) == (What.STANDS, 1)
    served.failing = set()
    served.model.tag("prod", "main")
    assert (look().what, served.current()) == (What.STANDS, 2)


def test_a_person_who_deploys_a_bad_version_again_is_obeyed(served: Served) -> None:
    served.commit(1)
    served.failing = {1}
    served.deploy()
    served.failing = set()
    assert served.deploy().outcome is Outcome.DEPLOYED


class KilledError(BaseException):
    """Whoever deploys is stopped while the hook runs."""


def killed(_: Reload) -> None:
    raise KilledError


def test_the_way_back_leads_past_a_version_of_which_nobody_knows_whether_it_was_taken_up(served: Served) -> None:
    served.commit(1)
    served.deploy()
    served.commit(2)
    with pytest.raises(KilledError):
        served.model.deploy("prod", served.root, hook=killed)
    assert served.current() == 2
    served.commit(3)
    served.failing = {3}
    assert served.deploy().outcome is Outcome.ROLLED_BACK
    assert served.current() == 1


def test_a_hook_that_was_not_seen_to_end_is_run_again(served: Served) -> None:
    served.commit(1)
    with pytest.raises(KilledError):
        served.model.deploy("prod", served.root, hook=killed)
    assert served.current() == 1
    done = served.deploy()
    assert (done.outcome, [told.number for told in served.told]) == (Outcome.DEPLOYED, [1])


# A watch that deploys


def test_a_version_that_could_not_be_fetched_is_tried_again_though_the_name_has_not_moved_since(served: Served) -> None:
    served.commit(1)
    faulty = FaultyBackend(served.store, [Fault("get", FaultKind.FAIL_BEFORE, "packs/", times=1)])
    model = registry_over(faulty, served.model._world).model("m")
    changes = model.changes("prod", interval_s=0.001, folder=served.root, hook=served.hook)
    assert next(changes).what is What.ERROR
    assert served.current() is None
    found = next(changes)
    assert (found.what, found.number, served.current()) == (What.STANDS, 1, 1)
    changes.close()


def test_a_name_that_is_gone_leaves_what_is_served(served: Served) -> None:
    served.commit(1)
    changes = served.model.changes("prod", interval_s=0.001, folder=served.root, hook=served.hook)
    next(changes)
    served.model.delete_tag("prod")
    assert next(changes).what is What.DELETED
    assert served.current() == 1
    changes.close()


# What stays


def _look_at_all(served: Served, last: int, **options: int) -> None:
    for number in range(1, last + 1):
        served.commit(number)
        served.deploy(**options)


def test_two_versions_stay_and_more_if_asked(served: Served) -> None:
    _look_at_all(served, 4)
    assert served.names() == [3, 4]
    for number in (5, 6, 7):
        served.commit(number)
        served.deploy(keep=4)
    assert served.names() == [4, 5, 6, 7]


def test_the_one_before_stays_though_it_is_the_oldest(served: Served) -> None:
    _look_at_all(served, 3, keep=3)
    served.deploy("main~2", keep=3)
    done = served.deploy("main~1", keep=2)
    assert served.names() == [1, 2]
    assert len(done.pruned) == 1


def test_a_folder_that_somebody_holds_a_lock_on_stays(served: Served) -> None:
    served.commit(1)
    folder = served.deploy().folder
    assert folder
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        for number in (2, 3, 4):
            served.commit(number)
            served.deploy()
        assert served.names() == [1, 3, 4]
    finally:
        os.close(handle)
    served.commit(5)
    served.deploy()
    assert served.names() == [4, 5]


def test_what_is_no_version_is_never_removed(served: Served) -> None:
    served.commit(1)
    served.deploy()
    (served.root / "notes").mkdir()
    (served.root / "v0-notes.txt").write_text("mine")
    _ = [(served.commit(number), served.deploy()) for number in (2, 3, 4)]
    assert (served.root / "notes").is_dir()
    assert (served.root / "v0-notes.txt").read_text() == "mine"


# What is refused


def test_one_folder_has_one_process_at_work_and_one_model(served: Served) -> None:
    served.commit(1)
    served.deploy()
    with ServedFolder(served.root), pytest.raises(ConflictError, match="another process"):
        served.model.deploy("prod", served.root)
    other = registry_over(served.store, served.model._world).model("other")
    other.commit(write_folder(served.work, {"a": File(b"a")}))
    with pytest.raises(ConflictError, match="serves model 'm', not 'other'"):
        other.deploy("main", served.root)
    stranger = make_registry(MemoryBackend("stranger"), served.model._world).model("m")
    stranger.commit(served.work)
    with pytest.raises(ConflictError, match="of another registry"):
        stranger.deploy("main", served.root)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.mkdir(),
        lambda path: path.write_text("v1"),
        lambda path: path.symlink_to("elsewhere"),
        lambda path: path.symlink_to("../v1-0123456789ab"),
    ],
)
def test_a_current_of_somebody_elses_is_left_alone(served: Served, make: Callable[[Path], object]) -> None:
    served.commit(1)
    served.root.mkdir()
    make(served.root / "current")
    with pytest.raises(LocalEditsError, match="not a link that was made here"):
        served.model.deploy("prod", served.root)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"registry": 1}', b"\xff", b"[" * 100_000])
def test_a_damaged_memory_is_named_and_not_guessed(served: Served, data: bytes) -> None:
    served.commit(1)
    served.deploy()
    (served.root / ".reg" / "served.json").write_bytes(data)
    with pytest.raises(FormatError, match=r"served\.json is damaged"):
        served.model.deploy("prod", served.root)


def test_what_runs_code_is_not_deployed_where_that_is_refused_and_the_watch_says_so(served: Served) -> None:
    served.commit(1)
    served.deploy(safe_only=True)
    files = {**version_files(2), "scaler.json": File(b"cos\nsystem\n(S'id'\ntR.")}
    served.model.commit(write_folder(served.work, files), tags=["prod"])
    with pytest.raises(UnsafeFileError):
        served.deploy(safe_only=True)
    changes = served.model.changes("prod", folder=served.root, safe_only=True, hook=served.hook)
    change = next(changes)
    changes.close()
    assert (change.what, isinstance(change.error, UnsafeFileError), served.current()) == (What.ERROR, True, 1)


def test_what_nobody_signed_is_not_deployed_where_that_is_asked_for(served: Served) -> None:
    served.commit(1)
    with pytest.raises(RegistryError):
        served.deploy(verify=True)
    assert served.current() is None


def test_links_to_the_cache_need_it(served: Served) -> None:
    served.commit(1)
    with pytest.raises(InvalidInputError, match="leave out no-cache"):
        served.model.deploy("prod", served.root, link=True, cache=False)
