"""Revisions: how people name a version. `[MODEL@]REV[:PATH]`.

prod                  a tag or branch
main~2                two first parents back; main^ is main~1
main@{3}              where main stood three moves ago
main@{2026-11-01}     where main stood at the end of that day (UTC); also a full ISO time, or `yesterday`
v17                   the seventeenth version of the model's log
8f3a91c2              8 or more hex digits of a commit
fraud@prod:model.bin  of model `fraud`, the file `model.bin`
release:prod/fraud    the version of model `fraud` that release `prod` names; `release:prod/fraud@{1}` as it was one move back
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cas_registry.errors import InvalidInputError
from cas_registry.model.names import RELEASE, VERSION_NUMBER, check_model, check_path, check_ref

MIN_HEX_DIGITS = 8
MAX_REVISION_BYTES = 8192
MAX_STEPS = 10**9
MAX_STEP_DIGITS = 9

_SHAPE = re.compile(
    r"(?:(?P<model>[^@:{}]+)@(?!\{))?(?P<name>[^@:~^{}]+)(?:@\{(?P<at>[^{}]*)\})?(?P<steps>(?:~[0-9]{0,9}|\^)*)(?::(?P<path>.*))?",
    re.DOTALL,
)
_RELEASED = re.compile(
    r"(?P<release>[^@:~^{}/]+)/(?P<model>[^@:~^{}/]+)(?:@\{(?P<at>[^{}]*)\})?(?P<steps>(?:~[0-9]{0,9}|\^)*)(?::(?P<path>.*))?",
    re.DOTALL,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HEX = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True, slots=True)
class Revision:
    """A parsed revision. `back` counts moves of the ref (`@{3}`), `as_of` is a time (`@{…}`), `steps` first parents (`~2`).

    With `release` it is the version of `model` that the release names; `name` is then no ref's.
    """

    name: str
    model: str | None = None
    back: int = 0
    as_of: str | None = None
    steps: int = 0
    path: str | None = None
    text: str = ""
    release: str | None = None

    @property
    def may_be_id(self) -> bool:
        """Whether the name could abbreviate a commit's id."""
        return bool(_HEX.fullmatch(self.name))

    @property
    def asked(self) -> str:
        """The revision without the model in front and the path behind, for remembering what a version was asked for by."""
        if self.release is not None:
            return RELEASE + self.text.removeprefix(RELEASE).partition(":")[0]
        return self.text.removeprefix(f"{self.model}@" if self.model else "").partition(":")[0]

    @property
    def number(self) -> int | None:
        """The version's number, where the name is one: `v17`."""
        match = VERSION_NUMBER.fullmatch(self.name)
        return int(match[1]) if match else None


def parse_revision(text: str) -> Revision:
    """The parts of a revision. Raises InvalidInputError (or HostileNameError for a name outside the grammar)."""
    if text.startswith(RELEASE) and "/" in text and len(text) <= MAX_REVISION_BYTES:
        return _parse_released(text)
    match = _SHAPE.fullmatch(text) if len(text) <= MAX_REVISION_BYTES else None
    if match is None:
        raise InvalidInputError(
            f"not a revision: {text[:80]!r}. Write [MODEL@]REV[:PATH] with REV a tag, a branch, main~2, main@{{3}}, "
            f"main@{{2026-11-01}}, v17, release:NAME/MODEL or {MIN_HEX_DIGITS} or more hex digits of a commit",
            revision=text[:80],
        )
    model, name, at, path = match["model"], match["name"], match["at"], match["path"]
    if model is not None:
        check_model(model)
    if not _HEX.fullmatch(name) and not VERSION_NUMBER.fullmatch(name):
        check_ref(name)
    back, as_of = _parse_at(at)
    return Revision(name, model, back, as_of, _count_steps(match["steps"]), _parse_path(path), text)


def parse_time(text: str, *, now_ms: int) -> int:
    """The time that an `@{…}` names, in milliseconds since 1970 UTC; a date alone means its last millisecond."""
    if text == "yesterday":
        return now_ms - 24 * 3600 * 1000
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInputError(
            f"not a time: {text[:40]!r}; write 2026-11-01, 2026-11-01T14:30, a number of moves, or yesterday"
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if re.fullmatch(r"\d{4}-?\d{2}-?\d{2}", text):
        moment += timedelta(days=1, milliseconds=-1)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _parse_released(text: str) -> Revision:
    match = _RELEASED.fullmatch(text, len(RELEASE))
    if match is None:
        raise InvalidInputError(
            f"not a version of a release: {text[:80]!r}. Write release:NAME/MODEL[:PATH]; a file of a branch called release is "
            "MODEL@release:PATH",
            revision=text[:80],
        )
    release, model = check_model(match["release"]), check_model(match["model"])
    back, as_of = _parse_at(match["at"])
    name = f"{RELEASE}{release}"
    return Revision(name, model, back, as_of, _count_steps(match["steps"]), _parse_path(match["path"]), text, release)


def _parse_path(path: str | None) -> str | None:
    path = path.strip("/") if path else None
    if path:
        check_path(path)
    return path or None


def _parse_at(at: str | None) -> tuple[int, str | None]:
    if at is None:
        return 0, None
    if at.isascii() and at.isdigit() and len(at) <= MAX_STEP_DIGITS:
        return int(at), None
    parse_time(at, now_ms=0)
    return 0, at


def _count_steps(steps: str) -> int:
    total = 0
    for step in re.findall(r"~[0-9]*|\^", steps):
        total += int(step[1:]) if len(step) > 1 else 1
    return min(total, MAX_STEPS)
