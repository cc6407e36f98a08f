"""A file that nobody sees before it is whole."""

import errno
from pathlib import Path

import pytest

from cas_registry.errors import AccessError, BackendError, ConflictError
from cas_registry.operations.exporting.aside import Aside, disk_errors, write_whole


def test_it_has_its_name_when_it_is_whole_and_leaves_nothing_else(tmp_path: Path) -> None:
    with Aside(tmp_path / "new") as aside:
        aside.file.write(b"half")
        assert not (tmp_path / "new" / "file").exists()
        aside.place(tmp_path / "new" / "file", replace=False)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]
    assert (tmp_path / "new" / "file").read_bytes() == b"half"


def test_it_is_gone_where_it_was_not_placed(tmp_path: Path) -> None:
    with Aside(tmp_path) as aside:
        aside.file.write(b"half")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_taken_is_replaced_only_when_that_is_meant(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(ConflictError), Aside(tmp_path) as aside:
        aside.place(tmp_path / "file", replace=False)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]
    write_whole(tmp_path / "file", b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"new"]


def test_a_file_system_without_links_does_with_renames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "no links")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with Aside(tmp_path) as aside:
        aside.file.write(b"x")
        aside.place(tmp_path / "file", replace=False)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.EACCES, AccessError), (errno.EROFS, AccessError), (errno.ENOSPC, BackendError), (errno.EIO, BackendError)],
)
def test_the_systems_errors_become_ours(tmp_path: Path, number: int, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="cannot write"), disk_errors("write", tmp_path):
        raise OSError(number, "no")
