"""Lineage: up to all that a version came of, down to all that came of it, over models."""

from pathlib import Path

import blake3
import pytest
from hypothesis import given, settings

from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import CountingBackend
from cas_registry.model.ids import CommitId
from cas_registry.model.inputs import Input
from cas_registry.operations.origins import file_named
from cas_registry.registry import Edge, Lineage, Registry, Relation, SourceNode, VersionNode
from tests.support.folders import File
from tests.support.histories import Parents, behind, commit_after, dags
from tests.support.simulated import make_registry, make_world


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return make_registry(MemoryBackend("origins"), make_world(tmp_path / "cache"))


def commit(registry: Registry, work: Path, model: str, content: bytes, *inputs: Input, after: str | None = None) -> CommitId:
    made = commit_after(
        registry.model(model), work, {"f.bin": File(content)}, [after] if after else [], inputs=inputs, message=content.decode()
    )
    return CommitId.parse(made)


def edges(lineage: Lineage) -> set[tuple[str, str, Relation, str]]:
    """With short names instead of ids."""
    names = {
        key: f"{node.model} {node.commit.message}" if isinstance(node, VersionNode) and node.commit else key
        for key, node in lineage.nodes.items()
    }
    return {(names[edge.source], names[edge.target], edge.relation, edge.name) for edge in lineage.edges}


@pytest.fixture
def story(registry: Registry, tmp_path: Path) -> dict[str, CommitId]:
    """Raw data outside, a base model, two models tuned from it, an ensemble of both, and one made of a file that the base holds."""
    work = tmp_path / "work"
    raw = Input("corpus", uri="s3://data/corpus", digest="sha256:abc")
    base_one = commit(registry, work, "base", b"one", raw)
    base_two = commit(registry, work, "base", b"two", raw, after=base_one.hex)
    left = commit(registry, work, "left", b"left", Input("base", model="base", commit=base_two))
    right = commit(registry, work, "right", b"right", Input("base", model="base", commit=base_two))
    both = commit(
        registry, work, "both", b"both", Input("a", model="left", commit=left), Input("b", model="right", commit=right)
    )
    digest = f"blake3:{blake3.blake3(b'one').hexdigest()}"
    copy = commit(registry, work, "copy", b"copy", Input("start", uri="https://mirror/one.bin", digest=digest))
    return {"base one": base_one, "base two": base_two, "left": left, "right": right, "both": both, "copy": copy}


def test_the_way_up_goes_over_models_to_what_came_from_elsewhere(registry: Registry, story: dict[str, CommitId]) -> None:
    found = registry.model("both").lineage("tip", down=False)
    corpus = "s3://data/corpus#sha256:abc"
    assert edges(found) == {
        ("left left", "both both", Relation.INPUT, "a"),
        ("right right", "both both", Relation.INPUT, "b"),
        ("base two", "left left", Relation.INPUT, "base"),
        ("base two", "right right", Relation.INPUT, "base"),
        ("base one", "base two", Relation.PARENT, ""),
        (corpus, "base one", Relation.INPUT, "corpus"),
        (corpus, "base two", Relation.INPUT, "corpus"),
    }
    assert found.root == f"both@{story['both'].hex}"
    assert found.nodes[corpus] == SourceNode("s3://data/corpus", "sha256:abc")
    assert found.cut == frozenset()
    assert [edge.name for edge in found.above(found.root)] == ["a", "b"]


def test_the_way_down_finds_all_that_was_made_from_it(registry: Registry, story: dict[str, CommitId]) -> None:
    found = registry.model("base").lineage(story["base one"].hex, up=False)
    content = f"https://mirror/one.bin#blake3:{blake3.blake3(b'one').hexdigest()}"
    assert edges(found) == {
        ("base one", "base two", Relation.PARENT, ""),
        ("base two", "left left", Relation.INPUT, "base"),
        ("base two", "right right", Relation.INPUT, "base"),
        ("left left", "both both", Relation.INPUT, "a"),
        ("right right", "both both", Relation.INPUT, "b"),
        ("base one", content, Relation.CONTENT, "f.bin"),
        (content, "copy copy", Relation.INPUT, "start"),
    }


def test_an_input_whose_digest_is_a_file_here_leads_to_the_first_version_that_holds_it(
    registry: Registry, story: dict[str, CommitId]
) -> None:
    found = registry.model("copy").lineage("tip")
    content = f"https://mirror/one.bin#blake3:{blake3.blake3(b'one').hexdigest()}"
    assert ("base one", content, Relation.CONTENT, "f.bin") in edges(found)
    assert ("s3://data/corpus#sha256:abc", "base one", Relation.INPUT, "corpus") in edges(found)


def test_depth_cuts_and_says_where(registry: Registry, story: dict[str, CommitId]) -> None:
    found = registry.model("both").lineage("tip", depth=1)
    assert {node.model for node in found.nodes.values() if isinstance(node, VersionNode)} == {"both", "left", "right"}
    assert found.cut == {f"left@{story['left'].hex}", f"right@{story['right'].hex}"}
    found = registry.model("base").lineage("tip", depth=1)
    assert f"left@{story['left'].hex}" in found.cut
    assert f"base@{story['base one'].hex}" in found.cut
    assert registry.model("both").lineage("tip", up=False).edges == ()


def test_retired_versions_are_told_and_those_of_another_registry_named(registry: Registry, tmp_path: Path) -> None:
    first = commit(registry, tmp_path / "w", "m", b"first")
    foreign = CommitId.of(b"of another registry")
    second = commit(registry, tmp_path / "w", "m", b"second", Input("base", model="far", commit=foreign), after=first.hex)
    registry.model("m").retire(first.hex)
    found = registry.model("m").lineage(second.hex)
    before, far = found.nodes[f"m@{first.hex}"], found.nodes[f"far@{foreign.hex}"]
    assert isinstance(before, VersionNode)
    assert isinstance(far, VersionNode)
    assert (before.retired, before.number) == (True, 1)
    assert (far.commit, far.number) == (None, None)
    assert Edge(f"far@{foreign.hex}", found.root, Relation.INPUT, "base") in found.edges


@given(history=dags(10))
@settings(max_examples=20)
def test_of_every_history_the_way_up_is_what_is_behind_and_the_way_down_the_same_backwards(
    tmp_path_factory: pytest.TempPathFactory, history: Parents
) -> None:
    model = make_registry(MemoryBackend(), make_world()).model("m")
    work = tmp_path_factory.mktemp("work")
    ids: list[str] = []
    for number, parents in enumerate(history):
        ids.append(commit_after(model, work, {"n": File(str(number).encode())}, [ids[parent] for parent in parents]))
    for number in {0, len(history) // 2, len(history) - 1}:
        up, down = model.lineage(ids[number], down=False), model.lineage(ids[number], up=False)
        assert set(up.nodes) == {f"m@{ids[each]}" for each in behind(history, number)}
        assert set(down.nodes) == {f"m@{ids[each]}" for each in range(len(history)) if number in behind(history, each)}
        expected = {(f"m@{ids[parent]}", f"m@{ids[each]}") for each in behind(history, number) for parent in history[each]}
        assert {(edge.source, edge.target) for edge in up.edges} == expected


@pytest.mark.parametrize("digest", [None, "sha256:" + "0" * 64, "blake3:short", "blake3:" + "Z" * 64, "0" * 64])
def test_other_digests_name_no_file(digest: str | None) -> None:
    assert file_named(Input("x", uri="s3://x", digest=digest)) is None


def test_the_way_down_is_told_by_the_index_and_reads_no_other_commits(tmp_path: Path) -> None:
    counting = CountingBackend(MemoryBackend("indexed"))
    registry = make_registry(counting, make_world(tmp_path / "cache"))
    base = commit(registry, tmp_path / "w", "base", b"base")
    for number in range(80):
        commit(registry, tmp_path / "w", f"m{number % 2}", str(number).encode())
    tuned = commit(registry, tmp_path / "w", "tuned", b"tuned", Input("base", model="base", commit=base))
    for _ in range(2):  # the first time makes the index
        counting.reset()
        found = registry.model("base").lineage("tip", up=False)
        assert set(found.nodes) == {f"base@{base.hex}", f"tuned@{tuned.hex}"}
    commits = {key for _, key in counting.keys if key.startswith("commits/")}
    assert commits == {f"commits/{base.hex}", f"commits/{tuned.hex}"}
