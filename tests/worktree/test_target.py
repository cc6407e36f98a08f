"""Writing into one folder: whole files under their names or nothing, never through a link, never outside."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from cas_registry.errors import AccessError, BackendError, HostileNameError, LimitError, LocalEditsError
from cas_registry.model.ids import FileId
from cas_registry.worktree.scan import FileStat
from cas_registry.worktree.target import PRIVATE_FOLDER, TEMPORARY_PREFIX, TargetFolder

HOSTILE = [
    "../x",
    "/etc/x",
    "a/../../x",
    "..",
    ".",
    "",
    "a//b",
    "a\\..\\..\\x",
    "C:x",
    "nul\0x",
    "CON",
    "x.",
    ".git/config",
    ".reg/state.json",
    "a/",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "target"


@pytest.fixture
def folder(root: Path) -> Iterator[TargetFolder]:
    with TargetFolder(root) as opened:
        yield opened


def _listing(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_file_is_written_with_its_folders_and_its_permissions(folder: TargetFolder, root: Path) -> None:
    found = folder.write("a/b/model.bin", iter([b"one", b"", b"two"]), executable=False)
    folder.write("a/run.sh", iter([]), executable=True)
    assert (root / "a/b/model.bin").read_bytes() == b"onetwo"
    assert found == FileStat.of((root / "a/b/model.bin").stat())
    assert not (root / "a/b/model.bin").stat().st_mode & 0o111
    assert (root / "a/run.sh").stat().st_mode & 0o100
    assert _listing(root) == ["a", "a/b", "a/b/model.bin", "a/run.sh"]


def test_a_file_takes_the_place_of_another_whole(folder: TargetFolder, root: Path) -> None:
    folder.write("model.bin", iter([b"old" * 1000]), executable=True)
    with (root / "model.bin").open("rb") as reader:
        folder.write("model.bin", iter([b"new"]), executable=False)
        assert reader.read() == b"old" * 1000
    assert (root / "model.bin").read_bytes() == b"new"
    assert not (root / "model.bin").stat().st_mode & 0o111


def test_a_write_that_fails_in_the_middle_leaves_what_was_there_and_nothing_else(folder: TargetFolder, root: Path) -> None:
    def parts() -> Iterator[bytes]:
        yield b"half"
        assert any(name.startswith(TEMPORARY_PREFIX) for name in os.listdir(root))
        raise KeyboardInterrupt

    folder.write("kept", iter([b"kept"]), executable=False)
    for name in ("kept", "fresh"):
        with pytest.raises(KeyboardInterrupt):
            folder.write(name, parts(), executable=False)
    assert _listing(root) == ["kept"]
    assert (root / "kept").read_bytes() == b"kept"


def test_a_full_disk_leaves_nothing_behind_and_says_what_to_do(
    folder: TargetFolder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int, _data: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(BackendError, match="free some space and run the same command again"):
        folder.write("a/model.bin", iter([b"data"]), executable=False)
    monkeypatch.undo()
    assert _listing(root) == ["a"]


@pytest.mark.parametrize("path", [*HOSTILE, "/".join("d" * 70), "x" * 300])
def test_hostile_paths_are_refused_by_every_method(folder: TargetFolder, root: Path, path: str) -> None:
    for action in (
        lambda: folder.write(path, iter([b"x"]), executable=False),
        lambda: folder.look(path),
        lambda: list(folder.read(path, buffer_bytes=10)),
        lambda: folder.remove(path),
        lambda: folder.remove_folder(path),
        lambda: folder.make_folder(path),
        lambda: folder.set_executable(path, executable=True),
    ):
        with pytest.raises((HostileNameError, LimitError)):
            action()
    assert _listing(root) == []
    assert _listing(root.parent) == ["target"]


# Links


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    (folder / "inner").mkdir(parents=True)
    (folder / "victim").write_text("victim")
    (folder / "inner/deep").write_text("deep")
    return folder


def test_nothing_goes_through_a_link_to_a_folder(folder: TargetFolder, root: Path, outside: Path) -> None:
    before = _listing(outside)
    for link, below in (("link", "link/victim"), ("real/link", "real/link/inner/deep")):
        (root / link).parent.mkdir(exist_ok=True)
        (root / link).symlink_to(outside)
        for action in (
            lambda below=below: folder.write(below, iter([b"x"]), executable=False),
            lambda below=below: list(folder.read(below, buffer_bytes=10)),
            lambda below=below: folder.remove(below),
            lambda below=below: folder.make_folder(below),
            lambda link=link: folder.make_folder(link),
            lambda below=below: folder.set_executable(below, executable=True),
        ):
            with pytest.raises(LocalEditsError, match="nothing is written through it") as caught:
                action()
            assert caught.value.fields["paths"] == [link]
        assert not folder.remove_folder(f"{link}/inner")
        found = folder.look(below)
        assert found is not None
        assert (found.path, found.is_file, found.is_folder) == (link, False, False)
    assert _listing(outside) == before
    assert (outside / "victim").read_text() == "victim"


def test_a_link_at_the_files_own_path_is_replaced_and_never_followed(folder: TargetFolder, root: Path, outside: Path) -> None:
    (root / "file").symlink_to(outside / "victim")
    found = folder.look("file")
    assert found is not None
    assert not found.is_file
    for action in (lambda: list(folder.read("file", buffer_bytes=10)), lambda: folder.set_executable("file", executable=True)):
        with pytest.raises((BackendError, AccessError, LocalEditsError)):
            action()
    folder.write("file", iter([b"mine"]), executable=False)
    assert (outside / "victim").read_text() == "victim"
    assert not (root / "file").is_symlink()
    (root / "other").symlink_to(outside / "victim")
    folder.remove("other")
    assert (outside / "victim").exists()
    assert not os.path.lexists(root / "other")


def test_a_file_with_other_names_is_replaced_and_its_other_names_keep_their_content(
    folder: TargetFolder, root: Path, outside: Path
) -> None:
    os.link(outside / "victim", root / "file")
    found = folder.look("file")
    assert found is not None
    assert (found.is_file, found.links) == (True, 2)
    folder.write("file", iter([b"mine"]), executable=True)
    assert (outside / "victim").read_text() == "victim"
    assert not (outside / "victim").stat().st_mode & 0o111


def test_a_folder_swapped_for_a_link_between_two_writes_leads_nowhere(folder: TargetFolder, root: Path, outside: Path) -> None:
    folder.write("sub/one", iter([b"1"]), executable=False)
    folder.write("top", iter([b"top"]), executable=False)

    def parts() -> Iterator[bytes]:
        yield b"2"
        (root / "sub").rename(root / "aside")
        (root / "sub").symlink_to(outside)
        yield b"2"

    folder.write("sub/two", parts(), executable=False)
    assert (root / "aside/two").read_bytes() == b"22"
    folder.make_folder("elsewhere/deep")
    with pytest.raises(LocalEditsError):
        folder.write("sub/three", iter([b"3"]), executable=False)
    assert _listing(outside) == ["inner", "inner/deep", "victim"]


def test_the_target_itself_may_be_swapped_and_writes_stay_in_the_folder_that_was_opened(
    folder: TargetFolder, root: Path, outside: Path
) -> None:
    root.rename(root.with_name("moved"))
    root.symlink_to(outside)
    folder.write("victim", iter([b"mine"]), executable=False)
    folder.write_private("state.json", b"{}")
    assert (outside / "victim").read_text() == "victim"
    assert _listing(outside) == ["inner", "inner/deep", "victim"]
    assert (root.with_name("moved") / "victim").read_bytes() == b"mine"
    assert (root.with_name("moved") / PRIVATE_FOLDER / "state.json").read_bytes() == b"{}"


def test_the_private_folder_is_no_way_out_either(folder: TargetFolder, root: Path, outside: Path) -> None:
    (root / PRIVATE_FOLDER).symlink_to(outside)
    with pytest.raises(LocalEditsError):
        folder.write_private("victim", b"mine")
    assert (outside / "victim").read_text() == "victim"


# Obstacles


def test_a_file_where_a_folder_is_needed_and_a_folder_where_a_file_is(folder: TargetFolder, root: Path) -> None:
    (root / "file").write_text("precious")
    (root / "dir/inner").mkdir(parents=True)
    with pytest.raises(LocalEditsError):
        folder.write("file/below", iter([b"x"]), executable=False)
    with pytest.raises(LocalEditsError, match="is a folder where a file is needed"):
        folder.write("dir", iter([b"x"]), executable=False)
    assert (root / "file").read_text() == "precious"
    assert _listing(root) == ["dir", "dir/inner", "file"]


def test_looking_says_what_is_there(folder: TargetFolder, root: Path) -> None:
    (root / "run.sh").write_text("x")
    (root / "run.sh").chmod(0o755)
    (root / "dir").mkdir()
    os.mkfifo(root / "pipe")
    looks = {path: folder.look(path) for path in ("run.sh", "dir", "pipe", "missing", "missing/deep", "run.sh/below")}
    assert {path: (look.path, look.is_file, look.is_folder, look.executable) for path, look in looks.items() if look} == {
        "run.sh": ("run.sh", True, False, True),
        "dir": ("dir", False, True, True),
        "pipe": ("pipe", False, False, False),
        "run.sh/below": ("run.sh", True, False, True),
    }


def test_a_walk_gives_what_is_in_a_folder_before_the_folder(folder: TargetFolder, root: Path) -> None:
    for path in ("a/b/c", "a/d"):
        folder.write(path, iter([b"x"]), executable=False)
    (root / "a/link").symlink_to(root)
    assert [(found.path, found.is_folder) for found in folder.walk("a")] == [
        ("a/b/c", False), ("a/b", True), ("a/d", False), ("a/link", False),
    ]  # fmt: skip


def test_removing_takes_files_and_empty_folders_only(folder: TargetFolder, root: Path) -> None:
    folder.write("a/b/c", iter([b"x"]), executable=False)
    assert not folder.remove_folder("a")
    assert not folder.remove_folder("missing")
    folder.remove("a/b/c")
    folder.remove("a/b/c")
    folder.remove("never/was")
    assert folder.remove_folder("a/b")
    assert folder.remove_folder("a")
    assert _listing(root) == []


def test_permissions_are_set_on_plain_files(folder: TargetFolder, root: Path) -> None:
    folder.write("run.sh", iter([b"x"]), executable=False)
    folder.set_executable("run.sh", executable=True)
    assert stat.S_IMODE((root / "run.sh").stat().st_mode) == 0o755
    folder.set_executable("run.sh", executable=False)
    assert stat.S_IMODE((root / "run.sh").stat().st_mode) == 0o644


def test_a_target_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for target in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises((AccessError, BackendError)), TargetFolder(target):
            pass


def test_no_handle_is_left_open(root: Path) -> None:
    def handles() -> int:
        return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

    before = handles()
    for _ in range(5):
        with TargetFolder(root) as folder:
            for number in range(20):
                folder.write(f"{number % 3}/{number % 2}/{number}", iter([b"x"]), executable=False)
            folder.look("0/0/0")
            folder.look("missing/deep/path")
            (root / "link").unlink(missing_ok=True)
            (root / "link").symlink_to(".")
            with pytest.raises(LocalEditsError):
                folder.write("link/x", iter([b"x"]), executable=False)
    assert handles() == before


# Files that are opened, copied and linked


def _source(tmp_path: Path, data: bytes) -> int:
    (tmp_path / "source").write_bytes(data)
    return os.open(tmp_path / "source", os.O_RDONLY)


def test_an_opened_file_can_be_read_after_it_was_replaced(folder: TargetFolder) -> None:
    folder.write("a/model.bin", iter([b"old"]), executable=False)
    handle = folder.open_file("a/model.bin")
    folder.write("a/model.bin", iter([b"new"]), executable=False)
    assert os.pread(handle, 10, 0) == b"old"
    os.close(handle)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.symlink_to("/etc/hostname"),
        lambda path: path.symlink_to("nowhere"),
        lambda path: path.mkdir(),
        os.mkfifo,
        lambda path: None,
    ],
)
def test_what_is_no_plain_file_is_not_opened(folder: TargetFolder, root: Path, make: object) -> None:
    make(root / "model.bin")  # type: ignore[operator]
    before = os.listdir("/proc/self/fd")
    with pytest.raises((AccessError, BackendError, LocalEditsError)):
        folder.open_file("model.bin")
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_nothing_is_opened_through_a_link(folder: TargetFolder, root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/model.bin").write_bytes(b"theirs")
    (root / "a").symlink_to(tmp_path / "outside")
    with pytest.raises(LocalEditsError):
        folder.open_file("a/model.bin")


@pytest.mark.parametrize("executable", [False, True])
def test_a_copy_takes_a_files_place_if_it_is_what_it_should_be(
    folder: TargetFolder, root: Path, tmp_path: Path, executable: bool
) -> None:
    source = _source(tmp_path, b"bytes")
    folder.write("a/model.bin", iter([b"old"]), executable=not executable)
    assert folder.copy("a/model.bin", source, FileId.of(b"other"), executable=executable) is None
    assert (root / "a/model.bin").read_bytes() == b"old"
    found = folder.copy("a/model.bin", source, FileId.of(b"bytes"), executable=executable)
    assert found == FileStat.of((root / "a/model.bin").stat())
    assert (root / "a/model.bin").read_bytes() == b"bytes"
    assert bool((root / "a/model.bin").stat().st_mode & 0o100) == executable
    assert _listing(root) == ["a", "a/model.bin"]


def test_a_link_takes_a_files_place_if_it_is_what_it_should_be(folder: TargetFolder, root: Path, tmp_path: Path) -> None:
    os.close(_source(tmp_path, b"bytes"))
    source, right = tmp_path / "source", FileId.of(b"bytes")
    folder.write("a/model.bin", iter([b"old"]), executable=False)
    assert folder.link("a/model.bin", source, right) is None, "writable"
    source.chmod(0o444)
    assert folder.link("a/model.bin", source, FileId.of(b"other")) is None
    assert folder.link("a/model.bin", tmp_path / "nothing", right) is None
    assert (root / "a/model.bin").read_bytes() == b"old"
    assert folder.link("a/model.bin", source, right) == FileStat.of(source.stat())
    assert folder.link("a/model.bin", source, right) is not None, "rename leaves two names of one file as they are"
    assert (root / "a/model.bin").samefile(source)
    assert _listing(root) == ["a", "a/model.bin"]


def test_a_link_to_a_link_is_not_followed(folder: TargetFolder, root: Path, tmp_path: Path) -> None:
    os.close(_source(tmp_path, b"bytes"))
    (tmp_path / "source").chmod(0o444)
    (tmp_path / "alias").symlink_to(tmp_path / "source")
    assert folder.link("model.bin", tmp_path / "alias", FileId.of(b"bytes")) is None
    assert _listing(root) == []


def test_a_folder_that_is_not_to_be_made_looks_empty_where_it_is_not_there(root: Path) -> None:
    with TargetFolder(root, create=False) as folder:
        assert folder.look("a") is None
        assert folder.look("a/b") is None
        with pytest.raises(HostileNameError):
            folder.look("../a")
    assert not root.exists()
    root.mkdir()
    (root / "a").write_bytes(b"a")
    with TargetFolder(root, create=False) as folder:
        found = folder.look("a")
    assert found
    assert found.is_file
