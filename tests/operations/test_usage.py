"""What versions take, against what is left when they are really retired and collected."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import CountingBackend
from cas_registry.model.maps import Covers
from cas_registry.operations import placing
from cas_registry.operations.usage import live_versions
from cas_registry.operations.version_files import list_files
from cas_registry.registry import Registry, Usage, Version, registry_over
from tests.operations.test_deltas import fp32
from tests.support.folders import KIB, MIB, File, make_bytes, write_folder
from tests.support.simulated import make_registry, make_world, memory_with, objects_of, with_small_packs

_WEIGHTS = np.random.default_rng(1).standard_normal(8 * KIB).astype(np.float32)
CONTENTS = [
    make_bytes(1, 40 * KIB),
    make_bytes(1, 40 * KIB)[: 30 * KIB] + make_bytes(2, 20 * KIB),  # shares chunks with the first
    b"small",
    b"",
    fp32({"w": _WEIGHTS}),
    fp32({"w": _WEIGHTS * np.float32(1.001)}),  # a delta to the one before
]


def needs(registry: Registry, version: Version) -> dict[tuple[str, int], int]:
    """The places at which chunks of a version and their bases lie by any of its maps, with their bytes: the long way round.

    Two maps of one version may know the same file at two places, after a repack; both copies are needed.
    """
    objects = registry._stores.objects
    root, _ = objects.read_map(version.map)
    found: dict[tuple[str, int], int] = {}
    for file in list_files(objects, version.tree)[0]:
        keys = ((Covers.FILE, file.entry.id.digest), (Covers.FOLDER, file.folder.digest))
        below = objects.read_maps([root.references[key] for key in keys if key in root.references])
        for chunk_map in (root, *below):
            if file.entry.id.digest in chunk_map.files:
                found |= {(pack.name.hex, offset): stored for pack, offset, stored in chunk_map.places(file.entry.id.digest)}
    return found


def expected(registry: Registry, versions: Sequence[Version]) -> tuple[int, int]:
    """Stored and unique bytes."""
    mine: dict[tuple[str, int], int] = {}
    for version in versions:
        mine |= needs(registry, version)
    keys = {(version.log, version.at) for version in versions}
    others = {
        place
        for version in live_versions(registry._stores)
        if (version.log, version.at) not in keys
        for place in needs(registry, version)
    }
    return sum(mine.values()), sum(size for place, size in mine.items() if place not in others)


def collect(registry: Registry) -> tuple[int, int]:
    """Bytes and objects that a collection deletes."""
    found = registry.gc(grace_s=0)
    done = registry.gc(delete=True, grace_s=0, trash_window_s=0, confirmed=found.garbage_objects)
    return done.deleted_bytes, done.deleted_objects


def freed(store: MemoryBackend, versions: Iterable[Version]) -> tuple[int, int]:
    """What really goes, on a copy, where these are retired."""
    copy = registry_over(memory_with(objects_of(store)), make_world())
    for version in versions:
        copy.model(version.model).retire(version.commit.hex, force=True)
    return collect(copy)


def check(store: MemoryBackend, registry: Registry, usage: Usage, versions: Sequence[Version]) -> None:
    assert (usage.stored_bytes, usage.unique_bytes) == expected(registry, versions)
    assert usage.shared_bytes == usage.stored_bytes - usage.unique_bytes
    assert (usage.freed_bytes, usage.freed_objects) == freed(store, versions)


@dataclass(frozen=True)
class Step:
    """A commit: to which model, of which contents by file name."""

    model: str
    files: tuple[tuple[str, int], ...]


steps = st.builds(
    Step,
    st.sampled_from(["a", "b"]),
    st.dictionaries(
        st.sampled_from(["x.bin", "y.bin", "d/z.safetensors", "d/e"]), st.integers(0, len(CONTENTS) - 1), min_size=1
    ).map(lambda files: tuple(sorted(files.items()))),
)


@given(
    history=st.lists(steps, min_size=1, max_size=7), inline=st.sampled_from([placing.INLINE_BYTES, 300]), repacked=st.booleans()
)
@settings(max_examples=25)
def test_figures_are_those_of_a_collection_that_really_runs(
    tmp_path_factory: pytest.TempPathFactory, history: list[Step], inline: int, repacked: bool
) -> None:
    store = MemoryBackend()
    registry = with_small_packs(make_registry(store, chunk_bytes=4 * KIB), 64 * KIB)
    work = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(placing, "INLINE_BYTES", inline)
        for step in history:
            folder = write_folder(work, {name: File(CONTENTS[number]) for name, number in step.files})
            registry.model(step.model).commit(folder, allow_empty=True)
    if repacked:
        registry.repack()
    collect(registry)
    for name in registry.model_names():
        model = registry.model(name)
        report = model.du()
        assert len(report.versions) == sum(step.model == name for step in history)
        for row in report.versions:
            check(store, registry, row.usage, [row.version])
            files = list_files(registry._stores.objects, row.version.tree)[0]
            assert row.usage.raw_bytes == sum(file.entry.size_bytes for file in files)
        every = [row.version for row in report.versions]
        check(store, registry, report.together, every)
        (found,) = [row for row in registry.du() if row.model == name]
        assert (found.versions, found.usage) == (len(every), report.together)
        some = every[::2]
        asked = model.du(*(version.commit.hex for version in some))
        check(store, registry, asked.together, some)


@pytest.fixture
def store() -> MemoryBackend:
    return MemoryBackend("usage")


@pytest.fixture
def registry(store: MemoryBackend, tmp_path: Path) -> Registry:
    return make_registry(store, make_world(tmp_path / "cache"))


def test_a_version_that_changed_little_frees_little_and_two_numbers_tell_why(
    store: MemoryBackend, registry: Registry, tmp_path: Path
) -> None:
    model = registry.model("m")
    big = make_bytes(1, 2 * MIB)
    model.commit(write_folder(tmp_path / "w", {"big.bin": File(big), "n": File(make_bytes(5, 9 * KIB))}))
    model.commit(write_folder(tmp_path / "w", {"big.bin": File(big), "n": File(make_bytes(6, 9 * KIB))}))
    model.commit(write_folder(tmp_path / "w", {"big.bin": File(big), "n": File(make_bytes(7, 9 * KIB))}))
    first, second, third = (row.usage for row in model.du().versions)
    assert 2 * MIB < second.raw_bytes < 2 * MIB + 10 * KIB
    assert 9 * KIB <= second.unique_bytes < 10 * KIB
    assert 9 * KIB <= second.freed_bytes < 20 * KIB  # a pack of its own, and its maps
    assert first.unique_bytes >= 9 * KIB
    assert first.freed_bytes < 9 * KIB  # its own file lies in the pack that holds the big one
    assert third.unique_bytes == second.unique_bytes
    assert freed(store, [model.resolve("v2")]) == (second.freed_bytes, second.freed_objects)


def test_a_retired_version_shares_nothing_any_more(registry: Registry, tmp_path: Path) -> None:
    model = registry.model("m")
    for content in (b"one", b"two"):
        model.commit(write_folder(tmp_path / "w", {"big.bin": File(make_bytes(1, MIB)), "n": File(content)}))
    assert model.du("v2").together.unique_bytes < KIB
    model.retire("v1")
    assert model.du("v2").together.unique_bytes > MIB
    assert [row.version.number for row in model.du().versions] == [2]


def test_no_pack_is_read_and_each_map_once(store: MemoryBackend, tmp_path: Path) -> None:
    counting = CountingBackend(store)
    registry = make_registry(counting, make_world(tmp_path / "cache"))
    model = registry.model("m")
    for number in range(5):
        files = {"big.bin": File(make_bytes(1, 2 * MIB)), "n": File(str(number).encode())}
        model.commit(write_folder(tmp_path / "w", files))
    counting.reset()
    model.du()
    assert not [key for _, key in counting.keys if key.startswith("packs/")]
    maps = [key for _, key in counting.keys if key.startswith("maps/")]
    assert len(maps) == len(set(maps))


def test_families_are_models_that_share_chunks_directly_or_by_way_of_others(registry: Registry, tmp_path: Path) -> None:
    one, two = make_bytes(1, MIB), make_bytes(2, MIB)
    for name, files in {
        "base": {"a.bin": File(one)},
        "tuned": {"a.bin": File(one), "b.bin": File(two)},
        "tuned-more": {"b.bin": File(two)},
        "alone": {"c.bin": File(make_bytes(3, 10 * KIB))},
    }.items():
        registry.model(name).commit(write_folder(tmp_path / "w", files))
    large, small = registry.families()
    assert large.models == ("base", "tuned", "tuned-more")
    assert {pair[:2] for pair in large.pairs} == {("base", "tuned"), ("tuned", "tuned-more")}
    assert all(MIB <= pair[2] < MIB + KIB for pair in large.pairs)
    assert large.shared_bytes == sum(pair[2] for pair in large.pairs) == large.stored_bytes
    assert (small.models, small.shared_bytes, small.pairs) == (("alone",), 0, ())
    usage = {row.model: row.usage for row in registry.du()}
    assert usage["base"].unique_bytes == 0
    assert usage["alone"].unique_bytes == usage["alone"].stored_bytes == small.stored_bytes


def test_what_another_model_took_over_is_not_freed_by_one_of_them(
    store: MemoryBackend, registry: Registry, tmp_path: Path
) -> None:
    registry.model("a").commit(write_folder(tmp_path / "w", {"a.bin": File(make_bytes(1, MIB))}))
    registry.model("b").commit(write_folder(tmp_path / "w", {"b.bin": File(b"b")}))
    registry.model("b").branch("taken", "a@main")
    (row,) = registry.model("a").du().versions
    assert (row.usage.freed_bytes, row.usage.unique_bytes) == (0, 0)
    assert freed(store, [registry.model("a").resolve("main")]) == (0, 0)
