"""`--offline`, end to end: a real store that is there, and then is not."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.shell import Shell
from tests.support.servers import ACCESS_KEY, REGION, SECRET_KEY, ministack

JSON_MD = Path(__file__).parents[2] / "docs" / "json.md"
pytestmark = pytest.mark.xdist_group("offline")


@pytest.fixture
def gone(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A folder bound to a registry in a bucket, with three versions that were looked at, prod checked out, and v1 fetched. Then the server is killed."""
    folder = tmp_path / "server"
    folder.mkdir()
    for name, value in (
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_DEFAULT_REGION", REGION),
    ):
        monkeypatch.setenv(name, value)
    with ministack(folder) as server:
        server.make_bucket("models")
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint_url)
        shell.reg("init", "s3://models/team", "-M", "fraud")
        for number in range(3):
            shell.write("out/config.json", f'{{"layers": {number}}}')
            shell.write("out/model.bin", bytes([number]) * 1_500_000)
            shell.reg("commit", "out", "-m", f"number {number}", "--metric", f"auc=0.{number}")
        shell.reg("tag", "prod", "v2")
        for words in VERBS:
            shell.reg(*words)
        shell.reg("checkout", "prod", "serve")
        (fetched,) = shell.reg("fetch", "v1", "--json").json["versions"]
        assert (fetched["files"], fetched["size_bytes"], fetched["left_out"]) == (2, 1_500_013, [])
        assert set(fetched) == set(documented_fetch()["versions"][0])
        assert "2 files (1.5 MB) here, 1.5 MB of it before; 0 B fetched" in shell.reg("fetch", "v1").stdout
    return shell


def documented_fetch() -> dict[str, list[dict[str, object]]]:
    found = re.search(r"## reg fetch\n.*?```json\n(.*?)```", JSON_MD.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return json.loads(found[1])


VERBS = (
    ("log",), ("log", "--graph"), ("show", "prod"), ("ls", "prod"), ("diff", "prod", "main"), ("compare", "prod", "main"), ("tag",), ("branch",),
    ("tag", "--history", "prod"), ("models",), ("resolve", "prod"), ("search", "metrics.auc > 0"), ("whence", "out/model.bin"),
    ("lineage", "prod"), ("blame", "prod"), ("status", "out"),
)  # fmt: skip


def test_all_that_reads_works_without_the_store(gone: Shell, monkeypatch: pytest.MonkeyPatch):
    for words in VERBS:
        found = gone.reg(*words, "--offline")
        assert found.stdout, words
        assert re.fullmatch(r"As of .+: the registry was not asked\n", found.stderr) or words[0] == "whence", words
        assert gone.reg("--offline", *words, "--json").stderr == "", "for people alone"
    monkeypatch.setenv("REG_OFFLINE", "1")
    assert "number 1" in gone.reg("show", "prod").stdout
    gone.reg("checkout", "prod", "again")
    assert (gone.folder / "again/model.bin").read_bytes() == bytes([1]) * 1_500_000
    assert (gone.folder / "again/config.json").read_text() == '{"layers": 1}'
    gone.reg("checkout", "v1", "first")
    assert (gone.folder / "first/model.bin").read_bytes() == bytes(1_500_000)
    assert gone.reg("cat", "v1:config.json").stdout == '{"layers": 0}'
    assert gone.reg("checkout", "main", "last", code=6).stderr.startswith("error: offline: ")
    for words in (
        ("commit", "out"),
        ("tag", "prod", "main"),
        ("gc",),
        ("fsck",),
        ("doctor",),
        ("init", "s3://models/other"),
        ("stats",),
    ):
        refused = gone.reg(*words, "--json", code=6).error
        assert refused["code"] == "offline", words
        assert "without --offline" in refused["message"]
    monkeypatch.delenv("REG_OFFLINE")
    monkeypatch.setattr("cas_registry.backends.wrappers.MAX_WAIT_S", 0.01)
    monkeypatch.setattr("time.sleep", lambda _: None)
    failed = gone.reg("show", "prod", code=6)  # a store that does not answer: the way out is told
    assert "What this machine has seen of the registry can be read with --offline" in failed.stderr


def test_an_option_that_makes_no_sense_is_said_so(shell: Shell, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REG_OFFLINE", "yes")
    assert "REG_OFFLINE is 'yes'" in shell.reg("log", "-R", "s3://a/b", "-M", "m", code=2).stderr


def test_a_registry_in_a_folder_is_there_anyway(story: Shell):
    assert story.reg("log", "--offline").stdout == story.reg("log").stdout
    story.reg("tag", "next", "main", "--offline")
    assert "on this machine already" in story.reg("fetch", "prod", code=2).stderr
