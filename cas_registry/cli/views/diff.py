"""`reg diff`."""

from collections.abc import Iterator, Mapping

from cas_registry.cli import text
from cas_registry.cli.output import Cell, Document, Line, Paper, Styled, Table, View
from cas_registry.cli.views.fields import name_of
from cas_registry.model.canonical import Scalar
from cas_registry.operations.diff import Change, FileChange, VersionDiff
from cas_registry.registry import Version

_MARKS = {
    Change.ADDED: Styled("A", "green"),
    Change.REMOVED: Styled("D", "red"),
    Change.CHANGED: Styled("M", "yellow"),
    Change.RENAMED: Styled("R", "cyan"),
}


def _document(diff: VersionDiff) -> Document:
    return {
        "old": _version(diff.old),
        "new": _version(diff.new),
        "same_files": diff.is_empty,
        "files": [_file(change) for change in diff.files],
        "unchanged_files": diff.unchanged_files,
        "shared_bytes": diff.shared_bytes,
        "new_bytes": diff.new_bytes,
        "params": _pairs(diff.params),
        "metrics": _pairs(diff.metrics),
    }


def _version(version: Version) -> dict[str, object]:
    return {"model": version.model, "commit": version.commit.hex, "number": version.number}


def _file(change: FileChange) -> dict[str, object]:
    return {
        "change": change.change.value,
        "path": change.path,
        "old_path": change.old_path,
        "old_size_bytes": change.old_size_bytes,
        "size_bytes": change.size_bytes,
        "shared_bytes": change.shared_bytes,
        "new_bytes": change.new_bytes,
    }


def _pairs(values: Mapping[str, tuple[Scalar, Scalar]]) -> list[dict[str, object]]:
    return [{"name": name, "old": old, "new": new} for name, (old, new) in values.items()]


def _human(diff: VersionDiff, _: Paper) -> Iterator[Line | Table]:
    old, new = (name_of(version.model, version.number, version.commit) for version in (diff.old, diff.new))
    yield [*old, "  ->  ", *new]
    if diff.files:
        headers = ["", "old", "new", "new bytes", "shared", "file"]
        yield Table(headers, [_row(change) for change in diff.files], frozenset(headers[1:5]))
    what = text.count(len(diff.files), "file") + " differ" + ("s" if len(diff.files) == 1 else "")
    if not diff.files:
        what = "the same files"
    yield [f"{what}, {diff.unchanged_files} unchanged; {text.size(diff.new_bytes)} new, {text.size(diff.shared_bytes)} shared"]
    for title, values in (("params", diff.params), ("metrics", diff.metrics)):
        if values:
            yield [""]
            yield _scalars_table(title, values)


def _row(change: FileChange) -> list[Cell]:
    removed, added = change.change is Change.REMOVED, change.change is Change.ADDED
    return [
        _MARKS[change.change],
        "" if added else text.size(change.old_size_bytes),
        "" if removed else text.size(change.size_bytes),
        "" if removed else text.size(change.new_bytes),
        "" if removed else text.size(change.shared_bytes),
        f"{change.old_path} -> {change.path}" if change.old_path else change.path,
    ]


def _scalars_table(title: str, values: Mapping[str, tuple[Scalar, Scalar]]) -> Table:
    headers = [title, "old", "new", "change"]
    rows = [(name, _scalar(old), _scalar(new), _change(old, new)) for name, (old, new) in values.items()]
    return Table(headers, rows, frozenset(headers[1:]))


def _scalar(found: Scalar) -> str:
    return "-" if found is None else text.value(found)


def _change(old: Scalar, new: Scalar) -> str:
    numbers = [found for found in (old, new) if isinstance(found, int | float) and not isinstance(found, bool)]
    return f"{numbers[1] - numbers[0]:+.6g}" if len(numbers) == len((old, new)) else ""


DIFF = View(_document, _human, lambda diff: (change.path for change in diff.files))
