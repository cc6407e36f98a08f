"""Archives from strangers."""

import contextlib
import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cas_registry.errors import InvalidInputError, LimitError, RegistryError
from cas_registry.operations.importing import unpacking
from cas_registry.operations.importing.unpacking import unpack_tar


def archive(path: Path, *members: tuple[str, bytes, str], mode: int = 0o644) -> Path:
    """A tar.gz of members (name, type, content or target)."""
    with tarfile.open(path, "w:gz") as tar:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.mode = kind, mode
            data = content.encode() if kind == tarfile.REGTYPE else b""
            member.size, member.linkname = len(data), "" if data else content
            tar.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


FILE, FOLDER, LINK, HARD, FIFO = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE


def test_files_folders_and_links_within_it(tmp_path: Path, folder: Path) -> None:
    made = archive(
        tmp_path / "a.tar.gz",
        ("./a/b", FILE, "data"),
        ("./c", FOLDER, ""),
        ("a/d", LINK, "b"),
        ("e", HARD, "./a/b"),
        mode=0o755,
    )
    unpack_tar(made, folder)
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == {"a/b": b"data", "a/d": b"data", "e": b"data"}
    assert not any(path.is_symlink() for path in found.values())
    assert found["a/b"].stat().st_mode & 0o100


@pytest.mark.parametrize(
    "members",
    [
        [("../out", FILE, "x")], [("/out", FILE, "x")], [("a/../../out", FILE, "x")], [("a", LINK, "../../out")], [("a", LINK, "/etc/passwd")],
        [("a", LINK, "/etc"), ("a/out", FILE, "x")], [("a", HARD, "/etc/passwd")], [("a", FIFO, "")], [("a", FILE, "x"), ("a", FILE, "y")],
        [("a", LINK, "a")], [("CON", FILE, "x")], [(".git/config", FILE, "x")], [("a\\..\\out", FILE, "x")],
    ],
)  # fmt: skip
def test_nothing_is_written_outside_and_nothing_is_linked(
    tmp_path: Path, folder: Path, members: list[tuple[str, bytes, str]]
) -> None:
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(folder)}
    made = archive(tmp_path / "a.tar.gz", *members)
    with pytest.raises(RegistryError):
        unpack_tar(made, folder)
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(folder)} == before | {made}
    assert not any(path.is_symlink() for path in folder.rglob("*"))


def test_limits_of_size_and_number(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = archive(tmp_path / "a.tar.gz", ("a", FILE, "x" * 1000), ("b", FILE, "x" * 1000))
    monkeypatch.setattr(unpacking, "MAX_UNPACKED_BYTES", 1500)
    with pytest.raises(LimitError, match="than there is room for"):
        unpack_tar(made, folder)
    monkeypatch.setattr(unpacking, "MAX_MEMBERS", 1)
    (tmp_path / "again").mkdir()
    with pytest.raises(LimitError, match="more than 1 files"):
        unpack_tar(made, tmp_path / "again")


def test_what_is_no_archive_or_was_cut_off(tmp_path: Path, folder: Path) -> None:
    made = archive(tmp_path / "a.tar.gz", ("a", FILE, "x" * 100_000))
    made.write_bytes(made.read_bytes()[:100])
    with pytest.raises(InvalidInputError):
        unpack_tar(made, folder)
    made.write_bytes(b"")
    with pytest.raises(InvalidInputError):
        unpack_tar(made, folder)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=2000), st.integers(0, 3000))
def test_damage_raises_errors_of_ours_alone(tmp_path_factory: pytest.TempPathFactory, noise: bytes, position: int) -> None:
    tmp_path = tmp_path_factory.mktemp("noise")
    (tmp_path / "in").mkdir()
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        member = tarfile.TarInfo("a")
        member.size = 100
        tar.addfile(member, io.BytesIO(b"x" * 100))
    data = bytearray((tmp_path / "a.tar").read_bytes())
    data[position : position + len(noise)] = noise
    (tmp_path / "a.tar").write_bytes(data)
    with contextlib.suppress(RegistryError):
        unpack_tar(tmp_path / "a.tar", tmp_path / "in")
