"""A model's signature, as a commit holds it."""

import pytest
from hypothesis import given

from cas_registry.errors import FormatError
from cas_registry.model.schema import MAX_COLUMN_DIMENSIONS, Schema, decode_schema, schema_value
from tests.support import strategies as make


@given(schema=make.schemas())
def test_a_schema_round_trips(schema: Schema) -> None:
    assert decode_schema(schema_value(schema)) == schema


COLUMNS = {
    "no list": "amount",
    "too short": ["amount", "double"],
    "no dtype": ["amount", None, None],
    "a name that is a number": [1, "double", None],
    "a shape that is a number": ["amount", "double", 3],
    "a negative size": ["amount", "double", [-1]],
    "a size that is text": ["amount", "double", ["3"]],
    "too many dimensions": ["amount", "double", [1] * (MAX_COLUMN_DIMENSIONS + 1)],
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_what_is_no_column_is_refused(column: object) -> None:
    with pytest.raises(FormatError):
        decode_schema({"inputs": [column], "outputs": [], "params": []})  # type: ignore[dict-item]


@pytest.mark.parametrize("value", [None, [], {}, {"inputs": [], "outputs": []}, {"inputs": {}, "outputs": [], "params": []}])
def test_what_is_no_schema_is_refused(value: object) -> None:
    with pytest.raises(FormatError):
        decode_schema(value)  # type: ignore[arg-type]
