"""docs/serving.md: its service runs, its commands are commands, its rights are enough and no more."""

import dataclasses
import json
import logging
import os
import re
import shlex
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import cas_registry as reg
from cas_registry.cli import reg as program
from cas_registry.errors import AccessError
from tests.support.servers import S3Server

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
DEADLINE_S = 60
IDENTITY = "collector"  # one that the server knows, and that has no rights in a new bucket


def _block(mark: str, language: str) -> str:
    (found,) = re.findall(rf"<!-- {mark} -->\n```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def until(is_so: Callable[[], bool]) -> None:
    """Ask until it is; a service that never gets there fails the test."""
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


def test_the_service_loads_the_next_version_and_takes_a_bad_one_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    testclient = pytest.importorskip("fastapi.testclient")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REG_REGISTRY", str(tmp_path / "registry"))
    model = reg.init(tmp_path / "registry").model("fraud")

    def commit(*weights: float) -> None:
        (tmp_path / "out").mkdir(exist_ok=True)
        np.save(tmp_path / "out" / "weights.npy", np.array(weights))
        model.commit(tmp_path / "out", tags=["prod"])

    commit(1.0, 1.0)
    code = _block("snippet: fastapi", "python")
    assert code.count("interval_s=5") == 1
    service: dict[str, object] = {}
    exec(compile(code.replace("interval_s=5", "interval_s=0.02"), "serving.md", "exec"), service)
    caplog.set_level(logging.WARNING, logger="fraud")
    with testclient.TestClient(service["app"]) as client:

        def score() -> object:
            return client.post("/score", json=[2, 3]).json()

        assert score() == {"version": 1, "score": 5.0}
        commit(10.0, 1.0)
        until(lambda: score() == {"version": 2, "score": 23.0})
        commit(float("nan"), 1.0)
        until(lambda: "rolled-back 2 weights that are no numbers" in caplog.text)
        assert score() == {"version": 2, "score": 23.0}
        assert os.readlink(tmp_path / "serve" / "current").startswith("v2-")


def test_every_command_of_the_page_is_one() -> None:
    """Verbs and options exist. Lines that the page breaks within quotes are left out."""
    context = program.make_context("reg", [], resilient_parsing=True)
    tried = 0
    for line in re.findall(r"\breg [a-z]+ [^`\n|]*", re.sub(r'", "|\["|"\]', " ", PAGE)):
        whole = line.count("'") % 2 == 0 and line.count('"') % 2 == 0
        parts = shlex.split(line) if whole else []
        if len(parts) < 2 or parts[1] not in program.list_commands(context):
            continue
        command = program.get_command(context, parts[1])
        assert command
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {part for part in parts[2:] if re.fullmatch(r"--[a-z-]+", part)} <= known, line
        tried += 1
    assert tried >= 10


def test_the_rights_of_a_service_let_it_follow_and_deploy_and_change_nothing(
    seaweedfs_server: S3Server, tmp_path: Path
) -> None:
    import s3fs

    bucket = seaweedfs_server.make_bucket("services")
    url = f"s3://{bucket}/registry"
    text = _block("policy: readers", "json").replace("arn:aws:s3:::models", f"arn:aws:s3:::{bucket}")
    statements = json.loads(re.sub(r"arn:aws:iam::\d+:role/\w+", f"arn:aws:iam::000000000000:user/{IDENTITY}", text))
    owner = s3fs.S3FileSystem(**seaweedfs_server.storage_options, skip_instance_cache=True, use_listings_cache=False)
    owner.call_s3("put_bucket_policy", Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))
    model = reg.init(url, storage_options=seaweedfs_server.storage_options).model("fraud")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text("{}")
    model.commit(tmp_path / "out", tags=["prod"])
    options = dataclasses.replace(seaweedfs_server, access_key=IDENTITY).storage_options
    service = reg.open(url, storage_options=options, cache_folder=tmp_path / "cache").model("fraud")
    changes = service.changes("prod", folder=tmp_path / "serve", interval_s=0.01)
    assert next(changes).number == 1
    (tmp_path / "out" / "config.json").write_text('{"layers": 2}')
    model.commit(tmp_path / "out", tags=["prod"])
    assert next(changes).number == 2
    changes.close()
    assert (tmp_path / "serve" / "current" / "config.json").read_text() == '{"layers": 2}'
    for action in (
        lambda: service.tag("prod", "main~1"),
        lambda: service.delete_tag("prod"),
        lambda: service.retire("main~1"),
        lambda: service.commit(tmp_path / "out", allow_empty=True),
        lambda: service._stores.backend.delete("format"),
    ):
        with pytest.raises(AccessError):
            action()
    assert service.resolve("prod").number == 2
