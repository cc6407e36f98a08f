"""The click classes behind `reg`: a group that imports a verb's module when the verb is used, and verbs with examples."""

import difflib
import functools
import importlib
import inspect
import keyword
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from cas_registry.cli.failures import exit_code_of, wants_json


@dataclass(frozen=True, slots=True)
class VerbGroup:
    """A section of `reg --help`: verb -> (module that defines it under its own name, one line of help)."""

    title: str
    verbs: Mapping[str, tuple[str, str]]


class GlobalOption(click.Option):
    """An option that every verb takes, before and after its name."""


class RegGroup(click.Group):
    """Verbs by table. Errors of all kinds end in one line and the exit status of `errors.py`."""

    def __init__(self, *args: Any, table: Sequence[VerbGroup], **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self._table = table
        self._verbs = {name: entry for group in table for name, entry in group.verbs.items()}

    def main(self, args: Sequence[str] | None = None, *more: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        run = functools.partial(super().main, args, *more, standalone_mode=False, **extra)
        if not standalone_mode:
            return run()
        raise SystemExit(exit_code_of(run, json=wants_json(args)))

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in self._verbs:
            return None
        attribute = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        command: click.Command = getattr(importlib.import_module(self._verbs[cmd_name][0]), attribute)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self._verbs and not name.startswith("-") and not ctx.resilient_parsing:
            near = difflib.get_close_matches(name, self._verbs, n=1)
            advice = f"did you mean {near[0]!r}?" if near else "reg --help lists the verbs"
            raise click.UsageError(f"there is no verb {name!r}; {advice}", ctx)
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        for group in self._table:
            with formatter.section(group.title):
                formatter.write_dl([(name, line) for name, (_, line) in group.verbs.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        verbs = [CompletionItem(name, help=line) for name, (_, line) in self._verbs.items() if name.startswith(incomplete)]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)


class Verb(click.Command):
    """A command whose help ends with examples and the global options."""

    def __init__(self, *args: Any, examples: str, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.examples = inspect.cleandoc(examples).splitlines()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_options(self, ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Examples"):
            for line in self.examples:
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


def _write_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    own: list[tuple[str, str]] = []
    everywhere: list[tuple[str, str]] = []
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if isinstance(parameter, click.Option) and record is not None:
            (everywhere if isinstance(parameter, GlobalOption) else own).append(record)
    for title, records in (("Options", own), ("Options of every verb", everywhere)):
        if records:
            with formatter.section(title):
                formatter.write_dl(records)
