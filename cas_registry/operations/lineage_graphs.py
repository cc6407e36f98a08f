"""A lineage as text for programs that draw: Graphviz (`dot`) and Mermaid. Whatever names hold is text there, and nothing else."""

from cas_registry.operations.origins import Edge, Lineage, Node, Relation, VersionNode

_SHOWN = 60  # characters of a message, or of a URI


def dot(lineage: Lineage) -> str:
    """In the language of Graphviz, origins at the left."""
    lines = ["digraph lineage {", "  rankdir=LR;", "  node [shape=box];"]
    numbers = {key: f"n{number}" for number, key in enumerate(lineage.nodes)}
    for key, node in lineage.nodes.items():
        shape = "box" if isinstance(node, VersionNode) else "cylinder"
        marks = ["bold"] if key == lineage.root else []
        marks += ["dashed"] if isinstance(node, VersionNode) and (node.retired or node.commit is None) else []
        style = f', style="{",".join(marks)}"' if marks else ""
        lines.append(f"  {numbers[key]} [label={_quoted(_label(node))}, shape={shape}{style}];")
    for edge in lineage.edges:
        label = _edge_label(edge)
        style = ", style=dotted" if edge.relation is Relation.CONTENT else ""
        lines.append(f"  {numbers[edge.source]} -> {numbers[edge.target]} [label={_quoted(label)}{style}];")
    return "\n".join([*lines, "}"])


def mermaid(lineage: Lineage) -> str:
    """As a Mermaid flowchart, origins at the left."""
    lines = ["flowchart LR"]
    numbers = {key: f"n{number}" for number, key in enumerate(lineage.nodes)}
    for key, node in lineage.nodes.items():
        opening, closing = ("[", "]") if isinstance(node, VersionNode) else ("[(", ")]")
        lines.append(f'  {numbers[key]}{opening}"{_entities(_label(node))}"{closing}')
    for edge in lineage.edges:
        arrow = "-.->" if edge.relation is Relation.CONTENT else "-->"
        lines.append(f'  {numbers[edge.source]} {arrow}|"{_entities(_edge_label(edge))}"| {numbers[edge.target]}')
    return "\n".join([*lines, f"  style {numbers[lineage.root]} stroke-width:3px"])


def _label(node: Node) -> str:
    if not isinstance(node, VersionNode):
        return _short(node.uri) + (f"\n{_short(node.digest)}" if node.digest else "")
    number = f" v{node.number}" if node.number is not None else ""
    message = _short(node.commit.message.strip().partition("\n")[0]) if node.commit else "not in this registry"
    return f"{node.model}{number} {node.id.short}" + (f"\n{message}" if message else "")


def _edge_label(edge: Edge) -> str:
    return edge.name if edge.relation is Relation.INPUT else f"{edge.relation.value} {edge.name}".strip()


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _quoted(text: str) -> str:
    """A string of Graphviz."""
    lines = text.split("\n")
    return '"' + "\\n".join(_plain(line).replace("\\", "\\\\").replace('"', '\\"') for line in lines) + '"'


def _entities(text: str) -> str:
    """Text of Mermaid: whatever could end it, or be markup, by its number."""
    return "<br/>".join(
        "".join(char if char.isalnum() or char in " .,:/@_-=+()" else f"#{ord(char)};" for char in _plain(line))
        for line in text.split("\n")
    )


def _plain(text: str) -> str:
    """One line without control characters."""
    return "".join(char if char.isprintable() else " " for char in text)
