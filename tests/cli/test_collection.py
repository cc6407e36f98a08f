"""`reg retire`, `reg policy` and `reg gc`: what they say, and what they refuse."""

import os

import pytest

from tests.cli.shell import Shell


@pytest.fixture
def three(story: Shell) -> Shell:
    """A model `solo` of three versions that share nothing."""
    folder = story.folder / "solo"
    folder.mkdir()
    for number in range(3):
        (folder / "w.bin").write_bytes(bytes([number, 7]) + number.to_bytes(2, "little") * 20_000)
        story.reg("commit", "solo", "-M", "solo", "-m", f"number {number}", "--metric", f"auc={number / 10}")
    return story


def test_a_version_is_retired_and_comes_back(three: Shell):
    first = three.reg("log", "-M", "solo", "-q").lines[-1]
    shown = three.reg("retire", "solo@main~2", "-m", "wrong split").stdout
    assert f"Retired 1 version of solo: {first[:12]}" in shown
    assert "(retired)" in three.reg("log", "-M", "solo").stdout
    assert "was retired" in three.reg("ls", f"solo@{first}", code=3).stderr
    answer = three.reg("retire", "--undo", first, "-M", "solo", "--json").json
    assert (answer["action"], answer["commits"], answer["deleted_refs"]) == ("restored", [first], [])
    three.reg("ls", f"solo@{first}")
    assert "not retired" in three.reg("retire", "--undo", first, "-M", "solo", code=4).stderr


def test_what_a_name_stands_at_goes_only_by_force(three: Shell):
    assert "branch main" in three.reg("retire", "solo@main", code=4).stderr
    answer = three.reg("retire", "solo@main", "--force", "--json").json
    assert answer["deleted_refs"] == ["main"]


def test_a_model_is_retired_by_its_name_and_a_word_more(three: Shell):
    assert "reg retire --whole solo" in three.reg("retire", "solo", "-M", "solo", code=2).stderr
    assert "Retired model solo and its 3 versions" in three.reg("retire", "--whole", "solo", "-m", "replaced").stdout
    assert "solo" not in three.reg("models", "-q").lines
    assert "no model" in three.reg("retire", "--whole", "solo", code=3).stderr
    assert "name their ids" in three.reg("retire", "--whole", "--undo", "solo", code=2).stderr


def test_policies_are_set_shown_and_dropped(three: Shell):
    assert "No retention policy" in three.reg("policy").stdout
    shown = three.reg("policy", "keep", "--last", "20", "--days", "90", "--best", "metrics.auc", "5").stdout
    assert "every other model: keeps the last 20, the last 90 days, the 5 largest auc" in shown
    three.reg("policy", "keep", "-M", "solo", "--best", "loss:min", "2", "--tagged")
    keep = three.reg("policy", "--json").json["keep"]
    assert keep["solo"] == {"last": None, "days": None, "tagged": True, "best": [["loss", "min", 2]]}
    assert three.reg("policy", "drop", "-M", "solo", "-q").lines == ["*"]
    assert "at least one rule" in three.reg("policy", "keep", code=2).stderr
    assert three.reg("policy", "keep", "--last", "0", code=2).stderr


def test_temporary_files_of_broken_writes_are_told_of_and_removed(story: Shell):
    left = story.folder.parent / "registry" / f".tmp-4711-{'a' * 16}"
    left.write_bytes(b"torn")
    os.utime(left, (1, 1))
    assert "1 temporary file of 4 B left by writes that broke off: reg gc --delete" in story.reg("gc").stdout
    assert "Removed 1 temporary file of 4 B" in story.reg("gc", "--delete").stdout
    assert story.reg("gc", "--json").json["leftover_files"] == 0


def test_a_collection_from_the_plan_to_the_end(three: Shell):
    three.reg("policy", "keep", "--last", "1", "--best", "auc", "1", "-M", "solo")
    plan = three.reg("gc", "--policy").stdout
    assert "2 of 3 versions would go by its policy" in plan
    assert "Nothing to collect" in plan
    begun = three.reg("gc", "--policy", "--delete", "--grace", "0", "--json").json
    (info,) = begun["collections"]
    assert (info["state"], begun["deleted_objects"]) == ("waiting", 0)
    assert "retired by its policy" not in three.reg("gc").stdout
    assert f"reg gc --undo {info['epoch']} saves it" in three.reg("gc").stdout
    assert "stay" in three.reg("gc", "--undo", "1", "-m", "wanted").stdout
    again = three.reg("gc", "--delete", "--grace", "0", "--trash-window", "0").stdout
    assert f"Deleted {info['objects']} objects" in again
    assert three.reg("fsck", "--read-data", "--json").json["clean"]
    assert "Nothing to collect" in three.reg("gc", "--grace", "0").stdout


def test_more_than_half_needs_the_number(three: Shell):
    three.reg("retire", "--whole", "solo")
    three.reg("retire", "--whole", "fraud", "--force")
    refused = three.reg("gc", "--delete", "--grace", "0", code=4).stderr
    number = refused.rstrip().rpartition("--yes-delete ")[2]
    assert number.isdigit()
    three.reg("gc", "--delete", "--grace", "0", "--trash-window", "0", "--yes-delete", number)
    assert three.reg("gc", "--json").json["live_objects"] == 0


@pytest.mark.parametrize("span", ["7", "d", "-1d", "1y", "1.5h", ""])
def test_a_span_that_is_none_is_refused(three: Shell, span: str):
    assert "such as 12h" in three.reg("gc", "--trash-window", span, code=2).stderr


def test_undo_stands_alone_and_knows_its_numbers(three: Shell):
    assert "stands alone" in three.reg("gc", "--undo", "1", "--delete", code=2).stderr
    assert "no collection 7" in three.reg("gc", "--undo", "7", code=3).stderr
