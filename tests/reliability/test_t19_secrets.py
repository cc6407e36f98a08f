"""T19: keys planted wherever people put them are in nothing that is printed, logged, written or raised, however the store fails."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from cas_registry.backends.wrappers import RetryingBackend
from cas_registry.store import log
from tests.cli.shell import Shell
from tests.reliability.echoing_server import EchoingServer, echoing_server
from tests.reliability.matrix import Row
from tests.reliability.profile import NIGHTLY

ROW = "T19"
KEY_ID = "AKIAPLANTEDKEYID0001"
SECRET = "wJalrXUtnFEMIplanted/K7MDENG+bPxRfiCYsecretkey"
TOKEN = "FwoGZXIvYXdzEplanted//session+token/of0some1length2=="
PASSWORD = "hunter2-planted-password"
SIGNATURE = "0123456789abcdefplantedsignature"
PLANTED = (KEY_ID, SECRET, TOKEN, PASSWORD, SIGNATURE, quote(SECRET), quote(SECRET, ""), quote(TOKEN), quote(TOKEN, ""))

READING = [
    ["log"], ["log", "--graph"], ["log", "--json"], ["show"], ["ls", "-r"], ["cat", "main:out.txt"], ["diff", "main~1", "main"], ["branch"],
    ["tag"], ["tag", "--history", "prod"], ["models"], ["stats"], ["fsck", "--read-data"], ["doctor"], ["status", "out"], ["verify", "main"],
    ["gc"], ["policy"], ["checkout", "main", "there"], ["repack", "--dry-run"], ["commit", "out", "--plan"],
]  # fmt: skip
WRITING = [
    ["commit", "out", "-m", "second"], ["tag", "prod", "main"], ["branch", "side", "main"], ["retire", "main~1", "-f"],
    ["repack"], ["policy", "keep", "--last", "2"], ["gc", "--delete"], ["sign", "main"],
]  # fmt: skip
FAILURES = [301, 400, 403, 404, 503, 200, 0]
URLS = [
    f"s3://{KEY_ID}:{SECRET}@bucket/registry",
    f"s3://user:{PASSWORD}@bucket/registry",
    f"s3://{PASSWORD}@bucket/registry",
    f"https://user:{PASSWORD}@host:9000/bucket",
    f"s3:/user:{PASSWORD}@bucket/registry",
    f"s3://bucket/registry?X-Amz-Signature={SIGNATURE}&X-Amz-Security-Token={quote(TOKEN)}",
    f"https://bucket.s3.amazonaws.com/k?AWSAccessKeyId={KEY_ID}&Signature={SIGNATURE}",
    f"az://container/registry?sig={SIGNATURE}",
    f"gs://bucket/registry#token={TOKEN}",
    f"file://user:{PASSWORD}@localhost/registry",
    f"s3://[user:{PASSWORD}@bucket/registry",
]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Shell:
    """An empty current folder with the planted keys in the environment, tracebacks on, and our loggers at their most talkative."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("REG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("REG_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("REG_AUTHOR", "ada@lab")
    monkeypatch.setenv("REG_TRACEBACK", "1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    caplog.set_level(logging.DEBUG, logger="cas_registry")
    shell = Shell(folder)
    shell.write("out/out.txt", "one")
    return shell


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EchoingServer]:
    """The echoing endpoint, and a client that does not wait between its attempts."""
    monkeypatch.setitem(RetryingBackend.__init__.__kwdefaults__, "sleep", lambda _: None)
    monkeypatch.setitem(log.Log.__init__.__kwdefaults__, "sleep", lambda _: None)
    monkeypatch.setattr(log, "APPEND_DEADLINE_S", 0.05)
    with echoing_server() as state:
        state.extra = f"secret_access_key={SECRET} password: '{PASSWORD}' https://user:{PASSWORD}@host/ {KEY_ID}"
        yield state


def _hits(text: str) -> list[str]:
    return [secret for secret in PLANTED if secret in text]


def _written(folder: Path) -> dict[str, list[str]]:
    """The files below a folder in which a planted key stands, and file names that hold one."""
    found: dict[str, list[str]] = {}
    for path in folder.rglob("*"):
        hits = _hits(str(path.relative_to(folder)))
        if path.is_file():
            hits += [secret for secret in PLANTED if secret.encode() in path.read_bytes()]
        if hits:
            found[str(path)] = hits
    return found


def _run(shell: Shell, words: list[str], matrix: Row, caplog: pytest.LogCaptureFixture) -> int:
    """The exit status of a command that shows none of the planted keys."""
    caplog.clear()
    found = shell.reg(*words, code=None)
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("cas_registry"))
    shown = f"{found.stdout}\n{found.stderr}\n{ours}"
    assert _hits(shown) == [], f"reg {' '.join(words)}\n{shown}"
    assert found.exit_code != 70, f"reg {' '.join(words)}: a bug\n{shown}"
    matrix.count()
    return found.exit_code


def test_no_command_on_a_folder_shows_or_writes_a_key(
    matrix: Row, shell: Shell, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = [
        "--storage-option",
        f"secret={SECRET}",
        "--storage-option",
        f"token={TOKEN}",
        "--storage-option",
        f"key={KEY_ID}",
    ]
    assert _run(shell, ["init", str(tmp_path / "registry"), "--model", "m", *options], matrix, caplog) == 0
    assert _run(shell, ["commit", "out", "-m", "first", "--tag", "prod", *options], matrix, caplog) == 0
    shell.write("out/out.txt", "two")
    for words in (*WRITING, *READING):
        _run(shell, [*words, *options], matrix, caplog)
    assert _written(tmp_path) == {}
    assert _written(Path(os.environ["HOME"])) == {}


@pytest.mark.parametrize("status", FAILURES)
@pytest.mark.parametrize("library", ["fsspec", "obstore"])
def test_no_command_shows_a_key_to_a_store_that_says_all_back(
    matrix: Row,
    shell: Shell,
    server: EchoingServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    library: str,
    status: int,
) -> None:
    server.status = status
    words = ["-R", "s3://bucket/registry", "-M", "m", "--storage-option", f"backend={library}"]
    words += ["--storage-option", f"endpoint_url={server.url}", "--storage-option", f"secret={SECRET}"]
    words += ["--storage-option", f"key={KEY_ID}", "--storage-option", f"token={TOKEN}"]
    everything = NIGHTLY or (status == 403 and library == "obstore")  # opening s3fs takes half a second
    for verb in [["init", "s3://bucket/registry"], *READING, *WRITING] if everything else [["log"], ["doctor"], WRITING[0]]:
        _run(shell, [*words, *verb], matrix, caplog)
    assert server.requests >= 2
    assert any(KEY_ID in told and TOKEN in told for told in server.heard), "the server had something to say back"
    assert _written(tmp_path) == {}


@pytest.mark.parametrize(
    "verb", [["init"], ["log", "-R"], ["doctor"], ["fsck", "-R"], ["commit", "out", "-R"], ["checkout", "main", "-R"]]
)
def test_urls_with_credentials_are_refused_and_not_repeated(
    matrix: Row, shell: Shell, tmp_path: Path, caplog: pytest.LogCaptureFixture, verb: list[str]
) -> None:
    for url in URLS:
        assert _run(shell, [*verb, url], matrix, caplog) != 0
    assert _written(tmp_path) == {}


def test_credentials_in_the_environments_url_are_refused_and_not_repeated(
    matrix: Row, shell: Shell, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in URLS:
        monkeypatch.setenv("REG_REGISTRY", url)
        for verb in (["log"], ["models"], ["status"], ["log", "--json"]):
            assert _run(shell, verb, matrix, caplog) != 0
    assert _written(tmp_path) == {}


def test_a_binding_written_by_hand_with_a_key_in_it_is_not_repeated(
    matrix: Row, shell: Shell, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = shell.folder / ".reg" / "config.toml"
    config.parent.mkdir()
    for text in (
        f'registry = "{URLS[0]}"\n',
        f'registry = "s3://bucket/r"\n[storage_options]\nsecret = "{SECRET}"\nendpoint_url = "http://127.0.0.1:1"\n',
        f"registry = {SECRET}\n",
        f'registry = 3\npassword = "{PASSWORD}"\n',
    ):
        config.write_text(text)
        for verb in (["log"], ["show", "--json"], ["doctor"]):
            _run(shell, verb, matrix, caplog)
