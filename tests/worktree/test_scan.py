"""Scanning: what of a folder is taken, under which name, and what is refused with a list."""

import os
import socket
import unicodedata
from pathlib import Path

import pytest

from cas_registry.errors import AccessError, HostileNameError, InvalidInputError, NotFoundError, RegistryError
from cas_registry.worktree.scan import FileStat, scan, scan_all
from cas_registry.worktree.target import TEMPORARY_PREFIX
from tests.support.folders import File, write_folder
from tests.support.simulated import OpenedFiles


def _paths(*roots: Path) -> list[str]:
    return [file.path for file in scan(roots).files]


def _write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_files_come_sorted_with_their_state_and_folders_with_their_parents(tmp_path: Path) -> None:
    write_folder(tmp_path, {"b": File(b"22"), "a/c/d": File(b"1", executable=True), "a/empty": None, "zero": File(b"")})
    snapshot = scan([tmp_path])
    assert [(file.path, file.stat.size_bytes, file.executable) for file in snapshot.files] == [
        ("a/c/d", 1, True), ("b", 2, False), ("zero", 0, False),
    ]  # fmt: skip
    assert snapshot.folders == {"a", "a/c", "a/empty"}
    assert snapshot.size_bytes == 3
    assert snapshot.files[0].stat == FileStat.of((tmp_path / "a/c/d").stat())


def test_no_file_is_opened(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": File(b"a"), "b/c": File(b"c")})
    with OpenedFiles(tmp_path) as opened:
        scan([tmp_path])
    assert opened.paths == []


def test_a_folder_of_plain_names_is_taken_at_once_and_as_it_would_be_name_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path, {"a": File(b"1"), "d/x.bin": File(b"22", executable=True), "d/e/y": File(b""), "empty": None})
    (tmp_path / "d/link").symlink_to("x.bin")
    at_once = scan([tmp_path])
    looked_at: list[object] = []
    monkeypatch.setattr("cas_registry.worktree.scan._is_plain", looked_at.append)
    assert scan([tmp_path]) == at_once
    assert len(looked_at) == 4
    assert [file.path for file in at_once.files] == ["a", "d/e/y", "d/link", "d/x.bin"]


@pytest.mark.parametrize("name", ["aux", "x ", ".git", "a\u202eb", "e\u0301", ".reg-tmp-0", "\u00e9"])
def test_one_odd_name_among_plain_ones_is_looked_at(tmp_path: Path, name: str) -> None:
    write_folder(tmp_path, {f"d/{number}": File(b"") for number in range(20)})
    (tmp_path / "d" / name).write_text("x")
    try:
        found = set(_paths(tmp_path)) - {f"d/{number}" for number in range(20)}
    except HostileNameError:
        found = {"refused"}
    taken = {"e\u0301": {"d/\u00e9"}, "\u00e9": {"d/\u00e9"}, ".git": set(), ".reg-tmp-0": set()}
    assert found == taken.get(name, {"refused"})


# Links


def test_a_hugging_face_cache_of_links_is_taken_as_the_files_that_it_shows(tmp_path: Path) -> None:
    """models--x/blobs/<hash> holds the content, models--x/snapshots/<commit>/NAME links to it."""
    blobs = tmp_path / "models--x/blobs"
    snapshot = tmp_path / "models--x/snapshots/0123abc"
    for name, blob, content in (("model.safetensors", "aaaa", "weights"), ("onnx/config.json", "bbbb", "{}")):
        _write(blobs / blob, content)
        link = snapshot / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blobs / blob, link.parent))
    files = scan([snapshot]).files
    assert [(file.path, file.stat.size_bytes) for file in files] == [("model.safetensors", 7), ("onnx/config.json", 2)]
    assert files[0].stat == FileStat.of((blobs / "aaaa").stat())


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    _write(tmp_path / "run-17/a")
    (tmp_path / "latest").symlink_to("run-17")
    assert _paths(tmp_path / "latest") == ["a"]


def test_a_file_that_is_a_link_may_be_given_by_itself(tmp_path: Path) -> None:
    (tmp_path / "model.bin").symlink_to(_write(tmp_path / "blob"))
    assert _paths(tmp_path / "model.bin") == ["model.bin"]


def test_links_to_folders_and_to_nothing_and_in_a_circle_are_refused_by_name(tmp_path: Path) -> None:
    _write(tmp_path / "work/fine")
    (tmp_path / "outside").mkdir()
    (tmp_path / "work/to-folder").symlink_to(tmp_path / "outside")
    (tmp_path / "work/to-itself").symlink_to(".")
    (tmp_path / "work/broken").symlink_to("nowhere")
    (tmp_path / "work/circle").symlink_to("circle")
    with pytest.raises(HostileNameError) as caught:
        scan([tmp_path / "work"])
    problems = caught.value.fields["problems"]
    assert isinstance(problems, list)
    assert {problem.partition(":")[0] for problem in problems} == {"to-folder", "to-itself", "broken", "circle"}
    assert "broken: a link to nothing" in problems
    assert "to-folder: a link to a folder (links to files are followed)" in problems


@pytest.mark.parametrize("below", [False, True], ids=["given", "below"])
@pytest.mark.parametrize("kind", ["fifo", "socket", "link to a fifo"])
def test_what_is_neither_file_nor_folder_is_refused_and_never_opened(tmp_path: Path, kind: str, below: bool) -> None:
    work = tmp_path / "w"
    work.mkdir()
    odd = work / "odd"
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(odd))
    else:
        os.mkfifo(odd if kind == "fifo" else tmp_path / "pipe")
        if kind != "fifo":
            odd.symlink_to(tmp_path / "pipe")
    with pytest.raises((HostileNameError, InvalidInputError), match="odd: neither a file nor a folder"):
        scan([work if below else odd])


# What is left out


def test_the_folders_of_tools_and_the_leftovers_of_a_checkout_are_never_taken(tmp_path: Path) -> None:
    for path in (
        ".git/config",
        ".reg/state.json",
        "deep/.git/HEAD",
        "deep/.reg/config.toml",
        f"deep/{TEMPORARY_PREFIX}0123",
        "a",
    ):
        _write(tmp_path / path)
    assert _paths(tmp_path) == ["a"]
    assert scan([tmp_path]).folders == {"deep"}


def test_patterns_of_the_ignore_file_work_as_in_gitignore(tmp_path: Path) -> None:
    for path in (
        "a.log",
        "keep.log",
        "logs/x",
        "sub/b.log",
        "sub/logs/y",
        "sub/c.txt",
        "checkpoints/1/w",
        "top.bin",
        "sub/top.bin",
        "é.tmp",
    ):
        _write(tmp_path / path)
    _write(tmp_path / ".regignore", "# comment\n*.log\n!keep.log\nlogs/\n/top.bin\ncheckpoints/**\n\n*.tmp\n")
    assert _paths(tmp_path) == [".regignore", "keep.log", "sub/c.txt", "sub/top.bin"]
    assert scan([tmp_path]).folders == {"sub"}


def test_what_is_ignored_may_have_any_name_and_be_anything(tmp_path: Path) -> None:
    _write(tmp_path / "fine")
    _write(tmp_path / "CON.tmp")
    (tmp_path / "link.tmp").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.tmp")
    _write(tmp_path / ".regignore", "*.tmp\n")
    assert _paths(tmp_path) == [".regignore", "fine"]


def test_an_ignore_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / ".regignore").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInputError, match=r"\.regignore cannot be read as UTF-8 text"):
        scan([tmp_path])


# Names


def test_names_are_taken_in_nfc_whatever_the_disk_has(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "Å/é.txt")
    assert decomposed != "Å/é.txt"
    _write(tmp_path / decomposed)
    (file,) = scan([tmp_path]).files
    assert file.path == unicodedata.normalize("NFC", "Å/é.txt")
    assert file.disk == tmp_path / decomposed
    assert file.disk.read_text() == "x"


def test_every_name_that_cannot_be_stored_is_listed(tmp_path: Path) -> None:
    hostile = [
        "CON",
        "nul.txt",
        "trailing.",
        "trailing ",
        "semi:colon",
        "back\\slash",
        "GIT~1",
        "rtl\u202eoverride",
        "new\nline",
        ".GIT",
        "a?",
    ]
    for name in [*hostile, "fine"]:
        _write(tmp_path / name)
    (tmp_path / os.fsdecode(b"not-utf8-\xff")).write_text("x")
    with pytest.raises(HostileNameError) as caught:
        scan([tmp_path])
    problems = caught.value.fields["problems"]
    assert isinstance(problems, list)
    assert len(problems) == len(hostile) + 1
    assert "and 2 more" in caught.value.message
    assert "Rename or remove them, or list them in .regignore" in caught.value.message
    caught.value.message.encode("utf-8")


def test_a_path_that_is_too_deep_or_too_long_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / "deep"
    _write(deep / "/".join("d" * 70) / "file")
    with pytest.raises(HostileNameError, match="more than 64 folders"):
        scan([deep])


def test_names_that_one_disk_cannot_hold_are_refused(tmp_path: Path) -> None:
    """Twins in NFC and NFD on one disk; the check for upper and lower case is made when trees are built."""
    for form in ("NFC", "NFD"):
        _write(tmp_path / "files" / unicodedata.normalize(form, "é"))
        _write(tmp_path / "folders" / unicodedata.normalize(form, "é") / form)
    for place in ("files", "folders"):
        with pytest.raises((HostileNameError, InvalidInputError)):
            scan([tmp_path / place])


# Several paths


def test_several_paths_go_in_under_their_own_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path, {"run/out/a": File(b"a"), "run/b": File(b"b"), "c": File(b"c")})
    assert _paths(tmp_path / "run", tmp_path / "c") == ["c", "run/b", "run/out/a"]
    monkeypatch.chdir(tmp_path / "run")
    assert _paths(Path(), Path("../c")) == ["c", "run/b", "run/out/a"]
    assert _paths(Path()) == ["b", "out/a"]


@pytest.mark.parametrize("paths", [("one/x", "two/x"), ("one/folder", "two/folder"), ("one/folder", "two/x", "two/folder")])
def test_two_paths_of_one_name_are_refused(tmp_path: Path, paths: tuple[str, ...]) -> None:
    for top in ("one", "two"):
        write_folder(tmp_path / top, {"x": File(b"x"), f"folder/{top}": File(b"y")})
    with pytest.raises(RegistryError, match="would both be"):
        scan([tmp_path / path for path in paths])


@pytest.mark.parametrize(
    ("paths", "error"),
    [
        ((), InvalidInputError),
        (("missing",), NotFoundError),
        (("fine", "missing"), NotFoundError),
        (("broken",), NotFoundError),
    ],
)
def test_paths_that_are_not_there_are_refused(tmp_path: Path, paths: tuple[str, ...], error: type[RegistryError]) -> None:
    _write(tmp_path / "fine")
    (tmp_path / "broken").symlink_to("nowhere")
    with pytest.raises(error):
        scan([tmp_path / path for path in paths])


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path / "secret/a")
    real = os.scandir

    def refuse(path: object) -> object:
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(AccessError, match=r"cannot read the folder .*secret: Permission denied"):
        scan([tmp_path])


def test_all_of_a_folder_is_what_it_holds_whatever_a_commit_would_leave_out(tmp_path: Path) -> None:
    for path in (".regignore", "a.so", ".git/config", ".reg/state.json", "sub/.reg/x", f"{TEMPORARY_PREFIX}1", "sub/a.so"):
        _write(tmp_path / path, "*.so")
    (tmp_path / "link").symlink_to(tmp_path / "sub")
    snapshot, left_out = scan_all(tmp_path)
    assert [file.path for file in snapshot.files] == [".regignore", "a.so", "sub/a.so"]
    assert left_out == (
        ".git: no version holds that name",
        f"{TEMPORARY_PREFIX}1: no version holds that name",
        "link: a link to a folder (links to files are followed)",
        "sub/.reg: no version holds that name",
    )
    assert scan([tmp_path / "sub"]).count == 1
    with pytest.raises(NotFoundError):
        scan_all(tmp_path / "nothing")
    with pytest.raises(NotFoundError):
        scan_all(tmp_path / "a.so")
