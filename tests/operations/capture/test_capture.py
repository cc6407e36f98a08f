"""What is told of a commit's surroundings, and what is not."""

import json
import os
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path

import pytest

import cas_registry as reg
from cas_registry.operations import capture as capturing
from cas_registry.operations.capture import Captured, Scene, capture, machine, packages
from tests.cli.shell import program, python
from tests.operations.capture.repositories import git, make_repository

SECRET = "hunter2-planted-secret"
TOKENS = (SECRET, "AKIAIOSFODNN7EXAMPLE", "ghp_abcdefghijklmnopqrstuvwxyz0123456789")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene((make_repository(tmp_path / "code"),), sys.path, "3.12.1", "CPython", {})


def test_all_four_are_told(scene: Scene) -> None:
    found = capture(scene)
    assert found.environment["python"] == "3.12.1"
    assert found.environment["implementation"] == "CPython"
    assert found.environment["cpu_count"] >= 1
    assert len(found.code["commit"]) == 40
    assert found.packages["pytest"] == pytest.__version__
    assert found.framework == {}


def test_what_fails_is_left_out_and_the_rest_is_told(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no /proc here")

    monkeypatch.setattr(packages, "installed_packages", fail)
    monkeypatch.setattr(machine, "find_machine", fail)
    found = capture(scene)
    assert (found.packages, found.environment) == ({}, {"python": "3.12.1", "implementation": "CPython"})
    assert found.code["branch"] == "main"


def test_what_looks_like_a_secret_is_struck_out(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "find_machine", lambda: {"cpu": f"token={SECRET}"})
    assert capture(scene).environment["cpu"] == "token=***"


def test_a_script_whose_name_is_no_text_stops_nothing(scene: Scene, tmp_path: Path) -> None:
    script = Path(os.fsdecode(os.fsencode(tmp_path) + b"/tr\xe4in.py"))
    script.write_text("")
    main = types.ModuleType("__main__")
    main.__file__ = str(script)
    assert capture(replace(scene, modules={"__main__": main})).code["entry_point"] == "tr?in.py"


def test_an_empty_scene_is_no_error() -> None:
    found = capture(Scene((), (), "3.12", "CPython"))
    assert (found.code, found.packages, found.framework) == ({}, {}, {})
    assert Captured() == Captured({}, {}, {}, {})


SCRIPT = """
import sys, warnings
import cas_registry as reg
model = reg.open(sys.argv[1]).model("fraud")
model.commit("out", message="by a script", code_diff=True)
"""


@pytest.mark.parametrize("way", ["command", "script"])
def test_no_secret_reaches_the_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Planted in the environment, in the arguments, in the URL of git's remote, in its configuration, and in what was changed."""
    work = make_repository(tmp_path / "work")
    git(work, "remote", "add", "origin", f"https://ana:{SECRET}@git.example.org/acme/fraud.git?token={SECRET}")
    git(work, "config", "http.extraHeader", f"Authorization: Bearer {SECRET}")
    (work / "train.py").write_text(
        f'password = "{SECRET}"\nkey = "AKIAIOSFODNN7EXAMPLE"\nhub = "{TOKENS[2]}"\nlr = 0.25\n' + SCRIPT
    )
    (work / "out").mkdir()
    (work / "out" / "model.bin").write_bytes(b"weights")
    registry = tmp_path / "registry"
    reg.init(registry)
    monkeypatch.chdir(work)
    environment = {
        "REG_CAPTURE": "1",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "DATABASE_URL": f"pg://u:{SECRET}@h/d",
        "WANDB_API_KEY": SECRET,
    }
    if way == "command":
        done = program(
            "commit", "out", "-R", registry, "-M", "fraud", "--code-diff", "--storage-option", f"secret={SECRET}", **environment
        )
    else:
        done = python("import runpy, sys; sys.argv[0] = 'train.py'; runpy.run_path('train.py', run_name='__main__')", registry, f"--password={SECRET}", **environment)  # fmt: skip
    assert done.exit_code == 0, done.stderr
    bucket = b"".join(path.read_bytes() for path in sorted(registry.rglob("*")) if path.is_file())
    assert b"git.example.org/acme/fraud.git" in bucket  # it was looked at
    assert b"lr = 0.25" in bucket
    for token in (*TOKENS, str(Path.home()), "ana:"):
        assert token.encode() not in bucket, token


def test_a_script_tells_its_own_name_and_frameworks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = make_repository(tmp_path / "work")
    (work / "sub").mkdir()
    (work / "sub" / "train.py").write_text("import sys, types\nsys.modules['torch'] = types.ModuleType('torch')\nsys.modules['torch'].__version__ = '2.9.1'\n" + SCRIPT)  # fmt: skip
    (work / "out").mkdir()
    (work / "out" / "model.bin").write_bytes(b"weights")
    reg.init(tmp_path / "registry")
    monkeypatch.chdir(work)
    done = subprocess.run(
        [sys.executable, "sub/train.py", tmp_path / "registry"], env={**os.environ, "REG_CAPTURE": "1"}, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    commit = reg.open(tmp_path / "registry").model("fraud").show("main").commit
    assert (commit.code["entry_point"], commit.code["dirty"]) == ("sub/train.py", True)  # git does not know the script
    assert commit.framework == {"torch": "2.9.1"}
    assert commit.packages["blake3"]
    assert commit.environment["python"] == ".".join(map(str, sys.version_info[:3]))


def test_a_command_tells_no_entry_point_and_no_framework(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = make_repository(tmp_path / "work")
    monkeypatch.chdir(work)
    reg.init(tmp_path / "registry")
    words = ("-R", tmp_path / "registry", "-M", "fraud")
    assert program("commit", "code.py", *words, REG_CAPTURE="1").exit_code == 0
    told = json.loads(program("show", "--json", *words).stdout)
    assert told["code"].keys() == {"commit", "branch", "dirty"}
    assert told["framework"] == {}
    assert told["packages"]["blake3"]


@pytest.mark.parametrize("how", ["option", "variable"])
def test_nothing_is_told_where_nobody_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    work = make_repository(tmp_path / "work")
    monkeypatch.setenv("REG_CAPTURE", "1" if how == "option" else "0")
    model = reg.init(tmp_path / "registry").model("m")
    model.commit(work, **({"capture": False} if how == "option" else {}))
    commit = model.show("main").commit
    assert (commit.code, commit.environment, commit.packages, commit.framework) == ({}, {}, {}, {})


def test_nothing_is_looked_for_where_nothing_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for an unchanged folder nor for one that was only touched."""
    work = make_repository(tmp_path / "work")
    monkeypatch.setenv("REG_CAPTURE", "1")
    model = reg.init(tmp_path / "registry", cache_folder=tmp_path / "cache").model("m")
    model.commit(work)
    monkeypatch.setattr(capturing, "capture", lambda _: pytest.fail("it was looked for"))
    assert not model.commit(work).created
    os.utime(work / "code.py")
    assert not model.commit(work).created


def test_what_was_said_counts_before_what_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REG_CAPTURE", "1")
    monkeypatch.setattr(capturing, "capture", lambda _: Captured(framework={"torch": "2.9", "jax": "0.7"}))
    model = reg.init(tmp_path / "registry").model("m")
    model.commit(make_repository(tmp_path / "work"), framework={"torch": "nightly"})
    assert model.show("main").commit.framework == {"torch": "nightly", "jax": "0.7"}
