"""A version as an MLflow model: the files that MLflow wants beside the version's own (mlflow.org, "MLflow Model").

A version that was an MLflow model before has its MLmodel file and is left as it is. For others one is written where MLflow has a loader that reads
what the version holds (`exporting/mlflow_flavors.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cas_registry.model.canonical import Scalar
from cas_registry.model.commit import Commit
from cas_registry.model.schema import Schema
from cas_registry.operations.exporting.contents import Contents
from cas_registry.operations.exporting.mlflow_flavors import Open, Told, tell_flavor
from cas_registry.operations.exporting.mlflow_signature import signature_of
from cas_registry.operations.exporting.record import clean, moment
from cas_registry.operations.mlmodel import FILE_NAME
from cas_registry.operations.yaml_text import dump_yaml
from cas_registry.store.refs import Version

_REQUIREMENTS, _CONDA, _PYTHON_ENV = "requirements.txt", "conda.yaml", "python_env.yaml"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[0-9A-Za-z.!+_~-]{1,100}")
_PYTHON = re.compile(r"[0-9]+(?:\.[0-9]+){1,2}")


def mlflow_files(version: Version, commit: Commit, contents: Contents, open_file: Open) -> dict[str, bytes]:
    """The files to be written beside the version's: MLmodel, and those that say what it takes to run, but for what the version has of them.

    `open_file` opens one of the version's. InvalidInputError where MLflow has no loader for what the version holds, or several.
    """
    own = {file.path for file in contents.files}
    if FILE_NAME in own:
        return {}
    told = tell_flavor(own, open_file)
    packages = _packages(commit)
    backends = [name for name in told.flavor.backends if name in packages]
    requirements = [_pinned(name, packages) for name in ("mlflow", told.flavor.library, *told.flavor.needs, *backends)]
    python = _python(commit)
    conda = [*([f"python={python}"] if python else []), "pip", {"pip": requirements}]
    environment = {
        **({"python": python} if python else {}),
        "build_dependencies": ["pip", "setuptools", "wheel"],
        "dependencies": [f"-r {_REQUIREMENTS}"],
    }
    made = {
        FILE_NAME: dump_yaml(_mlmodel(version, commit, contents, told)),
        _REQUIREMENTS: "\n".join(requirements) + "\n",
        _CONDA: dump_yaml({"channels": ["conda-forge"], "dependencies": conda, "name": "mlflow-env"}),
        _PYTHON_ENV: dump_yaml(environment),
    }
    return {**told.made, **{name: text.encode() for name, text in made.items() if name not in own}}


def _mlmodel(version: Version, commit: Commit, contents: Contents, told: Told) -> dict[str, Any]:
    created = moment(commit.time_ms)
    python = _python(commit)
    packages = _packages(commit)
    library = packages.get(told.flavor.library)
    schema = _without_name(commit.schema) if commit.schema and told.flavor.takes_one_unnamed else commit.schema
    signature = signature_of(schema) if schema and not _has_made_up_names(schema) else None
    document: dict[str, Any] = {
        "flavors": {
            "python_function": {
                **told.pyfunc,
                "env": {"conda": _CONDA, "virtualenv": _PYTHON_ENV},
                "loader_module": f"mlflow.{told.flavor.name}",
                **({"python_version": python} if python else {}),
            },
            told.flavor.name: {**told.entry, **({told.flavor.version_field: library} if library else {})},
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


def _has_made_up_names(schema: Schema) -> bool:
    """Whether its columns are called as LightGBM and CatBoost call those of an array: MLflow would then take no array any more."""
    names = [column.name for column in schema.inputs]
    return bool(names) and names in (
        [f"Column_{place}" for place in range(len(names))],
        [str(place) for place in range(len(names))],
    )


def _without_name(schema: Schema) -> Schema:
    """With a single input as MLflow has an array: it would make a mapping of one that has a name."""
    return replace(schema, inputs=(replace(schema.inputs[0], name=None),)) if len(schema.inputs) == 1 else schema


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
