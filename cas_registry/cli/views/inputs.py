"""`reg inputs`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cas_registry.cli.output import Cell, Document, Line, Paper, Styled, Table, View
from cas_registry.cli.views.fields import input_fields, name_of
from cas_registry.model.inputs import Input
from cas_registry.operations.check_inputs import InputCheck, InputState
from cas_registry.registry import Version

_STYLES = {
    InputState.SAME: "green",
    InputState.CHANGED: "red",
    InputState.MISSING: "red",
    InputState.UNPINNED: "yellow",
    InputState.UNCHECKED: "yellow",
}


@dataclass(frozen=True, slots=True)
class ShownInputs:
    """The inputs of a version, checked or not."""

    version: Version
    checks: Sequence[InputCheck]
    checked: bool

    @classmethod
    def unchecked(cls, version: Version, inputs: Sequence[Input]) -> "ShownInputs":
        """Inputs that nobody looked at."""
        return cls(version, [InputCheck(item, InputState.UNCHECKED) for item in inputs], checked=False)


def _document(shown: ShownInputs) -> Document:
    version = shown.version
    return {
        "model": version.model,
        "commit": version.commit.hex,
        "number": version.number,
        "checked": shown.checked,
        "inputs": [
            {
                **input_fields(check.input),
                "state": check.state.value if shown.checked else None,
                "found": check.found,
                "why": check.why or None,
            }
            for check in shown.checks
        ],
    }


def _human(shown: ShownInputs, _: Paper) -> Iterator[Line | Table]:
    version = shown.version
    name = name_of(version.model, version.number, version.commit)
    if not shown.checks:
        yield [*name, " says nothing of what it was made from"]
        return
    yield [*name, " was made from"]
    headers = ["input", "what", "digest"]
    if not shown.checked:
        yield Table(headers, [[check.input.name, *_place(check.input)] for check in shown.checks])
        return
    rows: list[list[Cell]] = [
        [Styled(check.state.value, _STYLES[check.state]), check.input.name, *_place(check.input), _found(check)]
        for check in shown.checks
    ]
    yield Table(["", *headers, "found"], rows)


def _place(item: Input) -> tuple[str, str]:
    if item.commit:
        return f"{item.model}@{item.commit.short}", "-"
    return item.uri or "-", item.digest or "-"


def _found(check: InputCheck) -> str:
    if check.state is InputState.SAME:
        return ""
    return check.found or check.why


INPUTS = View(_document, _human, lambda shown: [check.input.name for check in shown.checks])
