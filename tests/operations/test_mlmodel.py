"""Signatures of MLflow's MLmodel files."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.model.canonical import encode
from cas_registry.model.schema import Column, Schema, decode_schema, schema_value
from cas_registry.operations.mlmodel import read_signature

# As mlflow 3 writes it.
SKLEARN = """
artifact_path: model
flavors:
  python_function: {loader_module: mlflow.sklearn, python_version: 3.12.1}
mlflow_version: 3.1.0
signature:
  inputs: '[{"type": "double", "name": "amount", "required": true}, {"type": "string", "name": "country", "required": false}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]'
  params: '[{"name": "top_k", "default": 5, "shape": null, "type": "long"}, {"name": "bias", "default": [0.1], "shape": [-1], "type": "double"}]'
"""
NESTED = """
signature:
  inputs: '[{"name": "messages", "type": "array", "items": {"type": "object", "properties": {"role": {"type": "string", "required": true}, "at": {"type": "datetime", "required": false}}}, "required": true}]'
  outputs: '[{"name": "scores", "type": "map", "values": {"type": "float"}}]'
"""


def test_columns_tensors_and_params() -> None:
    assert read_signature(SKLEARN) == Schema(
        inputs=(Column("amount", "double"), Column("country", "string")),
        outputs=(Column(None, "int64", (None,)),),
        params=(Column("top_k", "long"), Column("bias", "double", (None,))),
    )


def test_types_within_types() -> None:
    found = read_signature(NESTED)
    assert found == Schema(
        (Column("messages", "array<struct<at?: datetime, role: string>>"),), (Column("scores", "map<string, float>"),)
    )


@pytest.mark.parametrize(
    "text",
    [
        "", "flavors: {}", "signature:", "signature: 7", "signature: {inputs: null}", "signature: {inputs: 'no json'}", "signature: {inputs: '7'}",
        "signature: {inputs: '[7]'}", "signature: {inputs: '[{}]'}", "signature: {inputs: '[{\"tensor-spec\": {}}]'}", "[", "a: &a [*a]",
        'signature: {inputs: \'[{"type": "array", "items": 3}]\'}',
        'signature: {inputs: \'[{"type": "object", "properties": []}]\'}',
        'signature: {inputs: \'[{"tensor-spec": {"dtype": "f", "shape": [1.5]}}]\'}',
        f"signature: {{inputs: '{json.dumps([{'type': 'double'}] * 10_001)}'}}",
    ],
)  # fmt: skip
def test_what_is_malformed_is_no_signature(text: str) -> None:
    assert read_signature(text) is None


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 10**20)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["\ud800", "n" * 1025, "array"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "name", "tensor-spec", "dtype", "shape", "items", "properties", "required"]), inner
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_signature_is_a_schema_or_none(value: object) -> None:
    for part in (value, json.dumps(value)):
        text = json.dumps({"signature": {"inputs": part}})
        found = read_signature(text)
        assert found is None or decode_schema(schema_value(found)) == found
        assert found is None or encode(schema_value(found))
