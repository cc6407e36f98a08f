"""`reg diff`."""

from collections.abc import Iterator, Mapping

from cas_registry.cli import text
from cas_registry.cli.output import Cell, Document, Line, Paper, Styled, Table, View
from cas_registry.cli.views.fields import name_of
from cas_registry.model.canonical import Scalar
from cas_registry.operations.diff import Change, FileChange, VersionDiff
from cas_registry.registry import TensorChange, TensorDelta, TensorDiff, Version

_MARKS = {
    Change.ADDED: Styled("A", "green"),
    Change.REMOVED: Styled("D", "red"),
    Change.CHANGED: Styled("M", "yellow"),
    Change.RENAMED: Styled("R", "cyan"),
}
_TENSOR_MARKS = {
    TensorChange.ADDED: Styled("A", "green"),
    TensorChange.REMOVED: Styled("D", "red"),
    TensorChange.RENAMED: Styled("R", "cyan"),
    TensorChange.CHANGED: Styled("M", "yellow"),
    TensorChange.RETYPED: Styled("T", "magenta"),
    TensorChange.RESHAPED: Styled("S", "magenta"),
}
_SHOWN = 20


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
        "tensors": [_tensor(delta) for delta in diff.tensors.tensors],
        "layers": [
            {"layer": layer.layer, "tensors": layer.tensors, "moved_bytes": layer.moved_bytes, "l2": layer.l2}
            for layer in diff.tensors.layers
        ],
        "unchanged_tensors": diff.tensors.unchanged,
        "unchanged_tensor_bytes": diff.tensors.unchanged_bytes,
    }


def _tensor(delta: TensorDelta) -> dict[str, object]:
    moved = delta.movement
    return {
        "change": delta.change.value,
        "path": delta.path,
        "name": delta.name,
        "layer": delta.layer,
        "old_name": delta.old_name,
        "old_dtype": delta.old_dtype,
        "dtype": delta.dtype,
        "old_shape": list(delta.old_shape) if delta.old_shape is not None else None,
        "shape": list(delta.shape) if delta.shape is not None else None,
        "size_bytes": delta.size_bytes,
        "moved_bytes": delta.moved_bytes,
        "l2": moved.l2 if moved else None,
        "max_abs": moved.max_abs if moved else None,
        "cosine": moved.cosine if moved else None,
        "changed_fraction": moved.changed_fraction if moved else None,
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
    yield from _tensors(diff.tensors)
    for title, values in (("params", diff.params), ("metrics", diff.metrics)):
        if values:
            yield [""]
            yield _scalars_table(title, values)


def _tensors(diff: TensorDiff) -> Iterator[Line | Table]:
    if not diff.tensors:
        return
    values = any(delta.movement for delta in diff.tensors)
    headers = ["", "moved", "of", "tensor", "type and shape"] + (["L2", "max", "cosine", "elements"] if values else [])
    yield [""]
    yield Table(
        headers, [_tensor_row(delta, values) for delta in diff.tensors[:_SHOWN]], frozenset(("moved", "of", *headers[5:]))
    )
    if len(diff.tensors) > _SHOWN:
        yield [f"and {len(diff.tensors) - _SHOWN:,} more (--json lists all)"]
    yield [
        f"{text.count(len(diff.tensors), 'tensor')} differ" + ("s" if len(diff.tensors) == 1 else "")
        + f" in {text.count(len(diff.layers), 'layer')}, {diff.unchanged:,} unchanged ({text.size(diff.unchanged_bytes)})"
    ]  # fmt: skip


def _tensor_row(delta: TensorDelta, values: bool) -> list[Cell]:
    row: list[Cell] = [
        _TENSOR_MARKS[delta.change],
        text.size(delta.moved_bytes),
        text.size(delta.size_bytes),
        f"{delta.old_name} -> {delta.name}" if delta.old_name else delta.name,
        _shape(delta),
    ]
    if values:
        moved = delta.movement
        row += (
            [
                f"{moved.l2:.4g}", f"{moved.max_abs:.3g}", "-" if moved.cosine is None else f"{moved.cosine:.6f}",
                f"{moved.changed_fraction:.1%}",
            ]
            if moved
            else ["-"] * 4
        )  # fmt: skip
    return row


def _shape(delta: TensorDelta) -> str:
    sides = [
        f"{dtype} {'x'.join(map(str, shape)) or 'scalar'}"
        for dtype, shape in ((delta.old_dtype, delta.old_shape), (delta.dtype, delta.shape))
        if dtype is not None and shape is not None
    ]
    return " -> ".join(dict.fromkeys(sides))


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
