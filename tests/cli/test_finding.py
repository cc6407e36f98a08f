"""search and whence."""

import csv
import io

import pytest

from tests.cli.shell import Shell, command, on_terminal


@pytest.fixture
def two_models(story: Shell) -> Shell:
    """Beside fraud's two versions one of ranker."""
    story.write("other/model.bin", bytes(range(256)) * 40)
    story.reg("commit", "other", "-M", "ranker", "-m", "ranks", "--metric", "auc=0.5", "--param", "opt=adam")
    return story


def test_search_shows_what_was_asked_for_beside_each_version(two_models: Shell):
    head, newest, oldest = two_models.reg("search", "metrics.auc > 0.9 and params.lr <= 0.1", "--sort", "metrics.auc").lines
    assert head.split() == ["version", "commit", "metrics.auc", "params.lr", "age", "author", "message"]
    assert newest.startswith("v2 (main)  ")
    assert newest.split()[3:5] == ["0.93", "0.1"]
    assert oldest.startswith("v1 (tag: prod)")
    assert oldest.endswith("ada@lab  first")


def test_search_looks_into_the_model_of_the_folder_or_the_one_named_or_all(two_models: Shell):
    ids = {name: two_models.reg("log", "-M", name, "-q").lines for name in ("fraud", "ranker")}
    assert two_models.reg("search", "-q").lines == ids["fraud"]
    assert two_models.reg("search", "-q", "-M", "ranker").lines == ids["ranker"]
    assert two_models.reg("search", "-q", "--all").lines == ids["ranker"] + ids["fraud"]
    assert two_models.reg("search", "--all").lines[1].startswith("ranker v1 (main)")
    assert "did you mean 'fraud'" in two_models.reg("search", "-M", "froud", code=3).stderr


def test_search_in_json_tells_everything(two_models: Shell):
    found = two_models.reg("search", "tag = prod or metrics.auc < 0.6", "--all", "--sort", "metrics.auc:min", "--json").json
    assert (found["count"], found["model"], found["offline"]) == (2, None, False)
    assert found["condition"] == 'tag = "prod" or metrics.auc < 0.6'
    assert found["synced"].endswith("Z")
    ranker, prod = found["versions"]
    assert (ranker["model"], ranker["params"], ranker["branches"]) == ("ranker", {"opt": "adam"}, ["main"])
    assert (prod["tags"], prod["number"], prod["message"], prod["raw_bytes"]) == (["prod"], 1, "first", 10253)


def test_top_and_columns(two_models: Shell):
    shown = two_models.reg(
        "search", "--all", "--sort", "-metrics.auc", "--top", "2", "--columns", "model, metrics.auc,tag,age,commit,size"
    ).lines
    assert shown[0].split() == ["model", "metrics.auc", "tag", "age", "commit", "size"]
    assert [line.split()[:3] for line in shown[1:]] == [["ranker", "0.5", "just"], ["fraud", "0.91", "prod"]]
    assert shown[2].endswith("10.3 kB")


def test_csv_is_for_other_programs(two_models: Shell):
    rows = list(csv.DictReader(io.StringIO(two_models.reg("search", "--all", "--csv").stdout)))
    assert [(row["model"], row["number"], row["metrics.auc"], row["params.opt"]) for row in rows] == [
        ("ranker", "1", "0.5", "adam"), ("fraud", "2", "0.93", ""), ("fraud", "1", "0.91", ""),
    ]  # fmt: skip
    assert two_models.reg("search", "--csv", "--columns", "number,tag").stdout == "number,tag\n2,\n1,prod\n"
    assert "choose one format" in two_models.reg("search", "--csv", "-q", code=2).stderr


def test_csv_on_a_terminal_does_not_act(story: Shell):
    story.write("out/config.json", "3")
    story.reg("commit", "out", "-m", "\x1b[31mred\x1b]0;title\x07")
    shown = on_terminal(command("search", "--csv", "--columns", "message"))
    assert "\x1b[31m" not in shown.stdout
    assert "\\x1b[31mred" in shown.stdout
    assert "\x1b[31mred" in story.reg("search", "--csv", "--columns", "message").stdout


def test_nothing_found_is_no_error(bound: Shell):
    assert "no model 'fraud'" in bound.reg("search", code=3).stderr
    assert bound.reg("search", "--all").stdout == "There are no versions\n"
    assert bound.reg("search", "number = 1", "--all").stdout == "No version matches\n"
    assert bound.reg("search", "--all", "-q").stdout == ""


def test_a_mistake_is_pointed_at(story: Shell):
    shown = story.reg("search", "tag = prod and auther = ana", code=2).stderr.splitlines()
    assert shown == [
        "error: there is no field 'auther': did you mean author?",
        "    tag = prod and auther = ana",
        "                   ^",
    ]
    error = story.reg("search", "tag =", "--json", code=2).error
    assert (error["code"], error["fields"]["position"]) == ("invalid-input", 5)


def test_only_so_many_rows_are_shown_to_people(story: Shell, monkeypatch):
    monkeypatch.setattr("cas_registry.cli.views.search.SHOWN", 1)
    shown = story.reg("search").lines
    assert len(shown) == 3
    assert shown[-1].startswith("and more; --top N")
    assert len(story.reg("search", "--top", "2").lines) == 3
    assert len(story.reg("search", "--csv").lines) == 3
    assert len(story.reg("search", "--json").json["versions"]) == 2


def test_a_retired_version_is_found_if_that_is_asked(story: Shell):
    story.reg("retire", "prod", "--force")
    assert len(story.reg("search", "-q").lines) == 1
    assert any("v1 (retired)" in line for line in story.reg("search", "--retired").lines)


def test_whence_tells_version_path_and_whether_it_ever_was_prod(two_models: Shell):
    two_models.write("mine.bin", bytes(range(256)) * 40)
    two_models.reg("tag", "prod", "main")
    shown = two_models.reg("whence", "mine.bin").lines
    assert shown[0].startswith("fraud v1  ")
    assert shown[1] == "    model.bin"
    assert shown[2].startswith("    was prod from 20")
    assert " to 20" in shown[2]
    assert shown[3].startswith("fraud v2  ")
    assert shown[5].startswith("    is prod since 20")
    assert shown[6].startswith("ranker v1  ")
    found = two_models.reg("whence", "mine.bin", "--json").json
    assert [(version["model"], version["number"], version["path"]) for version in found["versions"]] == [
        ("fraud", 1, "model.bin"), ("fraud", 2, "model.bin"), ("ranker", 1, "model.bin"),
    ]  # fmt: skip
    (identity,) = found["ids"]
    assert two_models.reg("whence", identity[:8], "-q").lines == two_models.reg("whence", "mine.bin", "-q").lines
    first = two_models.reg("whence", identity, "-q").lines[0]
    assert two_models.reg("cat", first).data == bytes(range(256)) * 40


def test_whence_of_bytes_that_nobody_holds_exits_with_one(story: Shell):
    story.write("mine.bin", "nobody's")
    assert story.reg("whence", "mine.bin", code=1).stdout == "No version holds mine.bin\n"
    assert story.reg("whence", "0" * 64, "--json", code=1).json["versions"] == []
    assert "give a file" in story.reg("whence", "nothing", code=2).stderr


def test_offline_says_as_of_when(story: Shell, tmp_path):
    assert "no index of" in story.reg("search", "--offline", code=3).stderr
    story.reg("whence", "0" * 64, code=1)
    story.write("out/config.json", "4")
    story.reg("commit", "out")
    (tmp_path / "registry").rename(tmp_path / "away")
    story.reg("search", code=3)
    found = story.reg("search", "tag = prod", "--offline")
    assert found.stderr.endswith(": the registry was not asked\n")
    assert len(found.lines) == 2
    assert story.reg("search", "--offline", "--json").json["count"] == 2
    assert len(story.reg("whence", "--offline", story.write("b", bytes(range(256)) * 40)).lines) > 2


def test_a_store_that_cannot_be_reached_and_never_was_is_told_without_a_way_out(story: Shell):
    words = ["-R", "s3://none/none", "--storage-option", "endpoint_url=http://127.0.0.1:9", "--storage-option", "key=a"]
    words += ["--storage-option", "secret=b", "--storage-option", "max_attempts=1"]
    shown = story.reg("search", *words, code=None)
    assert shown.exit_code == 6
    assert "--offline" not in shown.stderr, "nothing was seen of it"


def test_models_tell_latest_version_and_tags(two_models: Shell):
    head, fraud, ranker = two_models.reg("models").lines
    assert head.split() == ["model", "latest", "versions", "branches", "raw", "stored", "updated", "tags"]
    assert fraud.split()[:4] == ["fraud", "v2", "2", "1"]
    assert fraud.endswith("prod")
    assert ranker.split()[:2] == ["ranker", "v1"]
    assert two_models.reg("models", "--json").json["models"][0]["tag_names"] == ["prod"]


def test_search_loads_nothing_that_it_does_not_use(story: Shell):
    from tests.cli.test_startup import modules_of

    modules = modules_of("search", "number > 0", "--json")
    assert modules.isdisjoint(
        {"s3fs", "fsspec", "numpy", "asyncio", "botocore", "rich", "pyfastcdc", "platformdirs", "pandas", "pathspec"}
    )
    assert "sqlite3" not in modules_of("log")
