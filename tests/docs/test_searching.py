"""docs/searching.md: its conditions are ones, and its Python does what it says."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from cas_registry.errors import InvalidInputError
from cas_registry.model.rules import MAX_CONDITION_BYTES
from cas_registry.query import parse_condition, parse_order
from cas_registry.query.condition import Operator
from cas_registry.query.fields import FIELDS, GROUPS, parse_field
from cas_registry.query.parsing import MAX_DEPTH, MAX_PARTS
from cas_registry.registry import Registry, init_registry
from tests.support.folders import File, write_folder
from tests.support.simulated import make_world

TEXT = (Path(__file__).parents[2] / "docs" / "searching.md").read_text(encoding="utf-8")
LINES = [
    line
    for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("reg search")
]


@pytest.mark.parametrize("line", LINES)
def test_the_commands_hold_conditions_and_orders(line: str) -> None:
    words = shlex.split(line)[2:]
    if not words[0].startswith("-"):
        parse_condition(words[0])
    for option, value in pairwise(words):
        if option == "--sort":
            parse_order(value)
        if option == "--columns":
            for name in value.split(","):
                parse_field(name)


def test_every_field_operator_and_limit_is_named() -> None:
    for name in (*FIELDS, *(f"{group}." for group in GROUPS), *(operator.value for operator in Operator)):
        assert f"`{name}" in TEXT, name
    assert f"at most {MAX_CONDITION_BYTES:,} bytes, {MAX_PARTS} comparisons and {MAX_DEPTH} parentheses" in TEXT


def test_the_mistake_is_shown_as_it_is() -> None:
    (shown,) = re.findall(r"```text\nerror: (.*?)\n```", TEXT, re.DOTALL)
    with pytest.raises(InvalidInputError) as caught:
        parse_condition("tag = prod and auther = ana")
    assert caught.value.message == shown


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "registry"
    place.mkdir()
    registry = init_registry(place, make_world(tmp_path / "cache"))
    write_folder(tmp_path / "work", {"model.safetensors": File(b"weights")})
    registry.model("fraud").commit(tmp_path / "work", metrics={"auc": 0.95}, tags=["prod"])
    monkeypatch.chdir(tmp_path / "work")

    class Stub:
        @staticmethod
        def open(_: str) -> Registry:
            return registry

    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, object] = {"reg": Stub}
    exec(code, names)
    assert len(names["found"]) == 1  # type: ignore[arg-type]
    assert "0.95" in Path("found.csv").read_text()
