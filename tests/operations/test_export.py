"""What an export is asked for, and by whose word."""

import io
from pathlib import Path

import pytest

from cas_registry.errors import InvalidInputError, RegistryError
from cas_registry.operations.export import ExportFormat, format_of
from tests.operations.exporting.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fraud", ExportFormat.FOLDER),
        ("fraud.v2", ExportFormat.FOLDER),
        ("tar", ExportFormat.FOLDER),
        ("fraud.TAR", ExportFormat.TAR),
        ("fraud.tar.gz", ExportFormat.TAR),
        ("fraud.tzst", ExportFormat.TAR),
    ],
)
def test_the_destinations_name_tells_the_format(name: str, expected: ExportFormat) -> None:
    assert format_of(Path(name), None) is expected
    assert format_of(Path(name), "oci") is ExportFormat.OCI


def test_a_stream_takes_a_tar() -> None:
    assert format_of(io.BytesIO(), None) is ExportFormat.TAR
    with pytest.raises(InvalidInputError, match="no format 'zip'"):
        format_of(io.BytesIO(), "zip")


@pytest.mark.parametrize("destination", ["out", "out.tar", "layout"])
def test_what_must_verify_and_does_not_is_not_exported(bench: Bench, destination: str) -> None:
    bench.two_versions()
    target = bench.place / destination
    with pytest.raises(RegistryError) as refusal:
        bench.model.export("main", target, format="oci" if destination == "layout" else None, verify=True)
    assert refusal.value.code in {"signature", "not-found"}  # nobody signed it, nobody is trusted
    assert not target.exists()


def test_a_version_of_another_model_is_exported_as_that_ones(bench: Bench) -> None:
    bench.two_versions()
    bench.registry.model("other").commit(bench.work, capture=False, message="theirs", tags=["live"])
    report = bench.model.export("other@live", bench.place / "out", metadata=True)
    assert report.version.model == "other"
    assert b'"live"' in (bench.place / "out" / "cas-version.json").read_bytes()
