"""Bisection: the first bad version of any history, in about as many tests as halving takes."""

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import CountingBackend
from cas_registry.errors import InvalidInputError, LocalEditsError
from cas_registry.operations.bisect import choose
from cas_registry.registry import BisectReport, BisectStep, Judgement, Model, Version
from tests.support.folders import KIB, File, make_bytes, write_folder
from tests.support.histories import Parents, behind, commit_after, dags
from tests.support.simulated import make_registry, make_world


@pytest.fixture
def counting() -> CountingBackend:
    return CountingBackend(MemoryBackend("bisect"))


@pytest.fixture
def model(counting: CountingBackend, tmp_path: Path) -> Model:
    return make_registry(counting, make_world(tmp_path / "cache")).model("m")


def grow(model: Model, work: Path, history: Parents) -> list[str]:
    """A version for each of the history, whose one file says its number; returns their ids."""
    ids: list[str] = []
    for number, parents in enumerate(history):
        folder = {"n": File(str(number).encode())}
        ids.append(commit_after(model, work, folder, [ids[parent] for parent in parents], message=f"number {number}"))
    return ids


def number_in(folder: Path) -> int:
    return int((folder / "n").read_text())


# Choosing


def search(history: Parents, bad: int, broken: set[int], skipped: set[int]) -> tuple[list[int], int, int]:
    """What is left when nothing more can be told, the earliest that is known to be bad, and how many tests that took. `broken` versions fail."""
    parents = dict(reversed(list(enumerate(history))))
    goods, untold, tests = [0], set[int](), 0
    while (choice := choose(parents, bad, goods, untold, avoided=len(untold))).following is not None:
        tests += 1
        assert choice.following in choice.left
        if choice.following in skipped:
            untold.add(choice.following)
        elif choice.following in broken:
            bad = choice.following
        else:
            goods.append(choice.following)
    return sorted(choice.left), bad, tests


@given(dags(), st.data())
def test_the_first_bad_one_is_found_in_every_history(history: Parents, data: st.DataObject) -> None:
    last = len(history) - 1
    culprit = data.draw(st.sampled_from(sorted(behind(history, last))))
    if culprit == 0:
        return
    broken = {number for number in range(len(history)) if culprit in behind(history, number)}
    found, _, tests = search(history, last, broken, set())
    assert found == [culprit]
    candidates = behind(history, last) - {0}
    assert tests <= len(candidates) - 1


@given(dags(), st.data())
def test_with_versions_that_cannot_be_tested_it_is_among_what_is_left(history: Parents, data: st.DataObject) -> None:
    last = len(history) - 1
    culprit = data.draw(st.sampled_from(sorted(behind(history, last))))
    if culprit == 0:
        return
    skipped = data.draw(st.sets(st.integers(1, max(1, last)))) - {last}
    broken = {number for number in range(len(history)) if culprit in behind(history, number)}
    found, bad, _ = search(history, last, broken, skipped)
    assert culprit in found
    assert set(found) - {bad} <= skipped


@pytest.mark.parametrize("length", [2, 3, 8, 100, 1000])
def test_a_line_takes_as_many_tests_as_halving_does(length: int) -> None:
    history = [[number - 1] if number else [] for number in range(length)]
    for culprit in {1, length // 3 or 1, length // 2 or 1, length - 1}:
        found, _, tests = search(history, length - 1, set(range(culprit, length)), set())
        assert found == [culprit]
        assert tests <= math.ceil(math.log2(length - 1)) if length > 2 else tests == 0


def test_branches_beside_each_other_are_halved_too() -> None:
    sides = 15  # from version 0, all merged one after another
    history: Parents = [[]] + [[0] for _ in range(sides)]
    for side in range(2, sides + 1):
        history.append([len(history) - 1 if side > 2 else 1, side])
    last = len(history) - 1
    broken = {number for number in range(len(history)) if 7 in behind(history, number)}
    found, _, tests = search(history, last, broken, set())
    assert found == [7]
    assert tests <= math.ceil(math.log2(last)) + 1


def test_next_to_what_cannot_be_tested_is_not_where_it_goes_on() -> None:
    history = [[number - 1] if number else [] for number in range(400)]
    found, _, tests = search(history, 399, set(range(60, 400)), set(range(150, 250)))
    assert found == [60]
    assert tests <= 30  # one by one it would be fifty


# In a registry


def test_it_checks_out_what_it_tests_and_nothing_that_is_there_already(
    model: Model, counting: CountingBackend, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    big = File(make_bytes(1, 300 * KIB))
    for number in range(16):
        model.commit(write_folder(work, {"n": File(str(number).encode()), "big.bin": big}), message=f"number {number}")
    seen: list[tuple[int, Path]] = []
    steps: list[BisectStep] = []

    def test(folder: Path, version: Version) -> bool:
        assert (folder / "big.bin").read_bytes() == big.data
        seen.append((version.number, folder))
        return number_in(folder) < 11

    counting.reset()
    report = model.bisect("main~15", "main", test, on_step=steps.append)
    assert report.first_bad
    assert (report.first_bad.number, report.first_bad.commit.message) == (12, "number 11")
    assert len(seen) == len(steps) == len(report.steps) == 4
    assert [step.record.number for step in steps] == [number for number, _ in seen]
    assert [step.left for step in steps] == [15, 8, 4, 2]
    assert {step.judgement for step in steps} == {Judgement.GOOD, Judgement.BAD}
    assert not seen[0][1].exists()
    fetched = [key for _, key in counting.keys if key.startswith("packs/")]
    assert len(fetched) <= 1 + len(seen)  # the big file once


def test_a_merge_brings_in_the_bad_one_and_first_parents_alone_name_the_merge(model: Model, tmp_path: Path) -> None:
    history: Parents = [[], [0], [0], [2], [1, 3], [4]]  # 3 is the first bad one, on a side branch
    ids = grow(model, tmp_path / "work", history)
    bad = {3, 4, 5}

    def test(folder: Path, _: Version) -> bool:
        return number_in(folder) not in bad

    report = model.bisect(ids[0], ids[5], test)
    assert report.first_bad
    assert report.first_bad.id.hex == ids[3]
    report = model.bisect(ids[0], ids[5], test, first_parent=True)
    assert report.first_bad
    assert report.first_bad.id.hex == ids[4]
    assert {step.record.id.hex for step in report.steps} <= {ids[1], ids[4]}


def test_ends_on_different_branches_meet_in_a_version_that_must_be_good(model: Model, tmp_path: Path) -> None:
    history: Parents = [[], [0], [1], [1], [3]]  # 2 is good, 4 is bad, both came from 1
    ids = grow(model, tmp_path / "work", history)
    report = model.bisect(ids[2], ids[4], lambda folder, _: number_in(folder) != 3)
    assert [step.record.id.hex for step in report.steps] == [ids[1], ids[3]]
    assert report.first_bad
    assert report.first_bad.id.hex == ids[3]
    with pytest.raises(InvalidInputError, match="mended on the way"):
        model.bisect(ids[2], ids[4], lambda folder, _: number_in(folder) == 2)


def test_ends_that_do_not_fit_are_refused(model: Model, tmp_path: Path) -> None:
    ids = grow(model, tmp_path / "work", [[], [0], [1]])
    alone = commit_after(model, tmp_path / "work", {"n": File(b"9")}, [])
    never = pytest.fail

    with pytest.raises(InvalidInputError, match="both good and bad"):
        model.bisect(ids[1], ids[1], never)
    with pytest.raises(InvalidInputError, match="wrong way round"):
        model.bisect(ids[2], ids[0], never)
    with pytest.raises(InvalidInputError, match="no history in common"):
        model.bisect(alone, ids[2], never)


def test_versions_that_cannot_be_told_leave_suspects_and_retired_ones_are_not_tried(model: Model, tmp_path: Path) -> None:
    ids = grow(model, tmp_path / "work", [[], [0], [1], [2], [3], [4]])
    model.retire(ids[2])
    tried: list[int] = []

    def test(folder: Path, version: Version) -> bool | None:
        tried.append(number_in(folder))
        return None if number_in(folder) == 3 else number_in(folder) < 2

    report = model.bisect([ids[0]], ids[5], test)
    assert report.first_bad is None
    assert [suspect.id.hex for suspect in report.suspects] == [ids[4], ids[3], ids[2]]
    assert sorted(tried) == [1, 3, 4]


def test_a_folder_of_ones_own_is_not_overwritten_unasked_and_stays(model: Model, tmp_path: Path) -> None:
    ids = grow(model, tmp_path / "work", [[], [0], [1], [2]])
    mine = write_folder(tmp_path / "mine", {"n": File(b"mine")})

    def test(folder: Path, _: Version) -> bool:
        number = number_in(folder)
        (folder / "n").write_text("7")  # a test may leave anything behind
        return number < 2

    with pytest.raises(LocalEditsError):
        model.bisect(ids[0], ids[3], test, folder=mine)
    assert (mine / "n").read_bytes() == b"mine"
    report = model.bisect(ids[0], ids[3], test, folder=mine, force=True)
    assert report.first_bad
    assert report.first_bad.id.hex == ids[2]
    assert mine.exists()


def test_what_a_test_raises_ends_it_and_leaves_no_folder(model: Model, tmp_path: Path) -> None:
    ids = grow(model, tmp_path / "work", [[], [0], [1], [2]])
    folders: list[Path] = []

    def test(folder: Path, _: Version) -> bool:
        folders.append(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.bisect(ids[0], ids[3], test)
    assert not folders[0].exists()


@given(history=dags(10), data=st.data())
@settings(max_examples=15)
def test_the_first_bad_one_of_every_history_is_found_by_checking_out(
    tmp_path_factory: pytest.TempPathFactory, history: Parents, data: st.DataObject
) -> None:
    model = make_registry(MemoryBackend(), make_world()).model("m")
    ids = grow(model, tmp_path_factory.mktemp("work"), history)
    last = len(history) - 1
    culprit = data.draw(st.sampled_from(sorted(behind(history, last))))
    if culprit == 0:
        return
    report: BisectReport = model.bisect(ids[0], ids[last], lambda folder, _: culprit not in behind(history, number_in(folder)))
    assert report.first_bad
    assert report.first_bad.id.hex == ids[culprit]


def test_a_long_history_is_read_no_further_than_the_good_version(
    model: Model, counting: CountingBackend, tmp_path: Path
) -> None:
    for number in range(120):
        model.commit(write_folder(tmp_path / "work", {"n": File(str(number).encode())}))
    counting.reset()
    model.bisect("main~3", "main", lambda folder, _: number_in(folder) < 118)
    commits = {key for _, key in counting.keys if key.startswith("commits/")}
    assert len(commits) < 80
