"""Options of every verb: before and after it, by the environment, and the values that they take."""

import json
import math

import pytest

from cas_registry.cli import _TABLE
from cas_registry.cli.options import parse_value
from tests.cli.shell import Shell

VERBS = [name for group in _TABLE for name in group.verbs]


def test_options_work_before_the_verb_and_after_it(story: Shell, monkeypatch):
    monkeypatch.chdir("/")
    place = ("-R", story.folder.parent / "registry", "-M", "fraud")
    before = story.reg(*place, "--json", "log").json
    after = story.reg("log", *place, "--json").json
    assert before == after
    assert [commit["message"] for commit in before["commits"]] == ["deeper", "first"]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["--json", "log", "-q"], "quiet"),
        (["-q", "log", "--json"], "json"),
        (["--format", "json", "log", "--format", "auto"], "human"),
        (["--format=quiet", "log"], "quiet"),
        (["log", "--format", "human"], "human"),
        (["log"], "human"),
    ],
)
def test_the_format_after_the_verb_wins(story: Shell, words, kind):
    out = story.reg(*words).stdout
    seen = "json" if out.startswith("{") else "human" if "deeper" in out else "quiet"
    assert seen == kind


def test_two_formats_in_one_place_are_refused(story: Shell):
    assert (
        "choose one format: json or quiet"
        in story.reg("log", "--json", "-q", code=2).stdout + story.reg("log", "-q", "--format", "json", code=2).stderr
    )


def test_the_registry_after_the_verb_wins(story: Shell):
    assert story.reg("-R", "/nowhere", "models", "-q", "-R", "../registry").lines == ["fraud"]


def test_the_environment_names_registry_and_model(story: Shell, monkeypatch):
    story.reg("commit", "out", "-M", "other")
    monkeypatch.chdir(story.folder.parent)
    story.reg("log", code=2)
    monkeypatch.setenv("REG_REGISTRY", "registry")
    monkeypatch.setenv("REG_MODEL", "fraud")
    assert story.reg("log", "--json").json["model"] == "fraud"
    assert story.reg("log", "--json", "-M", "other").json["model"] == "other", "an option wins over the environment"


def test_the_environment_wins_over_the_bound_folder(story: Shell, monkeypatch):
    story.reg("-R", "../second", "init", "../second")  # binds this folder to the second registry
    assert story.reg("models", "-q").lines == []
    monkeypatch.setenv("REG_REGISTRY", "../registry")
    assert story.reg("models", "-q").lines == ["fraud"]


def test_an_empty_variable_is_no_choice(story: Shell, monkeypatch):
    monkeypatch.setenv("REG_REGISTRY", "")
    monkeypatch.setenv("REG_MODEL", "")
    assert story.reg("log", "--json").json["model"] == "fraud"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1", 1), ("-7", -7), ("1e-4", 1e-4), ("0.5", 0.5), (".5", 0.5), ("1.", 1.0), ("+1.5", 1.5), ("true", True), ("false", False),
        ("null", None), ("True", "True"), ("adam", "adam"), ("", ""), ("007", "007"), ("1_000", "1_000"), ('"1"', "1"), ("0x10", "0x10"),
        ("[1]", "[1]"), ('{"a": 1}', '{"a": 1}'), ("9223372036854775807", 2**63 - 1), ("9223372036854775808", "9223372036854775808"),
        ("a=b", "a=b"), ("1e", "1e"), ("-", "-"), ("1.2.3", "1.2.3"), ("nan", "nan"), ("9" * 5000, "9" * 5000),
    ],
)  # fmt: skip
def test_values_are_numbers_words_or_text(written, value):
    found = parse_value(written)
    assert (found, type(found)) == (value, type(value))


def test_params_keep_their_types_and_metrics_are_numbers(bound: Shell):
    bound.write("out/a", "a")
    bound.reg(
        "commit",
        "out",
        "--param",
        "lr=1e-4",
        "--param",
        "opt=adam",
        "--param",
        "amp=true",
        "--metric",
        "auc=1",
        "--metric",
        "loss=NaN",
    )
    shown = bound.reg("show", "--json").json
    assert shown["params"] == {"lr": 1e-4, "opt": "adam", "amp": True}
    assert shown["metrics"] == {"auc": 1, "loss": "NaN"}, "JSON has no NaN"
    json.dumps(shown, allow_nan=False)


@pytest.mark.parametrize("word", ["nan", "inf", "-inf", "Infinity", "-Infinity"])
def test_metrics_may_be_no_finite_number(bound: Shell, word):
    bound.write("out/a", "a")
    bound.reg("commit", "out", "--metric", f"loss={word}")
    assert not math.isfinite(float(bound.reg("show", "--json").json["metrics"]["loss"]))


@pytest.mark.parametrize("word", ["high", "true", "null", '"0.9"', ""])
def test_a_metric_that_is_no_number_is_refused(bound: Shell, word):
    bound.write("out/a", "a")
    assert "a metric is a number" in bound.reg("commit", "out", "--metric", f"auc={word}", code=2).stderr
    assert bound.reg("models", "-q").lines == []


@pytest.mark.parametrize("pair", ["lr", "=1"])
def test_a_pair_without_name_or_value_is_refused(bound: Shell, pair):
    assert "NAME=VALUE" in bound.reg("commit", ".", "--param", pair, code=2).stderr


def test_a_storage_option_is_never_repeated_in_an_error(bound: Shell):
    error = bound.reg("log", "--storage-option", "hunter2-without-a-name", code=2).stderr
    assert "NAME=VALUE" in error
    assert "hunter2" not in error


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_examples_and_the_common_options(shell: Shell, verb):
    text = shell.reg(verb, "--help").stdout
    assert "Examples:\n  reg " in text
    for option in ("--registry", "--model", "--storage-option", "--format", "--json", "--quiet"):
        assert option in text
    assert all(line.startswith(f"  reg {verb}") for line in text.partition("Examples:\n")[2].splitlines())


def test_the_table_names_every_verb_and_says_what_it_does(shell: Shell):
    text = shell.reg("--help").stdout
    lines = [line for group in _TABLE for _, line in group.verbs.values()]
    assert all(line in text for line in lines)
    assert all(line.endswith(".") for line in lines)


def test_the_version(shell: Shell):
    from cas_registry import __version__

    assert shell.reg("--version").stdout == f"reg {__version__}\n"
