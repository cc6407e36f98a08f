"""A version as a plain folder: the same tree when it is committed again, nothing of others' lost, nothing written twice."""

import json
from pathlib import Path

import pytest

from cas_registry.errors import ConflictError, InvalidInputError, LocalEditsError
from cas_registry.registry import ExportFormat
from tests.operations.exporting.bench import Bench, files
from tests.support.folders import File, read_folder


def test_the_folder_committed_again_is_the_same_tree(bench: Bench) -> None:
    bench.two_versions()
    report = bench.model.export("main~1", bench.place / "out")
    assert (report.format, report.changed, report.dry_run) == (ExportFormat.FOLDER, True, False)
    assert read_folder(bench.place / "out") == files(1)
    again = bench.registry.model("again").commit(bench.place / "out", capture=False)
    assert again.tree == bench.model.resolve("main~1").tree
    assert not (bench.place / "out" / ".reg").exists()
    assert {file.path for file in report.files} == {path for path, file in files(1).items() if file is not None}
    assert report.size_bytes == report.written_bytes == sum(len(file.data) for file in files(1).values() if file)


def test_a_second_run_changes_and_fetches_nothing(bench: Bench) -> None:
    bench.two_versions()
    bench.model.export("main", bench.place / "out", metadata=True)
    before = {path: path.stat().st_mtime_ns for path in (bench.place / "out").rglob("*")}
    bench.packs_read()
    report = bench.model.export("main", bench.place / "out", metadata=True)
    assert (report.changed, report.written_bytes, report.fetched_bytes, bench.packs_read()) == (False, 0, 0, 0)
    assert {path: path.stat().st_mtime_ns for path in (bench.place / "out").rglob("*")} == before


def test_a_run_that_was_stopped_goes_on(bench: Bench) -> None:
    bench.two_versions()
    bench.model.export("main", bench.place / "out")
    (bench.place / "out" / "config.json").unlink()
    (bench.place / "out" / ".reg-tmp-0123").write_bytes(b"half a file")
    report = bench.model.export("main", bench.place / "out")
    assert [file.path for file in report.files if file.written] == ["config.json"]


def test_a_dry_run_lists_what_would_be_written_and_writes_nothing(bench: Bench) -> None:
    bench.two_versions()
    plan = bench.model.export("main", bench.place / "out", metadata=True, dry_run=True)
    assert not (bench.place / "out").exists()
    assert plan.dry_run
    done = bench.model.export("main", bench.place / "out", metadata=True)
    assert plan.files == done.files
    assert not bench.model.export("main", bench.place / "out", metadata=True, dry_run=True).changed


def test_what_is_of_no_version_is_neither_mixed_in_nor_lost(bench: Bench) -> None:
    bench.two_versions()
    out = bench.place / "out"
    (out / "mine").mkdir(parents=True)
    (out / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(ConflictError, match="notes") as refusal:
        bench.model.export("main", out)
    assert refusal.value.fields["paths"] == ["mine", "mine/notes.txt"]
    assert sorted(path.name for path in out.rglob("*")) == ["mine", "notes.txt"]
    bench.model.export("main", out, force=True)
    assert read_folder(out) == {**files(2), "mine/notes.txt": File(b"mine")}


@pytest.mark.parametrize("name", ["config.json", "cas-version.json"])
def test_other_bytes_under_the_same_name_are_kept_unless_by_force(bench: Bench, name: str) -> None:
    bench.two_versions()
    out = bench.place / "out"
    out.mkdir()
    (out / name).write_bytes(b"edited")
    with pytest.raises(LocalEditsError, match=name):
        bench.model.export("main", out, metadata=True)
    assert [path.name for path in out.iterdir()] == [name]
    assert (out / name).read_bytes() == b"edited"
    bench.model.export("main", out, metadata=True, force=True)
    assert (out / name).read_bytes() != b"edited"


def test_the_record_follows_the_tags_of_its_version_without_force(bench: Bench) -> None:
    bench.two_versions()
    out = bench.place / "out"
    bench.model.export("main", out, metadata=True)
    bench.model.tag("prod", "main")
    report = bench.model.export("main", out, metadata=True)
    assert [file.path for file in report.files if file.written] == ["cas-version.json"]
    assert json.loads((out / "cas-version.json").read_text())["tags"] == ["prod"]


@pytest.mark.parametrize("what", ["link", "folder"])
def test_nothing_is_written_through_a_link_or_over_a_folder(bench: Bench, what: str) -> None:
    bench.two_versions()
    out = bench.place / "out"
    out.mkdir()
    if what == "link":
        (bench.place / "elsewhere").write_bytes(b"precious")
        (out / "cas-version.json").symlink_to(bench.place / "elsewhere")
    else:
        (out / "cas-version.json").mkdir()
    with pytest.raises(LocalEditsError, match="no file"):
        bench.model.export("main", out, metadata=True, force=True)
    if what == "link":
        assert (bench.place / "elsewhere").read_bytes() == b"precious"


def test_a_version_with_a_record_of_its_own_is_exported_without(bench: Bench) -> None:
    bench.commit({"CAS-version.json": File(b"{}")})
    with pytest.raises(InvalidInputError, match="of its own"):
        bench.model.export("main", bench.place / "out", metadata=True)
    bench.model.export("main", bench.place / "out")


def test_a_damaged_pack_leaves_no_file_behind(bench: Bench) -> None:
    from cas_registry.errors import IntegrityError

    bench.two_versions()

    def lose(method: str, key: str) -> None:
        if method == "get" and key.startswith("packs/"):
            raise IntegrityError("lost")

    bench.before.append(lose)
    with pytest.raises(IntegrityError):
        bench.model.export("main", bench.place / "out")
    assert not [path for path in (bench.place / "out").rglob("*") if path.is_file() and path.stat().st_size]


def test_one_file_of_a_version_is_no_export(bench: Bench, tmp_path: Path) -> None:
    bench.two_versions()
    with pytest.raises(InvalidInputError, match="reg cat"):
        bench.model.export("main:config.json", tmp_path / "out")
    with pytest.raises(InvalidInputError, match="OCI layout alone"):
        bench.model.export("main", tmp_path / "out", tag="prod")
    with pytest.raises(InvalidInputError, match="folder, tar, oci, mlflow"):
        bench.model.export("main", tmp_path / "out", format="zip")
