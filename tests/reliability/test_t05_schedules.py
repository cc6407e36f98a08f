"""T5: committers, collectors, a retirement and a reader over one store, in every order that seeds give; T13: and with clocks that are wrong."""

import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from cas_registry.backends import Backend
from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import ConflictError, NotFoundError, RegistryError
from cas_registry.operations import collection, placing, storing, transfer
from cas_registry.operations.transfer import fetch_group
from cas_registry.operations.version_files import list_files, locate_files
from cas_registry.registry import registry_over
from cas_registry.store.layout import MAPS, PACKS
from tests.reliability.matrix import Row
from tests.reliability.profile import scaled
from tests.reliability.scheduler import Actor, InlineExecutor, Schedule, Stopped
from tests.support.folders import make_bytes
from tests.support.simulated import Clock, make_registry, make_world, memory_with, objects_of

ROW = "T5"
ORDERS = ("random", "priorities", "stall")
CONTENTS = 5  # files that versions are made of: few, so that they meet
FILE_BYTES = 3000
YEARS_10_NS = 10 * 365 * 24 * 3600 * 10**9


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of a few KiB are big: they have hints and maps of their own. No threads but the actors, no limit on what goes."""
    for module in (placing, storing):
        if hasattr(module, "BIG_FILE_BYTES"):
            monkeypatch.setattr(module, "BIG_FILE_BYTES", 2048)
    monkeypatch.setattr(placing, "INLINE_BYTES", 100)
    monkeypatch.setattr(transfer, "ThreadPoolExecutor", InlineExecutor)
    monkeypatch.setattr(collection, "MAX_SHARE", 1.0)


@dataclass
class World:
    """What a schedule starts from, and what its actors acknowledge."""

    folders: list[Path]
    contents: list[dict[str, bytes]]
    beginning: dict[str, bytes]
    acknowledged: dict[str, tuple[str, int]] = field(default_factory=dict)  # commit -> model, folder
    outcomes: Counter[str] = field(default_factory=Counter)

    def commit(self, store: Backend, model: str, number: int, clock: Clock, base: str | None = None) -> None:
        registry = registry_over(store, make_world(clock=clock))
        try:
            report = registry.model(model).commit(self.folders[number], allow_empty=True, base=base)
        except (ConflictError, NotFoundError):  # its base is gone
            self.outcomes["refused"] += 1
            return
        self.acknowledged[report.commit.hex] = (model, number)
        self.outcomes["committed"] += 1

    def collect(self, store: Backend, clock: Clock) -> None:
        report = registry_over(store, make_world(clock=clock)).gc(delete=True, grace_s=0, trash_window_s=0)
        self.outcomes["deleted"] += report.deleted_objects

    def retire(self, store: Backend, model: str, back: int, clock: Clock) -> None:
        try:
            registry_over(store, make_world(clock=clock)).model(model).retire(f"main~{back}", force=True)
        except (NotFoundError, ConflictError):
            return
        self.outcomes["retired"] += 1

    def fork(self, store: Backend, clock: Clock) -> None:
        try:
            registry_over(store, make_world(clock=clock)).model("m").tag("theirs", "n@main")
        except (NotFoundError, ConflictError):
            self.outcomes["refused"] += 1

    def read(self, store: Backend, clock: Clock) -> None:
        """May fail only where what it reads was retired meanwhile."""
        registry = registry_over(store, make_world(clock=clock))
        for model in ("m", "n"):
            try:
                version = registry.model(model).resolve("main")
                for file in registry.model(model).files(version.commit.hex):
                    registry.model(model).read_bytes(version.commit.hex, file.path)
            except NotFoundError:
                continue
            except RegistryError:
                with pytest.raises(NotFoundError):
                    registry_over(store, make_world()).model(model).resolve(version.commit.hex)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    root = tmp_path_factory.mktemp("contents")
    made: list[Path] = []
    for number in range(CONTENTS):
        folder = root / str(number)
        folder.mkdir()
        (folder / "w.bin").write_bytes(make_bytes(number, FILE_BYTES))
        (folder / "c.json").write_bytes(b"%d" % number)
        made.append(folder)
    yield made
    shutil.rmtree(root)


@pytest.fixture
def world(folders: list[Path]) -> World:
    store = MemoryBackend()
    made = World(folders, [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders], {})
    make_registry(store)
    for model, number in (("m", 0), ("m", 1), ("n", 2), ("n", 3)):
        made.commit(store, model, number, Clock())
    made.beginning = objects_of(store)
    return made


def run(world: World, seed: int, *, clocks: bool = False, frozen: bool = False) -> tuple[MemoryBackend, Schedule, list[Actor]]:
    """One schedule over a copy of the beginning."""
    rng = random.Random(f"actors {seed}")
    store = memory_with(world.beginning)

    def clock() -> Clock:
        if frozen:
            return Clock(frozen_ns=1_764_590_400 * 10**9)
        return Clock(ahead_ns=rng.randrange(-YEARS_10_NS, YEARS_10_NS)) if clocks else Clock()

    actors = [
        Actor(
            f"commit{number}",
            partial(
                world.commit, model=rng.choice("mn"), number=rng.randrange(CONTENTS), clock=clock(),
                base=rng.choice([None, None, "n@main"]),
            ),
        )
        for number in range(rng.randint(1, 3))
    ]  # fmt: skip
    actors += [Actor(f"gc{number}", partial(world.collect, clock=clock())) for number in range(rng.randint(1, 2))]
    actors.append(Actor("retire", partial(world.retire, model=rng.choice("mn"), back=rng.randint(0, 1), clock=clock())))
    name, action = rng.choice([("read", world.read), ("fork", world.fork)])
    actors.append(Actor(name, partial(action, clock=clock())))
    schedule = Schedule(store, seed, ORDERS[seed % len(ORDERS)])
    schedule.run(actors)
    for actor in actors:
        if actor.error is not None and not isinstance(actor.error, Stopped):
            actor.error.add_note(f"{actor.name} of seed {seed}")
            raise actor.error
    return store, schedule, actors


def check(world: World, store: MemoryBackend) -> int:
    """A last collection leaves what versions need and nothing else; every version that is not retired reads back in every byte."""
    registry = registry_over(store, make_world())
    report = registry.gc(delete=True, grace_s=0, trash_window_s=0)
    assert report.live_objects == sum(1 for prefix in (MAPS, PACKS) for _ in store.list(prefix))
    stores, live = registry._stores, 0
    for model in ("m", "n"):
        refs = stores.refs(model)
        head = refs.log.head()
        assert head is not None
        for version in refs.versions(head):
            live += 1
            files = {file.path: file for file in list_files(stores.objects, version.tree)[0]}
            assert set(files) == {"w.bin", "c.json"}
            rows = locate_files(stores.objects, version.map, files.values())
            found = {path: b"".join(fetch_group(stores.objects, rows[path])) for path in files}
            number = world.acknowledged.get(version.commit.hex, (model, -1))[1]
            assert found in ([world.contents[number]] if number >= 0 else world.contents)  # a stopped one may have landed
    assert report.versions == live
    return live


BATCH = 250


@pytest.mark.parametrize("first", range(0, scaled(2000), BATCH))
def test_every_version_survives_every_schedule(world: World, matrix: Row, first: int) -> None:
    stopped = 0
    for seed in range(first, first + BATCH):
        store, _, actors = run(world, seed)
        check(world, store)
        stopped += any(isinstance(actor.error, Stopped) for actor in actors)
        matrix.count()
    assert world.outcomes["deleted"] > BATCH // 2  # garbage goes, though a retirement looks for who needs it first
    assert world.outcomes["retired"] > BATCH / 2
    assert stopped > BATCH / 10


@pytest.mark.row("T13")
@pytest.mark.parametrize("first", range(0, scaled(500), BATCH))
def test_clocks_of_another_decade_change_nothing_but_what_is_kept(world: World, matrix: Row, first: int) -> None:
    for seed in range(10**6 + first, 10**6 + first + BATCH):
        store, _, _ = run(world, seed, clocks=True)
        check(world, store)
        matrix.count()


def test_a_seed_gives_the_same_trace_each_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(0, 30, 7):
        traces = []
        for _ in range(2):
            source = random.Random(seed)
            monkeypatch.setattr(random, "_urandom", source.randbytes)
            monkeypatch.setattr(os, "urandom", source.randbytes)
            acknowledged = dict(world.acknowledged)
            traces.append(run(world, seed, frozen=True)[1].trace)
            world.acknowledged = acknowledged
        assert traces[0] == traces[1]
        assert len(traces[0]) > 50
