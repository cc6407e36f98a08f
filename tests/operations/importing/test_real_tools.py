"""Stores that the real tools make now, where they are installed (`pip install 'cas-registry[importers-test]'`), and read by their own clients."""

import os
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cas_registry.errors import BackendError, RegistryError
from cas_registry.operations.importing.engine import Outcome
from cas_registry.registry import Registry
from tests.operations.importing import make_data
from tests.operations.importing.test_sources import check_hub, check_mlflow, check_wandb, contents
from tests.support.folders import read_folder

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the tools' own
START_S = 120


@pytest.fixture
def tracking_server(tmp_path: Path) -> Iterator[str]:
    """`mlflow server` on loopback, with a database, handing out artifacts itself."""
    pytest.importorskip("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{tmp_path / 'mlflow.db'}", "--artifacts-destination", str(tmp_path / "artifacts"),
    ]  # fmt: skip
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + START_S
            while True:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
                        break
                except OSError:
                    assert server.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.2)  # until it listens: nothing tells
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(timeout=30)


def test_an_mlflow_server_by_its_client(registry: Registry, tracking_server: str) -> None:
    make_data.make_mlflow_at(tracking_server)
    plan = registry.import_from("mlflow", tracking_server, dry_run=True)
    assert (plan.count(Outcome.PLANNED), registry.model_names()) == (2, [])
    registry.import_from("mlflow", tracking_server)
    check_mlflow(registry)
    assert registry.import_from("mlflow", tracking_server).count(Outcome.KNOWN) == 2
    registry.import_from("mlflow", tracking_server, experiment="training", names={"training": "nights"})
    assert contents(registry, "v1", "nights")["model/weights.bin"] == make_data.BYTES[1]


def test_an_mlflow_folder_made_now(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    make_data.make_mlflow(tmp_path / "mlruns")
    registry.import_from("mlflow", tmp_path)
    check_mlflow(registry)


def test_wandb_runs_made_now_with_their_staging_folder(registry: Registry, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    make_data.make_wandb(tmp_path / "runs")
    registry.import_from("wandb", tmp_path / "runs")
    check_wandb(registry)


def test_a_modelstore_made_now(registry: Registry, tmp_path: Path) -> None:
    pytest.importorskip("modelstore")
    pytest.importorskip("sklearn")
    ids = make_data.make_modelstore(tmp_path / "store")
    report = registry.import_from("modelstore", tmp_path / "store")
    assert {version.id for version in report.versions} == set(ids[:3])
    assert [tag.version for tag in report.tags] == [f"fraud/{ids[1]}"]


def test_a_dvc_repository_made_now(registry: Registry, tmp_path: Path) -> None:
    pytest.importorskip("dvc")
    make_data.make_dvc(tmp_path / "made")
    report = registry.import_from("dvc", tmp_path / "made" / "detector")
    assert [version.outcome for version in report.versions] == ["imported", "imported"]


def test_a_hugging_face_cache_laid_out_by_its_own_functions(registry: Registry, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    make_data.make_hugging_face(tmp_path / "hub")
    registry.import_from("huggingface", tmp_path / "hub")
    check_hub(registry)


def test_models_that_a_run_of_mlflow_logged_by_the_database_and_by_the_folder(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow 3 keeps them apart from the run's artifacts."""
    mlflow = pytest.importorskip("mlflow")
    linear = pytest.importorskip("sklearn.linear_model")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.chdir(tmp_path)
    model = linear.LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    for name, url in (("folder", f"file://{tmp_path / 'mlruns'}"), ("database", f"sqlite:///{tmp_path / 'mlflow.db'}")):
        mlflow.set_tracking_uri(url)
        mlflow.set_experiment(name)
        with mlflow.start_run(run_name="night"):
            mlflow.sklearn.log_model(model, name="best")
            mlflow.log_text("words", "notes/read.txt")
        registry.import_from("mlflow", url, experiment=name)
        held = contents(registry, "main", name)
        assert held["notes/read.txt"] == b"words"
        assert {"best/MLmodel", "best/requirements.txt"} <= set(held)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite:///missing.db", "there is no file missing.db"),
        ("sqlite:///others.db", "has no tables of MLflow's"),
        ("sqlite:///text.db", "cannot be read"),
        ("postgresql+psycopg9://me:hunter2@127.0.0.1:1/x", "psycopg9"),
    ],
)
def test_a_database_that_is_not_mlflow_s_is_not_made_one(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, reason: str
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    with closing(sqlite3.connect("others.db")) as others:
        others.execute("create table mine (x)")
        others.commit()
    (tmp_path / "text.db").write_text(
        "no database at all, but long enough to be looked at as one, which takes a hundred bytes and more " * 3
    )
    before = read_folder(tmp_path)
    with pytest.raises(RegistryError, match=reason) as raised:
        registry.import_from("mlflow", url)
    assert "hunter2" not in str(raised.value)
    assert read_folder(tmp_path) == before


def test_a_server_that_is_not_there(registry: Registry) -> None:
    pytest.importorskip("mlflow")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        with pytest.raises(BackendError, match="does not answer; check the address"):
            registry.import_from("mlflow", f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


def test_wandb_artifacts_by_another_digest(registry: Registry, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    pytest.importorskip("xxhash")
    code = """
import sys, wandb
run = wandb.init(project="p", mode="offline", dir=sys.argv[1])
artifact = wandb.Artifact("fast", type="model", digest_algorithm="XXH128")
artifact.add_file(sys.argv[2], name="w.bin")
run.log_artifact(artifact)
run.finish()
"""
    (tmp_path / "w.bin").write_bytes(make_data.BYTES[1])
    place = {name: str(tmp_path / name.lower()) for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR")}
    quiet = {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false", "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code, tmp_path, tmp_path / "w.bin"], check=True, env={**os.environ, **place, **quiet})
    registry.import_from("wandb", tmp_path)
    assert contents(registry, "main", "fast") == {"w.bin": make_data.BYTES[1]}


def test_bytes_that_huggingface_hub_keeps_once_for_several_repositories(registry: Registry, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    shared = pytest.importorskip("huggingface_hub.utils._shared_blobs")
    make_data.make_hugging_face(tmp_path / "hub")
    for blob in list((tmp_path / "hub" / "models--lab--tiny" / "blobs").iterdir()):
        if len(blob.name) == 64:
            assert shared.publish_blob_to_shared_store(
                blob_path=str(blob),
                xet_hash=blob.name[::-1],
                cache_dir=str(tmp_path / "hub"),
                expected_size=blob.stat().st_size,
            )
            assert blob.is_symlink()
    registry.import_from("huggingface", tmp_path / "hub")
    check_hub(registry)
