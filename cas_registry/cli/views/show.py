"""`reg show`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cas_registry.cli import text
from cas_registry.cli.output import Cell, Document, Line, Paper, Styled, Table, View
from cas_registry.cli.views.card import card_fields, field_text
from cas_registry.cli.views.fields import input_fields, input_text, names_of, time_fields
from cas_registry.cli.views.notes import note_fields, note_lines
from cas_registry.model.canonical import Scalar
from cas_registry.model.commit import Commit
from cas_registry.model.on_load import OnLoad
from cas_registry.registry import Card, Column, FileInfo, Manifest, NoteRecord, SavedObject, Schema, VersionInfo

_LARGEST = 8
_CARD_FIELDS = (
    "license",
    "pipeline_tag",
    "library_name",
    "language",
    "tags",
    "base_model",
)  # shown of a card; reg card shows all


@dataclass(frozen=True, slots=True)
class Shown:
    """A version with its files, its card, what was said of it later, and the objects that were saved into it; `packages` and `code_diff` say
    whether those are wanted whole."""

    info: VersionInfo
    files: list[FileInfo]
    card: Card | None = None
    notes: Sequence[NoteRecord] = ()
    manifest: Manifest | None = None
    packages: bool = False
    code_diff: bool = False

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
        "code": dict(commit.code),
        "environment": dict(commit.environment),
        "packages": dict(commit.packages),
        "inputs": [input_fields(item) for item in commit.inputs],
        "schema": _schema_fields(commit.schema) if commit.schema else None,
        "card": card_fields(shown.card) if shown.card else None,
        "notes": [note_fields(note) for note in shown.notes],
        "objects": {name: _object_fields(found) for name, found in shown.manifest.objects.items()} if shown.manifest else {},
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
    """The sections one after another: who and when, what its makers said, where it comes from, what it is, its files."""
    commit = shown.info.commit
    yield from _head(shown, paper)
    for title, values in (("labels", commit.labels), ("params", commit.params), ("metrics", commit.metrics)):
        yield from _scalars(title, values)
    yield from _scalars("framework", commit.framework)
    yield from _origin(shown, commit)
    if commit.schema:
        yield from _schema(commit.schema)
    if shown.manifest:
        yield from _objects(shown.manifest)
    if shown.card:
        yield from _card(shown.card)
    for note in shown.notes:
        yield [""]
        yield from note_lines(note, paper)
    yield [""]
    yield from _files(shown)
    if shown.files:
        yield from _on_loading(shown)


def _head(shown: Shown, paper: Paper) -> Iterator[Line]:
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


def _scalars(title: str, values: Mapping[str, Scalar]) -> Iterator[Line | Table]:
    if values:
        yield [""]
        yield Table([title, "value"], [(name, text.value(found)) for name, found in values.items()])


def _origin(shown: Shown, commit: Commit) -> Iterator[Line | Table]:
    """Code, environment and packages, in a line each."""
    code, around = _code_text(commit.code), _environment_text(commit.environment)
    packages = [text.count(len(commit.packages), "package")] if commit.packages else []
    if code or around or packages:
        yield [""]
    if code:
        yield [Styled("code    ", "dim"), code]
    if around or packages:
        advice = " (--packages lists them)" if packages and not shown.packages else ""
        yield [Styled("env     ", "dim"), "; ".join([part for part in [around] if part] + packages), Styled(advice, "dim")]
    if shown.packages:
        yield from _scalars("package", commit.packages)
    diff = commit.code.get("diff")
    if isinstance(diff, str) and shown.code_diff:
        yield [""]
        yield from ([line] for line in diff.splitlines())


def _code_text(code: Mapping[str, Scalar]) -> str:
    """`train.py at 8f3a91c2d4e5 (main, with changes) of https://…`."""
    parts = [str(code["entry_point"])] if code.get("entry_point") else []
    if commit := code.get("commit"):
        branch = [str(code["branch"])] if code.get("branch") else []
        changes = ["with changes"] if code.get("dirty") else []
        told = f" ({', '.join(branch + changes)})" if branch or changes else ""
        parts.append(f"{'at ' if parts else ''}{str(commit)[:12]}{told}")
    if repository := code.get("repository"):
        parts.append(f"of {repository}")
    if code.get("diff"):
        parts.append(f"and {text.size(len(str(code['diff']).encode()))} that are in no commit (--code-diff prints them)")
    return " ".join(parts)


def _environment_text(found: Mapping[str, Scalar]) -> str:
    """`Python 3.12.3, Linux 6.8 x86_64, AMD EPYC, 8 CPUs, 33.0 GB, docker; NVIDIA A100 x 2`, and what else there is by its name."""
    known = dict(found)
    known.pop("distribution", None)
    system = " ".join(str(part) for part in (known.pop("os", None), known.pop("machine", None)) if part)
    python, implementation = known.pop("python", None), known.pop("implementation", None)
    cpus, memory = known.pop("cpu_count", None), known.pop("memory_bytes", None)
    gpus = [str(known.pop(name)) for name in found if name.startswith("gpu.")]
    parts = [
        f"{'Python' if implementation in {None, 'CPython'} else implementation} {python}" if python else "",
        system,
        str(known.pop("cpu", None) or ""),
        text.count(cpus, "CPU") if isinstance(cpus, int) else "",
        text.size(memory) if isinstance(memory, int) else "",
        *(f"{name} x {gpus.count(name)}" if gpus.count(name) > 1 else name for name in dict.fromkeys(gpus)),
        str(known.pop("container", None) or ""),
        *(f"{name} {text.value(value)}" for name, value in known.items()),
    ]
    return ", ".join(part for part in parts if part)


def _schema(schema: Schema) -> Iterator[Line | Table]:
    rows: list[list[Cell]] = [
        [side, column.name or "-", _type_text(column)]
        for side, columns in (("in", schema.inputs), ("out", schema.outputs), ("param", schema.params))
        for column in columns
    ]
    yield [""]
    yield Table(["schema", "name", "type"], rows)


def _schema_fields(schema: Schema) -> dict[str, object]:
    return {
        side: [
            {"name": column.name, "dtype": column.dtype, "shape": None if column.shape is None else list(column.shape)}
            for column in columns
        ]
        for side, columns in (("inputs", schema.inputs), ("outputs", schema.outputs), ("params", schema.params))
    }


def _objects(manifest: Manifest) -> Iterator[Line | Table]:
    """What was saved, by what, and whether loading it needs a pickle to be run."""
    yield [""]
    yield Table(
        ["object", "class", "saved by", "loading"],
        [
            [
                name,
                found.kind,
                f"{found.adapter} ({found.format})",
                Styled("needs allow_pickle", "red") if found.needs_pickle else "as data",
            ]
            for name, found in manifest.objects.items()
        ],
    )


def _object_fields(found: SavedObject) -> dict[str, object]:
    return {
        "class": found.kind,
        "adapter": found.adapter,
        "format": found.format,
        "needs_pickle": found.needs_pickle,
        "trust": list(found.trust),
        "files": list(found.paths),
        "versions": dict(found.versions),
    }


def _type_text(column: Column) -> str:
    """`float32[?, 784]`."""
    if column.shape is None:
        return column.dtype
    return f"{column.dtype}[{', '.join('?' if size is None else str(size) for size in column.shape)}]"


def _card(card: Card) -> Iterator[Line]:
    """What stands in the card, in a line or two."""
    yield [""]
    known = [f"{name} {field_text(value)}" for name in _CARD_FIELDS if (value := card.metadata.get(name))]
    more = len([name for name, value in card.metadata.items() if value and name not in _CARD_FIELDS])
    title = [f'"{card.title}"'] if card.title else []
    rest = [f"{text.count(more, 'more field')}"] if more else []
    yield [Styled("card    ", "dim"), "; ".join([card.path, *title, *known, *rest])]
    if card.problem:
        yield [Styled(f"        its front matter cannot be read: {card.problem}", "yellow")]


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
