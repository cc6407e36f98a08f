"""Estimators, pipelines and transformers of scikit-learn, and what other libraries build like them, as skops: types and arrays, checked against a list
before anything is made of them.

What skops does not cover, or does not make again, is written by joblib, which is a pickle, and only where the caller allows that.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cas_registry.errors import InvalidInputError, UnsafeFileError
from cas_registry.formats.skops_schema import OWN_TYPES
from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.adapters.skops_archive import write_archive
from cas_registry.frameworks.hyperparameters import flat_params
from cas_registry.frameworks.trusted import full_name
from cas_registry.model.manifest import SavedObject

_SKOPS = "model.skops"
_JOBLIB = "model.joblib"


def _matches(obj: object) -> bool:
    return is_a(obj, "sklearn.base:BaseEstimator", "causalml.propensity:PropensityModel")


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    params = flat_params(obj.get_params(deep=True) if hasattr(obj, "get_params") else vars(obj))
    libraries = _libraries([full_name(type(obj))])
    path = folder / _SKOPS
    try:
        import skops.io
    except ModuleNotFoundError as error:
        if not options.allow_pickle:
            raise InvalidInputError(
                "scikit-learn's objects are saved by skops, which is not installed: pip install skops; or save(..., allow_pickle=True), "
                "for a pickle"
            ) from error
        return _save_pickle(obj, folder, params, libraries)
    try:
        write_archive(skops.io.dumps(obj), path)
        asked = skops.io.get_untrusted_types(file=path)
        trust = tuple(_foreign(asked))
        if trust:  # what skops writes of a class of elsewhere it may not be able to make again: one with a constructor in C
            skops.io.load(path, trusted=asked)
    except Exception as error:  # its ways of saying that it does not cover a type are many
        path.unlink(missing_ok=True)
        if not options.allow_pickle:
            raise InvalidInputError(
                f"skops does not cover all of this {type(obj).__name__}: {str(error)[:500] or type(error).__name__}. To write a pickle "
                f"instead, which loads with allow_pickle=True only: save(..., allow_pickle=True)"
            ) from error
        return _save_pickle(obj, folder, params, libraries)
    return Saved("skops", params=params, trust=trust, libraries={**libraries, **_libraries(trust)})


def _save_pickle(obj: Any, folder: Path, params: Any, libraries: dict[str, str]) -> Saved:
    import joblib

    joblib.dump(obj, folder / _JOBLIB)
    return Saved("joblib", params=params, libraries={**libraries, "joblib": "joblib"})


def _libraries(types: Iterable[str]) -> dict[str, str]:
    """Those that the types are of, beside scikit-learn: the first part of a type's name mostly is what its library is called."""
    return {root: root for root in (name.partition(".")[0] for name in types) if root not in {"sklearn", "__main__"}}


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    if stored.format == "joblib":
        import joblib

        return joblib.load(folder / _JOBLIB)
    import skops.io

    path = folder / stored.files[0]
    found = set(skops.io.get_untrusted_types(file=path))
    unknown = _foreign(found - set(options.trust))
    if unknown:
        raise UnsafeFileError(
            f"{stored.paths[0]} holds types that skops does not trust: {', '.join(unknown)}. If you know them, load it with trust={unknown}",
            paths=list(stored.paths),
            types=unknown,
        )
    return skops.io.load(path, trusted=sorted(found))


def _recognizes(paths: Sequence[str]) -> SavedObject | None:
    found = [path for path in paths if path.endswith(".skops")]
    return SavedObject("scikit-learn", "sklearn.base.BaseEstimator", "skops", (found[0],)) if len(found) == 1 else None


def _foreign(types: Iterable[str]) -> list[str]:
    """Those that are no part of scikit-learn itself."""
    return sorted(name for name in types if not OWN_TYPES.fullmatch(name) or not _is_defined_there(name))


def _is_defined_there(name: str) -> bool:
    """Whether a module of scikit-learn (or numpy) defines this class, instead of having imported it from elsewhere."""
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ImportError:
        return False
    return isinstance(found, type) and found.__module__.partition(".")[0] == module.partition(".")[0]


ADAPTER = Adapter(
    name="scikit-learn",
    modules=("sklearn",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"scikit-learn": "sklearn", "skops": "skops"},
    formats=("skops",),
    pickle_formats=("joblib",),
    recognizes=_recognizes,
)
