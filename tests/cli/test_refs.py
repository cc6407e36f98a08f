"""branch, tag, models, stats."""

import json

from tests.cli.shell import Shell


def test_branches_are_listed_created_moved_and_deleted(story: Shell):
    newest, oldest = story.reg("log", "-q").lines
    assert story.reg("branch", "-q").lines == ["main"]
    created = story.reg("branch", "dev", "prod", "--json").json
    assert created == {
        "model": "fraud",
        "kind": "branch",
        "name": "dev",
        "commit": oldest,
        "previous": None,
        "moved": True,
        "signed_by": None,
    }
    assert "exists" in story.reg("branch", "dev", "main", code=4).stderr
    assert story.reg("branch", "dev", "main", "--force", "-q").lines == [newest]
    assert "stands at" in story.reg("branch", "dev", "main").stdout
    assert story.reg("branch", "--json").json["refs"][0] == {"name": "dev", "commit": newest, "number": 2, "entry": 4}
    assert "Deleted branch dev of fraud" in story.reg("branch", "-d", "dev").stdout
    assert story.reg("branch", "-q").lines == ["main"]
    assert "has no branch 'dev'" in story.reg("branch", "-d", "dev", code=3).stderr


def test_a_tag_moves_and_remembers_who_when_why(story: Shell, monkeypatch):
    newest, oldest = story.reg("log", "-q").lines
    monkeypatch.setenv("REG_AUTHOR", "grace@lab")
    moved = story.reg("tag", "prod", "-m", "two points better", "--json").json
    assert (moved["commit"], moved["previous"], moved["moved"]) == (newest, oldest, True)
    moves = story.reg("tag", "--history", "prod", "--json").json["moves"]
    assert [(move["commit"], move["previous"], move["who"], move["why"]) for move in moves] == [
        (newest, oldest, "grace@lab", "two points better"), (oldest, None, "ada@lab", "first"),
    ]  # fmt: skip
    shown = story.reg("tag", "--history", "prod").stdout
    assert "prod@{1}" in shown
    assert "two points better" in shown
    assert story.reg("show", "prod@{1}", "-q").lines == [oldest]
    assert story.reg("tag", "--history", "prod", "-q").lines == [newest, oldest]


def test_tags_are_listed_and_deleted_and_keep_their_history(story: Shell):
    assert [line.split() for line in story.reg("tag").lines[1:]] == [
        ["prod", "v1", story.reg("tag", "--json").json["refs"][0]["commit"][:12]]
    ]
    story.reg("tag", "-d", "prod", "-m", "retired")
    assert story.reg("tag", "-q").lines == []
    assert "has no tag" in story.reg("tag").stdout
    newest, *_ = story.reg("tag", "--history", "prod", "--json").json["moves"]
    assert (newest["commit"], newest["why"]) == (None, "retired")
    assert "deleted" in story.reg("tag", "--history", "prod").stdout
    assert "never existed" in story.reg("tag", "--history", "nope", code=3).stderr


def test_expect_moves_a_tag_only_from_where_it_is_known_to_stand(story: Shell):
    story.reg("tag", "prod", "main", "--expect", "main~1")
    error = story.reg("tag", "prod", "main~1", "--expect", "main~1", code=4).stderr
    assert "reg tag --history prod" in error


def test_a_name_cannot_be_branch_and_tag(story: Shell):
    assert "is a branch" in story.reg("tag", "main", code=4).stderr
    assert "is a tag" in story.reg("branch", "prod", code=4).stderr


def test_contradictory_words_are_refused(story: Shell):
    story.reg("tag", "prod", "-d", "prod", code=2)
    story.reg("tag", "-d", "prod", "--history", "prod", code=2)
    story.reg("branch", "main", "-d", "main", code=2)
    assert story.reg("tag", "-q").lines == ["prod"]


def test_a_hostile_name_is_refused(story: Shell):
    for name in ("a~1", "a@b", "-x", "CON", "a" * 300):
        story.reg("tag", "--", name, code=2)
    assert story.reg("tag", "-q").lines == ["prod"]


def test_a_tag_on_a_version_of_another_model(story: Shell):
    story.reg("commit", "out", "-M", "ranker", "-m", "theirs")
    story.reg("tag", "borrowed", "ranker@main")
    assert story.reg("show", "fraud@borrowed", "--json").json["message"] == "theirs"


def test_models_are_listed_with_their_figures(story: Shell):
    story.reg("commit", "out", "-M", "ranker")
    fraud, ranker = story.reg("models", "--json").json["models"]
    assert (fraud["model"], fraud["versions"], fraud["branches"], fraud["tags"]) == ("fraud", 2, 1, 1)
    assert (fraud["raw_bytes"], fraud["new_bytes"]) == (2 * 10253, 10253 + 13)
    assert ranker["model"] == "ranker"
    assert story.reg("models", "-q").lines == ["fraud", "ranker"]
    header, first, _ = story.reg("models").lines
    assert header.split() == ["model", "latest", "versions", "branches", "raw", "stored", "updated", "tags"]
    assert first.startswith("fraud   v2      2         1         20.5 kB")
    assert first.endswith("prod")


def test_stats_add_up_to_what_the_bucket_holds(story: Shell):
    registry = story.folder.parent / "registry"
    found = story.reg("stats", "--json").json
    files = [path for path in registry.rglob("*") if path.is_file()]
    assert sum(area["objects"] for area in found["areas"]) == len(files)
    assert found["stored_bytes"] == sum(area["bytes"] for area in found["areas"]) == sum(path.stat().st_size for path in files)
    assert found["ratio"] == round(found["stored_bytes"] / found["raw_bytes"], 6)
    assert float(story.reg("stats", "-q").stdout) == found["ratio"]
    assert "20.5 kB raw" in story.reg("stats").stdout


def test_an_empty_registry_has_figures_too(bound: Shell):
    assert "has no models yet" in bound.reg("models").stdout
    assert bound.reg("stats", "--json").json["ratio"] == 0
    assert "0 models, 0 versions" in bound.reg("stats").stdout


def test_lists_of_an_unknown_model_say_so_rather_than_nothing(story: Shell):
    for verb in ("branch", "tag"):
        assert "there is no model 'frud'" in json.dumps(story.reg(verb, "-M", "frud", "--json", code=3).error)
