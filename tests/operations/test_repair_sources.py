"""Sources: a folder by its files and trees, a registry by its objects, files and chunks; neither is trusted."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import NotFoundError
from cas_registry.model.ids import ChunkId, CommitId, FileId
from cas_registry.operations.repair_sources import FolderSource, RegistrySource, Source, find_metadata, open_source
from cas_registry.operations.version_files import VersionFiles, list_files
from cas_registry.registry import Registry
from tests.support.folders import KIB, File, make_bytes, write_folder
from tests.support.simulated import make_registry, objects_of

DATA = make_bytes(1, 50 * KIB)
FILES: dict[str, File | None] = {"a.bin": File(DATA), "sub/b.txt": File(b"b"), "sub/run.sh": File(b"#!", True)}


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def store() -> MemoryBackend:
    return MemoryBackend("source")


@pytest.fixture
def registry(store: MemoryBackend, tmp_path: Path) -> Registry:
    made = make_registry(store, chunk_bytes=4 * KIB)
    made.model("m").commit(write_folder(tmp_path / "work", FILES))
    return made


def _check_files(source: Source) -> None:
    identity = FileId.of(DATA)
    source.look_for({identity, FileId.of(b"x")}, set())
    assert source.has_file(identity)
    assert not source.has_file(FileId.of(b"x"))
    with source.open(identity) as opened:
        assert opened.size_bytes == len(DATA)
        assert opened.take(10) == DATA[:10]
        assert opened.read(20_000, 30) == DATA[20_000:20_030]
        assert opened.take(10) == DATA[10:20]
        assert opened.read(len(DATA) - 3, 10) == DATA[-3:]


def test_a_folder_has_its_files_and_the_trees_of_a_version_that_it_holds(
    registry: Registry, executor: Executor, tmp_path: Path
) -> None:
    source = FolderSource(tmp_path / "work", executor)
    _check_files(source)
    assert source.chunk(ChunkId.of(DATA)) is None
    version = registry.model("m").resolve("main")
    found = find_metadata([source], version.tree)
    assert found is not None
    assert found[1] == str(tmp_path / "work")
    assert find_metadata([source], version.commit) is None


def test_a_registry_has_files_chunks_and_every_object_that_is_whole(store: MemoryBackend, registry: Registry) -> None:
    source = RegistrySource(registry._stores)
    _check_files(source)
    model = registry.model("m")
    version = model.resolve("main")
    (file,) = [file for file in list_files(model._stores.objects, version.tree)[0] if file.path == "a.bin"]
    row = VersionFiles(model._stores.objects, version.map).chunks(file.entry, file.folder)
    last = row[-1].placement
    source.look_for(set(), {last.chunk})
    assert source.chunk(last.chunk) == DATA[-last.raw_bytes :]
    assert source.chunk(ChunkId.of(b"x")) is None
    for identity in (version.commit, version.tree, version.map):
        assert find_metadata([source], identity) is not None
    assert find_metadata([source], CommitId.of(b"x")) is None
    for key in objects_of(store):
        if key.startswith(("packs/", "trees/", "commits/")):
            store.put(key, b"noise")
    assert source.chunk(last.chunk) is None
    assert find_metadata([source], version.commit) is None


def test_damaged_versions_of_a_source_are_passed_over(store: MemoryBackend, registry: Registry) -> None:
    for key in objects_of(store):
        if key.startswith("maps/"):
            store.put(key, b"noise")
    source = RegistrySource(registry._stores)
    source.look_for({FileId.of(DATA)}, {ChunkId.of(DATA)})
    assert source.chunk(ChunkId.of(DATA)) is None


def test_a_place_is_a_registry_or_a_folder_or_nothing(executor: Executor, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "folder", {"format": File(b"a file that happens to be called so")})
    assert isinstance(open_source(str(folder), executor), FolderSource)
    with pytest.raises(NotFoundError):
        open_source(str(tmp_path / "nowhere"), executor)
    with pytest.raises(NotFoundError):
        open_source("memory://nowhere-at-all", executor)
