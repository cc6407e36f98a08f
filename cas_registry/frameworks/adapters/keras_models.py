"""Keras 3: its own archive of a configuration and weights, loaded in safe mode.

A configuration may carry code (`Lambda`) or name classes that are to be imported. The first is a format of its own, and counts as a pickle; the
second have to be trusted by name. Keras writes the time into the archive: here it is struck out, so that equal models are equal files.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cas_registry.errors import FormatError, InvalidInputError, UnsafeFileError
from cas_registry.formats.keras_config import MAX_CONFIG_BYTES, brings_code
from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.hyperparameters import flat_params
from cas_registry.model.manifest import SavedObject
from cas_registry.model.schema import Column, Schema

_FILE = "model.keras"
_CONFIG = "config.json"
_METADATA = "metadata.json"
_NO_TIME = (1980, 1, 1, 0, 0, 0)  # the first that zip can tell
_NO_DATE = "1980-01-01@00:00:00"


def _matches(obj: object) -> bool:
    return is_a(obj, "keras:Model")


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    path = folder / _FILE
    obj.save(path)
    _strike_out_times(path)
    form = "keras"
    trust: tuple[str, ...] = ()
    if brings_code(_config(path)):
        trust = _foreign_classes(_config(path))
        if not trust:
            form = "keras-with-code"
            if not options.allow_pickle:
                path.unlink()
                raise InvalidInputError(
                    "this model has a Lambda layer, or another function whose code would be stored: make it a layer of a class of yours "
                    "(keras.saving.register_keras_serializable), or save(..., allow_pickle=True)"
                )
    return Saved(form, params=_params(obj), schema=_schema(obj), trust=trust, libraries=_backend())


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    import keras

    path = folder / (stored.files[0] if len(stored.files) == 1 else _FILE)
    custom = options.more.get("custom_objects")
    if stored.format == "keras-with-code":
        return keras.saving.load_model(path, custom_objects=custom, safe_mode=False)
    config = _config(path)
    if brings_code(config):  # the manifest's word for it is not enough
        foreign = _foreign_classes(config)
        known = {*options.trust, *(f"{type_.__module__}.{name}" for name, type_ in (custom or {}).items())}
        if not foreign or not known.issuperset(foreign):
            raise UnsafeFileError(
                f"{stored.paths[0]} {'needs classes of ' + ', '.join(foreign) if foreign else 'brings code'}. "
                + (
                    f"If you trust them, load with trust={list(foreign)}"
                    if foreign
                    else "It was not saved as such; it is not loaded"
                ),
                paths=list(stored.paths),
                types=list(foreign),
            )
    return keras.saving.load_model(path, custom_objects=custom, safe_mode=True)


def _recognizes(paths: Sequence[str]) -> SavedObject | None:
    found = [path for path in paths if path.endswith(".keras")]
    return SavedObject("keras", "keras.Model", "keras", (found[0],)) if len(found) == 1 else None


def _config(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(_CONFIG).file_size > MAX_CONFIG_BYTES:
                raise FormatError(f"{_CONFIG} of {path.name} is over the limit of {MAX_CONFIG_BYTES:,} bytes")
            return archive.read(_CONFIG)
    except (zipfile.BadZipFile, KeyError, OSError, NotImplementedError) as error:
        raise FormatError(f"{path.name} is no archive of Keras: {error}") from error


def _foreign_classes(config: bytes) -> tuple[str, ...]:
    """The classes that stand in modules from elsewhere; none where there is code beside them, too."""
    found: set[str] = set()

    def note(value: dict[str, Any]) -> dict[str, Any]:
        described = {key: value.get(key) for key in ("class_name", "module", "function_type")}
        name, module = value.get("class_name"), value.get("module")
        if brings_code(json.dumps(described).encode()):
            is_plain = (
                isinstance(name, str)
                and isinstance(module, str)
                and not brings_code(json.dumps({**described, "module": None}).encode())
            )
            found.add(f"{module}.{name}" if is_plain else "")
        return value

    try:
        json.loads(config, object_hook=note)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{_CONFIG} is not JSON: {str(error)[:200]}") from error
    return () if "" in found else tuple(sorted(found))


def _strike_out_times(path: Path) -> None:
    aside = path.with_suffix(".part")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(aside, "w") as target:
        for info in source.infolist():
            data = source.read(info)
            if info.filename == _METADATA:
                data = json.dumps({**json.loads(data), "date_saved": _NO_DATE}).encode()
            target.writestr(zipfile.ZipInfo(info.filename, _NO_TIME), data)  # stored, as Keras does: tensors are found within
    aside.replace(path)


def _backend() -> dict[str, str]:
    """What computes: another one loads the archive, too, and may round otherwise."""
    import keras

    name = keras.backend.backend()
    return {name: name}


def _params(model: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"layers": len(model.layers)}
    if model.built:
        told["parameters"] = int(model.count_params())
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None:
        told["optimizer"] = optimizer.get_config()
    loss = getattr(model, "loss", None)
    if isinstance(loss, str):
        told["loss"] = loss
    return dict(flat_params(told))


def _schema(model: Any) -> Schema | None:
    try:
        inputs, outputs = model.inputs, model.outputs
    except (AttributeError, ValueError):  # one that was built by calling it
        return None
    if not inputs or not outputs:
        return None
    return Schema(tuple(map(_column, inputs)), tuple(map(_column, outputs)))


def _column(tensor: Any) -> Column:
    return Column(tensor.name, str(tensor.dtype), tuple(tensor.shape))


ADAPTER = Adapter(
    name="keras",
    modules=("keras",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"keras": "keras"},
    formats=("keras",),
    pickle_formats=("keras-with-code",),
    load_options=("custom_objects",),
    recognizes=_recognizes,
)
