"""Text from a registry is printed, never obeyed: no escape sequence and no markup of it reaches a terminal."""

import pytest

from tests.cli.shell import Shell, command, on_terminal

EVIL = "\x1b]0;owned\x07\x1b[31m\u202e[bold red]x[/bold red][/]:smile:"
SPELT = "\\x1b]0;owned\\x07\\x1b[31m\\u202e[bold red]x[/bold red][/]:smile:"

VERBS = [
    ["log"], ["log", "--graph"], ["log", "--oneline"], ["show"], ["diff", "main~1", "main"], ["tag", "--history", "prod"],
    ["search"], ["search", "--columns", "message,author,number"],
    ["release", "live"], ["release", "live", "--history"],
]  # fmt: skip


@pytest.fixture
def hostile(bound: Shell) -> Shell:
    """A version whose message, author, params, metrics and tag's reason are hostile."""
    bound.write("out/a", "a")
    bound.reg("commit", "out", "-m", "harmless")
    bound.write("out/a", "b")
    words = ["-m", f"{EVIL}\nmore{EVIL}", "--author", EVIL, "--param", f"{EVIL}={EVIL}", "--metric", f"{EVIL}=1"]
    bound.reg("commit", "out", *words)
    bound.reg("tag", "prod", "main", "-m", EVIL)
    bound.reg("release", "live", "fraud@main", "-m", EVIL)
    return bound


@pytest.mark.parametrize("words", VERBS)
def test_piped_output_spells_it_out(hostile: Shell, words):
    shown = hostile.reg(*words).stdout
    assert SPELT in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\x07" not in shown


@pytest.mark.parametrize("words", [["log"], ["show"], ["diff", "main~1", "main"], ["search"]])
def test_a_terminal_gets_our_colours_only(hostile: Shell, words):
    shown = on_terminal(command(*words), columns=400).stdout
    assert SPELT in shown
    assert "\x1b[" in shown, "colours are on"
    assert "\x1b]" not in shown
    assert "\x1b[31m[bold" not in shown
    assert "\u202e" not in shown


def test_json_escapes_it_and_keeps_it(hostile: Shell):
    found = hostile.reg("show", "--json")
    assert found.json["author"] == EVIL
    assert found.json["message"] == f"{EVIL}\nmore{EVIL}"
    assert found.stdout.isascii()
    assert "\x1b" not in found.stdout


def test_hostile_words_of_the_user_come_back_spelt_out(bound: Shell):
    bound.write("out/a", "a")
    bound.reg("commit", "out")
    for words in (
        ["show", f"x{EVIL}"],
        ["commit", f"no{EVIL}"],
        ["log", "-M", f"m{EVIL}"],
        [f"verb{EVIL}"],
        ["log", f"--{EVIL}"],
        ["search", f"author = {EVIL}"],
        ["search", f"'{EVIL}' ="],
        ["search", "--columns", EVIL],
        ["whence", EVIL],
    ):
        error = bound.reg(*words, code=None).stderr
        assert "\x1b" not in error
        assert "\u202e" not in error


def test_a_folder_with_a_hostile_name_is_spelt_out(bound: Shell):
    bound.write("out/a", "a")
    bound.reg("commit", "out")
    shown = bound.reg("checkout", "main", "dir\x1b[31m").stdout
    assert "dir\\x1b[31m" in shown
    assert "\x1b" not in shown
