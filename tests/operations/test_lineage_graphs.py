"""Drawings of a lineage: whole, and never more than text, whatever names hold."""

import re

from hypothesis import given
from hypothesis import strategies as st

from cas_registry.model.commit import Commit
from cas_registry.model.ids import CommitId, TreeId
from cas_registry.registry import Edge, Lineage, Relation, SourceNode, VersionNode, dot, mermaid

texts = st.text() | st.sampled_from(
    ['"]; evil [label="', "a\\", '\\"', "line\nline", "]--> x", '"| n0 --> n1', "<script>", "%%{init}%%", "\u202e"]
)


def lineage(message: str, uri: str, name: str) -> Lineage:
    commit = Commit(TreeId.of(b""), (), "a", 0, message, "m", 0)
    version = VersionNode("m", CommitId.of(b"c"), commit, 17, retired=True)
    source, far = SourceNode(uri, "sha256:0"), VersionNode("far", CommitId.of(b"f"), None, None, retired=False)
    nodes = {node.key: node for node in (version, source, far)}
    links = (
        Edge(source.key, version.key, Relation.INPUT, name),
        Edge(far.key, version.key, Relation.PARENT),
        Edge(version.key, source.key, Relation.CONTENT, name),
    )
    return Lineage(version.key, nodes, links)


def test_nodes_and_edges_are_drawn() -> None:
    drawn = dot(lineage("deeper", "s3://data", "train"))
    assert 'n0 [label="m v17' in drawn
    assert "deeper" in drawn
    assert 'n1 -> n0 [label="train"];' in drawn
    assert 'n2 -> n0 [label="parent"];' in drawn
    assert "not in this registry" in drawn
    assert 'style="bold,dashed"' in drawn
    drawn = mermaid(lineage("deeper", "s3://data", "train"))
    assert 'n1 -->|"train"| n0' in drawn
    assert 'n0 -.->|"content train"| n1' in drawn
    assert 'n1[("s3://data<br/>sha256:0")]' in drawn


@given(message=texts, uri=texts, name=texts)
def test_nothing_in_a_name_is_read_as_more_than_text(message: str, uri: str, name: str) -> None:
    for line in dot(lineage(message, uri, name)).splitlines()[3:-1]:
        text = r'"(?:[^"\\]|\\.)*"'
        assert re.fullmatch(rf"  n\d+( -> n\d+)? \[label={text}(, shape=\w+)?(, style=({text}|\w+))?\];", line), line
    for line in mermaid(lineage(message, uri, name)).splitlines()[1:-1]:
        safe = r"\"(?:[^\"\[\]{}<>|;%]|#\d+;|<br/>)*\""
        assert re.fullmatch(rf"  n\d+(\[\(?{safe}\)?\]| (-->|-\.->)\|{safe}\| n\d+)", line), line
