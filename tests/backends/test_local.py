import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cas_registry.backends.local import TEMPORARY_PREFIX, LocalBackend
from cas_registry.errors import AccessError, AlreadyExistsError, BackendError, InvalidInputError, NotFoundError


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "registry"


@pytest.fixture
def backend(root) -> LocalBackend:
    return LocalBackend(root)


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def raising(code: int) -> Callable[..., None]:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


# on disk


def test_an_object_is_a_file_of_its_bytes(backend, root):
    backend.create("packs/ab", b"bytes")
    backend.put("refs/m/HEAD", b"hint")
    assert (root / "packs/ab").read_bytes() == b"bytes"
    assert files_below(root) == ["packs/ab", "refs/m/HEAD"]


def test_temporary_files_are_invisible_and_in_nobody_s_way(backend, root):
    backend.create("refs/m/1", b"x")
    for folder in (root, root / "refs", root / "refs/m"):
        (folder / f"{TEMPORARY_PREFIX}4711-left-over").write_bytes(b"torn")
    assert [info.key for info in backend.list("")] == ["refs/m/1"]
    for prefix in (TEMPORARY_PREFIX, ".", "refs/m/.", f"refs/m/{TEMPORARY_PREFIX}"):
        assert list(backend.list(prefix)) == []
    backend.create("refs/m/2", b"y")
    backend.put("refs/m/1", b"z")
    assert sorted(info.key for info in backend.list("")) == ["refs/m/1", "refs/m/2"]


def test_what_broken_writes_left_is_swept_once_it_is_old(backend, root):
    backend.create("refs/m/1", b"x")
    old, young = (root / "refs" / "m" / f"{TEMPORARY_PREFIX}4711-{digit * 16}" for digit in "ab")
    foreign = [root / f"{TEMPORARY_PREFIX}4711-mine", root / "refs" / f"{TEMPORARY_PREFIX}x-{'a' * 16}"]
    for path in (old, young, *foreign):
        path.write_bytes(b"torn")
        os.utime(path, (1000, 1000) if path is not young else (3000, 3000))
    link = root / f"{TEMPORARY_PREFIX}4711-{'c' * 16}"
    link.symlink_to(old)
    os.utime(link, (1000, 1000), follow_symlinks=False)

    for delete in (False, True):
        assert [(info.key, info.size_bytes) for info in backend.sweep(before_ms=2_000_000, delete=delete)] == [
            (f"refs/m/{old.name}", 4)
        ]
        assert old.exists() is not delete
    assert all(path.exists() for path in (young, *foreign)), "what is young, or somebody else's, stays"
    assert link.is_symlink()
    assert backend.get("refs/m/1", length=1) == b"x"
    assert backend.sweep(before_ms=2_000_000, delete=True) == []


def test_what_a_killed_writer_left_goes(backend, root):
    with python(WRITER, str(root), "0") as writer:
        writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
    kept = {info.key for info in backend.list("")}
    left = [path for path in files_below(root) if TEMPORARY_PREFIX in path]
    assert [info.key for info in backend.sweep(before_ms=2**62, delete=True)] == left
    assert set(files_below(root)) == kept


def test_a_key_that_looks_like_a_temporary_file_is_refused(backend, root):
    for key in (f"{TEMPORARY_PREFIX}x", f"refs/{TEMPORARY_PREFIX}x"):
        for call in (backend.create, backend.put):
            with pytest.raises(InvalidInputError):
                call(key, b"")
    assert not root.exists()


def test_a_folder_that_looks_like_a_temporary_file_is_listed(backend):
    key = f"refs/{TEMPORARY_PREFIX}model/1"
    backend.create(key, b"x")
    assert [info.key for info in backend.list("refs/")] == [key]
    assert [info.key for info in backend.list(f"refs/{TEMPORARY_PREFIX}")] == [key]


def test_symbolic_links_are_not_listed_nor_followed_by_list(backend, root, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"x")
    backend.create("packs/a", b"x")
    (root / "linked").symlink_to(outside)
    (root / "packs/link").symlink_to(outside / "file")
    assert [info.key for info in backend.list("")] == ["packs/a"]


def test_a_dangling_link_takes_its_key(backend, root, tmp_path):
    (root / "refs").mkdir(parents=True)
    (root / "refs/1").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AlreadyExistsError):
        backend.create("refs/1", b"x")
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_in_a_folder_s_place_is_an_access_error(backend, root):
    backend.create("refs", b"x")
    for call in (backend.create, backend.put):
        with pytest.raises(AccessError, match="in the way"):
            call("refs/m/1", b"y")
    assert files_below(root) == ["refs"]


def test_what_vanishes_during_a_listing_is_left_out(backend, root):
    for number in range(5):
        backend.create(f"d{number}/k", b"x")
    listing = backend.list("")
    seen = {next(listing).key}
    for number in range(5):
        backend.delete(f"d{number}/k")
        (root / f"d{number}").rmdir()
    assert {info.key for info in listing} | seen == seen


# durability


class Trace:
    """The order of what reaches the kernel, with names of files instead of handles."""

    def __init__(self, patch: pytest.MonkeyPatch, root: Path) -> None:
        self.steps: list[tuple[str, str]] = []
        names: dict[int, Path] = {}
        real = {name: getattr(os, name) for name in ("open", "write", "fsync", "link", "close")}

        def name_of(path: Path) -> str:
            path = Path(path)
            if path.name.startswith(TEMPORARY_PREFIX):
                return "temporary"
            return str(path.relative_to(root)) if path.is_relative_to(root) else f"../{path.name}"

        def traced_open(path: Path, *args: object, **kwargs: object) -> int:
            handle = real["open"](path, *args, **kwargs)
            names[handle] = Path(path)
            return handle

        def traced_write(handle: int, data: memoryview) -> int:
            self.steps.append(("write", name_of(names[handle])))
            return real["write"](handle, data)

        def traced_fsync(handle: int) -> None:
            self.steps.append(("fsync", name_of(names[handle])))
            real["fsync"](handle)

        def traced_close(handle: int) -> None:
            self.steps.append(("close", name_of(names[handle])))
            real["close"](handle)

        def traced_link(source: Path, target: Path) -> None:
            self.steps.append(("link", name_of(target)))
            real["link"](source, target)

        for name, traced in [
            ("open", traced_open),
            ("write", traced_write),
            ("fsync", traced_fsync),
            ("close", traced_close),
            ("link", traced_link),
        ]:
            patch.setattr(os, name, traced)

    def synced(self) -> set[str]:
        return {name for step, name in self.steps if step == "fsync"}


def test_bytes_are_synced_before_the_name_and_the_name_before_flush_returns(backend, root, monkeypatch):
    trace = Trace(monkeypatch, root)
    backend.create("refs/m/1", b"x")
    assert trace.steps == [("write", "temporary"), ("fsync", "temporary"), ("close", "temporary"), ("link", "refs/m/1")]
    trace.steps.clear()
    backend.flush()
    assert trace.synced() == {"../" + root.parent.name, ".", "refs", "refs/m"}
    assert {step for step, _ in trace.steps} == {"fsync", "close"}
    trace.steps.clear()
    backend.flush()
    assert trace.steps == []


def test_every_byte_is_written_before_the_sync(backend, root, monkeypatch):
    sizes: list[int] = []
    real_write, real_fsync = os.write, os.fsync
    monkeypatch.setattr(os, "write", lambda handle, data: real_write(handle, data[:7]))
    monkeypatch.setattr(os, "fsync", lambda handle: (sizes.append(os.fstat(handle).st_size), real_fsync(handle)))
    backend.create("k", b"0123456789" * 10)
    assert sizes == [100]
    assert (root / "k").read_bytes() == b"0123456789" * 10


def test_flush_syncs_the_folders_that_another_process_made(backend, root, monkeypatch):
    LocalBackend(root).create("refs/m/1", b"x")  # and is killed before it flushes
    trace = Trace(monkeypatch, root)
    backend.create("refs/m/2", b"y")
    trace.steps.clear()
    backend.flush()
    assert trace.synced() == {".", "refs", "refs/m"}


def test_flush_covers_an_object_that_was_found_taken(backend, root, monkeypatch):
    LocalBackend(root).create("trees/1", b"x")  # and is killed before it flushes
    with pytest.raises(AlreadyExistsError):
        backend.create("trees/1", b"x")
    trace = Trace(monkeypatch, root)
    backend.flush()
    assert trace.synced() == {".", "trees"}


def test_a_failed_flush_is_an_error_and_what_it_left_is_not_forgotten(backend, root, monkeypatch):
    backend.create("refs/m/1", b"x")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", raising(errno.EIO))
        for _ in range(2):
            with pytest.raises(BackendError) as caught:
                backend.flush()
            assert not caught.value.transient
    trace = Trace(monkeypatch, root)
    backend.flush()
    assert trace.synced() == {"../" + root.parent.name, ".", "refs", "refs/m"}


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_sync_folders_is_tolerated(backend, monkeypatch, code):
    backend.create("k", b"x")
    monkeypatch.setattr(os, "fsync", raising(code))
    backend.flush()


def test_a_flush_waits_for_folders_that_another_thread_is_syncing(backend, monkeypatch):
    backend.create("k", b"x")
    entered, release, second_done = threading.Event(), threading.Event(), threading.Event()
    real_fsync = os.fsync

    def slow_fsync(handle: int) -> None:
        entered.set()
        assert release.wait(10)
        real_fsync(handle)

    monkeypatch.setattr(os, "fsync", slow_fsync)
    first = threading.Thread(target=backend.flush)
    second = threading.Thread(target=lambda: (backend.flush(), second_done.set()))
    first.start()
    assert entered.wait(10)
    second.start()
    assert not second_done.wait(0.2)
    release.set()
    first.join(10)
    second.join(10)
    assert second_done.is_set()


def test_on_a_mac_the_drive_s_cache_is_flushed_too(backend, monkeypatch):
    import fcntl

    asked: list[int] = []
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda handle, command: asked.append(command))
    monkeypatch.setattr(os, "fsync", raising(errno.EIO))
    backend.create("k", b"x")
    assert asked == [51]


# failures


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("call", ["open", "write", "fsync", "link", "mkdir"])
def test_a_failing_disk_leaves_neither_the_object_nor_a_temporary_file(backend, root, monkeypatch, call, code):
    with monkeypatch.context() as patch:
        patch.setattr(os, call, raising(code))
        with pytest.raises(BackendError) as caught:
            backend.create("refs/m/1", b"x")
    assert os.strerror(code) in str(caught.value)
    assert "refs/m/1" in str(caught.value)
    assert ("free some space" in str(caught.value)) == (code != errno.EIO)
    assert not caught.value.transient
    assert files_below(root) == []
    backend.create("refs/m/1", b"x")
    assert files_below(root) == ["refs/m/1"]


@pytest.mark.parametrize("call", ["open", "write", "replace"])
def test_a_failing_put_leaves_the_old_bytes(backend, root, monkeypatch, call):
    backend.put("hint", b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, raising(errno.ENOSPC))
        with pytest.raises(BackendError):
            backend.put("hint", b"new")
    assert files_below(root) == ["hint"]
    assert (root / "hint").read_bytes() == b"old"


def test_a_disk_that_fills_up_in_the_middle_leaves_nothing(backend, root, monkeypatch):
    real_write, calls = os.write, []

    def write(handle: int, data: memoryview) -> int:
        calls.append(len(data))
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real_write(handle, data[:1000])

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(BackendError):
        backend.create("packs/a", b"x" * 10_000)
    assert files_below(root) == []


def test_a_failed_sync_is_never_tried_again(backend, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append(handle), raising(errno.EIO)()))
    with pytest.raises(BackendError):
        backend.create("k", b"x")
    assert len(calls) == 1


@pytest.mark.parametrize("call", ["write", "fsync", "link"])
def test_an_interrupted_create_leaves_nothing(backend, root, monkeypatch, call):
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, call, interrupt)
        with pytest.raises(KeyboardInterrupt):
            backend.create("k", b"x")
    assert files_below(root) == []


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK])
def test_a_file_system_without_links_is_refused_with_advice(backend, root, monkeypatch, code):
    monkeypatch.setattr(os, "link", raising(code))
    with pytest.raises(BackendError, match=r"hard links.*another disk") as caught:
        backend.create("k", b"x")
    assert not caught.value.transient
    assert files_below(root) == []


@pytest.mark.parametrize("call", ["open", "link", "mkdir"])
def test_missing_permission_to_write_is_an_access_error(backend, root, monkeypatch, call):
    with monkeypatch.context() as patch:
        patch.setattr(os, call, raising(errno.EACCES))
        with pytest.raises(AccessError, match="check its permissions"):
            backend.create("refs/1", b"x")
    assert files_below(root) == []


def test_a_read_only_file_system_is_an_access_error(backend, monkeypatch):
    backend.create("k", b"x")
    monkeypatch.setattr(os, "unlink", raising(errno.EROFS))
    with pytest.raises(AccessError, match="read-only"):
        backend.delete("k")


def test_missing_permission_to_read_is_an_access_error_and_no_absence(backend, monkeypatch):
    backend.create("refs/1", b"x")
    monkeypatch.setattr(os, "open", raising(errno.EACCES))
    monkeypatch.setattr(os, "stat", raising(errno.EACCES))
    for call in (
        lambda: backend.get("refs/1", length=1),
        lambda: backend.get_many(["refs/1"], length=1),
        lambda: backend.stat("refs/1"),
    ):
        with pytest.raises(AccessError):
            call()


@pytest.mark.parametrize(
    ("code", "kind"), [(errno.EACCES, AccessError), (errno.EIO, BackendError), (errno.EMFILE, BackendError)]
)
def test_a_listing_that_fails_is_no_empty_listing(backend, monkeypatch, code, kind):
    backend.create("refs/1", b"x")
    real_scandir = os.scandir
    for unreadable in ("registry", "refs"):
        fails = lambda path, name=unreadable: raising(code)() if Path(path).name == name else real_scandir(path)
        with monkeypatch.context() as patch:
            patch.setattr(os, "scandir", fails)
            with pytest.raises(kind):
                list(backend.list(""))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_can_be_read_and_not_written(backend, root):
    backend.create("k", b"x")
    root.chmod(0o555)
    try:
        assert backend.get("k", length=1) == b"x"
        with pytest.raises(AccessError):
            backend.create("k2", b"y")
    finally:
        root.chmod(0o755)


# other processes

RACER = """
import sys
from pathlib import Path
from cas_registry.backends.local import LocalBackend
from cas_registry.errors import AlreadyExistsError

backend, body = LocalBackend(Path(sys.argv[1])), sys.argv[2].encode()
print("ready", flush=True)
sys.stdin.readline()
for number in range(100):
    try:
        backend.create(f"refs/{number}", body)
        print(number, flush=True)
    except AlreadyExistsError:
        pass
"""

WRITER = """
import sys
from pathlib import Path
from cas_registry.backends.local import LocalBackend

backend = LocalBackend(Path(sys.argv[1]))
for number in range(10**6):
    backend.create(f"packs/{sys.argv[2]}-{number}", bytes([number % 256]) * 200_000)
    print(number, flush=True)
"""


def python(code: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_each_key_raced_for_by_processes_has_one_winner(root):
    racers = [python(RACER, str(root), str(number)) for number in range(4)]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = {str(number): racer.communicate(timeout=30)[0].split() for number, racer in enumerate(racers)}
    assert [racer.returncode for racer in racers] == [0] * 4
    winners = {int(key): racer for racer, keys in won.items() for key in keys}
    assert sum(map(len, won.values())) == len(winners) == 100
    for number, racer in winners.items():
        assert (root / f"refs/{number}").read_text() == racer
    assert len(files_below(root)) == 100


def test_a_killed_writer_leaves_whole_objects_and_no_obstacle(backend, root):
    for round_number in range(3):
        with python(WRITER, str(root), str(round_number)) as writer:
            for _ in range(3 + round_number):
                writer.stdout.readline()
            time.sleep(0.003 * round_number)
            writer.send_signal(signal.SIGKILL)
            acknowledged = 3 + round_number + len(writer.stdout.read().split())
        keys = [info.key for info in backend.list(f"packs/{round_number}-")]
        assert len(keys) >= acknowledged
        for key in keys:
            number = int(key.rpartition("-")[2])
            assert backend.get(key, length=10**6) == bytes([number % 256]) * 200_000
        backend.create(f"packs/{round_number}-{len(keys)}", b"goes on")


def test_a_missing_folder_reads_as_an_empty_store(backend, root):
    assert list(backend.list("")) == []
    assert backend.get_many(["format"], length=1) == [None]
    with pytest.raises(NotFoundError):
        backend.stat("format")
    backend.flush()
    assert not root.exists()
