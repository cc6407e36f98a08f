"""Files of a version as file objects: they behave as files on disk do, fetch what is read, and stay at their version."""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import BackendError, IntegrityError, InvalidInputError, NotFoundError, RegistryError
from cas_registry.operations.reading import CACHED_BYTES, READ_AHEAD_BYTES
from cas_registry.registry import Model, registry_over
from tests.support.faulty import Fault, FaultKind, FaultyBackend
from tests.support.folders import CHUNK_BYTES, KIB, MIB, File, contents, make_bytes, write_folder
from tests.support.simulated import RoundTripBackend, make_registry, make_world

BIG = make_bytes(1, 6 * MIB)
LINES = b"".join(b"%d: %s\n" % (number, b"x" * (number % 90)) for number in range(2_000))
CONTENTS = {
    "model.bin": BIG,
    "empty": b"",
    "one": b"1",
    "lines.txt": LINES,
    "zeros": bytes(MIB + 7),
    "repeats": make_bytes(2, 10_000) * 30,
    "deep/er/config.json": b'{"hidden_size": 384}',
}


@dataclass
class Bench:
    store: MemoryBackend
    backend: RoundTripBackend
    model: Model


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    tmp_path = tmp_path_factory.mktemp("reading")
    store = MemoryBackend("reading")
    backend = RoundTripBackend(store)
    model = make_registry(backend, make_world(None), chunk_bytes=CHUNK_BYTES).model("m")
    model.commit(write_folder(tmp_path, {path: File(data) for path, data in CONTENTS.items()}), tags=["prod"])
    return Bench(store, backend, model)


Step = Callable[[io.BufferedIOBase], object]


def _steps() -> st.SearchStrategy[tuple[str, Step]]:
    places = st.integers(0, 3 * MIB)
    sizes = st.one_of(st.integers(0, 20_000), st.integers(0, 3 * MIB), st.just(-1))

    def readinto(size: int) -> Step:
        def step(file: io.BufferedIOBase) -> object:
            buffer = bytearray(size)
            count = file.readinto(buffer)
            return count, bytes(buffer)

        return step

    return st.one_of(
        places.map(lambda place: (f"seek({place})", lambda file: file.seek(place))),
        st.integers(-10_000, 10_000).map(lambda step: (f"seek({step}, 1)", lambda file: file.seek(max(file.tell() + step, 0)))),
        st.integers(-10_000, 10).map(lambda step: (f"seek({step}, 2)", lambda file: file.seek(step, io.SEEK_END))),
        sizes.map(lambda size: (f"read({size})", lambda file: file.read(size))),
        st.integers(0, 3 * MIB).map(lambda size: (f"readinto({size})", readinto(size))),
        st.integers(-1, 200).map(lambda size: (f"readline({size})", lambda file: file.readline(size))),
        st.integers(0, 50).map(lambda count: (f"{count} lines", lambda file: [file.readline() for _ in range(count)])),
        st.just(("tell", lambda file: file.tell())),
    )


@pytest.mark.parametrize("path", ["lines.txt", "zeros", "repeats", "one", "empty"])
def test_a_file_object_behaves_as_the_same_file_on_disk(bench: Bench, tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_bytes(CONTENTS[path])

    @settings(max_examples=25)
    @given(st.lists(_steps(), max_size=12))
    def check(steps: list[tuple[str, Step]]) -> None:
        with bench.model.open("prod", path) as opened, (tmp_path / "file").open("rb") as expected:
            for name, step in steps:
                assert _outcome(step, opened) == _outcome(step, expected), name

    check()


def _outcome(step: Step, file: io.BufferedIOBase) -> object:
    try:
        return step(file), file.tell()
    except (ValueError, OSError):
        return "refused", file.tell()


def test_generated_contents_read_back_from_any_place(tmp_path_factory: pytest.TempPathFactory) -> None:
    model = make_registry(MemoryBackend("generated"), make_world(None), chunk_bytes=CHUNK_BYTES).model("m")

    @settings(max_examples=25)
    @given(contents(), st.lists(st.tuples(st.integers(0, 110_000), st.integers(0, 60_000)), max_size=5))
    def check(data: bytes, reads: list[tuple[int, int]]) -> None:
        work = write_folder(tmp_path_factory.mktemp("generated"), {"file": File(data), "other": File(b"x")})
        revision = model.commit(work).commit.hex
        assert model.read_bytes(revision, "file") == data
        with model.open(revision, "file") as file:
            for start, length in reads:
                file.seek(start)
                assert file.read(length) == data[start : start + length]

    check()


# What is fetched


def test_opening_fetches_no_data(bench: Bench) -> None:
    bench.backend.reset()
    with bench.model.open("prod", "model.bin") as file:
        assert file.seek(0, io.SEEK_END) == len(BIG)
    assert bench.backend.requests_besides("refs/", "trees/", "maps/") == 0, bench.backend.by_area()


@pytest.mark.parametrize("place", [0, MIB, 3 * MIB + 12_345, 6 * MIB - 100])
def test_a_small_read_fetches_little_whatever_the_size_of_the_file(bench: Bench, place: int) -> None:
    with bench.model.open("prod", "model.bin") as file:
        bench.backend.reset()
        file.seek(place)
        assert file.read(100) == BIG[place : place + 100]
    assert bench.backend.requests["get"] == 1
    assert bench.backend.bytes_in <= READ_AHEAD_BYTES + 2 * 4 * CHUNK_BYTES


def test_what_was_read_just_now_is_not_fetched_again(bench: Bench) -> None:
    with bench.model.open("prod", "model.bin") as file:
        file.read(MIB)
        bench.backend.reset()
        for place in (5, 500_000, 0, 1_000_000):
            file.seek(place)
            assert file.read(1_000) == BIG[place : place + 1_000]
        assert bench.backend.requests.total() == 0


def test_a_file_read_in_order_is_fetched_once(bench: Bench) -> None:
    for size in (10_000, 300_000, 5 * MIB):
        with bench.model.open("prod", "model.bin") as file:
            bench.backend.reset()
            parts = iter(lambda file=file, size=size: file.read(size), b"")
            assert b"".join(parts) == BIG
        assert bench.backend.bytes_in <= len(BIG) + 30 * 4 * CHUNK_BYTES
        assert bench.backend.requests["get"] <= 14, size


def test_a_file_read_at_one_go_takes_few_requests_and_is_verified_as_a_whole(bench: Bench) -> None:
    bench.backend.reset()
    with bench.model.open("prod", "model.bin") as file:
        assert file.read() == BIG
        assert file.read() == b""
        file.seek(4 * MIB + 3)
        assert file.read() == BIG[4 * MIB + 3 :]
    assert sum(1 for _, key in bench.backend.keys if key.startswith("packs/")) <= 3, bench.backend.by_area()


def test_memory_of_what_was_read_is_bounded(tmp_path: Path) -> None:
    model = make_registry(MemoryBackend("bounded"), make_world(None)).model("m")
    data = make_bytes(3, 2 * MIB)
    model.commit(write_folder(tmp_path, {"file": File(b"".join(bytes([n]) + data for n in range(20)))}))
    with model.open("main", "file") as file:
        while file.read(MIB):
            pass
        assert file.raw._cached_bytes <= CACHED_BYTES
        assert file.raw._cached_bytes == sum(len(chunk) for chunk in file.raw._cache.values())


# At which version


def test_a_file_stays_at_its_version_when_the_branch_moves_on(tmp_path: Path) -> None:
    model = make_registry(MemoryBackend("moving"), make_world(None), chunk_bytes=CHUNK_BYTES).model("m")
    first, second = make_bytes(1, 3 * MIB), make_bytes(2, 3 * MIB)
    model.commit(write_folder(tmp_path, {"model.bin": File(first)}), tags=["prod"])
    with model.open("prod", "model.bin") as file:
        assert file.read(1_000) == first[:1_000]
        model.commit(write_folder(tmp_path, {"model.bin": File(second)}), tags=["prod"])
        assert file.read() == first[1_000:]
    with model.open("prod", "model.bin") as file:
        assert file.read() == second


# What is read through it


def test_other_libraries_read_through_it(tmp_path: Path) -> None:
    model = make_registry(MemoryBackend("libraries"), make_world(None)).model("m")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps({"layers": 6}))
        archive.writestr("weights", make_bytes(1, 2 * MIB))
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "a.zip", "inner.zip")
    model.commit(tmp_path)
    with model.open("main", "a.zip") as file, zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        assert json.loads(archive.read("config.json")) == {"layers": 6}
    with model.open("main", "a.tar") as file, tarfile.open(fileobj=file) as archive:
        assert archive.getnames() == ["inner.zip"]
    with model.open("main", "a.zip") as file:
        assert io.TextIOWrapper(file, encoding="latin-1").read(2) == "PK"


def test_lines_are_iterated(bench: Bench) -> None:
    with bench.model.open("prod:lines.txt") as file:
        assert list(file) == LINES.splitlines(keepends=True)


def test_it_reads_only_and_knows_its_name(bench: Bench) -> None:
    with bench.model.open("prod", "deep/er/config.json") as file:
        assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)
        assert file.name == "deep/er/config.json"
        with pytest.raises(io.UnsupportedOperation):
            file.write(b"x")
    with pytest.raises(ValueError, match="closed"):
        file.read(1)


# Which file


@pytest.mark.parametrize(
    "read", [lambda model, *where: model.read_bytes(*where), lambda model, *where: model.open(*where).read()]
)
def test_a_file_is_named_by_its_path_or_with_the_revision(bench: Bench, read: Callable[..., bytes]) -> None:
    for where in (
        ("prod", "deep/er/config.json"),
        ("prod:deep/er/config.json",),
        ("m@main:deep/er/config.json",),
        ("main", "/deep/er/config.json/"),
    ):
        assert read(bench.model, *where) == CONTENTS["deep/er/config.json"]


@pytest.mark.parametrize(
    ("where", "error", "message"),
    [
        (("prod",), InvalidInputError, "which file of prod"),
        (("prod", "nothing"), NotFoundError, "has no file 'nothing'; reg ls lists them"),
        (("prod", "deep"), NotFoundError, "is a folder"),
        (("prod", "deep/er"), NotFoundError, "is a folder"),
        (("prod", "one/below"), NotFoundError, "has no file"),
        (("prod", "deep/nothing/config.json"), NotFoundError, "has no file"),
        (("prod", "../m/one"), RegistryError, "has no file|cannot be stored"),
        (("nothing", "one"), NotFoundError, "no tag, branch or commit"),
    ],
)
def test_what_is_no_file_is_refused(bench: Bench, where: tuple[str, ...], error: type[RegistryError], message: str) -> None:
    for read in (bench.model.read_bytes, bench.model.open):
        with pytest.raises(error, match=message):
            read(*where)


# Failures


def test_a_failure_in_the_middle_is_raised_and_reading_goes_on_afterwards(bench: Bench) -> None:
    for kind, error in ((FaultKind.FAIL_BEFORE, BackendError), (FaultKind.FLIP_BIT, IntegrityError)):
        faulty = FaultyBackend(bench.store, [Fault("get", kind, key="packs/", call=1, times=2)])
        with registry_over(faulty, make_world(None)).model("m").open("prod", "model.bin") as file:
            assert file.read(100) == BIG[:100]
            file.seek(3 * MIB)
            with pytest.raises(error):
                file.read(100)
            if kind is FaultKind.FAIL_BEFORE:
                with pytest.raises(error):
                    file.read(100)
            file.seek(3 * MIB)
            assert file.read(100) == BIG[3 * MIB : 3 * MIB + 100]
        faulty.assert_all_hit()


# A service that holds a version open


@dataclass
class Held:
    """A registry with `prod` at the first of several versions, opened by a service that has read the beginning of a file of it."""

    store: MemoryBackend
    model: Model
    file: io.BufferedReader
    data: bytes

    def read(self) -> bytes:
        """The whole of it, from the store."""
        self.file.seek(0)
        return b"".join(iter(lambda: self.file.read(2 * MIB), b""))

    def collect(self) -> None:
        collect(self.store)


def collect(store: MemoryBackend) -> None:
    """Delete all that no version needs, however much that is."""
    registry = registry_over(store, make_world())
    count = registry.gc(grace_s=0).garbage_objects
    registry.gc(delete=True, grace_s=0, trash_window_s=0, confirmed=count)


@pytest.fixture
def held(tmp_path: Path) -> Held:
    """The file is larger than what is kept of it in memory, so that reading it all goes to the store."""
    store = MemoryBackend("held")
    model = make_registry(store, make_world()).model("m")
    data = make_bytes(20, CACHED_BYTES + 8 * MIB)
    model.commit(write_folder(tmp_path, {"model.bin": File(data)}), tags=["prod"])
    service = registry_over(store, make_world()).model("m").open("prod", "model.bin")
    assert service.read(1000) == data[:1000]
    model.commit(write_folder(tmp_path, {"model.bin": File(make_bytes(21, MIB))}))
    return Held(store, model, service, data)


def test_a_service_keeps_its_version_when_the_tag_moves_is_deleted_and_the_registry_is_collected(held: Held) -> None:
    held.model.tag("prod", "main")
    assert held.read() == held.data
    held.collect()
    assert held.read() == held.data, "the version is not retired"
    held.model.delete_tag("prod")
    held.collect()
    assert held.read() == held.data


def test_a_service_keeps_its_version_while_a_collection_is_under_way(held: Held) -> None:
    held.model.tag("prod", "main")
    for _ in range(3):
        registry_over(held.store, make_world()).gc(delete=True, grace_s=0)
        assert held.read() == held.data


def test_a_service_goes_on_where_the_packs_that_it_read_are_gone_because_the_version_was_repacked(tmp_path: Path) -> None:
    store = MemoryBackend("repacked")
    model = make_registry(store, make_world(), chunk_bytes=CHUNK_BYTES).model("m")
    for number in range(3):
        lines = b"".join(b"layer %d of %d: %d\n" % (line % 7, number, line) for line in range(60_000))
        model.commit(write_folder(tmp_path, {"log.txt": File(lines)}), tags=["prod"])
    service = model.open("prod", "log.txt")
    before = {info.key for info in store.list("packs/")}
    assert service.read(10) == lines[:10]
    model.repack(level=19)
    collect(store)
    gone = before - {info.key for info in store.list("packs/")}
    assert gone
    service.seek(0)
    assert service.read() == lines


def test_a_service_is_told_when_its_version_was_retired_and_collected(held: Held) -> None:
    held.model.tag("prod", "main")
    held.model.retire("main~1", reason="wrong split")
    assert held.read() == held.data, "not before a collection has deleted it"
    held.collect()
    with pytest.raises(NotFoundError, match="was retired") as caught:
        held.read()
    assert caught.value.fields["retired"] is True


def test_sizes_of_the_test_data_reach_what_they_are_for() -> None:
    assert len(BIG) > 4 * READ_AHEAD_BYTES
    assert len(CONTENTS["repeats"]) > 60 * CHUNK_BYTES > 100 * KIB
