"""A version as an MLflow model: the files that MLflow wants beside the version's own (mlflow.org, "MLflow Model").

A version that was an MLflow model before has its MLmodel file and is left as it is. For others one is written where MLflow has a loader that reads
what the version holds: XGBoost's, LightGBM's and ONNX's own formats, and skops. A pickle does not say what it is unless it is loaded, so none is made of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cas_registry.errors import InvalidInputError
from cas_registry.model.canonical import Scalar
from cas_registry.model.commit import Commit
from cas_registry.operations.exporting.contents import Contents
from cas_registry.operations.exporting.mlflow_signature import signature_of
from cas_registry.operations.exporting.record import clean, moment
from cas_registry.operations.mlmodel import FILE_NAME
from cas_registry.operations.yaml_text import dump_yaml
from cas_registry.store.refs import Version

HEAD_BYTES = 64  # of a file: enough to tell the formats below
_REQUIREMENTS, _CONDA, _PYTHON_ENV = "requirements.txt", "conda.yaml", "python_env.yaml"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[0-9A-Za-z.!+_~-]{1,100}")
_PYTHON = re.compile(r"[0-9]+(?:\.[0-9]+){1,2}")


@dataclass(frozen=True, slots=True)
class Flavor:
    """One kind of file that MLflow loads: how it is told, what its flavor's entry holds, and what it takes to run."""

    name: str
    suffixes: tuple[str, ...]
    is_head: Callable[[bytes], bool]
    library: str
    version_field: str
    data_field: str = "data"
    fields: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()


FLAVORS = (
    Flavor(
        "xgboost", (".ubj", ".json"), lambda head: head.startswith(b"{") and b"learner" in head, "xgboost", "xgb_version",
        fields={"model_class": "xgboost.core.Booster"}, needs=("numpy", "pandas", "scipy"),
    ),
    Flavor(
        "lightgbm", (".txt", ".lgb", ".model"), lambda head: head.startswith((b"tree\nversion=", b"tree\r\nversion=")), "lightgbm",
        "lgb_version", fields={"model_class": "lightgbm.basic.Booster"}, needs=("numpy", "pandas", "scipy"),
    ),
    Flavor(
        "onnx", (".onnx",), lambda head: head.startswith(b"\x08"), "onnx", "onnx_version",
        fields={"providers": ["CPUExecutionProvider"], "onnx_session_options": None}, needs=("numpy", "onnxruntime", "pandas"),
    ),
    Flavor(
        "sklearn", (".skops",), lambda head: head.startswith(b"PK\x03\x04"), "scikit-learn", "sklearn_version",
        data_field="pickled_model", fields={"serialization_format": "skops"}, needs=("numpy", "pandas", "scipy", "skops"),
    ),
)  # fmt: skip


def mlflow_files(version: Version, commit: Commit, contents: Contents, read_head: Callable[[str], bytes]) -> dict[str, bytes]:
    """The files to be written beside the version's: MLmodel, and those that say what it takes to run, but for what the version has of them.

    `read_head` gives the first bytes of a file. InvalidInputError where MLflow has no loader for what the version holds, or several.
    """
    own = {file.path for file in contents.files}
    if FILE_NAME in own:
        return {}
    flavor, path = _told(contents, read_head)
    packages = _packages(commit)
    requirements = [_pinned(name, packages) for name in ("mlflow", flavor.library, *flavor.needs)]
    python = _python(commit)
    conda = [*([f"python={python}"] if python else []), "pip", {"pip": requirements}]
    environment = {
        **({"python": python} if python else {}),
        "build_dependencies": ["pip", "setuptools", "wheel"],
        "dependencies": [f"-r {_REQUIREMENTS}"],
    }
    made = {
        FILE_NAME: dump_yaml(_mlmodel(version, commit, contents, flavor, path)),
        _REQUIREMENTS: "\n".join(requirements) + "\n",
        _CONDA: dump_yaml({"channels": ["conda-forge"], "dependencies": conda, "name": "mlflow-env"}),
        _PYTHON_ENV: dump_yaml(environment),
    }
    return {name: text.encode() for name, text in made.items() if name not in own}


def _told(contents: Contents, read_head: Callable[[str], bytes]) -> tuple[Flavor, str]:
    """The one file right in the root that MLflow has a loader for."""
    found = [
        (flavor, file.path)
        for file in contents.files
        for flavor in FLAVORS
        if "/" not in file.path and file.path.lower().endswith(flavor.suffixes) and flavor.is_head(read_head(file.path))
    ]
    if len(found) == 1:
        return found[0]
    known = "XGBoost's .ubj and .json, LightGBM's text, .onnx and .skops right in its root"
    if found:
        paths = ", ".join(path for _, path in found)
        raise InvalidInputError(f"an MLflow model has one model's file, and this version has {paths}; export it as a folder")
    raise InvalidInputError(
        f"MLflow has no loader for what this version holds: it has no MLmodel file, and of {known} none; export it as a folder"
    )


def _mlmodel(version: Version, commit: Commit, contents: Contents, flavor: Flavor, path: str) -> dict[str, Any]:
    created = moment(commit.time_ms)
    python = _python(commit)
    packages = _packages(commit)
    library = packages.get(flavor.library)
    signature = signature_of(commit.schema) if commit.schema else None
    document: dict[str, Any] = {
        "flavors": {
            "python_function": {
                "data": path,
                "env": {"conda": _CONDA, "virtualenv": _PYTHON_ENV},
                "loader_module": f"mlflow.{flavor.name}",
                **({"python_version": python} if python else {}),
            },
            flavor.name: {
                "code": None,
                flavor.data_field: path,
                **flavor.fields,
                **({"model_format": path.rpartition(".")[2].lower()} if flavor.name == "xgboost" else {}),
                **({flavor.version_field: library} if library else {}),
            },
        },
        "metadata": {
            "cas_registry": {
                "model": version.model,
                "version": version.number,
                "commit": version.commit.hex,
                "tree": version.tree.hex,
                "labels": clean(dict(commit.labels)),
            }
        },
        "model_size_bytes": sum(file.entry.size_bytes for file in contents.files),
        "model_uuid": version.commit.hex[:32],
    }
    if signature:
        document["signature"] = signature
    if created:
        document["utc_time_created"] = f"{created:%Y-%m-%d %H:%M:%S.%f}"
    return document


def _packages(commit: Commit) -> dict[str, str]:
    """Versions by the names of distributions, only such as may stand in a list of requirements."""
    found: dict[str, Scalar] = {**commit.packages, **commit.framework}
    return {
        name: version
        for name, version in found.items()
        if isinstance(version, str) and _NAME.fullmatch(name) and _VERSION.fullmatch(version)
    }


def _pinned(name: str, packages: Mapping[str, str]) -> str:
    """`numpy==2.1.0`; without what follows a plus, which is of one build and on no index, and bare where nobody knows."""
    version = packages.get(name, "").partition("+")[0]
    return f"{name}=={version}" if version else name


def _python(commit: Commit) -> str | None:
    found = commit.environment.get("python")
    return found if isinstance(found, str) and _PYTHON.fullmatch(found) else None
