"""T20: a golden registry of each format reads back in every byte, and a newer version of any of its objects is refused, nothing changed.

What a golden registry has to hold, and that the page of the format suffices to read it, is tested in tests/golden.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from cas_registry.errors import RegistryError, UnsupportedFormatError
from cas_registry.model import maps, packs
from cas_registry.model.canonical import seal
from cas_registry.model.ids import CommitId, EntryId, FormatId, ObjectId, RefTableId, RemapId, TreeId
from cas_registry.registry import Registry, open_registry
from tests.golden.make_golden import GOLDEN
from tests.reliability.forge import spelled
from tests.reliability.matrix import Row
from tests.support.simulated import make_world

ROW = "T20"
FORMATS = sorted(path.name for path in GOLDEN.parent.glob("format-*") if path.is_dir())
_SEALED = {"format": FormatId, "entry": EntryId}
_NAMED: dict[str, type[ObjectId]] = {"commit": CommitId, "tree": TreeId, "refs": RefTableId, "remap": RemapId}


def _open(root: Path) -> Registry:
    return open_registry(root, replace(make_world(), state_folder=None))


def _snapshot(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _json(data: bytes) -> dict[str, Any] | None:
    """The fields of a JSON object, sealed or not."""
    body = data[65:] if data[64:65] == b"\n" else data
    return json.loads(body) if body.startswith(b"{") else None


def _read_all(registry: Registry, scratch: Path) -> int:
    """Everything that names and logs lead to; the number of files whose bytes were compared with their ids."""
    files = 0
    registry.rules()
    for release in registry.releases():
        assert registry.show_release(release.name).retired == ()
    for name in registry.model_names():
        model = registry.model(name)
        model.log()
        model.notes()
        for ref in (*model.branches(), *model.tags()):
            model.show(ref.name)
            for file in model.files(ref.name):
                assert blake3(model.read_bytes(ref.name, file.path)).hexdigest() == file.id.hex
                files += 1
            model.checkout(ref.name, scratch / name / ref.name, remember=False)
            for file in model.files(ref.name):
                assert blake3((scratch / name / ref.name / file.path).read_bytes()).hexdigest() == file.id.hex
                files += 1
    return files


@pytest.mark.parametrize("form", FORMATS)
def test_every_file_of_every_version_reads_back(matrix: Row, form: str, tmp_path: Path) -> None:
    root = shutil.copytree(GOLDEN.parent / form, tmp_path / "golden")
    before = _snapshot(root)
    matrix.count(_read_all(_open(root), tmp_path / "out"))
    assert _open(root).fsck(read_data=True).exit_code == 0
    assert _snapshot(root) == before


@pytest.mark.parametrize("form", FORMATS)
def test_a_newer_version_of_any_sealed_object_is_refused_and_nothing_changes(matrix: Row, form: str, tmp_path: Path) -> None:
    for key, data in _snapshot(GOLDEN.parent / form).items():
        body = _json(data)
        if body is None or body["kind"] not in _SEALED:
            continue
        root = shutil.copytree(GOLDEN.parent / form, tmp_path / key.replace("/", "-"))
        (root / key).write_bytes(seal(spelled({**body, "v": 2, "newer": []}), _SEALED[body["kind"]]))
        before = _snapshot(root)
        refused = _refusal(root, tmp_path / "out")
        is_read = (
            key == "format" or not (root / key).with_name(f"{int(Path(key).name) + 1:010d}").exists()
        )  # by name, the head alone
        assert isinstance(refused, UnsupportedFormatError) or not is_read, (key, refused)
        assert refused is None or isinstance(refused, UnsupportedFormatError), (key, refused)
        assert _snapshot(root) == before
        matrix.count()


@pytest.mark.parametrize("form", FORMATS)
def test_a_newer_version_of_what_an_id_names_is_refused(matrix: Row, form: str) -> None:
    from cas_registry.model.commit import decode_commit
    from cas_registry.model.entry import decode_ref_table
    from cas_registry.model.remap import decode_remap_table
    from cas_registry.model.tree import decode_tree

    decoders = {"commit": decode_commit, "tree": decode_tree, "refs": decode_ref_table, "remap": decode_remap_table}
    seen = set()
    for key, data in _snapshot(GOLDEN.parent / form).items():
        body = _json(data)
        if body and body["kind"] in _NAMED:
            assert _NAMED[body["kind"]].of(data).hex == Path(key).name
            with pytest.raises(UnsupportedFormatError, match="upgrade"):
                decoders[body["kind"]](spelled({**body, "v": 2, "newer": []}))
            seen.add(body["kind"])
            matrix.count()
    assert seen == set(_NAMED)


@pytest.mark.parametrize("form", FORMATS)
def test_a_newer_version_of_a_binary_object_is_refused(matrix: Row, form: str) -> None:
    """Its number is the last byte of the magic; what does not know it takes the object for another thing, and reads nothing of it."""
    for key, data in _snapshot(GOLDEN.parent / form).items():
        area = key.partition("/")[0]
        if area in {"maps", "packs"}:
            magic = maps.MAGIC if area == "maps" else packs.MAGIC
            assert data.startswith(magic)
            newer = data[:7] + b"\x02" + data[8:]
            with pytest.raises(RegistryError):
                (maps.decode_map if area == "maps" else packs.decode_pack)(newer)
            matrix.count()


def _refusal(root: Path, scratch: Path) -> RegistryError | None:
    try:
        _read_all(_open(root), scratch)
    except RegistryError as error:
        return error
    return None
