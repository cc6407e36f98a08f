"""A real S3 server, with nothing but the URL and the usual environment. What a second machine does, processes of their own do."""

import os
from pathlib import Path

import blake3
import pytest

from tests.cli.shell import Result, Shell, program
from tests.support.servers import S3Server


@pytest.fixture
def s3(shell: Shell, seaweedfs_server: S3Server, s3_url: str, monkeypatch) -> str:
    """The URL, with endpoint and credentials in the environment."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", seaweedfs_server.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", seaweedfs_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seaweedfs_server.secret_key)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return s3_url


def run(*words: str | Path, code: int = 0, **environment: str) -> Result:
    found = program(*words, **environment)
    assert found.exit_code == code, found.stdout + found.stderr
    return found


def test_a_story_on_s3(shell: Shell, s3: str, s3_options, tmp_path, monkeypatch):
    import s3fs

    doctor = shell.reg("doctor", s3, "--json").json
    assert {check["name"]: check["status"] for check in doctor["checks"]}["registry"] == "warn"
    assert doctor["healthy"] is True
    files = s3fs.S3FileSystem(**s3_options, skip_instance_cache=True, use_listings_cache=False)
    assert files.find(s3) in ([], [s3.removeprefix("s3://")]), "the probe leaves nothing; SeaweedFS keeps the empty folder"
    assert shell.reg("init", s3, "--model", "fraud", "--json").json["created"] is True
    model = shell.write("out/model.bin", os.urandom(3_000_000))
    shell.write("out/config.json", '{"layers": 2}')
    shell.reg("commit", "out", "-m", "first", "--metric", "auc=0.91", "--tag", "prod")
    shell.write("out/config.json", '{"layers": 3}')
    second = shell.reg("commit", "out", "-m", "deeper", "--metric", "auc=0.93", "--json").json
    assert (second["new_bytes"], second["number"]) == (13, 2)
    shell.reg("tag", "prod", "main", "-m", "better")
    assert [move["why"] for move in shell.reg("tag", "--history", "prod", "--json").json["moves"]] == ["better", "first"]
    shell.reg("diff", "main~1", "main", "--exit-code", code=1)

    other = tmp_path / "another machine"
    other.mkdir()
    monkeypatch.chdir(other)
    monkeypatch.setenv("REG_CACHE", str(tmp_path / "another cache"))
    monkeypatch.setenv("REG_REGISTRY", s3)
    assert len(run("log", "-q").stdout.split()) == 2
    run("checkout", "prod", "serve")
    assert (other / "serve/model.bin").read_bytes() == model.read_bytes()
    assert (other / "serve/config.json").read_text() == '{"layers": 3}'
    shell.reg("checkout", "prod@{1}", "serve")
    assert (other / "serve/config.json").read_text() == '{"layers": 2}'
    entries = shell.reg("ls", "prod", "--json").json["entries"]
    assert entries[1]["id"] == blake3.blake3(model.read_bytes()).hexdigest()
    assert shell.reg("cat", "prod:config.json").stdout == '{"layers": 3}'
    fsck = shell.reg("fsck", "--read-data", "--json").json
    assert (fsck["clean"], fsck["versions"]) == (True, 2)
    assert shell.reg("stats", "--json").json["stored_bytes"] == pytest.approx(3_000_000, rel=0.01)


@pytest.mark.parametrize("verb", [["log"], ["init"], ["commit", "out"], ["doctor"], ["fsck"]])
def test_wrong_credentials_are_one_clear_error(shell: Shell, s3: str, verb):
    shell.write("out/a", "a")
    place = [s3] if verb[0] in {"init", "doctor"} else ["-R", s3, "-M", "m"]
    found = run(*verb, *place, code=6, AWS_SECRET_ACCESS_KEY="hunter2")
    said = found.stdout if verb[0] == "doctor" else found.stderr
    assert "redentials" in said
    assert "hunter2" not in found.stdout + found.stderr
    assert "Traceback" not in found.stderr
    if verb[0] != "doctor":
        assert len(found.stderr.splitlines()) == 1
        assert found.stdout == ""


def test_a_missing_bucket_is_one_clear_error(shell: Shell, s3: str):
    for words, code in ((["log", "-R", "s3://no-such-bucket/x"], 3), (["init", "s3://no-such-bucket/x"], 3)):
        found = run(*words, code=code)
        assert "there is no such bucket" in found.stderr
        assert len(found.stderr.splitlines()) == 1
    assert "create the bucket first" in run("doctor", "s3://no-such-bucket/x", code=6).stdout


def test_a_store_that_is_not_there_is_one_clear_error(shell: Shell, s3: str):
    found = run("log", "-R", s3, "-M", "m", code=6, AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert "Check the network and the endpoint" in found.stderr
    assert len(found.stderr.splitlines()) == 1
    doctor = run("doctor", s3, "--json", code=6, AWS_ENDPOINT_URL="http://127.0.0.1:9").json
    assert [check["status"] for check in doctor["checks"]][:3] == ["ok", "fail", "skipped"]
