"""`reg lineage`: trees, drawings and events."""

import json

import pytest

from cas_registry.model.inputs import Input
from cas_registry.registry import open_registry
from tests.cli.shell import Shell
from tests.support.folders import File
from tests.support.histories import commit_after
from tests.support.simulated import make_world


@pytest.fixture
def tuned(bound: Shell) -> Shell:
    """A base of two versions, made from data elsewhere, and two versions of fraud tuned from its second one."""
    registry = open_registry("../registry", make_world())
    work = bound.folder / "in"
    corpus = (Input("corpus", uri="s3://data/corpus", digest="sha256:ab"),)
    base = registry.model("base")
    first = commit_after(base, work, {"f": File(b"1")}, [], inputs=corpus, message="first base")
    second = commit_after(base, work, {"f": File(b"2")}, [first], inputs=corpus, message="second base")
    inputs = (Input("base", model="base", commit=base.resolve(second).commit),)
    fraud = registry.model("fraud")
    one = commit_after(fraud, work, {"f": File(b"3")}, [], inputs=inputs, message="tuned")
    commit_after(fraud, work, {"f": File(b"4")}, [one], inputs=inputs, message="tuned more")
    return bound


def test_trees_of_both_directions(tuned: Shell) -> None:
    lines = [" ".join(part for part in line.split() if len(part) != 12) for line in tuned.reg("lineage", "v2").lines]
    assert lines == [
        "fraud v2 tuned more",
        "made from",
        "├─ base = base v2 second base",
        "│ ├─ corpus = s3://data/corpus (sha256:ab)",
        "│ └─ parent base v1 first base",
        "│ └─ corpus = s3://data/corpus (sha256:ab)",
        "└─ parent fraud v1 tuned",
        "└─ base = base v2 second base (see above)",
    ]
    shown = tuned.reg("lineage", "base@v1").stdout
    assert "what came of it" in shown
    assert shown.count("tuned more") == 2
    assert "made from" not in tuned.reg("lineage", "base@v1", "--down").stdout
    assert "what came of it" not in tuned.reg("lineage", "base@v1", "--up").stdout


def test_depth_ends_with_a_mark(tuned: Shell) -> None:
    shown = tuned.reg("lineage", "v2", "--depth", "1").stdout
    assert "second base  … (--depth)" in shown
    assert "first base" not in shown
    assert "first base" in tuned.reg("lineage", "v2", "--depth", "0").stdout


def test_the_document_the_drawings_and_the_events(tuned: Shell) -> None:
    answer = tuned.reg("lineage", "v2", "--json").json
    assert answer["root"].startswith("fraud@")
    assert {edge["relation"] for edge in answer["edges"]} == {"parent", "input"}
    kinds = [node["kind"] for node in answer["nodes"]]
    assert (kinds.count("version"), kinds.count("source")) == (4, 1)
    assert tuned.reg("lineage", "v2", "-q").lines == [node["key"] for node in answer["nodes"]]
    assert tuned.reg("lineage", "v2", "--dot").lines[0] == "digraph lineage {"
    assert tuned.reg("lineage", "v2", "--mermaid").lines[0] == "flowchart LR"
    events = [json.loads(line) for line in tuned.reg("lineage", "v2", "--openlineage").lines]
    assert [event["outputs"][0]["name"] for event in events] == ["base", "base", "fraud", "fraud"]
    assert "choose one" in tuned.reg("lineage", "v2", "--dot", "--mermaid", code=2).stderr


def test_a_version_that_stands_alone_says_so(bound: Shell) -> None:
    bound.write("out/f", "1")
    bound.reg("commit", "out", "-m", "alone")
    assert "made from nothing that is told" in bound.reg("lineage", "main").stdout
