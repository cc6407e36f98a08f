"""`reg lineage`: a tree of what a version came of, and one of what came of it."""

from collections.abc import Callable, Iterator

from cas_registry.cli.output import Cell, Document, Line, Paper, Styled, View
from cas_registry.cli.views.fields import first_line, input_fields, time_fields
from cas_registry.registry import Edge, Lineage, Relation, SourceNode, VersionNode

_UNICODE = ("├─ ", "└─ ", "│  ", "   ")
_ASCII = ("|- ", "`- ", "|  ", "   ")


def _document(lineage: Lineage) -> Document:
    return {
        "root": lineage.root,
        "nodes": [{"key": key, **_node_fields(node), "cut": key in lineage.cut} for key, node in lineage.nodes.items()],
        "edges": [
            {"source": edge.source, "target": edge.target, "relation": edge.relation.value, "name": edge.name}
            for edge in lineage.edges
        ],
    }


def _node_fields(node: VersionNode | SourceNode) -> dict[str, object]:
    version = node if isinstance(node, VersionNode) else None
    source = node if isinstance(node, SourceNode) else None
    commit = version.commit if version else None
    return {
        "kind": "version" if version else "source",
        "model": version.model if version else None,
        "commit": version.id.hex if version else None,
        "number": version.number if version else None,
        "author": commit.author if commit else None,
        **time_fields("time", commit.time_ms if commit else None),
        "message": commit.message if commit else None,
        "inputs": [input_fields(item) for item in commit.inputs] if commit else [],
        "retired": version.retired if version else None,
        "here": commit is not None if version else None,
        "uri": source.uri if source else None,
        "digest": source.digest if source else None,
    }


def _human(lineage: Lineage, paper: Paper) -> Iterator[Line]:
    marks = _UNICODE if paper.unicode else _ASCII
    yield _named(lineage.nodes[lineage.root])
    for title, edges in (("made from", lineage.above), ("what came of it", lineage.below)):
        if edges(lineage.root):
            yield [Styled(title, "dim")]
            yield from _tree(lineage, lineage.root, edges, marks, up=edges == lineage.above)
    if len(lineage.nodes) == 1:
        yield ["It was made from nothing that is told, and nothing was made from it"]


def _tree(
    lineage: Lineage, root: str, edges: Callable[[str], list[Edge]], marks: tuple[str, str, str, str], *, up: bool
) -> Iterator[Line]:
    """Depth first; what was shown above is not shown again with all that belongs to it."""
    shown = {root}
    waiting: list[tuple[str, Edge, bool]] = _children(edges(root), "")
    while waiting:
        indent, edge, is_last = waiting.pop()
        key = edge.source if up else edge.target
        further = edges(key)
        again = key in shown and bool(further)
        shown.add(key)
        line: list[Cell] = [
            Styled(indent + (marks[1] if is_last else marks[0]), "dim"),
            *_how(edge),
            *_named(lineage.nodes[key]),
        ]
        if again:
            line.append(Styled("  (see above)", "dim"))
        elif key in lineage.cut:
            line.append(Styled("  … (--depth)", "dim"))
        yield line
        if not again:
            waiting += _children(further, indent + (marks[3] if is_last else marks[2]))


def _children(edges: list[Edge], indent: str) -> list[tuple[str, Edge, bool]]:
    """The last one first: they are taken from the end."""
    return [(indent, edge, number == len(edges)) for number, edge in enumerate(edges, start=1)][::-1]


def _how(edge: Edge) -> Iterator[Cell]:
    match edge.relation:
        case Relation.PARENT:
            yield Styled("parent ", "dim")
        case Relation.INPUT:
            yield f"{edge.name} = "
        case Relation.CONTENT:
            yield Styled(f"the same as {edge.name} of ", "dim")


def _named(node: VersionNode | SourceNode) -> list[Cell]:
    if isinstance(node, SourceNode):
        return [node.uri, *([Styled(f" ({node.digest})", "dim")] if node.digest else [])]
    number = f" v{node.number}" if node.number is not None else ""
    cells: list[Cell] = [Styled(f"{node.model}{number}", "bold"), "  ", Styled(node.id.short, "yellow")]
    if node.commit is None:
        return [*cells, Styled("  not in this registry", "red")]
    if node.retired:
        cells.append(Styled(" (retired)", "red"))
    subject = first_line(node.commit.message)
    return [*cells, f"  {subject}"] if subject else cells


LINEAGE = View(_document, _human, lambda lineage: lineage.nodes)
