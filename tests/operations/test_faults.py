"""A store that fails at any call of a commit or of a move: old or new, never another state, and a rerun succeeds.

Every call is hit in turn, before and after it took effect. Without retries the error reaches the caller; with them a lost answer
shows as AlreadyExistsError of one's own write, and must not become a conflict.
"""

import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cas_registry.backends import Backend
from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import RetryingBackend
from cas_registry.errors import AccessError, BackendError, NotFoundError, OutcomeUnknownError
from cas_registry.operations import placing
from cas_registry.registry import Registry, registry_over
from cas_registry.store import log
from cas_registry.store.log import Log
from tests.support.faulty import Fault, FaultKind, FaultyBackend
from tests.support.folders import KIB, File, make_bytes, write_folder
from tests.support.simulated import HookedBackend, make_registry, make_world, memory_with, objects_of


@dataclass(frozen=True)
class Scene:
    """A registry as it is before `act`; `state` says what the store then holds, for comparing with before and after."""

    before: dict[str, bytes]
    act: Callable[[Registry], object]

    def run(self, backend: Backend) -> object:
        return self.act(registry_over(backend, make_world(None)))


def _state(store: MemoryBackend) -> object:
    """The refs of the model and how many versions there are: what a reader sees."""
    registry = registry_over(store, make_world(None))
    assert registry.fsck(read_data=True).exit_code == 0
    model = registry.model("m")
    trees = {ref.name: model.resolve(ref.name).tree for ref in (*model.branches(), *model.tags())}
    return trees, [row.versions for row in registry.models() if row.versions]


def _first_commit(tmp_path: Path) -> Scene:
    store = MemoryBackend("first")
    make_registry(store)
    work = write_folder(tmp_path / "work", {"a.bin": File(make_bytes(1, 20 * KIB)), "b/c.txt": File(b"c")})
    return Scene(objects_of(store), lambda registry: registry.model("m").commit(work, tags=["prod"]))


def _second_commit(tmp_path: Path) -> Scene:
    first = _first_commit(tmp_path)
    store = memory_with(first.before)
    first.run(store)
    changed = write_folder(
        tmp_path / "changed", {"a.bin": File(make_bytes(2, 20 * KIB)), "b/c.txt": File(b"d"), "e/f/g": File(b"g")}
    )
    return Scene(objects_of(store), lambda registry: registry.model("m").commit(changed))


def _tag_move(tmp_path: Path) -> Scene:
    second = _second_commit(tmp_path)
    store = memory_with(second.before)
    second.run(store)
    return Scene(objects_of(store), lambda registry: registry.model("m").tag("prod", "main", reason="better"))


def _tag_deletion(tmp_path: Path) -> Scene:
    moved = _tag_move(tmp_path)
    return Scene(moved.before, lambda registry: registry.model("m").delete_tag("prod"))


SCENES = [_first_commit, _second_commit, _tag_move, _tag_deletion]


@pytest.fixture(autouse=True)
def _short_waits_and_small_borders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "BIG_FILE_BYTES", 12 * KIB)
    monkeypatch.setattr(Log.__init__, "__kwdefaults__", {"sleep": lambda _: None})
    monkeypatch.setattr(log, "APPEND_DEADLINE_S", 0.05)


def _calls(scene: Scene) -> Counter[str]:
    """How often a run that nothing disturbs calls each method."""
    calls: Counter[str] = Counter()

    def count(method: str, _key: str) -> None:
        calls[method] += 1

    scene.run(HookedBackend(memory_with(scene.before), count))
    return calls


def _states(scene: Scene) -> tuple[object, object]:
    store = memory_with(scene.before)
    old = _state(store)
    scene.run(store)
    return old, _state(store)


def _cases(scene: Scene, kinds: list[FaultKind], *, transient: bool) -> list[Fault]:
    calls = _calls(scene)
    assert calls["create"] >= 1
    assert calls["flush"] >= 1
    return [
        Fault(method, kind, call=call, transient=transient)
        for method in sorted(calls)
        for call in range(calls[method])
        for kind in kinds
    ]


@pytest.mark.parametrize("make", SCENES)
def test_a_failure_at_any_call_leaves_the_old_state_or_the_new_and_a_rerun_succeeds(
    tmp_path: Path, make: Callable[[Path], Scene]
) -> None:
    scene = make(tmp_path)
    old, new = _states(scene)
    failed = 0
    for fault in _cases(scene, [FaultKind.FAIL_BEFORE, FaultKind.FAIL_AFTER, FaultKind.DENY], transient=False):
        store = memory_with(scene.before)
        faulty = FaultyBackend(store, [fault])
        try:
            scene.run(faulty)
        except (BackendError, AccessError):
            failed += 1
            assert _state(store) == old, fault
        except OutcomeUnknownError:
            failed += 1
            assert _state(store) in (old, new), fault
        else:
            assert _state(store) == new, fault
        faulty.assert_all_hit()
        _rerun(scene, store)
        assert _state(store) == new, fault
    assert failed > 10


@pytest.mark.parametrize("make", SCENES)
def test_an_answer_lost_at_any_call_is_got_over_by_retries_without_a_false_conflict(
    tmp_path: Path, make: Callable[[Path], Scene]
) -> None:
    scene = make(tmp_path)
    _, new = _states(scene)
    for fault in _cases(scene, [FaultKind.FAIL_BEFORE, FaultKind.FAIL_AFTER], transient=True):
        if fault.method == "flush":
            continue  # never tried again: the test below
        store = memory_with(scene.before)
        faulty = FaultyBackend(store, [fault])
        scene.run(RetryingBackend(faulty, sleep=lambda _: None))
        faulty.assert_all_hit()
        assert _state(store) == new, fault


@pytest.mark.parametrize("make", SCENES)
def test_a_sync_that_fails_fails_the_operation_though_a_second_sync_would_succeed(
    tmp_path: Path, make: Callable[[Path], Scene]
) -> None:
    scene = make(tmp_path)
    old, new = _states(scene)
    for call in range(_calls(scene)["flush"]):
        store = memory_with(scene.before)
        faulty = FaultyBackend(store, [Fault("flush", FaultKind.FAIL_BEFORE, call=call)])
        with pytest.raises((BackendError, OutcomeUnknownError)):
            scene.run(RetryingBackend(faulty, sleep=lambda _: None))
        faulty.assert_all_hit()
        assert _state(store) in (old, new)


@pytest.mark.parametrize("make", SCENES)
def test_two_lost_answers_in_a_row_are_got_over_too(tmp_path: Path, make: Callable[[Path], Scene]) -> None:
    scene = make(tmp_path)
    _, new = _states(scene)
    for call in range(_calls(scene)["create"]):
        store = memory_with(scene.before)
        faulty = FaultyBackend(
            store, [Fault("create", FaultKind.FAIL_AFTER, call=call), Fault("create", FaultKind.FAIL_AFTER, call=call + 1)]
        )
        scene.run(RetryingBackend(faulty, sleep=lambda _: None))
        assert _state(store) == new


def test_an_entry_that_landed_while_reading_back_is_refused_is_an_unknown_outcome(tmp_path: Path) -> None:
    scene = _second_commit(tmp_path)
    _, new = _states(scene)
    for kind, transient in ((FaultKind.DENY, False), (FaultKind.FAIL_BEFORE, False), (FaultKind.FAIL_BEFORE, True)):
        store = memory_with(scene.before)
        entry = "refs/m/0000000002"
        lost = Fault("create", FaultKind.FAIL_AFTER, key=entry, transient=transient)
        silent = Fault("get", kind, key=entry, call=1, times=None, transient=transient)  # call 0 looks for the head
        faulty = FaultyBackend(store, [lost, silent])
        with pytest.raises(OutcomeUnknownError) as caught:
            scene.run(faulty)
        faulty.assert_all_hit()
        assert caught.value.fields["key"] == entry
        assert caught.value.exit_code == 75
        assert _state(store) == new


def test_a_store_that_goes_silent_at_the_entry_is_an_unknown_outcome_that_reading_settles(tmp_path: Path) -> None:
    scene = _second_commit(tmp_path)
    old, new = _states(scene)
    store = memory_with(scene.before)
    faulty = FaultyBackend(store, [Fault("create", FaultKind.FAIL_BEFORE, key="refs/", times=None)])
    with pytest.raises(OutcomeUnknownError):
        scene.run(faulty)
    assert _state(store) == old
    _rerun(scene, store)
    assert _state(store) == new


@pytest.mark.parametrize("kind", [FaultKind.DENY, FaultKind.FAIL_BEFORE])
@pytest.mark.parametrize("make", SCENES)
def test_a_store_that_takes_no_hints_serves_all_the_same(
    tmp_path: Path, make: Callable[[Path], Scene], kind: FaultKind
) -> None:
    scene = make(tmp_path)
    _, new = _states(scene)
    store = memory_with(scene.before)
    faulty = FaultyBackend(store, [Fault("put", kind, times=None)])
    scene.run(faulty)
    faulty.assert_all_hit()
    assert _state(store) == new


def test_a_number_taken_by_another_is_followed_however_the_answer_comes(tmp_path: Path) -> None:
    """The answer to the create is lost; what stands under the number is another writer's entry."""
    scene = _second_commit(tmp_path)
    store = memory_with(scene.before)
    other = registry_over(store, make_world(None)).model("m")
    interfered = False

    def interfere(method: str, key: str) -> None:
        nonlocal interfered
        if method == "create" and key == "refs/m/0000000002" and not interfered:
            interfered = True
            other.tag("r1", "main", reason="meanwhile")
            raise BackendError("lost", transient=True)

    report = scene.run(HookedBackend(store, interfere))
    assert interfered
    assert report.created
    assert other.resolve("main").at == 3
    assert other.resolve("r1").commit == other.resolve("main~1").commit


def _rerun(scene: Scene, store: MemoryBackend) -> None:
    with contextlib.suppress(NotFoundError):  # what was to be deleted is gone already
        scene.run(store)
