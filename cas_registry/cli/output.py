"""How a result reaches standard output: one JSON document, lines for people, or the essential values alone.

A `View` says what to print of a value and prints nothing itself. Every string of it is made harmless here, on its way out, so
that no name or message from a registry reaches the terminal as a command.
"""

import json
import math
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import click

from cas_registry.cli.failures import color_on
from cas_registry.cli.options import Format
from cas_registry.cli.text import plain

T = TypeVar("T")
Document = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Styled:
    """Text with a style: `bold`, `dim`, or a colour."""

    text: str
    style: str


Cell = str | Styled
Line = Sequence[Cell]  # printed without anything between the cells


@dataclass(frozen=True, slots=True)
class Table:
    """Rows in columns; `right` names the columns to align to the right. The last column may be wrapped on a terminal."""

    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    right: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Markdown:
    """Prose: laid out on a terminal, as it stands elsewhere."""

    text: str


@dataclass(frozen=True, slots=True)
class Paper:
    """What the lines for people are written on."""

    now_ms: int
    unicode: bool = True


@dataclass(frozen=True, slots=True)
class View(Generic[T]):
    """The three faces of a value. `human` may be slow and lazy: its lines are printed as they come."""

    document: Callable[[T], Document]
    human: Callable[[T, Paper], Iterable[Line | Table | Markdown]]
    quiet: Callable[[T], Iterable[str]] = field(default=lambda _: ())


class Output:
    """Standard output in one format."""

    def __init__(self, chosen: Format, clock_ms: Callable[[], int]) -> None:
        self.format = chosen
        self._clock_ms = clock_ms
        for stream in (sys.stdout, sys.stderr):
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure:
                reconfigure(errors="backslashreplace")  # a name must not stop a listing on an ASCII terminal

    @property
    def is_human(self) -> bool:
        return self.format is Format.HUMAN

    def show(self, view: View[T], value: T) -> None:
        """Print a value in the chosen format."""
        match self.format:
            case Format.JSON:
                click.echo(json.dumps(_finite(view.document(value)), indent=2))
            case Format.QUIET:
                for text in view.quiet(value):
                    click.echo(plain(text))
            case Format.HUMAN:
                paper = Paper(self._clock_ms(), unicode="utf" in (getattr(sys.stdout, "encoding", None) or "").lower())
                color = color_on(sys.stdout)
                for item in view.human(value, paper):
                    click.echo(_render(item, color=color), color=color)

    def tell(self, view: View[T], value: T) -> None:
        """Print one of several values, as they come: in JSON, a line each."""
        if self.format is Format.JSON:
            click.echo(json.dumps(_finite(view.document(value))))
        else:
            self.show(view, value)
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """A remark beside the result: on standard error, for people only."""
        if self.is_human:
            click.echo(plain(text), err=True)


def _render(item: Line | Table | Markdown, *, color: bool) -> str:
    match item:
        case Table():
            return render_table(item, color=color)
        case Markdown():
            return render_markdown(item, color=color)
        case _:
            return render_line(item, color=color)


def render_line(line: Line, *, color: bool) -> str:
    """The cells of a line, one after another."""
    return "".join(_style(cell, color=color) for cell in line).rstrip()


def render_table(table: Table, *, color: bool) -> str:
    """A table without borders; as wide as it needs to be where nobody looks, folded to the width of a terminal."""
    from rich.table import Table as RichTable
    from rich.text import Text

    terminal = sys.stdout.isatty()
    rich_table = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    for position, header in enumerate(table.headers):
        last = position == len(table.headers) - 1
        rich_table.add_column(
            header,
            justify="right" if header in table.right else "left",
            no_wrap=not last,
            overflow="fold" if last else "ignore",
        )
    for row in table.rows:
        rich_table.add_row(*(_as_rich(Text, cell) for cell in row))
    return _print(rich_table, columns=shutil.get_terminal_size().columns if terminal else _UNLIMITED_COLUMNS, color=color)


def render_markdown(prose: Markdown, *, color: bool) -> str:
    """Prose for a terminal; its lines alone where nobody looks. Links show where they lead."""
    lines = [plain(line) for line in prose.text.splitlines()]
    if not sys.stdout.isatty():
        return "\n".join(lines)
    from rich.markdown import Markdown as RichMarkdown

    rendered = RichMarkdown("\n".join(lines), hyperlinks=False)
    return _print(rendered, columns=min(shutil.get_terminal_size().columns, _PROSE_COLUMNS), color=color)


_PROSE_COLUMNS = 100


def _print(item: Any, *, columns: int, color: bool) -> str:
    from rich.console import Console

    console = Console(
        width=columns,
        color_system="standard" if color else None,
        force_terminal=color,
        no_color=not color,
        markup=False,
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )
    with console.capture() as capture:
        console.print(item)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


_UNLIMITED_COLUMNS = 100_000


def _as_rich(text_class: Any, cell: Cell) -> Any:
    return text_class(plain(cell.text), style=cell.style) if isinstance(cell, Styled) else text_class(plain(cell))


def _style(cell: Cell, *, color: bool) -> str:
    if isinstance(cell, str) or not color:
        return plain(cell if isinstance(cell, str) else cell.text)
    if cell.style in {"bold", "dim"}:
        return click.style(plain(cell.text), bold=cell.style == "bold" or None, dim=cell.style == "dim" or None)
    return click.style(plain(cell.text), fg=cell.style)


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinities: they become text."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
