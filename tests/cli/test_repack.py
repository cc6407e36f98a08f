"""`reg repack`: what it says, and whose versions it takes."""

import pytest

from tests.cli.shell import Shell

WORDS = " ".join(f"{number * number % 997:x}" for number in range(40_000)) + " "


@pytest.fixture
def long_story(story: Shell) -> Shell:
    """Versions with text that a higher level makes smaller."""
    folder = story.folder / "texts"
    folder.mkdir()
    for number in range(3):
        (folder / "words.txt").write_text(WORDS[number:])
        story.reg("commit", "texts", "-b", "texts", "-m", f"words {number}")
    return story


def test_a_dry_run_says_what_the_repack_then_does(long_story: Shell):
    dry = long_story.reg("repack", "--dry-run", "--json").json
    assert (dry["models"], dry["dry_run"], dry["worthwhile"]) == (["fraud"], True, True)
    assert dry["gained_bytes"] == dry["bytes_before"] - dry["bytes_after"] > 0
    shown = long_story.reg("repack", "--dry-run").stdout
    assert "would be written anew" in shown
    assert "nothing is written" in shown
    done = long_story.reg("repack", "--json").json
    assert {**done, "dry_run": True} == dry
    again = long_story.reg("repack").stdout
    assert "Nothing worth doing" in again
    assert long_story.reg("fsck", "--read-data", "--json").json["clean"]


def test_a_model_is_named_or_all_are_taken(long_story: Shell):
    long_story.reg("commit", "texts", "-M", "other", "-m", "elsewhere")
    assert long_story.reg("repack", "other", "--dry-run", "--json").json["models"] == ["other"]
    assert long_story.reg("repack", "--all", "-q").lines == ["fraud", "other"]
    assert long_story.reg("repack", "--all", "-q").lines == []
    assert "not both" in long_story.reg("repack", "fraud", "--all", code=2).stderr


def test_a_level_that_zstd_has_not_is_refused(story: Shell):
    assert "level is 0" in story.reg("repack", "--level", "0", code=2).stderr
    assert "no model 'frauds'" in story.reg("repack", "frauds", code=3).stderr
