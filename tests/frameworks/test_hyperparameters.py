"""Hyper-parameters as flat scalars."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.frameworks.hyperparameters import MAX_PARAMS, MAX_TEXT, flat_params
from cas_registry.model.canonical import decode_scalars, encode_scalars


def test_scalars_stay_and_the_rest_becomes_text_or_goes() -> None:
    found = flat_params(
        {
            "lr": 0.1, "steps": 3, "name": "a", "on": True, "none": None, "np": np.float32(0.5), "zero": np.array(4), "layers": (3, 4),
            "kind": dict, "function": flat_params, "optimizer": {"beta": [0.9, 0.99], "inner": {"eps": 1e-8}}, "array": np.zeros(3),
            "object": object(), "long": list(range(100)), "mixed": [object()], "huge": 2**70,
        }
    )  # fmt: skip
    assert found == {
        "lr": 0.1, "steps": 3, "name": "a", "on": True, "none": None, "np": 0.5, "zero": 4, "layers": "(3, 4)", "kind": "builtins.dict",
        "function": "cas_registry.frameworks.hyperparameters.flat_params", "optimizer.beta": "[0.9, 0.99]", "optimizer.inner.eps": 1e-8,
        "huge": str(2**70),
    }  # fmt: skip


def test_bounds_hold() -> None:
    assert len(flat_params({f"p{number}": number for number in range(MAX_PARAMS + 5)})) == MAX_PARAMS
    assert len(flat_params({f"p{number}": {"a": 1, "b": 2} for number in range(MAX_PARAMS)})) == MAX_PARAMS
    found = flat_params({"text": "x" * (MAX_TEXT + 1), "n" * 300: 1})
    assert found == {"text": "x" * MAX_TEXT}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8")) | st.builds(object),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=3)
    ),
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1, max_size=5), VALUES, max_size=5))
def test_a_commit_holds_whatever_comes_out(values) -> None:
    found = flat_params(values)
    assert decode_scalars(encode_scalars(found, what="param"), what="param").keys() == found.keys()
