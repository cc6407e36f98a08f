"""From whatever goes wrong to one clear line on standard error and an exit status."""

import errno
import json as json_module
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from cas_registry.cli.text import plain
from cas_registry.errors import RegistryError
from cas_registry.redaction import redact

USAGE = 2
INTERNAL = 70  # EX_SOFTWARE
INTERRUPTED = 130  # 128 + SIGINT
PIPE_CLOSED = 141  # 128 + SIGPIPE


class _InterruptedError(Exception):
    """Ctrl-C, told apart before click echoes it."""


class _PipeClosedError(Exception):
    """Whoever read our output has gone, as `head` does."""


def guarded(action: Callable[[], int | None], explain: Callable[[RegistryError], RegistryError]) -> int:
    """Run a verb and flush what it printed; `explain` may improve an error's message."""
    try:
        code = action()
        sys.stdout.flush()
    except RegistryError as error:
        raise explain(error) from error
    except KeyboardInterrupt as error:
        raise _InterruptedError from error
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise _PipeClosedError from error
        raise
    return code or 0


def exit_code_of(action: Callable[[], object], *, json: bool) -> int:
    """Run the whole program; print what went wrong, as JSON if `json`, and return the exit status."""
    try:
        code = action()
    except _PipeClosedError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at exit
        return PIPE_CLOSED
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last seam: no traceback reaches a user unasked
        if os.environ.get("REG_TRACEBACK"):
            import traceback

            click.echo(redact(traceback.format_exc()), err=True)
        failure = _describe(error)
        _print(failure, json=json)
        if isinstance(error, click.UsageError) and error.ctx and not json:
            click.echo(f"{error.ctx.get_usage()}\nTry {error.ctx.command_path} --help", err=True)
        return failure.exit_code
    return code if isinstance(code, int) else 0


def wants_json(arguments: Sequence[str] | None) -> bool:
    """Whether the command line asks for JSON, for errors that come before it is understood."""
    json = False
    words = list(sys.argv[1:] if arguments is None else arguments)
    for word, following in zip(words, [*words[1:], ""], strict=False):
        if word == "--":
            break
        chosen = following if word == "--format" else word.removeprefix("--format=") if word.startswith("--format=") else None
        if word in {"--json", "-q", "--quiet"} or chosen is not None:
            json = word == "--json" or chosen == "json"
    return json


@dataclass(frozen=True, slots=True)
class _Failure:
    code: str
    message: str
    exit_code: int
    fields: Mapping[str, object] = field(default_factory=dict)


def _describe(error: BaseException) -> _Failure:
    match error:
        case RegistryError():
            return _Failure(error.code, error.message, error.exit_code, error.fields)
        case click.ClickException():
            return _Failure("usage", error.format_message(), USAGE)
        case _InterruptedError() | KeyboardInterrupt() | click.Abort():
            return _Failure("interrupted", "interrupted", INTERRUPTED)
        case _:
            pass
    message = (
        f"{type(error).__name__}: {error}. This is a bug in cas_registry: please report it with what the same command prints under "
        "REG_TRACEBACK=1"
    )
    return _Failure("internal", message, INTERNAL)


def _print(failure: _Failure, *, json: bool) -> None:
    message = redact(failure.message)
    if json:
        fields = {name: _as_json(value) for name, value in failure.fields.items()}
        error = {"code": failure.code, "message": message, "exit_code": failure.exit_code, "fields": fields}
        click.echo(json_module.dumps({"error": error}, indent=2), err=True)
        return
    color = color_on(sys.stderr)
    label = click.style("error:", fg="red", bold=True) if color else "error:"
    click.echo(f"{label} {_told(message, failure.fields)}", err=True, color=color)


def _told(message: str, fields: Mapping[str, object]) -> str:
    """One line; of a mistake in a condition three, of which the last points at it."""
    return "\n".join(map(plain, message.split("\n"))) if "condition" in fields else plain(message)


def color_on(stream: Any) -> bool:
    """Whether colours may go to this stream: a terminal, and nobody said NO_COLOR."""
    return bool(stream.isatty()) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _as_json(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [_as_json(item) for item in value]
    return redact(str(value))
