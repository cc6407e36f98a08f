import json

import pytest

from tests.cli.shell import Shell, command, on_terminal

CARD = "---\nlicense: mit\ntags: [a, b]\n---\n# Fraud\n\nSome **prose**.\n"


@pytest.fixture
def carded(story: Shell) -> Shell:
    """A third version with a card."""
    story.write("out/README.md", CARD)
    story.reg("commit", "out", "-m", "with a card")
    return story


def test_a_card_is_shown(carded: Shell):
    shown = carded.reg("card").lines
    assert shown[0].endswith("README.md")
    assert [line.split() for line in shown[1:4]] == [["field", "value"], ["license", "mit"], ["tags", "a,", "b"]]
    assert shown[5:] == ["# Fraud", "", "Some **prose**."]
    found = carded.reg("card", "main", "--json").json
    assert found["metadata"] == {"license": "mit", "tags": ["a", "b"]}
    assert (found["path"], found["title"], found["problem"], found["number"]) == ("README.md", "Fraud", None, 3)
    assert found["text"] == "# Fraud\n\nSome **prose**.\n"
    assert carded.reg("card", "-q").lines == ["README.md"]


def test_prose_is_laid_out_on_a_terminal(carded: Shell):
    shown = on_terminal(command("card")).stdout
    assert "**" not in shown
    assert "prose" in shown


def test_a_version_without_a_card_says_how_to_write_one(story: Shell):
    assert "--edit" in story.reg("card", code=3).stderr


def test_a_card_that_cannot_be_read_is_shown_all_the_same(story: Shell):
    story.write("out/README.md", "---\na: [\n---\ntext\n")
    story.reg("commit", "out")
    shown = story.reg("card").stdout
    assert "Its front matter cannot be read: the front matter is not YAML" in shown
    assert "text" in shown
    assert "cannot be read" in story.reg("show").stdout
    assert story.reg("show", "--json").json["card"]["metadata"] == {}
    assert "mend it with reg card --edit" in story.reg("card", "--set", "license=mit", code=2).stderr


def test_set_makes_a_new_version_of_the_branch(carded: Shell):
    found = carded.reg("card", "--set", "license=apache-2.0", "--set", "tags=", "--set", "language=en,de", "--json").json
    assert (found["number"], found["created"], found["branch"]) == (4, True, "main")
    assert carded.reg("card", "--json").json["metadata"] == {"license": "apache-2.0", "language": ["en", "de"]}
    assert carded.reg("cat", "main:model.bin").data == carded.reg("cat", "v1:model.bin").data
    assert carded.reg("log", "-n", "1", "--oneline").stdout.endswith("card: license, tags, language\n")


def test_a_tag_needs_to_be_told_the_branch(carded: Shell):
    carded.reg("tag", "candidate", "main")
    assert "say which one" in carded.reg("card", "candidate", "--set", "license=bsd", code=4).stderr
    assert carded.reg("card", "candidate", "-b", "main", "--set", "license=bsd", "--json").json["number"] == 4


def test_the_first_field_makes_the_card(story: Shell):
    story.reg("card", "--set", "license=mit")
    assert story.reg("cat", "main:README.md").data == b"---\nlicense: mit\n---\n"


def test_an_editor_changes_it(carded: Shell, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EDITOR", "sed -i -e s/Fraud/Fraudsters/ -e s/mit/bsd/")
    monkeypatch.delenv("VISUAL", raising=False)
    assert carded.reg("card", "--edit", "-m", "a better title", "--json").json["number"] == 4
    found = carded.reg("card", "--json").json
    assert (found["title"], found["metadata"]["license"]) == ("Fraudsters", "bsd")
    monkeypatch.setenv("EDITOR", "true")
    untouched = carded.reg("card", "--edit")
    assert "was not changed" in untouched.stderr
    assert carded.reg("show", "--json").json["number"] == 4


def test_what_was_written_is_not_lost(carded: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setenv("EDITOR", "sed -i -e s/Fraud/Fraudsters/")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    failed = carded.reg("card", "v3", "-b", "nowhere", "--edit", code=4)
    (kept,) = tmp_path.glob("card-*.md")
    assert kept.read_text() == CARD.replace("Fraud", "Fraudsters")
    assert f"your text is kept in {kept}" in failed.stderr


def test_an_editor_is_given_the_template(story: Shell, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EDITOR", "sed -i -e 's/license: other/license: mit/'")
    story.reg("card", "--edit")
    assert story.reg("card", "--json").json["metadata"]["license"] == "mit"


def test_the_template_needs_no_version(bound: Shell):
    shown = bound.reg("card", "--template")
    assert shown.lines[0] == "---"
    assert "# fraud" in shown.lines
    assert bound.reg("card", "--template", "--json").json["text"].startswith("---\n")


@pytest.mark.parametrize("words", [["--edit", "--set", "a=b"], ["--set", "a"], ["--set", "=b"]])
def test_what_makes_no_sense_is_refused(carded: Shell, words: list[str]):
    carded.reg("card", *words, code=2)


def test_show_tells_the_card_in_a_line(carded: Shell):
    (line,) = [line for line in carded.reg("show").lines if line.startswith("card")]
    assert line == 'card    README.md; "Fraud"; license mit; tags a, b'
    assert carded.reg("show", "--json").json["card"] == {
        "path": "README.md", "title": "Fraud", "metadata": {"license": "mit", "tags": ["a", "b"]}, "problem": None,
    }  # fmt: skip
    assert carded.reg("show", "prod", "--json").json["card"] is None


def test_a_card_of_a_stranger_is_no_command(story: Shell):
    story.write("out/README.md", '---\nlicense: "\\e]0;x\\a"\n---\n# \x1b[31mred\u202e\n')
    story.reg("commit", "out")
    for words in (["card"], ["show"]):
        shown = story.reg(*words).stdout
        assert not {"\x1b", "\x07", "\u202e"} & set(shown)
        assert "\x1b]0" not in on_terminal(command(*words)).stdout
    assert json.loads(story.reg("card", "--json").stdout)["metadata"]["license"] == "\x1b]0;x\x07"
