"""What goes into an export."""

import tarfile
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from cas_registry.errors import InvalidInputError
from cas_registry.operations.exporting.contents import read_contents, with_made
from tests.operations.exporting.bench import Bench
from tests.support.folders import File, Folder, folders, read_folder

_SAFELY: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # from Python 3.11.4 on


def test_made_files_take_no_name_of_the_versions(bench: Bench) -> None:
    bench.commit({"Größe.txt": File(b"x"), "made/inner.txt": File(b"y"), "hollow": None})
    contents = read_contents(bench.registry._stores, bench.model.resolve("main"))
    for name in ("Größe.txt", "GRÖSSE.txt", "MADE", "hollow"):
        with pytest.raises(InvalidInputError, match="of its own"):
            with_made(contents, {name: b""})
    assert with_made(contents, {"new": b"12"}).sizes == {"Größe.txt": 1, "made/inner.txt": 1, "new": 2}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(folders())
def test_any_folder_comes_out_of_an_archive_as_it_was(tmp_path_factory: pytest.TempPathFactory, folder: Folder) -> None:
    bench = Bench(tmp_path_factory.mktemp("any"))
    bench.commit(folder, allow_empty=True)
    bench.model.export("main", bench.place / "all.tar")
    (bench.place / "out").mkdir()
    with tarfile.open(bench.place / "all.tar") as opened:
        opened.extractall(bench.place / "out", **_SAFELY)
    assert read_folder(bench.place / "out") == folder
