"""Configurations that bring code, and those that do not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.formats.keras_config import brings_code


def layer(name: str, module: str | None = "keras.layers", **config: object) -> dict[str, object]:
    return {"class_name": name, "module": module, "config": config, "registered_name": None}


def model(*layers: object) -> bytes:
    return json.dumps(layer("Sequential", "keras", layers=layers)).encode()


CODE = {
    "a lambda of keras 3": model(layer("Lambda", function={"class_name": "__lambda__", "config": {"code": "4wEA"}})),
    "a lambda of keras 2": json.dumps({"class_name": "Lambda", "config": {"function": ["4wEA", None, None], "function_type": "lambda"}}).encode(),
    "a module from elsewhere": model(layer("function", "os", config="system")),
    "the same in escapes": model(layer("Lambda")).replace(b"Lambda", b"\\u004cambda").replace(b"class_name", b"cl\\u0061ss_name"),
    "the same in UTF-16": model(layer("Lambda")).decode().encode("utf-16"),
    "a registered lambda": model(layer("mine>Lambda")),
}  # fmt: skip


@pytest.mark.parametrize("text", CODE.values(), ids=CODE)
def test_code_is_seen(text: bytes) -> None:
    assert brings_code(text)


@pytest.mark.parametrize(
    "text",
    [model(layer("Dense", units=3, activation="relu")), b"{}", b'{"class_name": 3}', b'{"layers": 2}', b"{", b'{"module": "os"}', model(layer("f", "builtins"))],
)  # fmt: skip
def test_ordinary_configurations_bring_none(text: bytes) -> None:
    assert not brings_code(text)


@given(st.binary())
def test_random_bytes_never_raise(data: bytes) -> None:
    assert not brings_code(b'{"class_name":' + data)
