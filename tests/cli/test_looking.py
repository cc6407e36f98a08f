"""log, show, ls, cat and diff."""

import base64
import json

import blake3
import pytest

from cas_registry.model.on_load import OnLoad
from cas_registry.operations import storing
from tests.cli.shell import Shell, program


@pytest.fixture
def branched(story: Shell) -> Shell:
    """A branch dev from prod beside main."""
    story.reg("branch", "dev", "prod")
    story.write("dev/a", "a")
    story.reg("commit", "dev", "-b", "dev", "-m", "aside")
    return story


def test_log_shows_newest_first_with_names_and_metrics(story: Shell):
    shown = story.reg("log").lines
    assert [line.strip() for line in shown if line.startswith("    ")][:3] == [
        "deeper",
        "2 files, 10.3 kB, 13 B new",
        "auc 0.93",
    ]
    assert "v2 (main)  just now by ada@lab" in shown[0]
    assert any("v1 (tag: prod)" in line for line in shown)


def test_log_in_json_tells_everything(story: Shell):
    newest, oldest = story.reg("log", "--json").json["commits"]
    assert newest["parents"] == [oldest["commit"]]
    assert (newest["message"], newest["params"], newest["metrics"]) == ("deeper", {"lr": 0.1}, {"auc": 0.93})
    assert (newest["branches"], newest["tags"], oldest["tags"]) == (["main"], [], ["prod"])
    assert (oldest["new_bytes"], newest["new_bytes"], newest["raw_bytes"]) == (10253, 13, 10253)
    assert newest["time"].endswith("Z")
    assert newest["time_ms"] >= oldest["time_ms"]


def test_log_takes_a_limit_and_a_revision(story: Shell):
    ids = story.reg("log", "-q").lines
    assert len(ids) == 2
    assert story.reg("log", "-n", "1", "-q").lines == ids[:1]
    assert story.reg("log", "-n", "0", "-q").lines == []
    assert story.reg("log", "prod", "-q").lines == story.reg("log", "main~1", "-q").lines == ids[1:]
    assert story.reg("log", ids[0][:8], "-q").lines == ids
    story.reg("log", "-n", "-1", code=2)


def test_log_oneline(story: Shell):
    first, second = story.reg("log", "--oneline").lines
    assert first.endswith("  v2 (main)  deeper")
    assert second.endswith("  v1 (tag: prod)  first")


def test_the_graph_shows_all_branches_and_where_they_part(branched: Shell):
    shown = branched.reg("log", "--graph", "--oneline").lines
    assert [line[:3] for line in shown] == ["● " + shown[0][2], "│ ●", "├─╯", "● " + shown[3][2]]
    assert [line.rsplit("  ", 1)[-1] for line in shown] == ["aside", "deeper", "├─╯", "first"]
    alone = branched.reg("log", "main", "--graph", "--oneline").lines
    assert len(alone) == 2


def test_the_graph_beside_whole_records(branched: Shell):
    shown = branched.reg("log", "--graph").lines
    assert shown[1].startswith("│     aside")
    assert all(line[0] in "●│├ " for line in shown)
    assert shown[-1].startswith("      ")


def test_the_graph_in_json_has_every_commit_once(branched: Shell):
    commits = branched.reg("log", "--graph", "--json").json["commits"]
    assert sorted(commit["message"] for commit in commits) == ["aside", "deeper", "first"]


def test_a_terminal_without_unicode_gets_an_ascii_graph(branched: Shell):
    shown = program("log", "--graph", "--oneline", PYTHONIOENCODING="ascii").stdout
    assert shown.isascii()
    assert [line[:3] for line in shown.splitlines()] == ["* " + shown[2], "| *", "+-/", "* " + shown.splitlines()[3][2]]


def test_show_prints_params_metrics_and_files(story: Shell):
    shown = story.reg("show", "prod").stdout
    assert shown.startswith("fraud v1 (tag: prod)\ncommit  ")
    for part in (
        "author  ada@lab",
        "    first",
        "lr      0.1",
        "auc      0.91",
        "2 files, 10.3 kB, 10.3 kB of it new",
        "10.2 kB  model.bin",
    ):
        assert part in shown
    assert story.reg("show", "prod", "-q").lines == story.reg("log", "prod", "-q").lines
    found = story.reg("show", "prod", "--json").json
    assert (found["message"], found["metrics"], found["files"], found["raw_bytes"]) == ("first", {"auc": 0.91}, 2, 10253)


def test_show_keeps_the_lines_of_a_message(story: Shell):
    story.reg("commit", "out", "--allow-empty", "-m", "subject\n\nbody\n  indented")
    lines = story.reg("show").lines
    at = lines.index("    subject")
    assert lines[at : at + 4] == ["    subject", "", "    body", "      indented"]
    assert "body" not in story.reg("log", "-n", "1").stdout


def test_ls_prints_the_blake3_of_every_file_in_full(story: Shell):
    data = (story.folder / "out/model.bin").read_bytes()
    lines = story.reg("ls").lines
    assert lines[1].split() == [blake3.blake3(data).hexdigest(), "10.2", "kB", "model.bin"]
    assert story.reg("ls", "-l").lines[1].split() == ["file", blake3.blake3(data).hexdigest(), "10,240", "model.bin"]
    assert story.reg("ls", "-q").lines == ["config.json", "model.bin"]


def test_ls_of_folders(bound: Shell):
    for path in ("a.txt", "sub/b.txt", "sub/deep/c.txt"):
        bound.write(f"out/{path}", path)
    (bound.folder / "out/a.txt").chmod(0o755)
    bound.reg("commit", "out")
    assert [line.split()[-1] for line in bound.reg("ls").lines] == ["a.txt", "sub/"]
    assert bound.reg("ls", "main:sub", "-q").lines == ["sub/b.txt", "sub/deep"]
    assert bound.reg("ls", "-r", "-q").lines == ["a.txt", "sub/b.txt", "sub/deep/c.txt"]
    assert bound.reg("ls", "-r", "main:sub/deep", "-q").lines == ["sub/deep/c.txt"]
    entries = bound.reg("ls", "--json").json["entries"]
    assert [(entry["type"], entry["executable"]) for entry in entries] == [("file", True), ("folder", False)]
    assert "there is no nope" in bound.reg("ls", "main:nope", code=3).stderr


def test_cat_writes_the_bytes(story: Shell):
    data = (story.folder / "out/model.bin").read_bytes()
    assert story.reg("cat", "main:model.bin").data == data
    assert story.reg("cat", "prod:config.json", "-q").data == b'{"layers": 2}'


def test_cat_in_json_is_one_document(bound: Shell):
    data = bytes(range(256)) * 8000  # several blocks of base64
    bound.write("out/big.bin", data)
    bound.write("out/empty", b"")
    bound.reg("commit", "out")
    found = bound.reg("cat", "main:big.bin", "--json").json
    assert base64.b64decode(found["base64"], validate=True) == data
    assert (found["path"], found["size_bytes"], found["id"]) == ("big.bin", len(data), blake3.blake3(data).hexdigest())
    assert bound.reg("cat", "main:empty", "--json").json["base64"] == ""


def test_cat_needs_a_file(story: Shell):
    assert "Give its path" in story.reg("cat", "main", code=2).stderr
    assert "has no file 'nope'" in story.reg("cat", "main:nope", code=3).stderr


def test_diff_tells_bytes_params_and_metrics(story: Shell):
    story.write("out/added", "added")
    (story.folder / "out/model.bin").rename(story.folder / "out/moved.bin")
    story.reg("commit", "out", "--param", "lr=0.2", "--param", "opt=adam")
    found = story.reg("diff", "prod", "main", "--json").json
    assert [(change["change"], change["path"], change["old_path"]) for change in found["files"]] == [
        ("added", "added", None), ("changed", "config.json", None), ("renamed", "moved.bin", "model.bin"),
    ]  # fmt: skip
    assert (found["new_bytes"], found["shared_bytes"], found["unchanged_files"]) == (5 + 13, 10240, 0)
    assert found["params"] == [{"name": "lr", "old": 0.1, "new": 0.2}, {"name": "opt", "old": None, "new": "adam"}]
    assert found["metrics"] == [{"name": "auc", "old": 0.91, "new": None}]
    shown = story.reg("diff", "prod", "main").stdout
    assert "model.bin -> moved.bin" in shown
    assert "+0.1" in shown
    assert story.reg("diff", "prod", "main", "-q").lines == ["added", "config.json", "moved.bin"]


def test_diff_answers_by_its_exit_code_only_when_asked(story: Shell):
    story.reg("diff", "prod", "main")
    story.reg("diff", "prod", "main", "--exit-code", code=1)
    same = story.reg("diff", "main", "main", "--exit-code")
    assert "the same files, 2 unchanged" in same.stdout
    assert story.reg("diff", "main", "main", "--json").json["same_files"] is True


def test_an_unknown_revision_suggests_one(story: Shell):
    assert "did you mean 'prod'?" in story.reg("show", "prd", code=3).stderr
    assert "there are: main, prod" in story.reg("show", "zzzz", code=3).stderr
    assert "moved 0 times only" in story.reg("show", "prod@{3}", code=3).stderr
    assert "earlier commits only" in story.reg("show", "main~9", code=3).stderr
    assert "not a revision" in story.reg("show", "main~x", code=2).stderr


def test_an_abbreviated_id_must_be_long_enough_and_unique(story: Shell):
    newest = story.reg("log", "-q").lines[0]
    assert story.reg("show", newest[:8], "-q").lines == [newest]
    assert "no tag, branch or commit" in story.reg("show", newest[:7], code=3).stderr
    commits = story.folder.parent / "registry" / "commits"
    twin = commits / (newest[:10] + ("0" if newest[10] != "0" else "1") + newest[11:])
    twin.write_bytes((commits / newest).read_bytes())
    assert story.reg("show", newest[:12], "-q").lines == [newest], "an object that no log names is no commit"


def test_an_ambiguous_id_lists_what_it_could_be(story: Shell, monkeypatch):
    from cas_registry.model.ids import CommitId
    from cas_registry.store.objects import ObjectStore

    both = [CommitId.parse(line) for line in story.reg("log", "-q").lines]
    monkeypatch.setattr(ObjectStore, "find_commits", lambda self, digits: both)  # a true collision would take days to find
    error = story.reg("show", "00000000", code=2).stderr
    assert "is ambiguous" in error
    assert all(commit.short in error for commit in both)


def test_documents_are_plain_json(story: Shell):
    for words in (["log"], ["show"], ["ls"], ["diff", "prod", "main"], ["tag"], ["stats"]):
        text = story.reg(*words, "--json").stdout
        assert text.isascii()
        json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.fixture
def pickled(story: Shell) -> Shell:
    """A version of which one file is a pickle under another name, and one an archive that is not opened."""
    story.write("out/scaler.json", "cos\nsystem\n(S'id'\ntR.")
    story.write("out/deep/data.txt", b"7z\xbc\xaf'\x1c")
    story.reg("commit", "out", "-m", "pickled")
    return story


def test_ls_says_which_files_run_code(story: Shell, pickled: Shell):
    shown = pickled.reg("ls", "-r", "main").lines
    assert [line.partition("B  ")[2] for line in shown[:-1]] == [
        "  config.json",
        "! deep/data.txt",
        "  model.bin",
        "! scaler.json",
    ]
    assert shown[-1] == "! runs code on loading, ? not looked at; reg show says more"
    assert not any("!" in line or "?" in line for line in pickled.reg("ls", "-r", "prod").lines)
    marks = {entry["path"]: entry["on_load"] for entry in pickled.reg("ls", "main", "--json").json["entries"]}
    assert marks == {"config.json": "no-pickle-found", "deep": None, "model.bin": "no-pickle-found", "scaler.json": "pickle"}
    (entry,) = pickled.reg("ls", "main:deep/data.txt", "--json").json["entries"]
    assert entry["on_load"] == "sealed"


def test_show_says_which_files_run_code(pickled: Shell):
    shown = pickled.reg("show", "main").lines
    assert shown[-3:] == ["2 files run code on loading:", "  deep/data.txt (cannot be looked into)", "  scaler.json (a pickle)"]
    found = pickled.reg("show", "main", "--json").json
    assert found["runs_code"] == [{"path": "deep/data.txt", "on_load": "sealed"}, {"path": "scaler.json", "on_load": "pickle"}]
    assert found["not_looked_at"] == []
    before = pickled.reg("show", "prod")
    assert before.lines[-1] == "no pickle found"
    assert "safe" not in before.stdout


def test_a_version_that_nobody_looked_at_says_so(story: Shell, monkeypatch):
    monkeypatch.setattr(storing, "look", lambda _: OnLoad.NOT_LOOKED_AT)
    story.write("out/new.txt", "new")
    story.reg("commit", "out", "-m", "unseen")
    assert story.reg("show", "main").lines[-1] == "1 file was not looked at for pickles"
    assert next(line[-9:] for line in story.reg("ls", "main").lines if "?" in line) == "? new.txt"
    assert story.reg("show", "main", "--json").json["not_looked_at"] == ["new.txt"]
