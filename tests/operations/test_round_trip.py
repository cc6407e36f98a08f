"""What goes in comes out: every version of every generated folder, into a fresh folder and over another version, byte for byte."""

import itertools
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import blake3
import pytest
from hypothesis import given, settings

import cas_registry as reg
from cas_registry.backends.memory import MemoryBackend
from cas_registry.operations import placing
from cas_registry.registry import Model, Registry
from tests.support.folders import CHUNK_BYTES, KIB, MIB, File, Folder, files_of, make_bytes, read_folder, versions, write_folder
from tests.support.simulated import make_registry, make_world, with_small_packs

_numbers = itertools.count()


@pytest.fixture
def small_borders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of some KiB have big files, maps of their own, and references between maps."""
    monkeypatch.setattr(placing, "BIG_FILE_BYTES", 12 * KIB)
    monkeypatch.setattr(placing, "INLINE_BYTES", KIB)


def _memory(tmp_path: Path) -> Registry:
    return make_registry(MemoryBackend("round-trip"), make_world(tmp_path / "cache"), chunk_bytes=CHUNK_BYTES)


def _local(tmp_path: Path) -> Registry:
    return reg.init(tmp_path / "registry", cache_folder=tmp_path / "cache")


@pytest.mark.parametrize(
    ("make", "decomposed", "examples"), [(_memory, False, 40), (_local, True, 12)], ids=["memory-nfc", "local-nfd"]
)
@pytest.mark.usefixtures("small_borders")
def test_every_version_comes_back_fresh_and_over_the_one_before(
    tmp_path_factory: pytest.TempPathFactory, make: Callable[[Path], Registry], decomposed: bool, examples: int
) -> None:
    tmp_path = tmp_path_factory.mktemp("round-trip")
    registry = make(tmp_path)

    @settings(max_examples=examples)
    @given(versions())
    def check(made: list[dict[str, File | None]]) -> None:
        model = with_small_packs(registry, 40 * KIB).model(f"m{next(_numbers)}")
        _check_round_trip(model, tmp_path / model.name, made, decomposed=decomposed)
        shutil.rmtree(tmp_path / model.name)

    check()


def test_sizes_around_every_border_come_back_from_a_folder(tmp_path: Path) -> None:
    _check_round_trip(_local(tmp_path).model("borders"), tmp_path, _border_versions())


def test_sizes_around_every_border_come_back_from_s3(tmp_path: Path, s3_url: str, s3_options: dict[str, Any]) -> None:
    registry = reg.init(s3_url, storage_options=s3_options, cache_folder=tmp_path / "cache")
    _check_round_trip(registry.model("borders"), tmp_path, _border_versions())


def test_a_version_that_fills_several_packs_comes_back(tmp_path: Path) -> None:
    registry = with_small_packs(_memory(tmp_path), 100 * KIB)
    data = make_bytes(1, 3 * MIB)
    write_folder(tmp_path / "work", {"a.bin": File(data), "b.bin": File(data[: 2 * MIB] + make_bytes(2, MIB))})
    report = registry.model("big").commit(tmp_path / "work")
    assert report.packs > 30
    assert report.new_bytes < 4 * MIB + 10 * CHUNK_BYTES
    registry.model("big").checkout("main", tmp_path / "out")
    assert read_folder(tmp_path / "out") == read_folder(tmp_path / "work")


def test_a_second_machine_needs_nothing_but_the_url(tmp_path: Path) -> None:
    folder = _border_versions()[0]
    write_folder(tmp_path / "work", folder)
    reg.init(tmp_path / "registry", cache_folder=tmp_path / "cache").model("m").commit(tmp_path / "work")
    elsewhere = reg.open(str(tmp_path / "registry"), cache_folder=tmp_path / "another cache", author="somebody else")
    assert [row.model for row in elsewhere.models()] == ["m"]
    elsewhere.model("m").checkout("main", tmp_path / "out")
    assert read_folder(tmp_path / "out") == folder


def _check_round_trip(model: Model, home: Path, made: list[dict[str, File | None]], *, decomposed: bool = False) -> None:
    committed: list[tuple[str, Folder]] = []
    for number, folder in enumerate(made):
        write_folder(home / "work", folder, decomposed=decomposed)
        report = model.commit(home / "work", message=str(number))
        assert report.created is not (bool(committed) and committed[-1][1] == folder)
        assert report.raw_bytes == sum(len(file.data) for file in files_of(folder).values())
        committed.append((report.commit.hex, folder))
    previous: Folder = {}
    for revision, folder in [*committed, committed[0]]:
        fresh = home / "fresh" / secrets.token_hex(4)
        model.checkout(revision, fresh)
        assert read_folder(fresh) == folder
        report = model.checkout(revision, home / "over")
        assert read_folder(home / "over") == folder
        assert set(report.written) == _different_content(previous, folder)
        assert model.status(home / "over", revision).is_clean
        assert {(info.path, info.id.hex, info.size_bytes) for info in model.files(revision)} == {
            (path, blake3.blake3(file.data).hexdigest(), len(file.data)) for path, file in files_of(folder).items()
        }
        previous = folder


def _different_content(old: Folder, new: Folder) -> set[str]:
    before = files_of(old)
    return {path for path, file in files_of(new).items() if path not in before or before[path].data != file.data}


def _border_versions() -> list[dict[str, File | None]]:
    """Real sizes: around 64 KiB chunks, the 1 MiB from which a file is big, the 2 MiB buffer; then edits of the big ones."""
    sizes = [0, 1, 16 * KIB, 64 * KIB - 1, 256 * KIB, 256 * KIB + 1, MIB - 1, MIB, MIB + 1, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1]
    first: dict[str, File | None] = {f"sizes/{size}.bin": File(make_bytes(size, size)) for size in sizes}
    first |= {"zeros": File(bytes(3 * MIB)), "repeats": File(make_bytes(7, 100_000) * 20), "empty folder": None}
    big = make_bytes(3, 5 * MIB)
    second = {**first, "big.bin": File(big, executable=True), "sizes/0.bin": File(b"no longer empty")}
    third = {
        **second,
        "moved/big.bin": File(big[: 2 * MIB] + b"inserted" + big[2 * MIB :]),
        "copy of zeros": File(bytes(3 * MIB)),
    }
    del third["big.bin"], third["empty folder"], third["sizes/1.bin"]
    return [first, second, third]
