"""`reg verify DIR --id`."""

from collections.abc import Iterator

from cas_registry.cli import text
from cas_registry.cli.output import Document, Line, Paper, Styled, View
from cas_registry.cli.views.fields import paths_line
from cas_registry.registry import Proof

_SHOWN = 20


def _document(proof: Proof) -> Document:
    return {
        "folder": str(proof.folder.absolute()),
        "id": proof.id,
        "holds": proof.holds,
        "commit": proof.commit.hex if proof.commit else None,
        "expected_tree": proof.wanted.hex,
        "tree": proof.tree.hex if proof.tree else None,
        "files": proof.files,
        "size_bytes": proof.size_bytes,
        "extra": list(proof.extra),
        "files_known": proof.listed,
        "added": list(proof.added),
        "changed": list(proof.changed),
        "removed": list(proof.removed),
    }


def _human(proof: Proof, _: Paper) -> Iterator[Line]:
    what = f"commit {proof.commit.short} (tree {proof.wanted.short})" if proof.commit else f"tree {proof.wanted.short}"
    files = f"{text.count(proof.files, 'file')}, {text.size(proof.size_bytes)}"
    if proof.holds:
        yield [Styled("Verified: ", "green"), f"{proof.folder} holds exactly {what}: {files}, every byte read"]
        return
    yield [Styled("Not verified: ", "red"), f"{proof.folder} does not hold {what}: {files}"]
    marks = (
        ("A", "green", proof.added),
        ("M", "yellow", proof.changed),
        ("D", "red", proof.removed),
        ("?", "red", proof.extra),
    )
    for mark, style, paths in marks:
        for path in paths[:_SHOWN]:
            yield paths_line(mark, path, style)
        if len(paths) > _SHOWN:
            yield [f"    and {len(paths) - _SHOWN:,} more"]
    if proof.tree != proof.wanted and not proof.listed:
        tree = f"its tree is {proof.tree.short}" if proof.tree else "its files make up no tree"
        yield [
            f"  {tree}; no lock file at hand has that id, so the files cannot be told apart, and an id of a commit cannot be checked"
        ]


def _quiet(proof: Proof) -> list[str]:
    return sorted((*proof.added, *proof.changed, *proof.removed, *proof.extra))


PROOF = View(_document, _human, _quiet)
