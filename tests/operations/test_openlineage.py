"""OpenLineage events, by the schemas of the specification."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry as Schemas
from referencing import Resource

from cas_registry.backends.memory import MemoryBackend
from cas_registry.model.commit import Commit
from cas_registry.model.ids import CommitId, TreeId
from cas_registry.model.inputs import Input
from cas_registry.operations.openlineage import run_events
from cas_registry.registry import Edge, Lineage, Registry, Relation, SourceNode, VersionNode
from tests.support.folders import File
from tests.support.histories import commit_after
from tests.support.simulated import make_registry, make_world

FOLDER = Path(__file__).parent / "openlineage"
DOCUMENTS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.json")}
SCHEMAS: Schemas[Any] = Schemas().with_resources(
    (document["$id"], Resource.from_contents(document)) for document in DOCUMENTS.values()
)


def check(event: Any) -> None:
    """By the core schema, and every facet by its own."""
    validator(DOCUMENTS["OpenLineage"]["$id"] + "#/$defs/RunEvent").validate(event)
    things = [event["job"], event["run"], *event["inputs"], *event["outputs"]]
    for thing in things:
        for facet in thing["facets"].values():
            assert facet["_schemaURL"].partition("#")[0] in SCHEMAS
            validator(facet["_schemaURL"]).validate(facet)


def validator(url: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": url}, registry=SCHEMAS, format_checker=Draft202012Validator.FORMAT_CHECKER)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return make_registry(MemoryBackend("lineage"), make_world(tmp_path / "cache"))


def test_every_version_is_a_run_with_its_inputs_and_itself_as_the_output(registry: Registry, tmp_path: Path) -> None:
    base = commit_after(registry.model("base"), tmp_path / "w", {"f": File(b"1")}, [], message="the base")
    model = registry.model("m")
    inputs = (
        Input("train", uri="s3://data/2025/train.parquet", digest="etag:1"),
        Input("base", model="base", commit=registry.model("base").resolve(base).commit),
    )
    code = {"repository": "https://example.org/fraud.git", "commit": "abc123", "branch": "main"}
    first = commit_after(model, tmp_path / "w", {"f": File(b"2")}, [], inputs=inputs, code=code, message="first")
    commit_after(model, tmp_path / "w", {"f": File(b"3")}, [first], message="second")
    events: list[Any] = run_events(model.lineage("tip"), registry.url)
    for event in events:
        check(event)
    assert [event["outputs"][0]["facets"]["documentation"]["description"] for event in events] == [
        "the base",
        "first",
        "second",
    ]
    datasets = [
        (found["namespace"], found["name"], found["facets"]["version"]["datasetVersion"]) for found in events[1]["inputs"]
    ]
    assert sorted(datasets) == [(registry.url, "base", base), ("s3://data", "2025/train.parquet", "etag:1")]
    assert events[1]["job"]["facets"]["sourceCodeLocation"]["version"] == "abc123"
    assert events[2]["inputs"][0]["facets"]["version"]["datasetVersion"] == first
    assert events[0]["inputs"] == []
    again: list[Any] = run_events(model.lineage("tip"), registry.url)
    assert [event["run"]["runId"] for event in again] == [event["run"]["runId"] for event in events]
    assert len({event["run"]["runId"] for event in events}) == 3


@pytest.mark.parametrize(
    ("uri", "namespace", "name"),
    [
        ("s3://bucket/a/b", "s3://bucket", "a/b"),
        ("https://host/x?y=1", "https://host", "x?y=1"),
        ("/data/train.csv", "file", "/data/train.csv"),
        ("hf:datasets/imdb", "hf", "datasets/imdb"),
        ("s3://bucket", "s3://bucket", "/"),
        ("http://[broken", "unknown", "http://[broken"),
    ],
)
def test_datasets_are_named_as_the_specification_names_them(uri: str, namespace: str, name: str) -> None:
    (event,) = run_events(lineage_of(uri, 0, {}), "s3://registry")
    found: Any = event
    check(found)
    assert (found["inputs"][0]["namespace"], found["inputs"][0]["name"]) == (namespace, name)
    assert found["eventTime"] == "1970-01-01T00:00:00.000Z"


def lineage_of(uri: str, time_ms: int, code: Any) -> Lineage:
    commit = Commit(TreeId.of(b""), (), "a", time_ms, "message", "m", 0, code=code, inputs=(Input("x", uri=uri),))
    version, source = VersionNode("m", CommitId.of(b"c"), commit, 1, retired=False), SourceNode(uri, None)
    nodes = {version.key: version, source.key: source}
    return Lineage(version.key, nodes, (Edge(source.key, version.key, Relation.INPUT, "x"),))


scalars = st.none() | st.booleans() | st.integers() | st.text() | st.just("https://example.org/x.git")


@given(
    uri=st.text(min_size=1),
    time_ms=st.integers(0, 2**53),
    code=st.fixed_dictionaries({"repository": scalars, "commit": scalars, "branch": scalars}),
)
def test_whatever_a_commit_says_the_event_is_valid(uri: str, time_ms: int, code: Any) -> None:
    (event,) = run_events(lineage_of(uri, time_ms, code), "s3://registry")
    check(json.loads(json.dumps(event)))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(event["eventTime"]))
