"""Which of MLflow's flavors loads what a version holds, and what the flavor wants to be told.

A version that `Model.save` wrote says so itself (`cas-model.json`); in others one file right in the root tells, by its name and first bytes. A format
counts as data by the table here alone, and what may bring code all the same is looked into. Pickles are none of it: they do not say what they
are unless they are loaded. A program of torch.export holds one, of the inputs it was made with, which MLflow is able to refuse or to check.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from cas_registry.errors import InvalidInputError
from cas_registry.formats.keras_config import MAX_CONFIG_BYTES, brings_code
from cas_registry.formats.skops_schema import MAX_SCHEMA_BYTES, SCHEMA, own_types
from cas_registry.model.manifest import MANIFEST, MAX_MANIFEST_BYTES, Manifest, SavedObject, decode_manifest
from cas_registry.operations.exporting.mlflow_transformers import transformers_fields

_MLMODEL = "MLmodel"
HEAD_BYTES = 64  # of a file: enough to tell the formats below
Open = Callable[[str], BinaryIO]  # a file of the version by its path
_CATBOOST = ("CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker", "CatBoost")
_XGBOOST = ("XGBRFClassifier", "XGBRFRegressor", "XGBClassifier", "XGBRegressor", "XGBRanker", "XGBModel")


@dataclass(frozen=True, slots=True)
class Flavor:
    """One kind of file that MLflow loads: how it is told, what its flavor's entry holds, and what it takes to run.

    `adapter` and `format` are what `cas-model.json` calls it. `data_field` names the file in the flavor's entry; `pyfunc_data` says whether the entry
    of python_function names it too. `look` gives further fields after a look into the file, and raises InvalidInputError for what brings code.
    """

    name: str
    adapter: str
    format: str
    suffixes: tuple[str, ...]
    is_head: Callable[[bytes], bool]
    library: str
    version_field: str
    data_field: str = "data"
    pyfunc_data: bool = True
    fields: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()  # of which those are needed that were there
    takes_one_unnamed: bool = False  # a single input comes as it is, not by its name
    only_name: str = ""  # where the flavor has the folder, and looks for this name in it
    rivals: tuple[str, ...] = ()  # which it would take first, in that folder
    look: Callable[[str, BinaryIO], Mapping[str, Any]] = lambda _, __: {}
    of_saved: Callable[[SavedObject], Mapping[str, Any]] = lambda _: {}


@dataclass(frozen=True, slots=True)
class Told:
    """The flavor of a version: its entry without the library's version, what the entry of python_function has of it, and files to be made."""

    flavor: Flavor
    entry: Mapping[str, Any]
    pyfunc: Mapping[str, Any]
    made: Mapping[str, bytes] = field(default_factory=dict)


def _is_zip(head: bytes) -> bool:
    return head.startswith(b"PK\x03\x04")


def _member(path: str, file: BinaryIO, name: str, limit_bytes: int) -> bytes:
    try:
        with zipfile.ZipFile(file) as archive, archive.open(name) as member:
            data = member.read(limit_bytes + 1)
    except (zipfile.BadZipFile, KeyError, NotImplementedError, EOFError, RuntimeError) as error:
        raise InvalidInputError(f"{path} is not what its name says: {str(error)[:200]}", path=path) from error
    if len(data) > limit_bytes:
        raise InvalidInputError(f"{name} in {path} is longer than {limit_bytes:,} bytes", path=path)
    return data


def _look_skops(path: str, file: BinaryIO) -> Mapping[str, Any]:
    schema = _member(path, file, SCHEMA, MAX_SCHEMA_BYTES)
    try:
        types = own_types(schema)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{path} is not what its name says: {str(error)[:200]}", path=path) from error
    return {"skops_trusted_types": types or None}


def _look_keras(path: str, file: BinaryIO) -> Mapping[str, Any]:
    if brings_code(_member(path, file, "config.json", MAX_CONFIG_BYTES)):
        raise InvalidInputError(
            f"{path} brings code (a Lambda layer), or names classes from elsewhere; export it as a folder", path=path
        )
    return {"data": path.rpartition(".")[0]}


def _catboost_of(saved: SavedObject) -> Mapping[str, Any]:
    kind = saved.details.get("class")
    return {"model_type": kind} if kind in _CATBOOST else {}


def _xgboost_of(saved: SavedObject) -> Mapping[str, Any]:
    kind = saved.details.get("estimator")
    return {"model_class": f"xgboost.sklearn.{kind}"} if kind in _XGBOOST else {}


FLAVORS = (
    Flavor(
        "xgboost", "xgboost", "ubj", (".ubj", ".json"), lambda head: head.startswith(b"{") and b"learner" in head, "xgboost",
        "xgb_version", fields={"model_class": "xgboost.core.Booster"}, needs=("numpy", "pandas", "scipy"),
        look=lambda path, _: {"model_format": path.rpartition(".")[2].lower()}, of_saved=_xgboost_of,
    ),
    Flavor(
        "lightgbm", "lightgbm", "text", (".txt", ".lgb", ".model"),
        lambda head: head.startswith((b"tree\nversion=", b"tree\r\nversion=")), "lightgbm", "lgb_version",
        fields={"model_class": "lightgbm.basic.Booster"}, needs=("numpy", "pandas", "scipy"),
    ),
    Flavor(
        "catboost", "catboost", "cbm", (".cbm",), lambda head: head.startswith(b"CBM1"), "catboost", "catboost_version",
        fields={"model_type": "CatBoost", "save_format": "cbm"}, needs=("numpy", "pandas"), of_saved=_catboost_of,
    ),
    Flavor(
        "onnx", "onnx", "onnx", (".onnx",), lambda head: head.startswith(b"\x08"), "onnx", "onnx_version",
        fields={"providers": ["CPUExecutionProvider"], "onnx_session_options": None}, needs=("numpy", "onnxruntime", "pandas"),
    ),
    Flavor(
        "sklearn", "scikit-learn", "skops", (".skops",), _is_zip, "scikit-learn", "sklearn_version", data_field="pickled_model",
        fields={"serialization_format": "skops"}, needs=("numpy", "pandas", "scipy", "skops"), look=_look_skops,
    ),
    Flavor(
        "keras", "keras", "keras", (".keras",), _is_zip, "keras", "keras_version", pyfunc_data=False,
        fields={"save_exported_model": False}, needs=("numpy", "pandas"), backends=("tensorflow", "torch", "jax"), look=_look_keras,
        takes_one_unnamed=True,
    ),
    Flavor(
        "pytorch", "torch-export", "pt2", (".pt2",), _is_zip, "torch", "pytorch_version", data_field="model_data",
        fields={"pytorch_version": "unknown"}, needs=("numpy", "pandas"), takes_one_unnamed=True,
        only_name="model.pt2", rivals=("model.pth",),
    ),
)  # fmt: skip
TRANSFORMERS = Flavor(
    "transformers", "transformers", "safetensors", (), lambda _: False, "transformers", "transformers_version", pyfunc_data=False,
    needs=("numpy", "pandas", "safetensors", "torch"),
)  # fmt: skip
_KNOWN = "XGBoost's .ubj and .json, LightGBM's text, .cbm, .onnx, .skops, .keras, model.pt2 right in its root, or a folder of Transformers"
_WHY_NOT = {
    "pytorch": "MLflow loads PyTorch from pickles and from programs of torch.export alone",
    "lightning": "MLflow loads PyTorch from pickles and from programs of torch.export alone",
}


def tell_flavor(paths: Iterable[str], open_file: Open) -> Told:
    """What MLflow loads a version with these files by. InvalidInputError, which says why, where there is nothing or several."""
    own = frozenset(paths)
    if MANIFEST in own:
        return _of_saved(_manifest(open_file), own, open_file)
    found = [
        (flavor, path)
        for path in sorted(own)
        for flavor in FLAVORS
        if "/" not in path and path.lower().endswith(flavor.suffixes) and flavor.is_head(_head(path, open_file))
    ]
    if len(found) == 1:
        return _told(*found[0], None, own, open_file)
    if found:
        several = ", ".join(path for _, path in found)
        raise InvalidInputError(f"an MLflow model has one model's file, and this version has {several}; export it as a folder")
    if "config.json" in own and {"model.safetensors", "model.safetensors.index.json"} & own:
        return _of_transformers(own, open_file, "", None, "")
    if deeper := sorted(path.rpartition("/")[0] for path in own if path.endswith(f"/{_MLMODEL}")):
        raise InvalidInputError(
            f"the MLflow model of this version is its folder {deeper[0]}: export it as a folder, and load DEST/{deeper[0]}"
        )
    raise InvalidInputError(
        f"MLflow has no loader for what this version holds: it has no MLmodel file, and of {_KNOWN} none; export it as a folder"
    )


def _manifest(open_file: Open) -> Manifest:
    with open_file(MANIFEST) as file:
        return decode_manifest(file.read(MAX_MANIFEST_BYTES + 1))


def _of_saved(manifest: Manifest, own: frozenset[str], open_file: Open) -> Told:
    saved = _one_of(manifest)
    if not own.issuperset(saved.paths):
        raise InvalidInputError(
            f"{MANIFEST} names files that this version has not: {', '.join(sorted({*saved.paths} - own)[:5])}"
        )
    if (saved.adapter, saved.format) == (TRANSFORMERS.adapter, TRANSFORMERS.format):
        others = [item.folder for item in manifest.objects.values() if (item.adapter, item.format) == ("transformers", "json")]
        tokenizer = others[0] if len(others) == 1 else saved.folder
        task = saved.details.get("task")
        return _of_transformers(own, open_file, saved.folder, task if isinstance(task, str) else None, tokenizer)
    for flavor in FLAVORS:
        if (saved.adapter, saved.format) == (flavor.adapter, flavor.format):
            if saved.trust:
                raise InvalidInputError(
                    f"loading it makes objects of {', '.join(saved.trust)[:200]}, which MLflow would have to be told to trust; export it as a folder"
                )
            path = next((path for path in saved.paths if path.lower().endswith(flavor.suffixes)), None)
            if path is None or not (flavor.is_head(_head(path, open_file))):
                raise InvalidInputError(f"{', '.join(saved.paths)[:200]} is not what {MANIFEST} says; export it as a folder")
            return _told(flavor, path, saved, own, open_file)
    why = _WHY_NOT.get(saved.adapter, "MLflow has no loader for that which runs nothing")
    raise InvalidInputError(
        f"this version was saved by {saved.adapter[:80]} as {saved.format[:80]}: {why}; export it as a folder"
    )


def _one_of(manifest: Manifest) -> SavedObject:
    """The object that is the model: the only one, or that of Transformers beside its tokenizer."""
    objects = list(manifest.objects.values())
    if len(objects) == 1 and not objects[0].folder:
        return objects[0]
    models = [item for item in objects if (item.adapter, item.format) == ("transformers", "safetensors")]
    if len(models) == 1 and {item.adapter for item in objects} == {"transformers"}:
        return models[0]
    raise InvalidInputError(
        f"an MLflow model has one object, and this version has {', '.join(manifest.objects)[:200]}; export it as a folder"
    )


def _told(flavor: Flavor, path: str, saved: SavedObject | None, own: frozenset[str], open_file: Open) -> Told:
    if flavor.only_name and (path != flavor.only_name or own.intersection(flavor.rivals)):
        raise InvalidInputError(
            f"MLflow's flavor {flavor.name} reads {flavor.only_name}, and none beside {', '.join(flavor.rivals)}; this version has {path}"
        )
    with open_file(path) as file:
        looked = flavor.look(path, file)
    data = "." if flavor.only_name else path
    entry = {"code": None, flavor.data_field: data, **flavor.fields, **looked, **(flavor.of_saved(saved) if saved else {})}
    return Told(flavor, entry, {"data": data} if flavor.pyfunc_data else {})


def _of_transformers(own: frozenset[str], open_file: Open, folder: str, task: str | None, tokenizer: str) -> Told:
    entry, made = transformers_fields(own, open_file, folder=folder, task=task, tokenizer=tokenizer)
    return Told(TRANSFORMERS, {"code": None, **entry}, {}, made)


def _head(path: str, open_file: Open) -> bytes:
    with open_file(path) as file:
        return file.read(HEAD_BYTES)
