"""Best common ancestors, against all ancestors of small graphs, within a model and over forks of it."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import CountingBackend
from cas_registry.model.commit import Commit
from cas_registry.model.entry import Ref, RefKind, RefTable, VersionRow
from cas_registry.model.ids import CommitId, MapName, TreeId
from cas_registry.operations.history import KnownCommits
from cas_registry.operations.merge_bases import find_merge_bases
from cas_registry.registry import Registry
from tests.support.simulated import make_registry


@dataclass
class Graph:
    """Commits with any parents, in the logs of several models."""

    registry: Registry
    parents: dict[CommitId, tuple[CommitId, ...]] = field(default_factory=dict)

    def add(self, *parents: CommitId, model: str = "m") -> CommitId:
        from dataclasses import replace

        stores = self.registry._stores
        refs = stores.refs(model)
        head, table = refs.head() or (None, RefTable())
        number = head.n + 1 if head else 1
        tree = TreeId.of(b"tree")
        commit = Commit(tree, parents, "ada", len(self.parents), "", model, number - 1)
        identity = stores.objects.write_commit(commit)
        row = VersionRow(identity, number, number, tree, MapName.of(b"map"))
        table = table.with_ref(RefKind.BRANCH, "main", Ref(row, number))
        entry = refs.next_entry(head, table, registry=stores.format.registry, time_ms=0, who="ada", why="")
        assert refs.log.append(replace(entry, commit=identity, tree=tree, map=row.map, versions=number))
        refs.log.write_hint(number)
        self.parents[identity] = parents
        return identity

    def bases(self, left: CommitId, right: CommitId) -> set[CommitId]:
        return set(find_merge_bases(KnownCommits(self.registry._stores), left, right).commits)

    def ancestors(self, commit: CommitId) -> set[CommitId]:
        found = {commit}
        for parent in self.parents[commit]:
            found |= self.ancestors(parent)
        return found

    def oracle(self, left: CommitId, right: CommitId) -> set[CommitId]:
        common = self.ancestors(left) & self.ancestors(right)
        return {one for one in common if not any(one in self.ancestors(other) for other in common - {one})}


@settings(max_examples=60)
@given(st.data())
def test_they_are_the_common_ancestors_that_no_other_descends_from(data: st.DataObject) -> None:
    graph = Graph(make_registry(MemoryBackend()))
    made: list[CommitId] = []
    for _ in range(data.draw(st.integers(2, 12))):
        choice = data.draw(st.lists(st.sampled_from(made), max_size=2, unique=True)) if made else []
        made.append(graph.add(*choice, model=data.draw(st.sampled_from(["m", "n"]))))
    left, right = data.draw(st.sampled_from(made)), data.draw(st.sampled_from(made))
    assert graph.bases(left, right) == graph.oracle(left, right)
    found = find_merge_bases(KnownCommits(graph.registry._stores), left, right)
    assert found.has_all_of_right == (right in graph.ancestors(left))
    assert found.has_all_of_left == (left in graph.ancestors(right))


def test_after_a_criss_cross_there_are_two() -> None:
    graph = Graph(make_registry(MemoryBackend()))
    root = graph.add()
    left, right = graph.add(root), graph.add(root)
    crossed, back = graph.add(left, right), graph.add(right, left)
    assert graph.bases(crossed, back) == {left, right}


@pytest.mark.parametrize("model", ["m", "fork"])
def test_only_the_part_of_a_long_history_that_differs_is_read(model: str) -> None:
    backend = CountingBackend(MemoryBackend())
    graph = Graph(make_registry(backend))
    tip = graph.add()
    for _ in range(300):
        tip = graph.add(tip)
    ours, theirs = graph.add(tip), graph.add(tip, model=model)
    before = backend.requests.total()
    assert graph.bases(ours, theirs) == {tip}
    assert backend.requests.total() - before < 150
