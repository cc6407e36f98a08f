"""Modules of TensorFlow, and checkpoints of several (`tf.train.Checkpoint`): their variables as safetensors, by where they stand.

The class is not stored, and no graph: who loads gives a module to fill (`into`). A program that runs without the class is a SavedModel, which
`options={"adapter": "saved-model"}` writes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cas_registry.errors import InvalidInputError
from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.trees import read_tree, write_tree
from cas_registry.frameworks.trusted import full_name
from cas_registry.model.manifest import SavedObject

CHECKPOINT = "tensorflow.python.checkpoint.checkpoint:Checkpoint"
_STEM = "variables"
_INSTEAD = 'a SavedModel holds it: save(..., options={"adapter": "saved-model"})'
_MAX_TOLD = 5  # names that an error lists


def _matches(obj: object) -> bool:
    return is_a(obj, "tensorflow:Module", CHECKPOINT)


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    del options
    variables = _variables(obj)
    if not variables:
        raise InvalidInputError(
            f"this {type(obj).__name__} has no variables; one that makes them when it is called has to be called first"
        )
    write_tree({name: variable.numpy() for name, variable in variables.items()}, folder, _STEM)
    parameters = sum(int(variable.shape.num_elements() or 0) for variable in variables.values() if variable.trainable)
    return Saved("safetensors", {"class": full_name(type(obj))}, {"parameters": parameters})


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    target = options.more.get("into")
    if target is None:
        raise InvalidInputError(f'give a {stored.details.get("class")} to fill, as in load(..., options={{"into": Net()}})')
    values = read_tree(folder, _STEM)
    variables = _variables(target)
    if not isinstance(values, dict) or values.keys() != variables.keys():
        differing = sorted(set(values) ^ variables.keys())
        raise InvalidInputError(
            f"the variables do not fit into this {type(target).__name__}: {', '.join(differing[:_MAX_TOLD])} are in one of the two only (what "
            f"makes its variables when it is called has to be called first)"
        )
    for name, variable in variables.items():  # before the first is filled
        if variable.dtype.name != values[name].dtype.name or not variable.shape.is_compatible_with(values[name].shape):
            raise InvalidInputError(
                f"the variables do not fit into this {type(target).__name__}: {name} is {variable.dtype.name}{list(variable.shape)}, not "
                f"{values[name].dtype.name}{list(values[name].shape)}",
                path=name,
            )
    for name, variable in variables.items():
        variable.assign(values[name])
    return target


def _variables(root: Any) -> dict[str, Any]:
    """Every variable below, by the first path that leads to it: the shortest, of those the first by name. InvalidInputError for what has a state that
    is no variable of numbers."""
    import tensorflow as tf

    view = tf.train.TrackableView(root)
    found: dict[str, Any] = {}
    seen = {id(root)}
    level: list[tuple[str, Any]] = [("", root)]
    while level:
        below: list[tuple[str, Any]] = []
        for path, node in level:
            try:
                children = sorted(view.children(node).items())
            except (ValueError, TypeError) as error:  # a dict with keys that are no text
                raise InvalidInputError(
                    f"{path or 'this'} cannot be saved by TensorFlow: {str(error)[:500]}", path=path
                ) from error
            for name, child in children:
                if id(child) not in seen:
                    seen.add(id(child))
                    below.append((f"{path}/{name}" if path else name, child))
        for path, child in below:
            variable = child.value if is_a(child, "keras:Variable") else child  # Keras wraps those of its backend
            if isinstance(variable, tf.Variable):
                if variable.dtype == tf.string:
                    raise InvalidInputError(
                        f"{path} is a variable of text, which safetensors has no place for; {_INSTEAD}", path=path
                    )
                found[path] = variable
            elif isinstance(child, (tf.saved_model.experimental.TrackableResource, tf.data.Iterator)):
                raise InvalidInputError(
                    f"{path} is a {type(child).__name__}, whose state is no variable; leave it to the code that makes the module, or {_INSTEAD}",
                    path=path,
                )
        level = below
    return found


ADAPTER = Adapter(
    name="tensorflow",
    modules=("tensorflow",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"tensorflow": "tensorflow", "safetensors": "safetensors"},
    formats=("safetensors",),
    load_options=("into",),
)
