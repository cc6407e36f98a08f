"""Files and folders as they are."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

import cas_registry as reg
from cas_registry.errors import InvalidInputError
from tests.frameworks.filling import Below
from tests.frameworks.round_trip import Case, check


def _folder(seed: int) -> Path:
    """What a framework of one's own writes: a body that stays, a head that does not."""
    folder = Path(tempfile.mkdtemp())
    (folder / "deep").mkdir()
    (folder / "body.bin").write_bytes(np.random.default_rng(0).bytes(200_000))
    (folder / "deep" / "head.bin").write_bytes(np.random.default_rng(seed).bytes(2_000))
    return folder


def _file(seed: int) -> Path:
    path = Path(tempfile.mkdtemp()) / "model.bin"
    path.write_bytes(np.random.default_rng(0).bytes(400_000) + np.random.default_rng(seed).bytes(2_000))
    return path


def _told(path: Path) -> dict[str, bytes]:
    return {file.relative_to(path).as_posix(): file.read_bytes().hex() for file in path.rglob("*") if file.is_file()}


CASES = (
    Case("a folder, head trained", (), _folder, _told, "files", "folder", load=Below()),
    Case(
        "a file, its end trained", (), _file, lambda path: [path.name, path.read_bytes().hex()], "files", "file", load=Below()
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    check(case, tmp_path)


def test_files_have_to_stay_somewhere(tmp_path: Path) -> None:
    model = reg.init(tmp_path / "registry").model("m")
    (tmp_path / "model.bin").write_bytes(b"weights")
    model.save(tmp_path / "model.bin")
    with pytest.raises(InvalidInputError, match="folder='serve'"):
        model.load()
