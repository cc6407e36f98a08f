"""Make the stores in data/ with the real tools, anew: `python -m tests.operations.importing.make_data` in an environment with the extra `importers-test`.

The versions of the tools are written to data/versions.json. Each function takes a folder and fills it with what people who use the tool have; the tests with
the tools installed call them too.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

DATA = Path(__file__).parent / "data"
BYTES = {1: bytes(range(256)) * 40, 2: bytes(range(256)) * 39 + bytes(256)}  # of a model's file, by its version
ADA = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@lab", "GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@lab"}
TIMES = ("2025-01-02T03:04:05+00:00", "2025-02-03T04:05:06+00:00", "2025-03-04T05:06:07+00:00")


def make_modelstore(root: Path) -> list[str]:
    """A domain with two models that scikit-learn trained, the second in a state; a model of another domain; one that was deleted."""
    from modelstore import ModelStore
    from sklearn.linear_model import LogisticRegression

    store = ModelStore.from_file_system(root_directory=str(root), create_directory=True)
    ids = []
    for domain, strength in (("fraud", 1.0), ("fraud", 0.1), ("ranker", 1.0), ("ranker", 0.5)):
        model = LogisticRegression(C=strength).fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
        told = store.upload(domain, model=model)
        ids.append(told["model"]["model_id"])
    store.create_model_state("production")
    store.set_model_state("fraud", ids[1], "production")
    store.delete_model("ranker", ids[3], skip_prompt=True)
    return ids


def make_mlflow(root: Path) -> None:
    """A folder store: a model of two versions, each of a run, with aliases, a stage and tags; a run that is deleted."""
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"  # MLflow keeps folders for those who say that they have one
    make_mlflow_at(f"file://{root}")


def make_mlflow_at(url: str) -> None:
    """The same at any tracking URL."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    import mlflow
    from mlflow import MlflowClient
    from mlflow.models import Model, infer_signature

    mlflow.set_tracking_uri(url)
    mlflow.set_registry_uri(url)
    client = MlflowClient()
    mlflow.set_experiment("training")
    client.create_registered_model("fraud", description="finds fraud")
    for number, rate in ((1, 0.1), (2, 0.01)):
        with (
            mlflow.start_run(run_name=f"night-{number}", tags={"team": "risk"}) as run,
            tempfile.TemporaryDirectory() as folder,
        ):
            mlflow.log_params({"lr": rate, "depth": 3, "loss": "log"})
            for step in range(3):
                mlflow.log_metric("auc", 0.9 + 0.01 * step + 0.001 * number, step=step)
            (Path(folder) / "weights.bin").write_bytes(BYTES[number])
            model = Model(signature=infer_signature([[1.0]], [1]), flavors={"python_function": {"loader_module": "none"}})
            model.save(str(Path(folder) / "MLmodel"))
            client.log_artifacts(run.info.run_id, folder, "model")
        uri = f"{run.info.artifact_uri}/model"
        client.create_model_version(
            "fraud", uri, run.info.run_id, tags={"checked": "yes"}, description="the better one" if number == 2 else None
        )
    client.set_registered_model_alias("fraud", "champion", "2")
    client.set_registered_model_alias("fraud", "first", "1")
    client.transition_model_version_stage("fraud", "1", "Staging")
    with mlflow.start_run(run_name="empty"):
        mlflow.log_metric("auc", 0.5)
    with mlflow.start_run(run_name="gone") as gone:
        mlflow.log_text("x", "x.txt")
    client.delete_run(gone.info.run_id)


def make_dvc(root: Path) -> None:
    """A work tree with a file, a folder, and a stage with params and metrics, in three commits, two of them tagged; all of it pushed to a remote."""
    repository, remote = root / "detector", root / "remote"
    repository.mkdir(parents=True)

    def dvc(*words: str) -> None:
        _run([sys.executable, "-m", "dvc", "-q", *words], repository)

    _git(repository, "init", "-q", "-b", "main")
    dvc("init")
    dvc("config", "core.analytics", "false")
    dvc("config", "core.hardlink_lock", "false")
    dvc("remote", "add", "-d", "store", str(Path("..", "remote")))
    remote.mkdir()
    (repository / "train.py").write_text(
        "import json\nrate = float(open('params.yaml').read().split()[-1])\n"
        "open('model.bin', 'wb').write(bytes(range(256)) * int(rate * 100))\n"
        "json.dump({'auc': 1 - rate, 'by': {'country': 0.5}}, open('metrics.json', 'w'))\n"
    )
    (repository / "vocabulary").mkdir()
    (repository / "vocabulary" / "words.txt").write_bytes(b"one\r\ntwo\r\n")
    (repository / "vocabulary" / "deep").mkdir()
    (repository / "vocabulary" / "deep" / "more.txt").write_bytes(b"three\n")
    (repository / "params.yaml").write_text("rate: 0.1\n")
    (repository / "dvc.yaml").write_text(
        "stages:\n  train:\n    cmd: python train.py\n    deps: [train.py]\n    params: [rate]\n"
        "    outs: [model.bin]\n    metrics:\n      - metrics.json:\n          cache: false\n"
    )
    for number, rate in enumerate((0.1, 0.2)):
        (repository / "params.yaml").write_text(f"rate: {rate}\n")
        dvc("repro")
        dvc("add", "vocabulary")
        _commit(repository, number, f"rate {rate}")
        dvc("push")
        _git(repository, "tag", "-a", f"v{number + 1}", "-m", f"release {number + 1}", date=TIMES[number])
    (repository / "README.md").write_text("nothing that DVC keeps changed\n")
    _commit(repository, 2, "words about it")
    _git(repository, "tag", "documented")
    shutil.rmtree(repository / ".dvc" / "cache")
    shutil.rmtree(repository / ".dvc" / "tmp")


def make_git_lfs(root: Path) -> None:
    """A repository with a large file in two commits, and one commit between them that changes another file."""
    root.mkdir(parents=True)
    _git(root, "init", "-q", "-b", "main")
    _git(root, "lfs", "install", "--local")
    _git(root, "lfs", "track", "*.bin")
    (root / "weights.bin").write_bytes(BYTES[1])
    (root / "config.json").write_text('{"layers": 2}')
    _commit(root, 0, "first")
    _git(root, "tag", "prod")
    (root / "config.json").write_text('{"layers": 3}')
    _commit(root, 1, "config alone")
    _git(root, "tag", "-a", "v1.0", "-m", "the config of one", date=TIMES[1])
    (root / "weights.bin").write_bytes(BYTES[2])
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    _commit(root, 2, "deeper\n\nwith a script")


def make_wandb(root: Path) -> None:
    """Two offline runs, each of which logged a model, and a data set that is none."""
    code = """
import sys, wandb
number, folder = int(sys.argv[1]), sys.argv[2]
run = wandb.init(project="fraud", entity="lab", name=f"night-{number}", tags=["nightly"], notes="all data", config={"lr": 0.1 * number, "opt": {"name": "adam"}}, mode="offline", dir=folder)
run.log({"auc": 0.9 + 0.01 * number})
run.summary["best"] = 0.95
model = wandb.Artifact("fraud-model", type="model", description=f"model {number}", metadata={"framework": "numpy", "layers": number})
model.add_file(f"{folder}/in/{number}/weights.bin", name="weights.bin")
model.add_file(f"{folder}/in/{number}/config.json", name="deep/config.json")
run.log_artifact(model, aliases=["latest", "champion"] if number == 2 else ["latest", "v1"])
data = wandb.Artifact("rows", type="dataset")
data.add_file(f"{folder}/in/{number}/config.json")
run.log_artifact(data)
run.finish()
"""
    root.mkdir(parents=True, exist_ok=True)
    for number in (1, 2):
        folder = root / "in" / str(number)
        folder.mkdir(parents=True)
        (folder / "weights.bin").write_bytes(BYTES[number])
        (folder / "config.json").write_text(json.dumps({"layers": number}))
        environment = {
            "WANDB_DATA_DIR": str(root / "data"), "WANDB_CACHE_DIR": str(root / "cache"), "WANDB_CONFIG_DIR": str(root / "config"),
            "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false", "WANDB_DISABLE_GIT": "true", "WANDB_CONSOLE": "off", "WANDB_DISABLE_CODE": "true",
            "WANDB_X_DISABLE_STATS": "true", "WANDB_X_DISABLE_META": "false",
        }  # fmt: skip
        _run([sys.executable, "-c", code, str(number), str(root)], root, **environment)
    shutil.rmtree(root / "in")


def make_hugging_face(root: Path) -> tuple[str, str]:
    """A cache as huggingface_hub lays it out, of one repository at two commits, made by its own functions for names and links."""
    import hashlib

    from huggingface_hub.constants import REPO_ID_SEPARATOR
    from huggingface_hub.file_download import _create_symlink, repo_folder_name

    folder = root / repo_folder_name(repo_id="lab/tiny", repo_type="model")
    assert REPO_ID_SEPARATOR == "--"
    commits = ("a" * 40, "0123456789abcdef0123456789abcdef01234567")
    (folder / "blobs").mkdir(parents=True)
    for number, commit in enumerate(commits, start=1):
        files = {"weights.bin": BYTES[number], "README.md": b"---\nlicense: mit\n---\n# Tiny\n", "deep/config.json": b"{}"}
        for path, data in files.items():
            name = (
                hashlib.sha256(data).hexdigest()
                if path.endswith(".bin")
                else hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            )
            (folder / "blobs" / name).write_bytes(data)
            (folder / "snapshots" / commit / path).parent.mkdir(parents=True, exist_ok=True)
            _create_symlink(str(folder / "blobs" / name), str(folder / "snapshots" / commit / path))
        os.utime(folder / "snapshots" / commit, (1_735_787_045 + number, 1_735_787_045 + number))
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commits[1])
    (folder / "refs" / "v1.0").write_text(commits[0])
    return commits


def _commit(repository: Path, number: int, message: str) -> None:
    _git(repository, "add", "-A")
    _git(repository, "commit", "-q", "-m", message, date=TIMES[number])


def _git(folder: Path, *words: str, date: str = TIMES[0]) -> None:
    _run(
        ["git", "-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false", *words],
        folder,
        **ADA,
        GIT_AUTHOR_DATE=date,
        GIT_COMMITTER_DATE=date,
    )


def _run(words: list[str], folder: Path, **environment: str) -> None:
    found = subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, "DVC_NO_ANALYTICS": "1", "HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, f"{words}: {found.stdout}{found.stderr}"


def main() -> None:
    """Everything anew. Git repositories are kept as bundles: a folder `.git` within another repository cannot be committed."""
    with tempfile.TemporaryDirectory() as name:
        made = Path(name)
        os.chdir(made)  # MLflow and modelstore tell of the git repository around them, and of the script
        sys.argv[0] = "train.py"
        for make in (make_modelstore, make_mlflow, make_wandb):
            kind = make.__name__.removeprefix("make_")
            (made / kind).mkdir()
            make(made / kind)
        make_dvc(made / "dvc")
        make_git_lfs(made / "git_lfs")
        for kind, repository in (("dvc", made / "dvc" / "detector"), ("git_lfs", made / "git_lfs")):
            _git(repository, "bundle", "create", "-q", str(made / f"{kind}.bundle"), "--all")
        os.chdir(DATA.parent)
        shutil.rmtree(DATA, ignore_errors=True)
        DATA.mkdir()
        for kind in ("modelstore", "mlflow"):
            shutil.copytree(made / kind, DATA / kind)
        for run in sorted((made / "wandb" / "wandb").glob("offline-run-*")):
            for file in (*run.glob("run-*.wandb"), run / "files" / "wandb-metadata.json"):
                if file.is_file():
                    target = DATA / "wandb" / "wandb" / run.name / file.relative_to(run)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(file, target)
        _keep_by_digest(made / "wandb", DATA / "wandb" / "cache")
        for kind in ("dvc", "git_lfs"):
            shutil.copy(made / f"{kind}.bundle", DATA / f"{kind}.bundle")
        shutil.copytree(made / "dvc" / "remote", DATA / "dvc_remote")
        shutil.copytree(made / "git_lfs" / ".git" / "lfs" / "objects", DATA / "git_lfs_objects")
        tools = ("modelstore", "mlflow", "dvc", "wandb", "huggingface-hub")
        told = {tool: version(tool) for tool in tools}
        for program in (("git", "--version"), ("git", "lfs", "version")):
            told[" ".join(program)] = subprocess.run(program, capture_output=True, text=True, check=True).stdout.strip()
        (DATA / "versions.json").write_text(json.dumps(told, indent=1) + "\n")


def _keep_by_digest(made: Path, cache: Path) -> None:
    """What was staged, by its MD5, as W&B's cache has it: the paths in a run's file are those of the machine that made it."""
    import hashlib

    for file in (made / "data").rglob("*"):
        if file.is_file():
            digest = hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
            target = cache / "artifacts" / "obj" / "md5" / digest[:2] / digest[2:]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)


if __name__ == "__main__":
    main()
