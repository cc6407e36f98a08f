"""T3: whatever goes wrong at whatever call: success, or an error of ours and nothing changed; no conflict that is none, no success that is none."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from cas_registry.backends.wrappers import FIRST_WAIT_S, MAX_ATTEMPTS, RetryingBackend
from cas_registry.errors import AlreadyExistsError, ConflictError, NotFoundError, OutcomeUnknownError, RegistryError
from cas_registry.registry import Registry, registry_over
from cas_registry.store import log
from cas_registry.store.log import Log
from tests.reliability.matrix import Row
from tests.reliability.profile import NIGHTLY
from tests.reliability.scenes import (
    REFUSED,
    SCENES,
    copy_scene,
    prepare,
    registry_state,
    retire_released,
    small_borders,
    target_files,
)
from tests.reliability.storm import ALL, APPLIES, GOT_OVER, Fault, StormyBackend
from tests.support.simulated import make_world, memory_with

ROW = "T3"
RERUN_EVERY = 10
RETRIES_S = sum(FIRST_WAIT_S * 2**attempt for attempt in range(MAX_ATTEMPTS - 1))
PATIENCE_S = (
    log.APPEND_DEADLINE_S + 2 * RETRIES_S + 5 + 20
)  # a log's own tries, the last of them at length; some requests before

Act = Callable[[Registry, Path], object]
ACTS: dict[str, tuple[str, Act]] = {
    "commit": (
        "second commit with tags",
        lambda registry, root: registry.model("m").commit(root / "work", tags=["prod", "r2"]),
    ),
    "first commit": ("first commit", lambda registry, root: registry.model("m").commit(root / "work")),
    "commit to another model": (
        "promote",
        lambda registry, root: registry.model("n").commit(root / "work", base="m@main~1", message="a copy"),
    ),
    "branch": ("promote", lambda registry, _: registry.model("m").branch("next", "main~1")),
    "checkout": ("checkout over another", lambda registry, root: registry.model("m").checkout("main", root / "target")),
    "tag": ("promote", lambda registry, _: registry.model("m").tag("prod", "main", reason="better")),
    "note": ("note", lambda registry, _: registry.model("m").note("main", "drifts", metrics={"drift": 0.02})),
    "promote": (
        "promote a protected tag",
        lambda registry, _: registry.model("m").promote("main", "prod", reason="approved"),
    ),
    "fork": ("fork", lambda registry, _: registry.model("m").fork("fork", "main~1")),
    "merge": ("merge", lambda registry, _: registry.model("m").merge("dev")),
    "release": ("release", lambda registry, _: registry.release("prod", {"m": "main", "other": "main"})),
    "card": ("edit a card", lambda registry, _: registry.model("m").set_card("main", {"license": "apache-2.0"})),
    "retire": ("retire", lambda registry, _: registry.model("m").retire("v1", reason="wrong split")),
    "refused": (REFUSED.name, lambda registry, _: retire_released(registry)),
    "gc": ("gc", lambda registry, _: registry.gc(delete=True, grace_s=0, trash_window_s=0)),
    "repack": ("repack", lambda registry, _: registry.model("m").repack()),
}
# Verbs made of parts that others try at every call: every third one here, so that the faults between them meet all calls
_STEP = {} if NIGHTLY else dict.fromkeys(("note", "promote", "fork", "merge", "release", "card", "retire", "refused"), 3)


@dataclass
class Bench:
    """An operation: what the store and the folder hold before it, what a reader sees before and after, the calls that it makes."""

    act: Act
    root: Path
    objects: dict[str, bytes]
    calls: list[tuple[str, str]]
    old: object
    new: object
    new_files: dict[str, bytes]
    old_files: dict[str, bytes]


@dataclass
class Clock:
    """Time that passes where somebody waits, and nowhere else."""

    now_s: float = 0.0

    def sleep(self, wait_s: float) -> None:
        self.now_s += wait_s

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(Log.__init__, "__kwdefaults__", {"sleep": clock.sleep})
    monkeypatch.setattr(log, "time", clock)
    with small_borders():
        yield clock


@pytest.fixture(scope="module")
def benches() -> dict[tuple[str, int], Bench]:
    """Those that were made: no case changes one."""
    return {}


def _bench(name: str, folder: Path, seed: int) -> Bench:
    scene, act = ACTS[name]
    template = folder / "template"
    prepare({**SCENES, REFUSED.name: REFUSED}[scene], template, seed)
    registry = template / "registry"
    objects = {path.relative_to(registry).as_posix(): path.read_bytes() for path in registry.rglob("*") if path.is_file()}
    root = folder / "whole"
    copy_scene(template, root)
    store = memory_with(objects)
    calm = StormyBackend(store)
    old, old_files = registry_state(registry_over(store, make_world())), target_files(root)
    act(registry_over(calm, make_world()), root)
    return Bench(
        act,
        template,
        objects,
        calm.calls,
        old,
        registry_state(registry_over(store, make_world())),
        target_files(root),
        old_files,
    )


@pytest.mark.parametrize("seed", range(1, 51) if NIGHTLY else [1])
@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("name", ACTS)
def test_a_fault_at_every_call(
    name: str, fault: Fault, seed: int, clock: Clock, matrix: Row, benches: dict[tuple[str, int], Bench],
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    if (name, seed) not in benches:
        benches[name, seed] = _bench(name, tmp_path_factory.mktemp("bench"), seed)
    bench = benches[name, seed]
    step = _STEP.get(name, 1)
    for number, (method, _) in enumerate(bench.calls):
        if method in APPLIES.get(fault, ALL) and (number + list(Fault).index(fault)) % step == 0:
            matrix.count(_try(bench, fault, number, clock, tmp_path))


def _try(bench: Bench, fault: Fault, number: int, clock: Clock, folder: Path) -> bool:
    """One case; False where the fault found nobody."""
    store = memory_with(bench.objects)
    storm = StormyBackend(store, fault, number)
    root = bench.root
    if bench.old_files:
        root = folder / f"case-{number}"
        shutil.copytree(bench.root / "target", root / "target")
    started_s = clock.now_s
    failure: RegistryError | None = None
    report: object = None
    try:
        report = bench.act(registry_over(RetryingBackend(storm, sleep=clock.sleep), make_world()), root)
    except RegistryError as error:
        failure = error
    storm.calm()
    case = f"{fault} at call {number}, {bench.calls[number]}: {failure!r}"
    now = registry_state(registry_over(store, make_world()))
    files = target_files(root)
    if failure is None:
        assert now == bench.new, case
        assert getattr(report, "created", True), case  # of a commit: told as the writer's own
        assert files == bench.new_files or not bench.old_files, case
    else:
        assert not isinstance(failure, ConflictError), case
        assert fault not in GOT_OVER, case
        assert now == bench.old or (now == bench.new and isinstance(failure, OutcomeUnknownError)), case
        assert all(data in (bench.old_files.get(path), bench.new_files.get(path)) for path, data in files.items()), case
    assert clock.now_s - started_s <= PATIENCE_S, case
    check = registry_over(store, make_world()).fsck()
    assert check.exit_code == 0, (case, check.findings)
    if number % RERUN_EVERY == 0:
        with suppress(AlreadyExistsError, NotFoundError):  # a fork that is there says so, and a version that is retired
            bench.act(registry_over(store, make_world()), root)
        assert registry_state(registry_over(store, make_world())) == bench.new, case
        assert registry_over(store, make_world()).fsck(read_data=True).exit_code == 0, case
    return storm.hit
