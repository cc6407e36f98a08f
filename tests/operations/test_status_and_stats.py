"""What a commit of a folder would change, and what a registry holds and costs."""

from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.registry import Registry
from tests.support.folders import KIB, File, make_bytes, write_folder
from tests.support.simulated import OpenedFiles, RoundTripBackend, make_registry, make_world, objects_of


@pytest.fixture
def store() -> MemoryBackend:
    return MemoryBackend("status")


@pytest.fixture
def backend(store: MemoryBackend) -> RoundTripBackend:
    return RoundTripBackend(store)


@pytest.fixture
def registry(backend: RoundTripBackend, tmp_path: Path) -> Registry:
    return make_registry(backend, make_world(tmp_path / "cache"))


def test_status_says_what_a_commit_would_change_and_changes_nothing(
    store: MemoryBackend, registry: Registry, tmp_path: Path
) -> None:
    model = registry.model("m")
    work = write_folder(
        tmp_path / "work", {"same": File(b"s"), "edited": File(b"1"), "gone": File(b"g"), "d/run.sh": File(b"#!")}
    )
    model.commit(work)
    write_folder(
        work, {"same": File(b"s"), "edited": File(b"2"), "d/run.sh": File(b"#!", executable=True), "new/file": File(b"n")}
    )
    before = objects_of(store)
    report = model.status(work, "main")
    assert (report.added, report.changed, report.removed, report.unchanged) == (
        ("new/file",),
        ("d/run.sh", "edited"),
        ("gone",),
        1,
    )
    assert not report.is_clean
    assert objects_of(store) == before
    model.commit(work)
    assert model.status(work, "main").is_clean
    assert model.status(work, "main~1") == report


def test_status_opens_no_file_that_was_not_touched_since_the_commit(registry: Registry, tmp_path: Path) -> None:
    work = write_folder(tmp_path / "work", {"a": File(b"a"), "b": File(b"b")})
    registry.model("m").commit(work)
    (work / "b").write_bytes(b"changed")
    with OpenedFiles(work) as opened:
        registry.model("m").status(work, "main")
    assert opened.paths == ["b"]


def test_figures_of_models_and_of_the_registry_add_up(store: MemoryBackend, registry: Registry, tmp_path: Path) -> None:
    assert registry.stats().ratio == 0
    data = make_bytes(1, 100 * KIB)
    registry.model("b").commit(write_folder(tmp_path / "work", {"a.bin": File(data)}), tags=["prod"])
    registry.model("b").commit(write_folder(tmp_path / "work", {"a.bin": File(data), "b": File(b"more")}))
    registry.model("b").branch("try", "main~1")
    registry.model("b").tag("old", "main~1")
    registry.model("b").delete_tag("old")
    registry.model("a").commit(write_folder(tmp_path / "other", {"c": File(b"other")}))
    rows = registry.models()
    assert [(row.model, row.versions, row.branches, row.tags) for row in rows] == [("a", 1, 1, 0), ("b", 2, 2, 1)]
    assert [row.raw_bytes for row in rows] == [5, 200 * KIB + 4]
    assert [row.new_bytes for row in rows] == [5, 100 * KIB + 4]
    assert registry.model_names() == ["a", "b"]
    stats = registry.stats()
    assert stats.models == tuple(rows)
    assert stats.raw_bytes == 200 * KIB + 9
    held = objects_of(store)
    for area, prefix in (("packs", "packs/"), ("maps", "maps/"), ("trees", "trees/"), ("commits", "commits/")):
        assert stats.objects[area] == sum(1 for key in held if key.startswith(prefix)), area
        assert stats.bytes[area] == sum(len(data) for key, data in held.items() if key.startswith(prefix)), area
    assert sum(row.stored_bytes for row in rows) == stats.bytes["packs"]
    assert 0.5 < stats.ratio < 0.6
    assert 0 <= sum(map(len, held.values())) - stats.stored_bytes < 5_000


def test_the_figures_of_a_long_log_are_read_in_batches(backend: RoundTripBackend, registry: Registry, tmp_path: Path) -> None:
    for n in range(30):
        registry.model("m").commit(write_folder(tmp_path / "work", {"a": File(b"%d" % n)}))
    backend.reset()
    (row,) = registry.models()
    assert row.versions == 30
    assert backend.round_trips <= 6
