"""The order of writes: nothing is named before all it points to is there, and durable; the log entry comes last, hints after it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.probe import PROBE_PREFIX
from cas_registry.model.entry import decode_entry
from cas_registry.model.ids import RefTableId
from cas_registry.operations import placing
from cas_registry.registry import Model, Registry
from tests.support.folders import CHUNK_BYTES, KIB, File, make_bytes, write_folder
from tests.support.references import is_entry, references
from tests.support.simulated import TracingBackend, make_registry, make_world, with_small_packs

Step = Callable[[Model, Path], object]


@pytest.fixture
def backend() -> TracingBackend:
    return TracingBackend(MemoryBackend("order"))


@pytest.fixture
def registry(backend: TracingBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Small packs and small borders: every kind of object and reference is written."""
    monkeypatch.setattr(placing, "BIG_FILE_BYTES", 12 * KIB)
    monkeypatch.setattr(placing, "INLINE_BYTES", KIB)
    made = make_registry(backend, make_world(tmp_path / "cache"), chunk_bytes=CHUNK_BYTES)
    return with_small_packs(made, 40 * KIB)


def _first(model: Model, work: Path) -> None:
    folder: dict[str, File | None] = {f"{d}/{n}.json": File(make_bytes(d * 50 + n, 2000)) for d in range(3) for n in range(20)}
    folder |= {f"deep/er/big-{n}.bin": File(make_bytes(900 + n, 60 * KIB)) for n in range(3)}
    model.commit(write_folder(work, folder), tags=["prod"])


def _second(model: Model, work: Path) -> None:
    _first(model, work)
    (work / "1/3.json").write_bytes(b"changed")
    (work / "deep/er/big-1.bin").write_bytes(make_bytes(999, 70 * KIB))
    model.commit(work, metrics={"auc": 0.5})


def _moves(model: Model, work: Path) -> None:
    _second(model, work)
    model.tag("prod", "main", reason="better")
    model.branch("try", "main~1")
    model.commit(work, branch="try")
    model.delete_tag("prod")
    model.delete_branch("try")


def _spilled(model: Model, work: Path) -> None:
    """Enough tags that the ref table no longer fits into its entry: commits and moves both store it aside."""
    _first(model, work)
    names = [f"release-{number:04}-{'x' * 150}" for number in range(400)]
    (work / "1/3.json").write_bytes(b"many tags")
    model.commit(work, tags=names)
    model.tag("prod", "main")
    (work / "1/3.json").write_bytes(b"and on")
    model.commit(work)


def _teams(model: Model, work: Path) -> None:
    """A fork, a release of both models, and the fork merged back with maps and trees of its own."""
    _first(model, work)
    registry = Registry(model._stores, model._world)
    model.fork("eu")
    (work / "1/3.json").write_bytes(b"theirs")
    registry.model("eu").commit(work)
    write_folder(work / "1", {"3.json": File(make_bytes(53, 2000)), "4.json": File(b"ours")})
    model.commit(work, allow_empty=True)
    registry.release("live", {"m": "main", "eu": "main"})
    model.merge("eu@main")


STEPS: list[Step] = [_first, _second, _moves, _spilled, _teams]


@pytest.mark.parametrize("step", STEPS)
def test_at_every_moment_all_that_is_named_is_there(
    backend: TracingBackend, registry: Registry, tmp_path: Path, step: Step
) -> None:
    step(registry.model("m"), tmp_path / "work")
    present: set[str] = set()
    named = 0
    for written in backend.trace:
        for key in references(written):
            named += 1
            assert key in present, f"{written.key} names {key}, which is not there yet"
        if written.method in {"create", "put"}:
            present.add(written.key)
    assert named > 10


@pytest.mark.parametrize("step", STEPS)
def test_a_log_entry_is_written_when_all_before_it_is_durable_and_is_then_made_durable_itself(
    backend: TracingBackend, registry: Registry, tmp_path: Path, step: Step
) -> None:
    step(registry.model("m"), tmp_path / "work")
    unsynced: set[str] = set()
    entries = 0
    for number, written in enumerate(backend.trace):
        if written.method == "flush":
            unsynced = set()
        elif is_entry(written.key):
            entries += 1
            if written.key.startswith("refs/"):  # the catalogue's entries name no objects
                assert unsynced == set(), f"{written.key} is written while these may still be lost: {sorted(unsynced)}"
            assert backend.trace[number + 1].method == "flush"
        if written.method == "create" and not written.key.startswith(PROBE_PREFIX):
            unsynced.add(written.key)
    assert entries >= 2
    assert unsynced == set()


@pytest.mark.parametrize("step", STEPS)
def test_everything_authoritative_is_created_and_only_hints_are_put_after_the_entry(
    backend: TracingBackend, registry: Registry, tmp_path: Path, step: Step
) -> None:
    step(registry.model("m"), tmp_path / "work")
    last_entry = max(number for number, written in enumerate(backend.trace) if written.key.startswith("refs/m/0"))
    for number, written in enumerate(backend.trace):
        if written.method == "put":
            assert written.key.startswith("files/") or written.key.endswith("/HEAD")
            log = written.key.removesuffix("/HEAD")
            if log != written.key:  # the hint names an entry that is there
                assert any(before.key == f"{log}/{int(written.data):010}" for before in backend.trace[:number])
    after = backend.trace[last_entry + 1 :]
    assert all(written.method in {"put", "flush"} for written in after)
    keys = [written.key for written in backend.trace if written.method == "create"]
    assert len(keys) == len(set(keys))


def test_the_trace_of_one_commit_goes_from_packs_to_the_entry(
    backend: TracingBackend, registry: Registry, tmp_path: Path
) -> None:
    _first(registry.model("m"), tmp_path / "work")
    backend.trace.clear()
    (tmp_path / "work/1/3.json").write_bytes(b"changed")
    registry.model("m").commit(tmp_path / "work")
    areas = [written.key.partition("/")[0] if written.key else "flush" for written in backend.trace]
    collapsed = [area for area, before in zip(areas, ["", *areas], strict=False) if area != before]
    assert collapsed == ["packs", "maps", "trees", "commits", "flush", "refs", "flush", "refs"]


def test_a_table_too_large_for_its_entry_is_stored_aside(backend: TracingBackend, registry: Registry, tmp_path: Path) -> None:
    _spilled(registry.model("m"), tmp_path / "work")
    entries = [decode_entry(written.data)[1] for written in backend.trace if written.key.startswith("refs/m/0")]
    assert [isinstance(entry.refs, RefTableId) for entry in entries] == [False, True, True, True]
