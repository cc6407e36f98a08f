"""Signatures as MLflow writes them: what is read back is what was meant, or there is none."""

import json

from hypothesis import given
from hypothesis import strategies as st

from cas_registry.model.schema import Column, Schema
from cas_registry.operations.exporting.mlflow_signature import signature_of
from cas_registry.operations.mlmodel import read_signature
from cas_registry.operations.yaml_text import dump_yaml

WORDS = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=8)
SCALARS = st.sampled_from(["boolean", "integer", "long", "float", "double", "string", "binary", "datetime"])


def _struct(fields: dict[str, str]) -> str:
    return f"struct<{', '.join(f'{name}: {kind}' for name, kind in sorted(fields.items()))}>"


TYPES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        inner.map(lambda kind: f"array<{kind}>"),
        inner.map(lambda kind: f"map<string, {kind}>"),
        st.dictionaries(WORDS, inner, min_size=1, max_size=3).map(_struct),
    ),
    max_leaves=4,
)
TABLES = st.lists(st.tuples(WORDS, TYPES), min_size=1, max_size=4, unique_by=lambda item: item[0]).map(
    lambda rows: tuple(Column(name, kind) for name, kind in rows)
)
SHAPES = st.lists(st.one_of(st.none(), st.integers(0, 1000)), max_size=4).map(tuple)
TENSORS = st.builds(lambda dtype, shape: (Column(None, dtype, shape),), st.sampled_from(["float32", "int64"]), SHAPES)
SIDES = st.one_of(TABLES, TENSORS)


@given(SIDES, SIDES)
def test_it_reads_back(inputs: tuple[Column, ...], outputs: tuple[Column, ...]) -> None:
    schema = Schema(inputs, outputs)
    assert read_signature(dump_yaml({"signature": signature_of(schema)})) == schema


def test_numpys_words_become_mlflows() -> None:
    signature = signature_of(Schema((Column("a", "float64"), Column("b", "int64"), Column("c", "object"))))
    assert signature is not None
    assert [row["type"] for row in json.loads(signature["inputs"] or "")] == ["double", "long", "string"]


@given(st.text(max_size=30))
def test_any_text_is_a_type_or_none(text: str) -> None:
    signature_of(Schema((Column("x", text),)))


def test_what_mlflow_cannot_say_is_not_said() -> None:
    for columns in (
        (Column("a", "complex128"),),
        (Column("a", "double"), Column("b", "float32", (None,))),
        (Column(None, "double"), Column("b", "double")),
        (Column("a", "array<double"),),
        (Column("a", "double>"),),
        (Column("a", "struct<x>"),),
        (Column("a", "array<" * 50 + "long" + ">" * 50),),
    ):
        assert signature_of(Schema(columns)) is None, columns
    assert signature_of(Schema(params=(Column("k", "long"),))) is None
