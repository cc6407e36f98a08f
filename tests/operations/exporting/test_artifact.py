"""Versions as artifacts in an OCI layout: by the specifications' rules, by a real OCI tool, each byte once."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from cas_registry.errors import ConflictError, IntegrityError, InvalidInputError, LimitError
from cas_registry.operations.exporting import artifact
from tests.operations.exporting import oci_rules
from tests.operations.exporting.bench import Bench, files
from tests.support.folders import File, read_folder

needs_skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="no skopeo here")


def read(root: Path, digest: str) -> bytes:
    """A blob, which must be what its name says."""
    data = (root / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()
    assert f"sha256:{hashlib.sha256(data).hexdigest()}" == digest
    return data


def read_artifact(root: Path, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Manifest and configuration of a name; everything on the way is checked by the specifications' rules."""
    jsonschema.validate(json.loads((root / "oci-layout").read_text()), oci_rules.LAYOUT)
    index = json.loads((root / "index.json").read_text())
    jsonschema.validate(index, oci_rules.INDEX)
    (descriptor,) = [item for item in index["manifests"] if item["annotations"]["org.opencontainers.image.ref.name"] == name]
    data = read(root, descriptor["digest"])
    assert len(data) == descriptor["size"]
    manifest = json.loads(data)
    jsonschema.validate(manifest, oci_rules.MANIFEST)
    config = json.loads(read(root, manifest["config"]["digest"]))
    jsonschema.validate(config, oci_rules.CONFIG)
    assert config["modelfs"]["diffIds"] == [layer["digest"] for layer in manifest["layers"]]
    return manifest, config


def read_files(root: Path, manifest: dict[str, Any]) -> dict[str, File]:
    """The files that an artifact unpacks to."""
    found = {}
    for layer in manifest["layers"]:
        data = read(root, layer["digest"])
        metadata = json.loads(layer["annotations"]["org.cncf.model.file.metadata+json"])
        jsonschema.validate(metadata, oci_rules.FILE_METADATA)
        assert len(data) == layer["size"] == metadata["size"]
        found[layer["annotations"]["org.cncf.model.filepath"]] = File(data, executable=metadata["mode"] == 0o755)
    return found


def test_the_layout_holds_the_version_by_the_specifications(bench: Bench) -> None:
    bench.two_versions()
    report = bench.model.export("main~1", bench.place / "layout", format="oci")
    manifest, config = read_artifact(bench.place / "layout", "v1")
    assert read_files(bench.place / "layout", manifest) == {path: file for path, file in files(1).items() if file}
    assert (report.name, report.changed) == ("v1", True)
    assert hashlib.sha256(read(bench.place / "layout", report.digest)).hexdigest() == report.digest.removeprefix("sha256:")
    assert config["descriptor"]["name"] == "fraud"
    assert config["descriptor"]["version"] == "v1"
    assert config["descriptor"]["authors"] == ["tester@bench"]
    kinds = {layer["annotations"]["org.cncf.model.filepath"]: layer["mediaType"] for layer in manifest["layers"]}
    assert kinds["weights.bin"].endswith("model.weight.v1.raw")
    assert kinds["config.json"].endswith("model.weight.config.v1.raw")
    assert kinds["run.sh"].endswith("model.code.v1.raw")
    assert kinds["naïve/模型.md"].endswith("model.doc.v1.raw")
    assert kinds == {file.path: file.media_type for file in report.files}


def test_a_second_version_adds_a_name_and_shares_the_blobs(bench: Bench) -> None:
    bench.two_versions()
    layout = bench.place / "layout"
    bench.model.export("main~1", layout, format="oci")
    before = {path.name for path in (layout / "blobs" / "sha256").iterdir()}
    bench.packs_read()
    report = bench.model.export("main", layout, format="oci", tag="fraud:prod")
    assert [file.path for file in report.files if file.written] == ["config.json"]
    assert report.fetched_bytes < 1_000_000
    added = {path.name for path in (layout / "blobs" / "sha256").iterdir()} - before
    assert len(added) == 3  # a file, a configuration, a manifest
    assert read_files(layout, read_artifact(layout, "v1")[0])["config.json"] == files(1)["config.json"]
    assert read_files(layout, read_artifact(layout, "fraud:prod")[0])["config.json"] == files(2)["config.json"]


def test_a_second_run_changes_and_fetches_nothing(bench: Bench) -> None:
    bench.two_versions()
    layout = bench.place / "layout"
    first = bench.model.export("main", layout, format="oci", metadata=True)
    before = {path: path.stat().st_mtime_ns for path in layout.rglob("*")}
    bench.packs_read()
    again = bench.model.export("main", layout, format="oci", metadata=True)
    assert (again.changed, again.fetched_bytes, bench.packs_read(), again.digest) == (False, 0, 0, first.digest)
    assert {path: path.stat().st_mtime_ns for path in layout.rglob("*")} == before
    assert not bench.model.export("main", layout, format="oci", metadata=True, dry_run=True).changed
    bench.model.export("main", bench.place / "other", format="oci", metadata=True)
    assert {path.relative_to(layout): path.read_bytes() for path in layout.rglob("*") if path.is_file()} == {
        path.relative_to(bench.place / "other"): path.read_bytes()
        for path in (bench.place / "other").rglob("*")
        if path.is_file()
    }


def test_a_run_that_was_stopped_goes_on_at_the_file_where_it_stopped(bench: Bench) -> None:
    bench.two_versions()
    layout = bench.place / "layout"
    bench.model.export("main", layout, format="oci")
    (layout / "index.json").unlink()
    (layout / "oci-layout").unlink()
    gone = hashlib.sha256(files(2)["config.json"].data).hexdigest()
    (layout / "blobs" / "sha256" / gone).unlink()
    report = bench.model.export("main", layout, format="oci")
    assert [file.path for file in report.files if file.written] == ["config.json"]
    read_files(layout, read_artifact(layout, "v2")[0])


@pytest.mark.parametrize("told", [True, False])
def test_a_blob_that_is_not_what_its_name_says_is_fetched_again(bench: Bench, told: bool) -> None:
    bench.two_versions()
    layout = bench.place / "layout"
    bench.model.export("main", layout, format="oci")
    weights = layout / "blobs" / "sha256" / hashlib.sha256(files(2)["weights.bin"].data).hexdigest()
    weights.write_bytes(bytes(weights.stat().st_size))
    if not told:
        (layout / "index.json").unlink()
    report = bench.model.export("main", layout, format="oci")
    assert [file.path for file in report.files if file.written] == ["copy/weights.bin", "weights.bin"]
    read_files(layout, read_artifact(layout, "v2")[0])


def test_a_name_that_stands_elsewhere_moves_by_force_only(bench: Bench) -> None:
    bench.two_versions()
    layout = bench.place / "layout"
    first = bench.model.export("main~1", layout, format="oci", tag="prod")
    for dry_run in (False, True):
        with pytest.raises(ConflictError, match="another artifact"):
            bench.model.export("main", layout, format="oci", tag="prod", dry_run=dry_run)
    bench.model.export("main", layout, format="oci", tag="prod", force=True)
    manifest, _ = read_artifact(layout, "prod")
    assert read_files(layout, manifest)["config.json"] == files(2)["config.json"]
    read(layout, first.digest)
    assert len(json.loads((layout / "index.json").read_text())["manifests"]) == 1


@pytest.mark.parametrize("name", ["", "-x", "a b", "a--", "a//b", "prod\n", "ü", "a" * 300])
def test_names_outside_the_specifications_grammar_are_refused(bench: Bench, name: str) -> None:
    bench.commit({"a": File(b"a")})
    if name:
        with pytest.raises(InvalidInputError, match="cannot be a name"):
            bench.model.export("main", bench.place / "layout", format="oci", tag=name)
    for good in ("prod", "fraud/eu:v1.2", "a--b", "a@b+c_d"):
        bench.model.export("main", bench.place / "layout", format="oci", tag=good)


def test_a_folder_that_is_something_else_is_left_alone(bench: Bench) -> None:
    bench.two_versions()
    for name, files_there in {
        "mine": {"notes.txt": "mine"},
        "newer": {"oci-layout": '{"imageLayoutVersion": "2.0.0"}'},
        "broken": {"oci-layout": '{"imageLayoutVersion": "1.0.0"}', "index.json": "[]"},
        "odd": {"oci-layout": '{"imageLayoutVersion": "1.0.0"}', "index.json": '{"manifests": [1]}'},
    }.items():
        (bench.place / name).mkdir()
        for path, text in files_there.items():
            (bench.place / name / path).write_text(text)
        with pytest.raises(ConflictError):
            bench.model.export("main", bench.place / name, format="oci", force=True)
        assert {path.name: path.read_text() for path in (bench.place / name).iterdir()} == files_there


def test_what_others_named_in_the_layout_stays(bench: Bench) -> None:
    bench.two_versions()
    layout = bench.place / "layout"
    layout.mkdir()
    theirs = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": f"sha256:{'0' * 64}", "size": 7}
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [theirs], "annotations": {"a": "b"}}))
    bench.model.export("main", layout, format="oci")
    index = json.loads((layout / "index.json").read_text())
    assert index["manifests"][0] == theirs
    assert index["annotations"] == {"a": "b"}
    assert len(index["manifests"]) == 2


def test_a_dry_run_lists_layers_and_writes_nothing(bench: Bench) -> None:
    bench.two_versions()
    plan = bench.model.export("main", bench.place / "layout", format="oci", dry_run=True)
    assert not (bench.place / "layout").exists()
    assert (plan.name, plan.digest, plan.changed) == ("v2", None, True)
    assert plan.files == bench.model.export("main", bench.place / "layout", format="oci").files


def test_tensors_tell_precision_and_parameters(bench: Bench) -> None:
    bench.work.mkdir()
    np.save(bench.work / "model.npy", np.zeros((1200, 1000), dtype=np.float32))
    np.save(bench.work / "half", np.zeros((600, 1000), dtype=np.float16))
    (bench.work / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Fraud\n")
    bench.model.commit(bench.work, capture=False)
    bench.model.export("main", bench.place / "layout", format="oci")
    manifest, config = read_artifact(bench.place / "layout", "v1")
    assert config["config"] == {"paramSize": "1.8M", "precision": "float32,float16"}
    assert config["descriptor"]["licenses"] == ["apache-2.0"]
    untested = {
        layer["annotations"]["org.cncf.model.filepath"]: layer["annotations"]["org.cncf.model.file.mediatype.untested"]
        for layer in manifest["layers"]
    }
    assert untested == {"model.npy": "false", "half.npy": "false", "README.md": "true"}


def test_a_version_without_files_and_one_of_too_many_are_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.commit({}, allow_empty=True)
    with pytest.raises(InvalidInputError, match="no files"):
        bench.model.export("main", bench.place / "layout", format="oci")
    bench.commit(files(1))
    monkeypatch.setattr(artifact, "MAX_DOCUMENT_BYTES", 1000)
    with pytest.raises(LimitError, match="export a tar"):
        bench.model.export("main", bench.place / "layout", format="oci")
    assert not (bench.place / "layout").exists()


def test_a_damaged_version_is_not_named(bench: Bench) -> None:
    bench.two_versions()

    def lose(method: str, key: str) -> None:
        if method == "get" and key.startswith("packs/"):
            raise IntegrityError("lost")

    bench.before.append(lose)
    with pytest.raises(IntegrityError):
        bench.model.export("main", bench.place / "layout", format="oci")
    assert not (bench.place / "layout" / "index.json").exists()
    assert all(
        path.name == hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (bench.place / "layout" / "blobs" / "sha256").iterdir()
    )


@pytest.mark.skipif(shutil.which("umoci") is None, reason="no umoci here")
def test_umoci_lists_it_and_its_collection_deletes_nothing(bench: Bench) -> None:
    layout = bench.place / "layout"
    for revision in bench.two_versions():
        bench.model.export(revision, layout, format="oci")
    before = read_folder(layout)
    listed = subprocess.run(["umoci", "ls", "--layout", layout], check=True, capture_output=True, text=True).stdout.split()
    assert sorted(listed) == ["v1", "v2"]
    subprocess.run(["umoci", "gc", "--layout", layout], check=True, capture_output=True)
    assert read_folder(layout) == before


@needs_skopeo
def test_skopeo_copies_it_layer_by_layer(bench: Bench) -> None:
    bench.two_versions()
    layout = bench.place / "layout"
    bench.model.export("main~1", layout, format="oci")
    bench.model.export("main", layout, format="oci", tag="prod")
    copy = bench.place / "copy"
    for name in ("v1", "prod"):
        subprocess.run(["skopeo", "copy", f"oci:{layout}:{name}", f"oci:{copy}:{name}"], check=True, capture_output=True)
    for name, number in (("v1", 1), ("prod", 2)):
        manifest, _ = read_artifact(copy, name)
        assert read_files(copy, manifest) == {path: file for path, file in files(number).items() if file}
