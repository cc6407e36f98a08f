"""Where bytes go: few packs for many files, duplicates found wherever they are, maps reused until their content changes."""

from collections.abc import Callable
from pathlib import Path

import blake3
import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.model.ids import FileId, MapName
from cas_registry.model.maps import ChunkMap, Covers
from cas_registry.operations import placing
from cas_registry.operations.transfer import SPAN_BYTES
from cas_registry.registry import Model, Registry
from cas_registry.store.layout import file_hint_key, object_key
from tests.support.folders import CHUNK_BYTES, KIB, MIB, File, make_bytes, read_folder, write_folder
from tests.support.simulated import RoundTripBackend, make_registry, make_world, objects_of

MANY = 10_000


@pytest.fixture
def store() -> MemoryBackend:
    return MemoryBackend("placing")


@pytest.fixture
def backend(store: MemoryBackend) -> RoundTripBackend:
    return RoundTripBackend(store)


@pytest.fixture
def registry(backend: RoundTripBackend, tmp_path: Path) -> Registry:
    return make_registry(backend, make_world(tmp_path / "cache"), chunk_bytes=CHUNK_BYTES)


@pytest.fixture
def small_borders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "BIG_FILE_BYTES", 12 * KIB)
    monkeypatch.setattr(placing, "INLINE_BYTES", KIB)


# Many small files


def test_ten_thousand_small_files_take_one_pack_and_a_change_of_one_a_map_or_two(
    store: MemoryBackend, backend: RoundTripBackend, registry: Registry, tmp_path: Path
) -> None:
    folder: dict[str, File | None] = {f"shard-{n % 10}/{n:05}.json": File(b'{"row": %d}' % n) for n in range(MANY)}
    work = write_folder(tmp_path / "work", folder)
    model = registry.model("m")
    report = model.commit(work)
    assert (report.files, report.packs) == (MANY, 1)
    assert sum(1 for key in objects_of(store) if key.startswith(("packs/", "maps/", "trees/", "commits/"))) < 30
    assert _created(backend, "files/") == 0

    (work / "shard-3/00013.json").write_bytes(b"changed")
    backend.reset()
    report = model.commit(work)
    assert (report.files_read, report.packs, report.new_bytes) == (1, 1, 7)
    assert 1 <= _created(backend, "maps/") <= 2
    assert _created(backend, "trees/") == 2
    assert backend.requests_besides("packs/") <= 12, backend.by_area()

    backend.reset()
    report_out = model.checkout("main", tmp_path / "out")
    assert len(report_out.written) == MANY
    assert backend.requests.total() < 40, backend.by_area()
    assert read_folder(tmp_path / "out") == {**folder, "shard-3/00013.json": File(b"changed")}


def test_equal_small_files_are_stored_once(registry: Registry, tmp_path: Path) -> None:
    work = write_folder(tmp_path / "work", {f"{n}/same.json": File(b"the same content") for n in range(50)})
    assert registry.model("m").commit(work).new_bytes == len(b"the same content")


# Duplicates


def test_a_second_model_finds_a_big_file_by_its_hint(backend: RoundTripBackend, registry: Registry, tmp_path: Path) -> None:
    work = write_folder(tmp_path / "work", {"base.bin": File(make_bytes(1, 2 * MIB))})
    registry.model("first").commit(work)
    backend.reset()
    report = registry.model("second").commit(write_folder(tmp_path / "two", {"other name.bin": File(make_bytes(1, 2 * MIB))}))
    assert (report.packs, report.new_bytes, report.stored_bytes) == (0, 0, 0)
    assert _created(backend, "packs/") == 0
    assert registry.model("second").read_bytes("main", "other name.bin") == make_bytes(1, 2 * MIB)


def test_chunks_of_a_hinted_file_are_found_in_its_neighbour(registry: Registry, tmp_path: Path) -> None:
    data = make_bytes(1, 2 * MIB)
    registry.model("first").commit(write_folder(tmp_path / "work", {"base.bin": File(data)}))
    tuned = data[:MIB] + b"tuned" + data[MIB:]
    report = registry.model("second").commit(write_folder(tmp_path / "two", {"base.bin": File(data), "tuned.bin": File(tuned)}))
    assert 0 < report.new_bytes < 12 * CHUNK_BYTES


def _gone(_: MemoryBackend, __: str) -> bytes | None:
    return None


def _garbage(_: MemoryBackend, __: str) -> bytes | None:
    return b"\xff\x00 not a hint"


def _wrong_size(store: MemoryBackend, key: str) -> bytes | None:
    return store.get(key, length=100).split()[0] + b" 17\n"


def _of_another_file(store: MemoryBackend, key: str) -> bytes | None:
    other = next(info.key for info in store.list("files/") if info.key != key)
    return store.get(other, length=100)


def _of_no_map(_: MemoryBackend, __: str) -> bytes | None:
    return b"0" * 64 + b" 100\n"


def _endless(_: MemoryBackend, __: str) -> bytes | None:
    return b"1" * 1_000_000


@pytest.mark.parametrize("hint", [_gone, _garbage, _wrong_size, _of_another_file, _of_no_map, _endless])
@pytest.mark.usefixtures("small_borders")
def test_a_hint_that_is_wrong_costs_a_duplicate_and_nothing_else(
    store: MemoryBackend, registry: Registry, tmp_path: Path, hint: Callable[[MemoryBackend, str], bytes | None]
) -> None:
    data = make_bytes(1, 100 * KIB)
    registry.model("first").commit(
        write_folder(tmp_path / "one", {"a.bin": File(data), "b.bin": File(make_bytes(2, 100 * KIB))})
    )
    key = file_hint_key(FileId.of(data))
    wrong = hint(store, key)
    store.delete(key)
    if wrong is not None:
        store.put(key, wrong)
    report = registry.model("second").commit(write_folder(tmp_path / "two", {"a.bin": File(data)}))
    assert report.new_bytes == 100 * KIB
    assert registry.model("second").read_bytes("main", "a.bin") == data
    assert registry.fsck(read_data=True).findings == ()


def test_a_hint_whose_pack_is_gone_or_cut_short_is_not_believed(
    store: MemoryBackend, registry: Registry, tmp_path: Path
) -> None:
    data = make_bytes(1, 2 * MIB)
    registry.model("first").commit(write_folder(tmp_path / "one", {"a.bin": File(data)}))
    (pack,) = (info.key for info in store.list("packs/"))
    store.put(pack, store.get(pack, length=MIB))
    report = registry.model("second").commit(write_folder(tmp_path / "two", {"a.bin": File(data)}))
    assert report.new_bytes == 2 * MIB
    assert registry.model("second").read_bytes("main", "a.bin") == data


def test_base_leads_to_duplicates_that_no_hint_knows(registry: Registry, tmp_path: Path) -> None:
    folder: dict[str, File | None] = {f"{n}.json": File(make_bytes(n, 3000)) for n in range(20)}
    registry.model("first").commit(write_folder(tmp_path / "work", folder), tags=["prod"])
    (tmp_path / "work/0.json").write_bytes(b"changed")
    alone = registry.model("alone").commit(tmp_path / "work")
    based = registry.model("based").commit(tmp_path / "work", base="first@prod")
    assert alone.new_bytes == 19 * 3000 + 7
    assert based.new_bytes == 7
    for path in ("0.json", "19.json"):
        assert registry.model("based").read_bytes("main", path) == (tmp_path / "work" / path).read_bytes()


@pytest.mark.usefixtures("small_borders")
def test_base_finds_chunks_in_maps_of_their_own(registry: Registry, tmp_path: Path) -> None:
    data = make_bytes(1, MIB)
    registry.model("first").commit(write_folder(tmp_path / "work", {"a.bin": File(data), "b.bin": File(make_bytes(2, MIB))}))
    (tmp_path / "work/a.bin").write_bytes(b"prefix" + data)
    report = registry.model("second").commit(tmp_path / "work", base="first@main")
    assert report.new_bytes < 8 * CHUNK_BYTES
    assert registry.model("second").read_bytes("main", "a.bin") == b"prefix" + data


# The layout of maps


def test_a_small_version_has_one_map_that_holds_everything(store: MemoryBackend, registry: Registry, tmp_path: Path) -> None:
    report = registry.model("m").commit(write_folder(tmp_path / "work", {"a": File(make_bytes(1, 2 * MIB)), "b/c": File(b"c")}))
    root = _root(registry.model("m"))
    assert report.packs == 1
    assert [info.key for info in store.list("maps/")] == [object_key(registry.model("m").resolve("main").map)]
    assert root.references == {}
    assert root.files.keys() == {blake3.blake3(data).digest() for data in (make_bytes(1, 2 * MIB), b"c")}


def test_what_is_too_large_for_the_root_gets_a_map_of_its_own(registry: Registry, tmp_path: Path) -> None:
    """At a chunk a row, the real border lies at about two thousand rows: 10 MiB in chunks of 4 KiB."""
    big = make_bytes(1, 12 * MIB)
    registry.model("m").commit(write_folder(tmp_path / "work", {"big.bin": File(big), "small.txt": File(b"small")}))
    root = _root(registry.model("m"))
    assert set(root.references) == {(Covers.FILE, blake3.blake3(big).digest())}
    assert root.files.keys() == {blake3.blake3(b"small").digest()}
    assert registry.model("m").read_bytes("main", "big.bin") == big


@pytest.mark.usefixtures("small_borders")
def test_maps_of_what_did_not_change_are_named_again(backend: RoundTripBackend, registry: Registry, tmp_path: Path) -> None:
    model = registry.model("m")
    folder: dict[str, File | None] = {f"big-{n}.bin": File(make_bytes(n, 80 * KIB)) for n in range(4)}
    folder |= {f"left/{n}.json": File(make_bytes(100 + n, 3000)) for n in range(20)}
    folder |= {f"right/{n}.json": File(make_bytes(200 + n, 3000)) for n in range(20)}
    work = write_folder(tmp_path / "work", folder)
    model.commit(work)
    before = _root(model).references
    assert len(before) == 6
    (work / "left/7.json").write_bytes(b"changed")
    backend.reset()
    model.commit(work)
    after = _root(model).references
    left = _folder_key(model, "left")
    assert {key: after[key] for key in after if key != left} == {key: before[key] for key in before if key in after}
    assert len(after.keys() & before.keys()) == 5
    assert _created(backend, "maps/") == 2
    assert read_folder(_out(model, tmp_path / "out")) == {**folder, "left/7.json": File(b"changed")}


@pytest.mark.usefixtures("small_borders")
def test_a_folder_keeps_its_map_when_only_a_folder_in_it_changes(
    backend: RoundTripBackend, registry: Registry, tmp_path: Path
) -> None:
    model = registry.model("m")
    folder: dict[str, File | None] = {f"shared/{n}.json": File(make_bytes(n, 3000)) for n in range(20)}
    folder["shared/inner/notes.txt"] = File(b"one")
    work = write_folder(tmp_path / "work", folder)
    model.commit(work)
    before = _root(model).references[_folder_key(model, "shared")]
    (work / "shared/inner/notes.txt").write_bytes(b"two")
    backend.reset()
    model.commit(work)
    assert _root(model).references[_folder_key(model, "shared")] == before
    assert _created(backend, "maps/") == 1
    assert read_folder(_out(model, tmp_path / "out")) == {**folder, "shared/inner/notes.txt": File(b"two")}


@pytest.mark.usefixtures("small_borders")
def test_a_big_file_that_moves_keeps_its_map(backend: RoundTripBackend, registry: Registry, tmp_path: Path) -> None:
    model = registry.model("m")
    work = write_folder(tmp_path / "work", {"a/big.bin": File(make_bytes(1, 90 * KIB)), "x": File(b"x")})
    model.commit(work)
    before = _root(model).references
    (work / "a/big.bin").rename(work / "moved.bin")
    backend.reset()
    assert model.commit(work).new_bytes == 0
    assert _root(model).references == before
    assert _created(backend, "maps/") == 1


@pytest.mark.usefixtures("small_borders")
def test_the_newest_of_many_versions_reads_in_few_requests(
    backend: RoundTripBackend, registry: Registry, tmp_path: Path
) -> None:
    model = registry.model("m")
    folder: dict[str, File | None] = {f"{d}/{n}.json": File(make_bytes(d * 10 + n, 900)) for d in range(5) for n in range(30)}
    folder |= {f"big-{n}.bin": File(make_bytes(500 + n, 50 * KIB)) for n in range(3)}
    work = write_folder(tmp_path / "work", folder)
    model.commit(work)
    for version in range(40):
        path = f"{version % 5}/{version % 30}.json"
        folder[path] = File(b"version %d" % version)
        (work / path).write_bytes(b"version %d" % version)
        if version % 10 == 9:
            folder["big-1.bin"] = File(make_bytes(900 + version, 50 * KIB))
            (work / "big-1.bin").write_bytes(make_bytes(900 + version, 50 * KIB))
        model.commit(work)
    backend.reset()
    out = _out(model, tmp_path / "out")
    assert sum(1 for _, key in backend.keys if key.startswith("maps/")) <= 1 + 8
    assert sum(1 for _, key in backend.keys if key.startswith("packs/")) <= 60, backend.by_area()
    assert read_folder(out) == folder


def test_chunks_that_lie_together_are_fetched_together(backend: RoundTripBackend, registry: Registry, tmp_path: Path) -> None:
    model = registry.model("m")
    data = make_bytes(1, 20 * MIB)
    model.commit(write_folder(tmp_path / "work", {"a.bin": File(data)}))
    backend.reset()
    assert model.read_bytes("main", "a.bin") == data
    reads = sum(1 for method, key in backend.keys if key.startswith("packs/") and method == "get")
    assert reads <= 20 * MIB // (8 * MIB) + 2
    assert SPAN_BYTES >= 8 * MIB
    assert backend.bytes_in < 21 * MIB


def _root(model: Model) -> ChunkMap:
    return _map(model, model.resolve("main").map)


def _map(model: Model, name: MapName) -> ChunkMap:
    return model._stores.objects.read_map(name)[0]


def _folder_key(model: Model, name: str) -> tuple[Covers, bytes]:
    entry = model._stores.objects.read_tree(model.resolve("main").tree).get(name)
    assert entry is not None
    return Covers.FOLDER, entry.id.digest


def _created(backend: RoundTripBackend, prefix: str) -> int:
    return sum(1 for method, key in backend.keys if method in {"create", "put"} and key.startswith(prefix))


def _out(model: Model, target: Path) -> Path:
    model.checkout("main", target)
    return target
