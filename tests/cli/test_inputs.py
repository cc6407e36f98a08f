import pytest

from tests.cli.shell import Shell


@pytest.fixture
def made(story: Shell) -> Shell:
    """A third version that says what it was made from."""
    story.write("data/t.csv", "1,2\n")
    story.write("out/more", "more")
    inputs = ["--input", "train=data/t.csv", "--input", "base=fraud@prod", "--input", "far=s3://b/k@crc:0a1b"]
    story.reg("commit", "out", "-m", "third", *inputs)
    return story


def test_they_are_listed(made: Shell):
    first = made.reg("log", "-q").lines[2]
    found = made.reg("inputs", "--json").json
    assert (found["number"], found["checked"]) == (3, False)
    assert [item["name"] for item in found["inputs"]] == made.reg("inputs", "-q").lines == ["train", "base", "far"]
    assert found["inputs"][0]["uri"].endswith("data/t.csv")
    assert found["inputs"][1]["commit"] == first
    assert {item["state"] for item in found["inputs"]} == {None}
    assert f"fraud@{first[:12]}" in made.reg("inputs").stdout
    assert "says nothing of what it was made from" in made.reg("inputs", "prod").stdout


def test_they_are_checked(made: Shell):
    assert [item["state"] for item in made.reg("inputs", "--check", "--json").json["inputs"]] == ["same", "same", "unchecked"]
    made.write("data/t.csv", "1,3\n")
    found = made.reg("inputs", "--check", "--json", code=1).json
    assert [item["state"] for item in found["inputs"]] == ["changed", "same", "unchecked"]
    assert found["inputs"][0]["found"] != found["inputs"][0]["digest"]
    assert "changed" in made.reg("inputs", "--check", code=1).stdout


def test_a_root_is_for_a_check(made: Shell):
    made.reg("inputs", "--root", ".", code=2)


def test_show_lists_them(made: Shell):
    shown = made.reg("show").lines
    assert [line.split()[1] for line in shown if line.startswith("input")] == ["train", "base", "far"]


@pytest.mark.parametrize("text", ["train", "base=fraud@nothing", "train=nowhere.csv", "train=https://a:hunter2@h/x"])
def test_an_input_that_cannot_be_taken_stops_the_commit(story: Shell, text: str):
    story.write("out/more", "more")
    found = story.reg("commit", "out", "--input", text, code=None)
    assert found.exit_code in {2, 3}
    assert "hunter2" not in found.stderr
    assert len(story.reg("log", "-q").lines) == 2
