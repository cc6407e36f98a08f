"""The options that every verb takes, before its name or after it; what stands after the verb wins."""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

import click

from cas_registry.cli.failures import USAGE, guarded
from cas_registry.cli.group import GlobalOption, Verb

F = TypeVar("F", bound=Callable[..., Any])
Scalar = str | int | float | bool | None


class Format(StrEnum):
    HUMAN = "human"
    JSON = "json"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Choices:
    """The global options as they were given in one place."""

    registry: str | None = None
    model: str | None = None
    storage_options: Mapping[str, Any] = field(default_factory=dict)
    format: Format | None = None
    offline: bool = False

    def over(self, outer: "Choices") -> "Choices":
        """These, and the outer ones where nothing was said."""
        return Choices(
            self.registry or outer.registry,
            self.model or outer.model,
            {**outer.storage_options, **self.storage_options},
            self.format or outer.format,
            self.offline or outer.offline,
        )


def verb(*, examples: str) -> Callable[[Callable[..., int | None]], Verb]:
    """Make a command of a function whose first argument is the `Session`. It returns its exit status, or None for 0."""

    def decorate(function: Callable[..., int | None]) -> Verb:
        @functools.wraps(function)
        def run(**values: Any) -> int:
            from cas_registry.cli.session import Session

            outer = click.get_current_context().find_object(Choices) or Choices()
            session = Session(_take_choices(values).over(outer))
            return guarded(lambda: session.run(lambda: function(session, **values)), session.explain)

        return click.command(function.__name__.removesuffix("_"), cls=Verb, examples=examples)(_with_options(run))

    return decorate


def global_options(function: Callable[[], None]) -> Callable[..., None]:
    """For the group itself: keep what is given before the verb."""

    @functools.wraps(function)
    def run(**values: Any) -> None:
        context = click.get_current_context()
        context.obj = choices = _take_choices(values)
        if context.invoked_subcommand is None:
            if choices.format is Format.JSON:
                raise click.UsageError("no verb was given; reg --help lists them", context)
            click.echo(context.get_help(), err=True)
            context.exit(USAGE)

    return _with_options(run)


def parse_pairs(_: click.Context, parameter: click.Parameter, pairs: tuple[str, ...]) -> dict[str, Scalar]:
    """A click callback: `k=v` options as a mapping."""
    found: dict[str, Scalar] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            raise click.BadParameter(f"write NAME=VALUE, not {pair!r}", param=parameter)
        found[name] = parse_value(text)
    return found


def parse_value(text: str) -> Scalar:
    """An integer, a float, true, false or null as such; anything else, and integers beyond 64 bits, as text.

    Text in double quotes is text whatever it looks like: `"1"`.
    """
    if text in _WORDS:
        return _WORDS[text]
    try:
        value = json.loads(text)
    except ValueError:
        return _parse_float(text)
    if isinstance(value, int) and abs(value) >= 2**63:
        return text
    return value if isinstance(value, str | int | float) else text


_WORDS: Mapping[str, Scalar] = {"true": True, "false": False, "null": None}


def _parse_float(text: str) -> str | float:
    """`1.`, `.5` and `+3e5` are floats too, though not JSON's; `1_000`, `nan` and `007` are not."""
    digits = text.lstrip("+-")
    if not digits or digits.strip("0123456789.eE+-") or not any(mark in digits for mark in ".eE"):
        return text
    try:
        return float(text)
    except ValueError:
        return text


_SPANS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def parse_span(_: click.Context, parameter: click.Parameter, text: str) -> float:
    """A click callback: `90s`, `12h`, `7d`, `2w` or `0` in seconds."""
    digits, unit = (text[:-1], text[-1:]) if text[-1:] in _SPANS else (text, "")
    if not digits.isdecimal() or not digits.isascii() or (not unit and int(digits)):
        raise click.BadParameter(f"write a number with s, m, h, d or w, such as 12h, not {text!r}", param=parameter)
    return float(int(digits) * _SPANS.get(unit, 1))


timeout = click.option(
    "--timeout",
    "timeout_s",
    metavar="SPAN",
    default="5m",
    callback=parse_span,
    show_default=True,
    help="How long CMD may take.",
)
_DEPLOYING = (
    click.option(
        "--keep", metavar="N", type=click.IntRange(min=2), default=2, show_default=True, help="How many versions stay in DIR."
    ),
    click.option(
        "--cache/--no-cache",
        default=True,
        help="Keep large files of a remote registry on this machine, and copy them from there.",
    ),
    click.option("--link", is_flag=True, help="Link large files to the cache instead of copying them: read-only."),
    click.option("--verify/--no-verify", default=None, help="Deploy only what verifies, as by reg verify.  [env: REG_VERIFY]"),
)


def deploying(function: F) -> F:
    """How the verbs that deploy keep and fetch versions: `keep`, `cache`, `link` and `verify`."""
    return _with(_DEPLOYING, function)


def parse_storage(_: click.Context, parameter: click.Parameter, pairs: tuple[str, ...]) -> dict[str, Any]:
    """A click callback: options of fsspec's file systems, which may be JSON, as a mapping; no message shows one."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            raise click.BadParameter("write NAME=VALUE", param=parameter)  # the value may be a secret
        try:
            found[name] = json.loads(text) if text[:1] in {"{", "["} else parse_value(text)
        except ValueError as error:
            raise click.BadParameter(f"the value of {name} is not JSON: {error}", param=parameter) from error
    return found


def _with_options(function: F) -> F:
    return _with(_OPTIONS, function)


def _with(options: Sequence[Callable[[F], F]], function: F) -> F:
    for option in reversed(options):
        function = option(function)
    return function


_OPTIONS = (
    click.option("-R", "--registry", metavar="URL", cls=GlobalOption, help="The registry.  [env: REG_REGISTRY]"),
    click.option("-M", "--model", metavar="NAME", cls=GlobalOption, help="The model.  [env: REG_MODEL]"),
    click.option(
        "--storage-option",
        "storage_options",
        metavar="K=V",
        multiple=True,
        cls=GlobalOption,
        callback=parse_storage,
        help="An option of fsspec's file system, such as profile=lab. May be repeated; secrets are never stored.",
    ),
    click.option(
        "--offline",
        is_flag=True,
        cls=GlobalOption,
        help="Ask a remote registry for nothing: answer from what this machine has seen of it.  [env: REG_OFFLINE]",
    ),
    click.option(
        "--format",
        "output_format",
        type=click.Choice(["auto", "human", "json", "quiet"]),
        cls=GlobalOption,
        help="How to print; auto is human.",
    ),
    click.option("--json", "as_json", is_flag=True, cls=GlobalOption, help="Short for --format json."),
    click.option("-q", "--quiet", is_flag=True, cls=GlobalOption, help="Short for --format quiet."),
)


def _take_choices(values: dict[str, Any]) -> Choices:
    named, as_json, quiet = values.pop("output_format"), values.pop("as_json"), values.pop("quiet")
    wanted = {Format.JSON} if as_json else set()
    wanted |= {Format.QUIET} if quiet else set()
    wanted |= {Format.HUMAN if named == "auto" else Format(named)} if named else set()
    if len(wanted) > 1:
        raise click.UsageError(f"choose one format: {' or '.join(sorted(wanted))}", click.get_current_context())
    chosen = wanted.pop() if wanted else None
    return Choices(
        values.pop("registry"), values.pop("model"), values.pop("storage_options"), chosen, offline=values.pop("offline")
    )
