"""Types in a schema of skops."""

import json

import pytest

from cas_registry.formats.skops_schema import own_types


def test_parts_of_estimators_are_found_wherever_they_are_and_nothing_else() -> None:
    deep: object = {"__module__": "sklearn.tree._tree", "__class__": "Tree"}
    for _ in range(400):
        deep = {"content": [deep]}
    others = [
        {"__module__": "os", "__class__": "System"},
        {"__module__": "sklearn.utils", "__class__": "_safe"},
        {"__class__": "Tree"},
    ]
    schema = {"content": {"a": deep, "b": {"__module__": "numpy", "__class__": "dtype"}, "c": others}}
    assert own_types(json.dumps(schema).encode()) == ["numpy.dtype", "sklearn.tree._tree.Tree"]


@pytest.mark.parametrize("text", [b"", b"{", b"\xff"])
def test_what_is_no_json(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        own_types(text)
