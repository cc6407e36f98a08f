"""Configurations of Keras models (https://keras.io/api/models/model_saving_apis/model_config_serialization/): whether they bring code.

A `Lambda` layer holds the marshalled code of a function; any other object is looked up by the name of its module, which is imported.
"""

import json
import re

MAX_CONFIG_BYTES = 8 << 20  # some hundred layers take a MiB
_SIGNS = re.compile(
    rb"class_name|function_type|\\u00(?:[46][0-9a-fA-F]|[57][0-9aA]|5[fF])"
)  # letters written as numbers: by whom?
_LAMBDAS = ("Lambda", "__lambda__")
_OWN = (
    "builtins",
    "keras",
    "keras_core",
    "keras_cv",
    "keras_hub",
    "keras_nlp",
    "tensorflow",
    "tf_keras",
)  # imported by who loads it


def brings_code(text: bytes) -> bool:
    """Whether a JSON text describes an object that is code, or that stands in a module from elsewhere. False for what is not JSON.

    Raises RecursionError for what is nested without end.
    """
    if b"\0" not in text[:4] and not _SIGNS.search(text):  # zeros: UTF-16 or UTF-32, which is JSON too
        return False
    try:
        pending: list[object] = [json.loads(text)]
    except ValueError:
        return False
    while pending:
        match pending.pop():
            case dict() as value:
                if _is_code(value):
                    return True
                pending += value.values()
            case list() as values:
                pending += values
            case _:
                pass
    return False


def _is_code(value: dict[str, object]) -> bool:
    if value.get("function_type") == "lambda":
        return True
    name, module = value.get("class_name"), value.get("module")
    if not isinstance(name, str):
        return False
    return name.rpartition(">")[2] in _LAMBDAS or (isinstance(module, str) and module.partition(".")[0] not in _OWN)
