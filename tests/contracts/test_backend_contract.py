"""One suite over every backend: the sentences of `Backend`'s docstrings, one test each.

CAS_REGISTRY_TEST_GCS_URL (gs://bucket/prefix) and CAS_REGISTRY_TEST_AZURE_URL (az://container/prefix) add those stores, with
the fsspec options of an emulator on loopback as JSON in …_OPTIONS; Azure through obstore too. (fake-gcs does not speak the XML API that
obstore writes by.)
"""

import importlib.util
import json
import os
import pickle
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import pytest

from cas_registry.backends import Backend
from cas_registry.backends.local import LocalBackend
from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.objectstore import open_object_store
from cas_registry.backends.objectstore_options import translate
from cas_registry.backends.remote import RemoteBackend, open_filesystem
from cas_registry.backends.wrappers import RetryingBackend, SingleWriterBackend
from cas_registry.errors import AlreadyExistsError, InvalidInputError, NotFoundError
from cas_registry.store.kept import KeptBackend
from cas_registry.worktree.object_cache import ObjectCache
from tests.support.servers import S3Server

ABOVE_A_PART = 5 * 2**20 + 1  # S3's multipart uploads start at 5 MiB a part
PACK_SIZED = 33_000_000
PAGE = 1000  # keys in one answer of S3's ListObjectsV2
GCS, AZURE = "CAS_REGISTRY_TEST_GCS_URL", "CAS_REGISTRY_TEST_AZURE_URL"
EMULATORS = {name: os.environ[name] for name in (GCS, AZURE) if name in os.environ}
UNUSUAL_KEYS = [
    "with space/and  two",
    "Grüße/模型/🦀",
    "per%20cent/100%/%2e%2e/%",
    "plus+equals=and&versionId=1#fragment",
    "glob[ab]*{x}",
    "colon:at@comma,semi;tilde~'quote'\"",
    ".hidden/..dots/a..b/...",
    "UPPER/lower/Upper",
    "-dash/--option",
    "a" * 200 + "/" + "b" * 200,
]
REFUSED_KEYS = ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "a/./b", "a\\b", "nul\0byte", "a?versionId=1"]


@dataclass(frozen=True)
class Store:
    """A kind of store: `open()` is another client of the same place, `beside(name)` one of the place called ours + name."""

    kind: str
    open: Callable[[], Backend]
    beside: Callable[[str], Backend]
    racers: int = 8
    rounds: int = 10


@pytest.fixture(scope="module")
def opened() -> dict[str, object]:
    """File systems of fsspec and buckets, one a server: opening a client takes a quarter of a second."""
    return {}


def _local(request: pytest.FixtureRequest) -> Store:
    root: Path = request.getfixturevalue("tmp_path") / "registry"
    return Store("local", lambda: LocalBackend(root), lambda name: LocalBackend(Path(f"{root}{name}")))


def _retrying_local(request: pytest.FixtureRequest) -> Store:
    local = _local(request)
    return Store("retrying", lambda: RetryingBackend(local.open()), lambda name: RetryingBackend(local.beside(name)))


def _memory(request: pytest.FixtureRequest) -> Store:
    backend = MemoryBackend("contract")
    return Store("memory", lambda: backend, MemoryBackend)


def _single_writer(request: pytest.FixtureRequest) -> Store:
    backend = SingleWriterBackend(MemoryBackend("contract"))
    return Store("single-writer", lambda: backend, lambda name: SingleWriterBackend(MemoryBackend(name)))


def _kept(*, ask: bool) -> Callable[[pytest.FixtureRequest], Store]:
    def make(request: pytest.FixtureRequest) -> Store:
        backend, folder = MemoryBackend("contract"), request.getfixturevalue("tmp_path")

        def wrapped(inner: Backend) -> Backend:
            cache = ObjectCache(folder, "0" * 32, limit_bytes=10**8, clock_ns=time.time_ns)
            return KeptBackend(inner, cache, ask=ask)

        return Store("kept", lambda: wrapped(backend), lambda name: wrapped(MemoryBackend(name)))

    return make


def _s3(server: S3Server, request: pytest.FixtureRequest, racers: int, rounds: int) -> Store:
    opened = request.getfixturevalue("opened")
    if server.name not in opened:
        opened[server.name] = open_filesystem("s3", server.storage_options)
    return _remote(server.name, opened[server.name], _s3_root(server, opened), racers, rounds)


def _s3_root(server: S3Server, opened: dict[str, object]) -> str:
    name = f"{server.name}'s bucket"
    if name not in opened:
        opened[name] = server.make_bucket("contract")
    return f"{opened[name]}/{secrets.token_hex(8)}"


def _seaweedfs(request: pytest.FixtureRequest) -> Store:
    return _s3(request.getfixturevalue("seaweedfs_server"), request, racers=3, rounds=2)  # it polls once a second


def _ministack(request: pytest.FixtureRequest) -> Store:
    return _s3(request.getfixturevalue("ministack_server"), request, racers=8, rounds=5)


def _seaweedfs_by_obstore(request: pytest.FixtureRequest) -> Store:
    return _s3_by_obstore(request.getfixturevalue("seaweedfs_server"), request, racers=3, rounds=2)


def _ministack_by_obstore(request: pytest.FixtureRequest) -> Store:
    return _s3_by_obstore(request.getfixturevalue("ministack_server"), request, racers=8, rounds=5)


def _s3_by_obstore(server: S3Server, request: pytest.FixtureRequest, racers: int, rounds: int) -> Store:
    root = _s3_root(server, request.getfixturevalue("opened"))
    return _by_obstore("s3", server.storage_options, root, racers, rounds)


def _emulator(protocol: str, variable: str) -> Callable[[pytest.FixtureRequest], Store]:
    def make(request: pytest.FixtureRequest) -> Store:
        opened = request.getfixturevalue("opened")
        if protocol not in opened:
            opened[protocol] = open_filesystem(protocol, _emulator_options(variable))
        return _remote(protocol, opened[protocol], _emulator_root(variable), racers=8, rounds=5)

    return make


def _azure_by_obstore(_: pytest.FixtureRequest) -> Store:
    return _by_obstore("az", _emulator_options(AZURE), _emulator_root(AZURE), racers=8, rounds=5)


def _emulator_options(variable: str) -> dict[str, object]:
    return json.loads(os.environ.get(variable.replace("_URL", "_OPTIONS"), "{}"))


def _emulator_root(variable: str) -> str:
    return f"{EMULATORS[variable].partition('://')[2].strip('/')}/{secrets.token_hex(8)}"


def _by_obstore(protocol: str, options: Mapping[str, object], root: str, racers: int, rounds: int) -> Store:
    translated = translate(protocol, root.partition("/")[0], options)

    def beside(name: str) -> Backend:
        return RetryingBackend(open_object_store(protocol, f"{root}{name}", f"{protocol}://{root}{name}", translated))

    return Store(protocol, lambda: beside(""), beside, racers, rounds)


def _remote(kind: str, filesystem: object, root: str, racers: int, rounds: int) -> Store:
    def beside(name: str) -> Backend:
        return RetryingBackend(RemoteBackend(filesystem, f"{root}{name}", f"{kind}://{root}{name}"))

    return Store(kind, lambda: beside(""), beside, racers, rounds)


_S3 = pytest.mark.xdist_group("s3")  # asked for by name at run time, so conftest cannot see it
KINDS = [
    pytest.param(_local, id="local"),
    pytest.param(_memory, id="memory"),
    pytest.param(_single_writer, id="single-writer"),
    pytest.param(_retrying_local, id="retrying-local"),
    pytest.param(_kept(ask=False), id="kept"),
    pytest.param(_kept(ask=True), id="kept-ask"),
    pytest.param(_seaweedfs, id="seaweedfs", marks=_S3),
    pytest.param(_ministack, id="ministack", marks=_S3),
    pytest.param(_seaweedfs_by_obstore, id="seaweedfs-obstore", marks=_S3),
    pytest.param(_ministack_by_obstore, id="ministack-obstore", marks=_S3),
]
if GCS in EMULATORS:
    KINDS.append(pytest.param(_emulator("gs", GCS), id="gcs", marks=_S3))
if AZURE in EMULATORS:
    KINDS.append(pytest.param(_emulator("az", AZURE), id="azure", marks=_S3))
    KINDS.append(pytest.param(_azure_by_obstore, id="azure-obstore", marks=_S3))


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest) -> Store:
    return request.param(request)


@pytest.fixture
def backend(store: Store) -> Backend:
    return store.open()


def keys_below(backend: Backend, prefix: str) -> list[str]:
    return sorted(info.key for info in backend.list(prefix))


@pytest.mark.parametrize(("variable", "driver"), [(GCS, "gcsfs"), (AZURE, "adlfs")])
def test_an_emulator_that_is_named_takes_part(variable, driver):
    if variable not in EMULATORS:
        pytest.skip(f"{variable} is not set: this suite has not run over {driver}")
    assert importlib.util.find_spec(driver), f"{driver} is not installed"


# get


def test_get_returns_the_range_and_stops_at_the_end(backend):
    data = bytes(range(256)) * 4
    backend.create("packs/a", data)
    for start, length in [(0, 1024), (0, 1), (1, 1), (100, 300), (1023, 1), (0, 5000), (1000, 5000), (1023, 2)]:
        assert backend.get("packs/a", start=start, length=length) == data[start : start + length], (start, length)


def test_get_returns_bytes(backend):
    backend.create("a", bytearray(b"abc"))
    assert type(backend.get("a", length=3)) is bytes
    assert [type(data) for data in backend.get_many(["a"], length=3)] == [bytes]


def test_get_beyond_the_end_returns_nothing(backend):
    backend.create("a", b"0123456789")
    for start in (10, 11, 10_000_000):
        assert backend.get("a", start=start, length=5) == b"", start


def test_get_of_no_length_returns_nothing(backend):
    backend.create("a", b"0123456789")
    for start in (0, 5, 10, 99):
        assert backend.get("a", start=start, length=0) == b"", start


def test_get_of_an_empty_object_returns_nothing(backend):
    backend.create("empty", b"")
    assert backend.get("empty", length=100) == b""
    assert backend.get("empty", start=3, length=100) == b""
    assert backend.get("empty", length=0) == b""


@pytest.mark.parametrize("length", [0, 100])
def test_get_of_an_absent_key_is_not_found(backend, length):
    backend.create("a/present", b"x")
    for key in ("absent", "a/absent", "a/presen", "a/present2", "a", "a/present/below"):
        with pytest.raises(NotFoundError) as caught:
            backend.get(key, length=length)
        assert key in str(caught.value)
        assert caught.value.fields["key"] == key


def test_get_many_returns_heads_in_order_and_none_where_absent(backend):
    backend.create("m/long", b"0123456789")
    backend.create("m/short", b"01")
    backend.create("m/empty", b"")
    keys = ["m/short", "m/absent", "m/long", "m/empty", "m/long", "absent", "m", "m/short/below"]
    assert backend.get_many(keys, length=4) == [b"01", None, b"0123", b"", b"0123", None, None, None]


def test_get_many_of_nothing_and_of_no_length(backend):
    backend.create("a", b"abc")
    assert backend.get_many([], length=10) == []
    assert backend.get_many(["a", "absent"], length=0) == [b"", None]


def test_get_many_takes_hundreds_of_keys(backend):
    for number in range(0, 300, 3):
        backend.put(f"many/{number}", str(number).encode())
    found = backend.get_many([f"many/{number}" for number in range(300)], length=10)
    assert found == [None if number % 3 else str(number).encode() for number in range(300)]


# put


def test_put_writes_and_overwrites(backend):
    for data in (b"first", b"the second is longer", b"3rd", b""):
        backend.put("hints/HEAD", data)
        assert backend.get("hints/HEAD", length=100) == data
        assert backend.stat("hints/HEAD").size_bytes == len(data)
        assert [info.size_bytes for info in backend.list("hints/")] == [len(data)]


def test_put_is_seen_whole_or_not_at_all(store):
    old, new = b"A" * 300_000, b"B" * 200_000
    backend = store.open()
    backend.put("hint", old)
    stop = threading.Event()

    def flip() -> None:
        for body in islice(cycle([new, old]), 200):
            if stop.is_set():
                return
            backend.put("hint", body)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(flip)
        seen = {store.open().get("hint", length=10**6) for _ in range(40)}
        stop.set()
        writing.result()
    assert seen <= {old, new}


# create


@pytest.mark.parametrize("size_bytes", [0, 1, 1000, ABOVE_A_PART])
def test_create_refuses_a_taken_key_and_leaves_the_old_bytes(store, size_bytes):
    old = secrets.token_bytes(size_bytes)
    store.open().create("refs/m/1", old)
    for body in (b"", b"other", old, secrets.token_bytes(ABOVE_A_PART)):
        for backend in (store.open(), store.open()):
            with pytest.raises(AlreadyExistsError) as caught:
                backend.create("refs/m/1", body)
            assert caught.value.fields["key"] == "refs/m/1"
    assert store.open().get("refs/m/1", length=size_bytes + 10) == old
    assert [info.size_bytes for info in store.open().list("refs/")] == [size_bytes]


def test_create_refuses_what_put_wrote(backend):
    backend.put("k", b"put")
    with pytest.raises(AlreadyExistsError):
        backend.create("k", b"created")
    assert backend.get("k", length=10) == b"put"


def test_create_of_a_deleted_key_succeeds(backend):
    backend.create("k", b"one")
    backend.delete("k")
    backend.create("k", b"two")
    assert backend.get("k", length=10) == b"two"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_create_and_put_take_any_buffer(backend, kind):
    backend.create("created", kind(b"some bytes"))
    backend.put("put", kind(b"some bytes"))
    assert backend.get_many(["created", "put"], length=100) == [b"some bytes", b"some bytes"]


def test_what_was_written_does_not_follow_its_buffer(backend):
    buffer = bytearray(b"before" * 1000)
    backend.create("created", memoryview(buffer))
    backend.put("put", buffer)
    buffer[:] = b"after!" * 1000
    assert backend.get_many(["created", "put"], length=6) == [b"before", b"before"]


@pytest.mark.parametrize("size_bytes", [10, 200_000])
def test_a_race_of_creates_has_exactly_one_winner(store, size_bytes):
    clients = [store.open() for _ in range(store.racers)]
    with ThreadPoolExecutor(store.racers) as pool:
        for number in range(store.rounds):
            key = f"refs/race/{number}"
            gate = threading.Barrier(store.racers)

            def attempt(racer: int, key: str = key, gate: threading.Barrier = gate) -> bool:
                gate.wait()
                try:
                    clients[racer].create(key, bytes([racer]) * size_bytes)
                except AlreadyExistsError:
                    return False
                return True

            won = list(pool.map(attempt, range(store.racers)))
            assert won.count(True) == 1
            assert store.open().get(key, length=10**6) == bytes([won.index(True)]) * size_bytes


def test_what_was_created_outlives_a_flush(store):
    backend = store.open()
    backend.flush()
    backend.create("a/b/c", b"x")
    backend.flush()
    backend.flush()
    assert store.open().get("a/b/c", length=10) == b"x"


# list


@pytest.fixture
def listed(backend) -> dict[str, int]:
    sizes = {
        "format": 10,
        "refs/fraud/0000000001": 0,
        "refs/fraud/0000000002": 7,
        "refs/fraud/HEAD": 3,
        "refs/fraud-detector/0000000001": 5,
        "refs/churn/deep/er/1": 9,
        "refs2/x": 1,
        "packs/ab/cdef": 2000,
    }
    for key, size_bytes in sizes.items():
        backend.create(key, b"x" * size_bytes)
    return sizes


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "refs/",
        "refs",
        "r",
        "refs/fraud/",
        "refs/fraud",
        "refs/fraud/0",
        "refs/fraud/0000000002",
        "refs/c",
        "refs/churn/de",
        "packs/ab/",
    ],
)
def test_list_is_every_key_that_starts_with_the_prefix(backend, listed, prefix):
    found = list(backend.list(prefix))
    assert len(found) == len({info.key for info in found})
    assert {info.key: info.size_bytes for info in found} == {
        key: size_bytes for key, size_bytes in listed.items() if key.startswith(prefix)
    }


@pytest.mark.parametrize(
    "prefix", ["absent/", "abs", "refs/fraud/1", "refs/frauds/", "format/", "format/x", "refs/fraud/HEAD/"]
)
def test_list_of_nothing_is_empty(backend, listed, prefix):
    assert list(backend.list(prefix)) == []


def test_list_of_an_empty_store_is_empty(backend):
    assert list(backend.list("")) == []
    assert list(backend.list("refs/")) == []


def test_list_does_not_show_what_was_deleted(backend, listed):
    for key in listed:
        backend.delete(key)
    assert list(backend.list("")) == []


def test_list_does_not_leave_its_own_store(store):
    backend = store.open()
    backend.create("k", b"mine")
    for name in ("2", "-copy", ".old"):
        store.beside(name).create("k", b"another registry's")
        store.beside(name).create("refs/1", b"another registry's")
    assert keys_below(backend, "") == ["k"]
    assert backend.get("k", length=10) == b"mine"


def test_list_is_complete_beyond_one_page(backend):
    keys = [f"packs/{number:04x}" for number in range(PAGE + 60)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: backend.put(key, b"x"), keys))
    assert keys_below(backend, "packs/") == keys
    assert keys_below(backend, "packs/0") == keys
    assert keys_below(backend, "") == keys


# stat, delete


def test_stat_tells_length_and_age(backend):
    backend.create("a/b", b"12345")
    info = backend.stat("a/b")
    assert (info.key, info.size_bytes) == ("a/b", 5)
    (shown,) = backend.list("a/")
    for age_ms in (info.modified_ms, shown.modified_ms):
        assert age_ms is not None
        assert abs(time.time() * 1000 - age_ms) < 60_000


def test_stat_of_an_absent_key_is_not_found(backend):
    backend.create("a/present", b"x")
    for key in ("absent", "a/absent", "a", "a/present/below"):
        with pytest.raises(NotFoundError) as caught:
            backend.stat(key)
        assert caught.value.fields["key"] == key


def test_delete_removes_that_key_only(backend):
    for key in ("d/a", "d/ab", "d/a2/x", "e"):
        backend.create(key, b"x")
    backend.delete("d/a")
    assert keys_below(backend, "") == ["d/a2/x", "d/ab", "e"]
    with pytest.raises(NotFoundError):
        backend.get("d/a", length=1)


def test_delete_of_what_is_absent_is_fine(backend):
    backend.create("a/b", b"x")
    backend.delete("a/b")
    for key in ("a/b", "never", "a", "x/y/z"):
        backend.delete(key)


def test_delete_of_a_folder_s_name_removes_nothing(backend):
    backend.create("a/b", b"x")
    for key in ("a", "a/b/c"):
        backend.delete(key)
    assert backend.get("a/b", length=1) == b"x"


# keys


def test_unusual_keys_are_kept_apart_and_whole(backend):
    for number, key in enumerate(UNUSUAL_KEYS):
        backend.create(key, str(number).encode())
    for number, key in enumerate(UNUSUAL_KEYS):
        assert backend.get(key, length=10) == str(number).encode(), key
        assert backend.stat(key).key == key
        assert keys_below(backend, key) == [key]
        with pytest.raises(AlreadyExistsError):
            backend.create(key, b"")
    assert keys_below(backend, "") == sorted(UNUSUAL_KEYS)
    assert backend.get_many(UNUSUAL_KEYS, length=10) == [str(number).encode() for number in range(len(UNUSUAL_KEYS))]
    for key in UNUSUAL_KEYS:
        backend.delete(key)
    assert keys_below(backend, "") == []


@pytest.mark.parametrize("key", REFUSED_KEYS)
def test_what_is_no_key_is_refused_by_every_method(backend, key):
    calls: list[Callable[[], object]] = [
        lambda: backend.get(key, length=1),
        lambda: backend.get(key, length=0),
        lambda: backend.get_many(["fine", key], length=1),
        lambda: backend.put(key, b""),
        lambda: backend.create(key, b""),
        lambda: backend.stat(key),
        lambda: backend.delete(key),
    ]
    for call in calls:
        with pytest.raises(InvalidInputError):
            call()
    assert list(backend.list("")) == []


# the whole


def test_a_pack_sized_object_comes_back(store):
    data = secrets.token_bytes(PACK_SIZED)
    store.open().create("packs/big", data)
    backend = store.open()
    assert backend.get("packs/big", length=PACK_SIZED + 1) == data
    assert backend.get("packs/big", start=20_000_000, length=70_000) == data[20_000_000:20_070_000]
    assert backend.get_many(["packs/big"], length=8) == [data[:8]]
    assert backend.stat("packs/big").size_bytes == PACK_SIZED


def test_another_client_reads_what_was_just_written(store):
    writer, reader = store.open(), store.open()
    for number in range(10):
        with pytest.raises(NotFoundError):
            reader.get(f"k/{number}", length=10)
        writer.create(f"k/{number}", str(number).encode())
        assert reader.get(f"k/{number}", length=10) == str(number).encode()
        assert reader.stat(f"k/{number}").size_bytes == 1
        assert keys_below(reader, "k/") == [f"k/{seen}" for seen in range(number + 1)]
        writer.put("hint", str(number).encode())
        assert reader.get_many(["hint", f"k/{number + 1}"], length=10) == [str(number).encode(), None]


def test_threads_may_share_one_backend(backend):
    def work(number: int) -> bool:
        mine = f"t{number}"
        for step in range(5):
            backend.create(f"{mine}/{step}", mine.encode() * 1000)
            backend.put("shared", mine.encode())
            if backend.get(f"{mine}/{step}", length=10**5) != mine.encode() * 1000:
                return False
            backend.flush()
        for step in range(0, 5, 2):
            backend.delete(f"{mine}/{step}")
        return keys_below(backend, f"{mine}/") == [f"{mine}/1", f"{mine}/3"]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [True] * 8
    assert len(keys_below(backend, "")) == 8 * 2 + 1


def test_nothing_shown_or_pickled_carries_credentials(store):
    backend = store.open()
    with pytest.raises(NotFoundError) as caught:
        backend.get("absent", length=1)
    shown = [backend.url, repr(backend), str(backend), str(caught.value), repr(caught.value), str(dict(caught.value.fields))]
    for text in shown:
        assert "secret" not in text
        assert "AKIA" not in text
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(backend)
