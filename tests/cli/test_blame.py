"""`reg blame`: tables of files and of tensors."""

import io

import numpy as np
import pytest

from tests.cli.shell import Shell


def npz(**tensors: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **tensors)  # type: ignore[arg-type] - its signature takes a flag by name, too
    return stream.getvalue()


@pytest.fixture
def three(bound: Shell) -> Shell:
    """A head that every version changes, a body that the second one does, notes of the first."""
    for number, body in ((1, 0), (2, 1), (3, 1)):
        head, trunk = np.full(600, number, dtype=np.float32), np.full(600, body, dtype=np.float32)
        bound.write("out/model.npz", npz(body=trunk, head=head))
        bound.write("out/notes.txt", "as it was")
        bound.reg("commit", "out", "-m", f"number {number}")
    return bound


def test_files_and_tensors_have_the_version_that_last_changed_them(three: Shell) -> None:
    shown = three.reg("blame", "main").lines
    assert shown[0].split() == ["version", "id", "author", "when", "size", "file", "message"]
    assert [line.split()[1] for line in shown[1:]] == ["v3", "v1"]
    assert "ada@lab" in shown[1]
    assert "number 3" in shown[1]
    shown = three.reg("blame", "main:model.npz", "--tensors").lines
    assert [(line.split()[1], "body" in line, "number 2" in line) for line in shown[1:]] == [
        ("v2", True, True),
        ("v3", False, False),
    ]
    answer = three.reg("blame", "v3", "--tensor", "body", "--json").json
    assert answer["looked_at"] == 2
    (row,) = answer["rows"]
    assert (row["tensor"], row["number"], row["message"], row["sure"]) == ("body", 2, "number 2", True)
    assert three.reg("blame", "main:notes.txt", "-q").lines == [f"{three.reg('show', 'v1', '--json').json['commit']} notes.txt"]


def test_what_a_retired_version_hides_is_marked(three: Shell) -> None:
    three.reg("retire", "v2")
    shown = three.reg("blame", "main", "--tensors").stdout
    assert "fraud v3?" in shown
    assert "what came before was retired" in shown


def test_what_is_not_there_is_told(three: Shell) -> None:
    assert "no file 'other'" in three.reg("blame", "main:other", code=3).stderr
    assert "no tensor 'neck'" in three.reg("blame", "main", "--tensor", "neck", code=3).stderr
