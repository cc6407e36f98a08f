"""`reg show`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cas_registry.cli import text
from cas_registry.cli.output import Document, Line, Paper, Styled, Table, View
from cas_registry.cli.views.fields import input_fields, input_text, names_of, time_fields
from cas_registry.model.canonical import Scalar
from cas_registry.model.on_load import OnLoad
from cas_registry.registry import FileInfo, VersionInfo

_LARGEST = 8


@dataclass(frozen=True, slots=True)
class Shown:
    """A version with its files."""

    info: VersionInfo
    files: list[FileInfo]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    def marks(self) -> list[tuple[FileInfo, OnLoad]]:
        """Every file with what it does on loading."""
        return [(file, file.on_load) for file in self.files if file.on_load is not None]


def _document(shown: Shown) -> Document:
    version, commit = shown.info.version, shown.info.commit
    stats = shown.info.stats
    return {
        "model": version.model,
        "commit": version.commit.hex,
        "number": version.number,
        "log": version.log,
        "entry": version.at,
        "parents": [parent.hex for parent in commit.parents],
        "tree": commit.tree.hex,
        "author": commit.author,
        **time_fields("time", commit.time_ms),
        "message": commit.message,
        "params": dict(commit.params),
        "metrics": dict(commit.metrics),
        "labels": dict(commit.labels),
        "framework": dict(commit.framework),
        "inputs": [input_fields(item) for item in commit.inputs],
        "branches": list(shown.info.branches),
        "tags": list(shown.info.tags),
        "files": len(shown.files),
        "raw_bytes": shown.size_bytes,
        "new_bytes": stats.new_bytes if stats else None,
        "stored_bytes": stats.stored_bytes if stats else None,
        "runs_code": [{"path": file.path, "on_load": mark.label} for file, mark in shown.marks() if mark.runs_code],
        "not_looked_at": [file.path for file, mark in shown.marks() if mark is OnLoad.NOT_LOOKED_AT],
    }


def _human(shown: Shown, paper: Paper) -> Iterator[Line | Table]:
    version, commit = shown.info.version, shown.info.commit
    yield [Styled(f"{version.model} v{version.number}", "bold"), *names_of(shown.info.branches, shown.info.tags)]
    yield [Styled("commit  ", "dim"), Styled(version.commit.hex, "yellow")]
    for parent in commit.parents:
        yield [Styled("parent  ", "dim"), parent.hex]
    yield [Styled("author  ", "dim"), commit.author]
    yield [Styled("time    ", "dim"), f"{text.moment(commit.time_ms)} ({text.age(commit.time_ms, paper.now_ms)})"]
    for source in commit.inputs:
        yield [Styled("input   ", "dim"), input_text(source)]
    if commit.message.strip():
        yield [""]
        yield from (["    ", line] for line in commit.message.strip().split("\n"))
    for title, values in (("params", commit.params), ("metrics", commit.metrics), ("framework", commit.framework)):
        if values:
            yield [""]
            yield _scalars_table(title, values)
    yield [""]
    yield from _files(shown)
    if shown.files:
        yield from _on_loading(shown)


def _scalars_table(title: str, values: Mapping[str, Scalar]) -> Table:
    return Table([title, "value"], [(name, text.value(found)) for name, found in values.items()])


def _files(shown: Shown) -> Iterator[Line | Table]:
    stats = shown.info.stats
    cost = f", {text.size(stats.new_bytes)} of it new, stored as {text.size(stats.stored_bytes)}" if stats else ""
    yield [f"{text.count(len(shown.files), 'file')}, {text.size(shown.size_bytes)}{cost}"]
    largest = sorted(shown.files, key=lambda file: (-file.size_bytes, file.path))[:_LARGEST]
    for file in largest:
        yield [f"  {text.size(file.size_bytes):>9}  {file.path}"]
    if len(shown.files) > _LARGEST:
        yield [
            f"  and {len(shown.files) - _LARGEST:,} more: reg ls -r {shown.info.version.model}@{shown.info.version.commit.short}"
        ]


def _on_loading(shown: Shown) -> Iterator[Line]:
    """What runs, which kind it is of, and what nobody looked at; never that the rest is harmless."""
    runs = [(file, mark) for file, mark in shown.marks() if mark.runs_code]
    unseen = [file for file, mark in shown.marks() if mark is OnLoad.NOT_LOOKED_AT]
    if runs:
        verb = "runs" if len(runs) == 1 else "run"
        yield [Styled(f"{text.count(len(runs), 'file')} {verb} code on loading:", "red")]
        yield from ([f"  {file.path} ({_MARKS[mark]})"] for file, mark in runs[:_LARGEST])
        if len(runs) > _LARGEST:
            yield [f"  and {len(runs) - _LARGEST:,} more"]
    if unseen:
        verb = "was" if len(unseen) == 1 else "were"
        yield [Styled(f"{text.count(len(unseen), 'file')} {verb} not looked at for pickles", "yellow")]
    if not runs and not unseen:
        yield ["no pickle found"]


_MARKS = {OnLoad.PICKLE: "a pickle", OnLoad.CODE: "code in a configuration of Keras", OnLoad.SEALED: "cannot be looked into"}
SHOW = View(_document, _human, lambda shown: [shown.info.version.commit.hex])
