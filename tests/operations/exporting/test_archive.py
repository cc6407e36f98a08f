"""A version as a tar: read by Python and by GNU tar, the same bytes each time, never half a file under its name."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
import zstandard

from cas_registry.errors import ConflictError, IntegrityError, InvalidInputError
from cas_registry.operations.export import ARCHIVES
from cas_registry.operations.exporting.archive import SUFFIXES
from cas_registry.registry import ExportFormat
from tests.operations.exporting.bench import Bench, files
from tests.support.folders import File, read_folder


@pytest.mark.parametrize("suffix", ARCHIVES)
def test_gnu_tar_unpacks_the_tree_that_was_committed(bench: Bench, suffix: str) -> None:
    bench.two_versions()
    archive = bench.place / f"fraud{suffix}"
    report = bench.model.export("main~1", archive)
    assert (report.format, report.changed) == (ExportFormat.TAR, True)
    out = bench.place / "unpacked"
    out.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", out], check=True)
    assert read_folder(out) == files(1)
    assert bench.registry.model("again").commit(out, capture=False).tree == bench.model.resolve("main~1").tree
    assert [path.name for path in bench.place.iterdir() if path.name.startswith(".reg")] == []


def test_entries_are_sorted_and_say_nothing_of_whoever_exported(bench: Bench) -> None:
    bench.two_versions()
    archive = bench.place / "fraud.tar"
    bench.model.export("main", archive, metadata=True)
    with tarfile.open(archive) as opened:
        members = opened.getmembers()
        assert opened.extractfile("weights.bin").read() == files(2)["weights.bin"].data
    names = [member.name for member in members]
    assert names == sorted(names)
    assert {"hollow", "hollow/inner", "a/b", "cas-version.json", "naïve/模型.md"} <= set(names)
    time_s = bench.model.show("main").commit.time_ms // 1000
    assert {(member.uid, member.gid, member.uname, member.gname, member.mtime) for member in members} == {
        (0, 0, "", "", time_s)
    }
    modes = {member.name: member.mode for member in members}
    assert (modes["run.sh"], modes["config.json"], modes["a"]) == (0o755, 0o644, 0o755)
    assert archive.stat().st_size % tarfile.RECORDSIZE == 0


@pytest.mark.parametrize("suffix", ARCHIVES)
def test_the_same_version_is_the_same_bytes_and_a_second_run_changes_nothing(bench: Bench, suffix: str) -> None:
    bench.two_versions()
    first, second = bench.place / f"one{suffix}", bench.place / f"two{suffix}"
    bench.model.export("main", first)
    bench.model.export("main", second)
    assert first.read_bytes() == second.read_bytes()
    before = first.stat()
    bench.packs_read()
    report = bench.model.export("main", first)
    assert (report.changed, report.written_bytes, report.fetched_bytes, bench.packs_read()) == (False, 0, 0, 0)
    assert first.stat() == before or first.stat().st_ino == before.st_ino


def test_an_archive_compressed_at_another_level_is_the_version_too(bench: Bench) -> None:
    bench.two_versions()
    plain, packed = bench.place / "fraud.tar", bench.place / "fraud.tar.zst"
    bench.model.export("main", plain)
    packed.write_bytes(zstandard.ZstdCompressor(level=1).compress(plain.read_bytes()))
    assert not bench.model.export("main", packed).changed


@pytest.mark.parametrize("harm", ["flip", "cut", "longer", "other version", "rubbish"])
@pytest.mark.parametrize("suffix", [".tar", ".tgz", ".tar.zst"])
def test_another_archive_is_kept_unless_by_force(bench: Bench, harm: str, suffix: str) -> None:
    bench.two_versions()
    archive = bench.place / f"fraud{suffix}"
    bench.model.export("main~1" if harm == "other version" else "main", archive)
    data = archive.read_bytes()
    middle = len(data) // 2
    archive.write_bytes(
        {
            "flip": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
            "cut": data[:middle],
            "longer": data + data,
            "other version": data,
            "rubbish": b"no archive",
        }[harm]
    )
    spoilt = archive.read_bytes()
    for dry_run in (False, True):
        with pytest.raises(ConflictError, match="not this version"):
            bench.model.export("main", archive, dry_run=dry_run)
    assert archive.read_bytes() == spoilt
    assert bench.model.export("main", archive, force=True).changed
    assert not bench.model.export("main", archive).changed


def test_a_dry_run_writes_nothing(bench: Bench) -> None:
    bench.two_versions()
    plan = bench.model.export("main", bench.place / "fraud.tar", dry_run=True)
    assert not (bench.place / "fraud.tar").exists()
    assert plan.files == bench.model.export("main", bench.place / "fraud.tar").files


def test_a_stream_gets_the_same_bytes(bench: Bench) -> None:
    bench.two_versions()
    bench.model.export("main", bench.place / "fraud.tar")
    sink = io.BytesIO()
    report = bench.model.export("main", sink)
    assert sink.getvalue() == (bench.place / "fraud.tar").read_bytes()
    assert report.destination == "-"
    with pytest.raises(InvalidInputError, match="only a tar"):
        bench.model.export("main", io.BytesIO(), format="oci")


def test_a_version_that_is_damaged_gets_no_archive(bench: Bench) -> None:
    bench.two_versions()

    def lose(method: str, key: str) -> None:
        if method == "get" and key.startswith("packs/"):
            raise IntegrityError("lost")

    bench.before.append(lose)
    with pytest.raises(IntegrityError):
        bench.model.export("main", bench.place / "out" / "fraud.tar.gz")
    assert list((bench.place / "out").iterdir()) == []


def test_an_archive_that_appears_meanwhile_is_not_replaced(bench: Bench) -> None:
    bench.two_versions()
    archive = bench.place / "fraud.tar"

    def appear(method: str, key: str) -> None:
        if method == "get" and key.startswith("packs/"):
            archive.write_bytes(b"somebody's")

    bench.before.append(appear)
    with pytest.raises(ConflictError, match="meanwhile"):
        bench.model.export("main", archive)
    assert archive.read_bytes() == b"somebody's"


def test_a_version_without_files_is_an_empty_tar(bench: Bench) -> None:
    bench.commit({}, allow_empty=True)
    bench.model.export("main", bench.place / "fraud.tar")
    with tarfile.open(bench.place / "fraud.tar") as opened:
        assert opened.getnames() == []


def test_a_name_that_is_no_archives_is_refused(bench: Bench, tmp_path: Path) -> None:
    bench.commit({"a": File(b"a")})
    with pytest.raises(InvalidInputError, match="must end in"):
        bench.model.export("main", tmp_path / "fraud.zip", format="tar")
    assert tuple(SUFFIXES) == ARCHIVES
