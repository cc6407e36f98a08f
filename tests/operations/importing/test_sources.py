"""Stores made by the real tools, imported: versions, times, names, values and bytes are what they were there."""

import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from cas_registry.errors import InvalidInputError, NotFoundError
from cas_registry.operations.importing.engine import Outcome
from cas_registry.operations.importing.git_lfs import parse_pointer
from cas_registry.registry import Registry
from tests.operations.importing.make_data import BYTES, TIMES

MS = dict(zip(TIMES, (1_735_787_045_000, 1_738_555_506_000, 1_741_064_767_000), strict=True))


def names(registry: Registry, model: str) -> dict[str, int]:
    return {tag.name: tag.number for tag in registry.model(model).tags()}


def contents(registry: Registry, revision: str, model: str) -> dict[str, bytes]:
    found = registry.model(model)
    return {file.path: found.open(revision, file.path).read() for file in found.files(revision)}


# modelstore


def test_modelstore_domains_models_states_and_files(registry: Registry, stores: Path) -> None:
    report = registry.import_from("modelstore", stores / "modelstore")
    assert [(version.model, version.number, version.outcome) for version in report.versions] == [
        ("fraud", 1, "imported"), ("fraud", 2, "imported"), ("ranker", 1, "imported"),
    ]  # fmt: skip
    told = {path.stem: json.loads(path.read_text()) for path in stores.rglob("fraud/versions/*.json")}
    for version in report.versions[:2]:
        assert version.id is not None
        meta = told[version.id]
        commit = registry.model("fraud").show(f"v{version.number}").commit
        assert commit.params["C"] == meta["model"]["parameters"]["C"]
        assert commit.framework["name"] == "sklearn"
        assert commit.packages["numpy"] == meta["code"]["dependencies"]["numpy"]
        assert commit.author == meta["code"]["user"]
        assert commit.time_ms == version.time_ms
        (archive,) = stores.rglob(f"{version.id}/artifacts.tar.gz")
        with tarfile.open(archive) as tar:
            files = {member.name.removeprefix("./"): tar.extractfile(member) for member in tar if member.isreg()}
            assert contents(registry, f"v{version.number}", "fraud") == {
                path: file.read() for path, file in files.items() if file
            }
    (stated,) = stores.rglob("fraud/versions/production/*.json")
    assert names(registry, "fraud") == {"production": next(v.number for v in report.versions if v.id == stated.stem)}
    assert registry.model("fraud").show("production").commit.labels["state.production"] is True
    assert [v.outcome for v in registry.import_from("modelstore", stores / "modelstore").versions] == ["known"] * 3


def test_an_archive_is_kept_as_it_is_for_who_wants_it(registry: Registry, stores: Path) -> None:
    registry.import_from("modelstore", stores / "modelstore", only=["ranker"], keep_archive=True)
    assert [file.path for file in registry.model("ranker").files("main")] == ["artifacts.tar.gz"]


def test_a_modelstore_in_a_bucket(registry: Registry, stores: Path) -> None:
    from cas_registry.backends.opening import open_backend

    bucket = open_backend("memory://importing-modelstore")
    for path in (stores / "modelstore").rglob("*"):
        if path.is_file():
            bucket.create(path.relative_to(stores / "modelstore").as_posix(), path.read_bytes())
    assert registry.import_from("modelstore", "memory://importing-modelstore").count(Outcome.IMPORTED) == 3


@pytest.mark.parametrize(
    "spoil", ["not json", "{}", '{"model": {"domain": "x", "model_id": "y"}, "storage": {}}', "[" * 100_000]
)
def test_a_spoiled_model_of_modelstore_is_told_of_and_the_others_come(registry: Registry, stores: Path, spoil: str) -> None:
    next(stores.rglob("fraud/versions/*.json")).write_text(spoil)
    report = registry.import_from("modelstore", stores / "modelstore")
    assert (report.count(Outcome.IMPORTED), report.count(Outcome.FAILED)) == (2, 1)
    assert report.failed
    with pytest.raises(InvalidInputError):
        registry.import_from("modelstore", stores / "modelstore", strict=True)


@pytest.mark.parametrize("path", ["operatorai-model-store/../../secret", "/etc/passwd", "operatorai-model-store//x"])
def test_an_archive_outside_of_the_store_is_not_read(registry: Registry, stores: Path, path: str) -> None:
    file = next(stores.rglob("fraud/versions/*.json"))
    file.write_text(json.dumps({**json.loads(file.read_text()), "storage": {"path": path}}))
    report = registry.import_from("modelstore", stores / "modelstore", only=["fraud"])
    assert [version.reason for version in report.versions if version.reason] == [
        f"its files lie outside of the store: {path!r}"
    ]


def test_an_archive_that_is_a_link_out_of_the_store_is_not_read(registry: Registry, stores: Path) -> None:
    (stores / "secret").write_bytes(b"secret")
    archive = next(stores.rglob("fraud/*/*/artifacts.tar.gz"))
    archive.unlink()
    archive.symlink_to(stores / "secret")
    report = registry.import_from("modelstore", stores / "modelstore", only=["fraud"], keep_archive=True)
    assert [version.outcome for version in report.versions].count(Outcome.FAILED) == 1


def test_unpacked_archives_share_what_is_equal_and_packed_ones_do_not(registry: Registry, stores: Path) -> None:
    weights = bytes(random.Random(7).choices(b"0123456789abcdef", k=2_000_000))
    changed = b"changed" + weights[7:]  # what follows is packed into other bits
    archives = sorted(stores.rglob("fraud/*/*/artifacts.tar.gz"), key=lambda path: path.parent.parent.name)
    for archive, data in zip(archives, (weights, changed), strict=True):
        archive.unlink()
        with tarfile.open(archive, "w:gz") as tar:
            member = tarfile.TarInfo("model.bin")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    unpacked = registry.import_from("modelstore", stores / "modelstore", only=["fraud"]).versions
    packed = registry.import_from(
        "modelstore", stores / "modelstore", only=["fraud"], names={"fraud": "packed"}, keep_archive=True
    ).versions
    new = [version.new_bytes or 0 for version in (*unpacked, *packed)]
    assert new[0] >= 2_000_000
    assert new[1] < 250_000
    assert new[2] > 900_000
    assert new[3] > 900_000


# MLflow


def test_an_mlflow_folder_models_versions_aliases_stages_and_runs(registry: Registry, stores: Path) -> None:
    report = registry.import_from("mlflow", stores / "mlflow")
    check_mlflow(registry)
    assert all(version.outcome is Outcome.IMPORTED for version in report.versions)
    assert [tag.outcome for tag in registry.import_from("mlflow", stores / "mlflow").tags] == ["known"] * 3


def check_mlflow(registry: Registry) -> None:
    """What make_mlflow made is here."""
    model = registry.model("fraud")
    for number, rate in ((1, 0.1), (2, 0.01)):
        shown = model.show(f"v{number}")
        assert dict(shown.commit.params) == {"lr": rate, "depth": 3, "loss": "log"}
        assert shown.commit.metrics == {"auc": pytest.approx(0.92 + 0.001 * number)}
        assert {
            "checked": "yes",
            "team": "risk",
            "mlflow.version": number,
            "mlflow.run_name": f"night-{number}",
        }.items() <= shown.commit.labels.items()
        assert shown.commit.schema is not None
        files = contents(registry, f"v{number}", "fraud")
        assert files["weights.bin"] == BYTES[number]
        assert files.keys() == {"weights.bin", "MLmodel"}
    assert names(registry, "fraud") == {"champion": 2, "first": 1, "Staging": 1}
    assert model.show("Staging").commit.labels["mlflow.stage"] == "Staging"
    assert model.show("champion").commit.message == "the better one"


def test_the_time_of_an_mlflow_version_is_its_own_and_the_log_tells_who_imported(registry: Registry, stores: Path) -> None:
    registry.import_from("mlflow", stores / "mlflow")
    import yaml

    for number in (1, 2):
        meta = yaml.safe_load((stores / "mlflow" / "models" / "fraud" / f"version-{number}" / "meta.yaml").read_text())
        assert registry.model("fraud").show(f"v{number}").commit.time_ms == meta["creation_timestamp"]
    (move,) = registry.model("fraud").history(_tag(), "champion")
    assert (move.who, move.why) == ("tester@bench", "imported from mlflow: alias champion of fraud/2")
    assert move.time_ms > meta["creation_timestamp"] - 1


def _tag():
    from cas_registry.model.entry import RefKind

    return RefKind.TAG


def test_all_runs_of_an_experiment_that_hold_files(registry: Registry, stores: Path) -> None:
    registry.import_from("mlflow", stores / "mlflow", experiment="training", names={"training": "nights"})
    model = registry.model("nights")
    assert [record.commit.labels["mlflow.run_name"] for record in model.log()] == ["night-2", "night-1"]
    assert contents(registry, "v1", "nights")["model/weights.bin"] == BYTES[1]
    with pytest.raises(NotFoundError, match="no experiment 'other'; it has"):
        registry.import_from("mlflow", stores / "mlflow", experiment="other")


def log_model(stores: Path, *, created_ms: int, data: bytes, **more: object) -> str:
    """Lay out a model that the run night-1 logged, as MLflow 3 does: beside the runs. The id of the run."""
    (run,) = (path.parent.parent for path in stores.glob("mlflow/*/*/tags/mlflow.runName") if path.read_text() == "night-1")
    folder = run.parent / "models" / f"m-{created_ms:032x}"
    (folder / "artifacts").mkdir(parents=True)
    (folder / "artifacts" / "model.skops").write_bytes(data)
    told = {"name": "best", "source_run_id": run.name, "creation_timestamp": created_ms, "model_id": folder.name, **more}
    (folder / "meta.yaml").write_text(json.dumps(told))
    return run.name


def test_models_that_a_run_logged_are_among_its_files_by_their_names(registry: Registry, stores: Path) -> None:
    log_model(stores, created_ms=2, data=b"second")
    log_model(stores, created_ms=1, data=b"first")
    log_model(stores, created_ms=3, data=b"deleted", lifecycle_stage="deleted")
    registry.import_from("mlflow", stores / "mlflow", experiment="training", names={"training": "nights"})
    held = contents(registry, "v1", "nights")
    assert (held["best/model.skops"], held["model/weights.bin"]) == (b"second", BYTES[1])
    assert "best/model.skops" not in contents(registry, "v2", "nights")


def test_a_run_whose_only_files_are_a_model_s_is_a_version(registry: Registry, stores: Path) -> None:
    run = log_model(stores, created_ms=1, data=b"it")
    (artifacts,) = stores.glob(f"mlflow/*/{run}/artifacts")
    shutil.rmtree(artifacts)
    registry.import_from("mlflow", stores / "mlflow", experiment="training", names={"training": "nights"})
    assert contents(registry, "v1", "nights") == {"best/model.skops": b"it"}


@pytest.mark.parametrize("name", ["../up", "/etc", "a\nb", "a\u202eb"])
def test_a_logged_model_with_a_hostile_name_is_told_of(registry: Registry, stores: Path, name: str) -> None:
    log_model(stores, created_ms=1, data=b"x", name=name)
    report = registry.import_from("mlflow", stores / "mlflow", experiment="training")
    assert [version.outcome for version in report.versions] == ["failed", "imported"]


def test_what_is_said_of_a_registered_model_is_on_its_versions(registry: Registry, stores: Path) -> None:
    (stores / "mlflow" / "models" / "fraud" / "tags").mkdir(exist_ok=True)
    (stores / "mlflow" / "models" / "fraud" / "tags" / "owner").write_text("risk")
    registry.import_from("mlflow", stores / "mlflow")
    labels = registry.model("fraud").show("v1").commit.labels
    assert (labels["mlflow.model.owner"], labels["mlflow.model_description"]) == ("risk", "finds fraud")


def test_links_out_of_an_mlflow_folder_are_not_followed(registry: Registry, stores: Path) -> None:
    (stores / "secret").write_bytes(b"secret")
    for file in (stores / "mlflow").rglob("weights.bin"):
        file.unlink()
        file.symlink_to(stores / "secret")
        break
    report = registry.import_from("mlflow", stores / "mlflow")
    assert sorted(version.outcome for version in report.versions) == ["failed", "imported"]
    assert "leads out of" in next(version.reason for version in report.versions if version.reason)


@pytest.mark.parametrize(
    "text", ["a: &a [x]\nb: *b", "{" * 5000, "version: 7", "- 1", "a: !!python/object/apply:os.system [true]"]
)
def test_a_spoiled_version_of_mlflow_is_told_of(registry: Registry, stores: Path, text: str) -> None:
    (stores / "mlflow" / "models" / "fraud" / "version-1" / "meta.yaml").write_text(text)
    report = registry.import_from("mlflow", stores / "mlflow")
    assert [(version.name, version.outcome) for version in report.versions] == [("fraud/1", "failed"), ("fraud/2", "imported")]


def test_files_of_mlflow_that_lie_elsewhere_are_not_to_be_had(registry: Registry, stores: Path) -> None:
    meta = stores / "mlflow" / "models" / "fraud" / "version-1" / "meta.yaml"
    lines = [line for line in meta.read_text().splitlines() if not line.startswith(("source:", "storage_location:"))]
    meta.write_text("\n".join([*lines, "source: s3://bucket/model"]) + "\n")
    report = registry.import_from("mlflow", stores / "mlflow")
    assert "import from the tracking server" in report.versions[0].reason


# DVC


def test_dvc_commits_tags_params_metrics_and_files(registry: Registry, dvc_work_tree: Path) -> None:
    report = registry.import_from("dvc", dvc_work_tree)
    assert [version.outcome for version in report.versions] == ["imported", "imported"], report.versions
    model = registry.model("detector")
    for number, rate in ((1, 0.1), (2, 0.2)):
        commit = model.show(f"v{number}").commit
        assert (commit.author, commit.time_ms, commit.message) == ("Ada <ada@lab>", MS[TIMES[number - 1]], f"rate {rate}")
        assert dict(commit.params) == {"rate": rate}
        assert dict(commit.metrics) == {"auc": 1 - rate, "by.country": 0.5}
        files = contents(registry, f"v{number}", "detector")
        assert files["model.bin"] == bytes(range(256)) * int(rate * 100)
        assert json.loads(files["metrics.json"]) == {"auc": 1 - rate, "by": {"country": 0.5}}
        assert files["vocabulary/words.txt"] == b"one\r\ntwo\r\n"
        assert files.keys() == {"model.bin", "metrics.json", "vocabulary/words.txt", "vocabulary/deep/more.txt"}
    assert names(registry, "detector") == {"dvc-v1": 1, "dvc-v2": 2, "documented": 2}
    assert [(tag.tag, tag.name) for tag in report.tags if tag.tag != tag.name] == [("dvc-v1", "v1"), ("dvc-v2", "v2")]


def test_of_dvc_only_what_lies_where_one_asks_and_only_what_is_tagged(registry: Registry, dvc_work_tree: Path) -> None:
    registry.import_from("dvc", dvc_work_tree, paths=["vocabulary"])
    assert len(registry.model("detector").log()) == 1  # it did not change
    assert registry.import_from("dvc", dvc_work_tree, tagged=True, names={"detector": "tagged"}).count(Outcome.IMPORTED) == 2
    subprocess.run(["git", "tag", "-d", "v1"], cwd=dvc_work_tree, check=True, capture_output=True)
    assert registry.import_from("dvc", dvc_work_tree, tagged=True, names={"detector": "less"}).count(Outcome.IMPORTED) == 1


def test_a_lock_as_dvc_wrote_it_before_it_had_versions(registry: Registry, dvc_work_tree: Path) -> None:
    lock = dvc_work_tree / "dvc.lock"
    lines = lock.read_text().splitlines()
    assert lines[:2] == ["schema: '2.0'", "stages:"]
    lock.write_text("\n".join(line.removeprefix("  ") for line in lines[2:]) + "\n")
    git(dvc_work_tree, "commit", "-q", "-a", "-m", "old")
    git(dvc_work_tree, "tag", "old")
    report = registry.import_from("dvc", dvc_work_tree)
    assert [(tag.name, tag.version) for tag in report.tags if tag.name in {"old", "v2"}] == [
        ("old", report.versions[-1].name), ("v2", report.versions[-1].name)
    ]  # fmt: skip


def test_objects_of_dvc_are_what_their_names_say_or_not_imported(registry: Registry, dvc_work_tree: Path) -> None:
    md5 = hashlib.md5(bytes(range(256)) * 10).hexdigest()
    file = dvc_work_tree.parent / "remote" / "files" / "md5" / md5[:2] / md5[2:]
    file.chmod(0o644)
    file.write_bytes(b"other")
    report = registry.import_from("dvc", dvc_work_tree)
    assert [version.outcome for version in report.versions] == ["failed", "imported"]
    assert "other bytes than its name says" in report.versions[0].reason
    assert [(tag.tag, tag.outcome) for tag in report.tags if tag.outcome is Outcome.FAILED] == [("dvc-v1", "failed")]
    file.unlink()
    assert "dvc pull --all-commits" in registry.import_from("dvc", dvc_work_tree).versions[0].reason


def test_a_remote_of_dvc_is_named_by_hand_where_the_configuration_names_none_here(
    registry: Registry, dvc_work_tree: Path
) -> None:
    moved = (dvc_work_tree.parent / "remote").rename(dvc_work_tree.parent / "moved")
    assert registry.import_from("dvc", dvc_work_tree).count(Outcome.FAILED) == 2
    assert registry.import_from("dvc", dvc_work_tree, objects=moved).count(Outcome.IMPORTED) == 2


@pytest.mark.parametrize(
    "text",
    [
        "outs: [{path: ../../out, md5: %s}]" % ("0" * 32),
        "outs: [{path: x}]",
        "outs: 7",
        "[",
        "outs: [{path: /etc/passwd, md5: %s}]" % ("0" * 32),
    ],
)
def test_hostile_metadata_of_dvc_is_told_of(registry: Registry, dvc_work_tree: Path, text: str) -> None:
    (dvc_work_tree / "evil.dvc").write_text(text)
    git(dvc_work_tree, "add", "-f", "evil.dvc")
    git(dvc_work_tree, "commit", "-qm", "evil")
    report = registry.import_from("dvc", dvc_work_tree)
    assert [version.outcome for version in report.versions] == ["imported", "imported", "failed"]


# git-lfs


def test_git_lfs_commits_tags_and_files(registry: Registry, lfs_work_tree: Path) -> None:
    report = registry.import_from("git-lfs", lfs_work_tree)
    assert [version.outcome for version in report.versions] == ["imported"] * 3, report.versions
    model = registry.model("vision")
    assert [record.commit.message for record in model.log()] == ["deeper\n\nwith a script", "config alone", "first"]
    assert [record.commit.time_ms for record in model.log()] == [MS[TIMES[2]], MS[TIMES[1]], MS[TIMES[0]]]
    assert names(registry, "vision") == {"prod": 1, "v1.0": 2}
    assert contents(registry, "v1", "vision")["weights.bin"] == contents(registry, "v2", "vision")["weights.bin"] == BYTES[1]
    assert contents(registry, "v2", "vision")["config.json"] == b'{"layers": 3}'
    assert contents(registry, "v3", "vision")["weights.bin"] == BYTES[2]
    assert [file.path for file in model.files("v3") if file.mode.name == "EXECUTABLE"] == ["run.sh"]
    report = registry.import_from("git-lfs", lfs_work_tree, tagged=True, paths=["weights.bin"], names={"vision": "weights"})
    assert [file.path for file in registry.model("weights").files("main")] == ["weights.bin"]


def test_objects_of_git_lfs_are_what_their_names_say_or_not_imported(registry: Registry, lfs_work_tree: Path) -> None:
    digest = hashlib.sha256(BYTES[2]).hexdigest()
    file = lfs_work_tree / ".git" / "lfs" / "objects" / digest[:2] / digest[2:4] / digest
    file.chmod(0o644)
    file.write_bytes(b"other")
    assert "other bytes" in registry.import_from("git-lfs", lfs_work_tree).versions[2].reason
    file.unlink()
    report = registry.import_from("git-lfs", lfs_work_tree)
    assert [version.outcome for version in report.versions] == ["known", "known", "failed"]
    assert "git lfs fetch --all" in report.versions[2].reason


def test_a_pointer_is_a_pointer_by_the_specification_alone() -> None:
    text = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 12345\n" % (b"4d" * 32)
    assert parse_pointer(text) is not None
    for other in (
        text[:-1],
        text.replace(b"sha256", b"md5"),
        text + b"x" * 2000,
        b"",
        text.replace(b"size", b"SIZE"),
        b"x" + text,
    ):
        assert parse_pointer(other) is None


def test_no_program_of_a_repository_s_configuration_is_run(registry: Registry, lfs_work_tree: Path, tmp_path: Path) -> None:
    for key in ("core.fsmonitor", "core.pager", "filter.lfs.smudge", "diff.external", "core.sshCommand", "gpg.program"):
        git(lfs_work_tree, "config", key, f"touch {tmp_path / 'ran'}")
    git(lfs_work_tree, "config", "log.showSignature", "true")
    assert registry.import_from("git-lfs", lfs_work_tree).count(Outcome.IMPORTED) == 3
    assert not (tmp_path / "ran").exists()


def test_a_repository_whose_head_is_on_no_commit(registry: Registry, lfs_work_tree: Path) -> None:
    git(lfs_work_tree, "symbolic-ref", "HEAD", "refs/heads/not-there")
    assert registry.import_from("git-lfs", lfs_work_tree).count(Outcome.IMPORTED) == 3
    assert names(registry, "vision") == {"prod": 1, "v1.0": 2}


def test_a_repository_without_commits_has_no_versions(registry: Registry, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "fresh")
    assert registry.import_from("git-lfs", tmp_path / "fresh").versions == ()


def test_a_folder_without_a_repository(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for kind in ("git-lfs", "dvc", "modelstore", "mlflow", "wandb"):
        with pytest.raises(NotFoundError):
            registry.import_from(kind, tmp_path / "empty")
        with pytest.raises(NotFoundError):
            registry.import_from(kind, tmp_path / "missing")
    with pytest.raises(NotFoundError):
        registry.import_from("huggingface", tmp_path / "missing")
    with pytest.raises(InvalidInputError, match="choose one of modelstore, mlflow"):
        registry.import_from("neptune", tmp_path)


def git(folder: Path, *words: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=Eve", "-c", "user.email=eve@x", *words], cwd=folder, check=True, capture_output=True
    )


# Hugging Face


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """A cache laid out by hand, as huggingface_hub does: test_real_tools.py has its own."""
    folder = tmp_path / "hub" / "models--lab--tiny"
    (folder / "blobs").mkdir(parents=True)
    for number, commit in enumerate(("a" * 40, "0" * 40), start=1):
        for path, data in {
            "weights.bin": BYTES[number],
            "README.md": b"---\nlicense: mit\n---\n# Tiny\n",
            "deep/config.json": b"{}",
        }.items():
            name = (
                hashlib.sha256(data).hexdigest()
                if path.endswith(".bin")
                else hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            )
            (folder / "blobs" / name).write_bytes(data)
            target = folder / "snapshots" / commit / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(os.path.relpath(folder / "blobs" / name, target.parent))
        os.utime(folder / "snapshots" / commit, (1_735_787_045 + number, 1_735_787_045 + number))
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "refs" / "v1.0").write_text("a" * 40)
    return tmp_path / "hub"


def check_hub(registry: Registry) -> None:
    model = registry.model("lab-tiny")
    assert [record.commit.code["commit"][0] for record in model.log()] == ["0", "a"]
    assert [record.commit.time_ms for record in model.log()] == [1_735_787_047_000, 1_735_787_046_000]
    assert names(registry, "lab-tiny") == {"hub/main": 2, "v1.0": 1}
    assert contents(registry, "v1.0", "lab-tiny") == {
        "weights.bin": BYTES[1],
        "README.md": b"---\nlicense: mit\n---\n# Tiny\n",
        "deep/config.json": b"{}",
    }
    assert model.card("main").metadata["license"] == "mit"


def test_a_hugging_face_cache_snapshots_refs_card_and_files(registry: Registry, hub: Path) -> None:
    registry.import_from("huggingface", hub)
    check_hub(registry)
    assert registry.import_from("huggingface", hub / "models--lab--tiny").count(Outcome.KNOWN) == 2


def test_a_cut_download_and_a_link_out_of_the_cache_are_not_imported(registry: Registry, hub: Path, tmp_path: Path) -> None:
    repository = hub / "models--lab--tiny"
    blob = repository / "blobs" / hashlib.sha256(BYTES[1]).hexdigest()
    blob.write_bytes(BYTES[1][:100])
    (tmp_path / "secret").write_bytes(b"secret")
    (repository / "snapshots" / ("0" * 40) / "evil").symlink_to(tmp_path / "secret")
    report = registry.import_from("huggingface", hub)
    assert [version.outcome for version in report.versions] == ["failed", "failed"]
    assert "is not whole" in report.versions[0].reason
    assert "leads out of" in report.versions[1].reason


def test_bytes_that_repositories_of_a_cache_share_are_checked_by_the_names_they_have_in_each(
    registry: Registry, hub: Path
) -> None:
    blob = hub / "models--lab--tiny" / "blobs" / hashlib.sha256(BYTES[1]).hexdigest()
    shared = hub / "blobs" / "ab" / ("ab" + "0" * 62)
    shared.parent.mkdir(parents=True)
    blob.rename(shared)
    blob.symlink_to(os.path.relpath(shared, blob.parent))
    assert registry.import_from("huggingface", hub).versions[0].outcome is Outcome.FAILED  # a folder that is not the hub's own
    (hub / "blobs" / ".huggingface-shared-blobs").write_text("1\n")
    assert registry.import_from("huggingface", hub).count(Outcome.IMPORTED) == 1
    assert contents(registry, "v1.0", "lab-tiny")["weights.bin"] == BYTES[1]
    shared.write_bytes(b"others")
    report = registry.import_from("huggingface", hub, names={"lab/tiny": "again"})
    assert "is not whole" in report.versions[0].reason


def test_the_home_of_a_cache_will_do_too(registry: Registry, hub: Path) -> None:
    assert registry.import_from("huggingface", hub.parent).count(Outcome.IMPORTED) == 2


def test_a_plain_folder_is_one_version_until_its_files_change(registry: Registry, hub: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(hub / "models--lab--tiny" / "snapshots" / ("a" * 40), tmp_path / "tiny"))
    assert registry.import_from("huggingface", folder).count(Outcome.IMPORTED) == 1
    assert registry.import_from("huggingface", folder).count(Outcome.KNOWN) == 1
    (folder / "more.txt").write_text("more")
    assert registry.import_from("huggingface", folder).count(Outcome.IMPORTED) == 1
    metadata = folder / ".cache" / "huggingface" / "download" / "weights.bin.metadata"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"{'b' * 40}\netag\n1735787045.0\n")
    assert registry.import_from("huggingface", folder).versions[0].id == "b" * 40
    assert contents(registry, "main", "tiny").keys() == {"weights.bin", "README.md", "deep/config.json", "more.txt"}


# W&B


def test_wandb_artifacts_runs_aliases_and_files(registry: Registry, stores: Path) -> None:
    report = registry.import_from("wandb", stores / "wandb", objects=stores / "wandb" / "cache")
    assert [version.outcome for version in report.versions] == ["imported", "imported"], report.versions
    check_wandb(registry)


def check_wandb(registry: Registry) -> None:
    assert registry.model_names() == ["fraud-model"]
    model = registry.model("fraud-model")
    for number in (1, 2):
        commit = model.show(f"main~{2 - number}").commit
        assert dict(commit.params) == {"lr": pytest.approx(0.1 * number), "opt.name": "adam"}
        assert dict(commit.metrics) == {"auc": pytest.approx(0.9 + 0.01 * number), "best": 0.95}
        assert {
            "framework": "numpy",
            "layers": number,
            "wandb.project": "fraud",
            "wandb.run_name": f"night-{number}",
            "wandb.tags": "nightly",
        }.items() <= commit.labels.items()
        assert (commit.message, commit.author) == (f"model {number}", "lab")
        assert commit.time_ms > 1_700_000_000_000
        assert contents(registry, f"v{number}", "fraud-model") == {
            "weights.bin": BYTES[number],
            "deep/config.json": json.dumps({"layers": number}).encode(),
        }
    assert names(registry, "fraud-model") == {"latest": 2, "champion": 2, "wandb-v1": 1}


def test_other_types_of_artifacts_of_wandb_are_asked_for(registry: Registry, stores: Path) -> None:
    registry.import_from("wandb", stores / "wandb" / "wandb", objects=stores / "wandb" / "cache", types=["dataset"])
    assert registry.model_names() == ["rows"]
    with pytest.raises(NotFoundError, match="no artifact of the type table; of others it has: --type dataset, --type model"):
        registry.import_from("wandb", stores / "wandb" / "wandb", types=["table"])


def test_bytes_of_wandb_that_are_gone_or_others_are_told_of(registry: Registry, stores: Path) -> None:
    report = registry.import_from("wandb", stores / "wandb")
    assert {version.outcome for version in report.versions} == {Outcome.FAILED}
    assert all("not on this machine" in version.reason for version in report.versions)
    for file in (stores / "wandb" / "cache").rglob("*"):
        if file.is_file():
            file.write_bytes(b"other")
    report = registry.import_from("wandb", stores / "wandb", objects=stores / "wandb" / "cache")
    assert all("other bytes" in version.reason for version in report.versions)


# All of them


@pytest.mark.parametrize("kind", ["modelstore", "mlflow", "wandb"])
def test_a_pipe_in_the_place_of_a_file_keeps_nobody_waiting(registry: Registry, stores: Path, kind: str) -> None:
    pattern = {"modelstore": "fraud/versions/*.json", "mlflow": "models/fraud/version-1/meta.yaml", "wandb": "*/*/run-*.wandb"}[
        kind
    ]
    file = next((stores / kind).glob(f"**/{pattern}" if kind != "wandb" else "*/*/run-*.wandb"))
    file.unlink()
    os.mkfifo(file)
    report = registry.import_from(kind, stores / kind, objects=stores / "wandb" / "cache" if kind == "wandb" else None)
    assert report.count(Outcome.FAILED) == 1
    assert report.count(Outcome.IMPORTED) >= 1


def test_what_was_imported_is_whole_by_fsck(registry: Registry, stores: Path, dvc_work_tree: Path, lfs_work_tree: Path) -> None:
    registry.import_from("modelstore", stores / "modelstore")
    registry.import_from("mlflow", stores / "mlflow", names={"fraud": "classic"})
    registry.import_from("dvc", dvc_work_tree)
    registry.import_from("git-lfs", lfs_work_tree)
    found = registry.fsck(read_data=True)
    assert not found.findings
    assert len(registry.search()) == 10
