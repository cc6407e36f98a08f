"""`reg du`: tables of versions and models, a sentence before one retires, and families."""

import os

import pytest

from tests.cli.shell import Shell


@pytest.fixture
def three(bound: Shell) -> Shell:
    """Three versions of fraud that share most, and one of copy that shares it too; one of alone."""
    big = os.urandom(2_000_000)  # large enough to be found again from another model
    bound.write("out/model.bin", big)
    for number in range(1, 4):
        bound.write("out/own.bin", os.urandom(40_000))
        bound.reg("commit", "out", "-m", f"number {number}")
    bound.reg("commit", "out/model.bin", "-M", "copy")
    bound.write("other", os.urandom(5_000))
    bound.reg("commit", "other", "-M", "alone")
    return bound


def test_versions_are_listed_with_what_is_theirs_alone(three: Shell) -> None:
    shown = three.reg("du").lines
    assert shown[0].split() == ["raw", "stored", "unique", "shared", "freed", "version", "id"]
    assert len(shown) == 5
    assert "together" in shown[-1]
    answer = three.reg("du", "v2", "--json").json
    (row,) = answer["versions"]
    assert row["number"] == 2
    assert 40_000 <= row["unique_bytes"] < 45_000
    assert row["shared_bytes"] >= 2_000_000
    assert row["stored_bytes"] == row["unique_bytes"] + row["shared_bytes"]
    assert answer["together"]["freed_bytes"] == row["freed_bytes"]
    assert three.reg("du", "v2", "-q").lines == [f"{row['freed_bytes']} {row['commit']}"]


def test_before_one_retires_a_sentence_tells_what_a_collection_then_frees(three: Shell) -> None:
    shown = three.reg("du", "--retiring", "v2").stdout
    assert "Retiring fraud v2 frees 4" in shown
    assert "not 2.0 MB" in shown
    assert "theirs alone" in shown
    promised = int(three.reg("du", "--retiring", "v2", "-q").stdout)
    three.reg("retire", "v2")
    answer = three.reg("gc", "--delete", "--grace", "0", "--trash-window", "0", "--json").json
    assert answer["deleted_bytes"] == promised
    assert "lies in packs with what others need" in three.reg("du", "--retiring", "v1").stdout


def test_models_and_families(three: Shell) -> None:
    rows = {row["model"]: row for row in three.reg("du", "--models", "--json").json["models"]}
    assert set(rows) == {"fraud", "copy", "alone"}
    assert rows["copy"]["unique_bytes"] == 0
    assert rows["fraud"]["versions"] == 3
    shown = three.reg("du", "--families").stdout
    assert "copy, fraud: " in shown
    assert "1 model shares chunks with no other" in shown
    assert three.reg("du", "--families", "-q").lines == ["copy fraud", "alone"]
    assert "fraud" in three.reg("du", "--models").lines[1]


def test_what_does_not_go_together_is_refused(three: Shell) -> None:
    assert "one at a time" in three.reg("du", "--models", "v1", code=2).stderr
    assert "name the versions" in three.reg("du", "--retiring", code=2).stderr
