"""Models and pipelines of Spark (`pyspark.ml`): its own folders of JSON and Parquet, loaded as data once each class that they name is Spark's own.

Spark makes objects of whatever class stands in a folder's metadata, in Java and in Python. So all of them are looked at before it is asked: those that
are not Spark's have to be trusted by name, and so has `SQLTransformer`, whose statement may call any method of Java. Driver and executors must see
the folder: Spark runs in local mode, or `TMPDIR` lies on a file system that they share.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cas_registry.errors import FormatError, InvalidInputError, UnsafeFileError
from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.hyperparameters import flat_params
from cas_registry.frameworks.trusted import trusted_class
from cas_registry.model.manifest import SavedObject

_OWN = re.compile(r"(?:org\.apache\.spark|pyspark)\.ml\.(?:[a-z_]+\.)*[A-Z]\w*")
_OWN_TYPES = re.compile(r"(?:org\.apache\.spark|pyspark)\.(?:ml|mllib)\.linalg\.\w+")  # of columns
_RUNS_SQL = frozenset({"org.apache.spark.ml.feature.SQLTransformer", "pyspark.ml.feature.SQLTransformer"})
_ROWS = ("userFactors", "itemFactors", "freqItemsets")  # of ALS and FPGrowth
_METADATA = "metadata"
_SCHEMA = b"org.apache.spark.sql.parquet.row.metadata"  # where Spark keeps a schema in Parquet
_PART = re.compile(r"part-(\d+)-[0-9a-f-]{36}(.*)")
_TIME = re.compile(r'"timestamp":\d+')
_CODEC = "spark.sql.parquet.compression.codec"
_MAX_METADATA_BYTES = 16 << 20  # one line of parameters; lists of words may be long


def _matches(obj: object) -> bool:
    return is_a(obj, "pyspark.ml.util:MLWritable")


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    del options
    if is_a(obj, "pyspark.ml.clustering:DistributedLDAModel"):
        raise InvalidInputError("a DistributedLDAModel goes on reading the files it was loaded from; save its toLocal()")
    from pyspark.sql import SparkSession

    session = SparkSession.getActiveSession() or SparkSession.builder.getOrCreate()
    codec = session.conf.get(_CODEC)
    session.conf.set(_CODEC, "uncompressed")  # so that two trainings share what is equal; packs compress it
    try:
        obj.write().overwrite().save(folder.resolve().as_uri())
    finally:
        session.conf.set(_CODEC, codec)
    if not (folder / _METADATA).is_dir():
        raise InvalidInputError(
            f"Spark wrote nothing to {folder}, which its executors do not see: point TMPDIR to a folder that they share"
        )
    _strike_out_names_and_times(folder)
    return Saved("spark", params=flat_params(_params(obj)), trust=tuple(sorted(_foreign_classes(folder))))


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    foreign = sorted(_foreign_classes(folder) - set(options.trust))
    if foreign:
        raise UnsafeFileError(
            f"{stored.paths[0]} and those beside it need {', '.join(foreign)}, which Spark would load, or whose SQL it would run. If you trust "
            f"them, load with trust={foreign}",
            paths=list(stored.paths),
            types=foreign,
        )
    kind = str(next(_metadata(folder / _METADATA))["class"]).replace("org.apache.spark", "pyspark", 1)
    found = trusted_class(kind, (*options.trust, kind), instead="")  # Spark's own, or trusted above
    loaded = found.load(folder.resolve().as_uri())
    _keep_rows(loaded)
    return loaded


def _keep_rows(loaded: Any) -> None:
    """Have Spark keep the rows that some models only read when they are asked: the folder may be gone then."""
    pending = [loaded]
    while pending:
        model = pending.pop()
        for name in _ROWS:
            rows = getattr(model, name, None)
            if rows is not None:
                rows.persist().count()
        pending += getattr(model, "stages", None) or []
        pending += [found for found in (getattr(model, "bestModel", None),) if found is not None]


def _recognizes(paths: Sequence[str]) -> SavedObject | None:
    """A folder that has metadata, and nothing but parts, checksums and marks of Spark."""
    names = [path.rpartition("/")[2] for path in paths]
    is_spark = all(
        name.startswith("part-") or name == "_SUCCESS" or (name[0] == "." and name.endswith(".crc")) for name in names
    )
    if not is_spark or not any(path.startswith(f"{_METADATA}/part-") for path in paths):
        return None
    return SavedObject("spark", "pyspark.ml", "spark", tuple(paths))


def _foreign_classes(folder: Path) -> set[str]:
    """The classes that Spark would load, or whose SQL it would run, that are none of its own models. FormatError for a file that is neither metadata
    nor Parquet, which it might read in a way that is not looked at here."""
    found: set[str] = set()
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder).parts
        if path.is_dir() or path.name == "_SUCCESS" or path.suffix == ".crc":  # the last two hold no data
            continue
        if not path.name.startswith("part-"):
            if below[0] == "cas-model.json":
                continue
            raise FormatError(f"{'/'.join(below)} is no part of a model of Spark", path="/".join(below))
        if _METADATA in below:
            names = (str(told.get("class")) for told in _lines(path))
            found.update(name for name in names if not _OWN.fullmatch(name) or name in _RUNS_SQL)
        else:
            found.update(name for name in _column_types(path) if not _OWN_TYPES.fullmatch(name))
    return found


def _metadata(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("part-*")):
        yield from _lines(path)
    raise FormatError(f"{_METADATA} of a model of Spark says nothing", path=_METADATA)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if path.stat().st_size > _MAX_METADATA_BYTES:
        raise FormatError(f"{path.name} is over the limit of {_MAX_METADATA_BYTES:,} bytes", path=path.name)
    try:
        text = path.read_text(encoding="utf-8")
        for line in re.split(r"\r\n|\r|\n", text):
            if line.strip():
                yield json.loads(line, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path.name} is no metadata of Spark: {str(error)[:200]}", path=path.name) from error


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Readers differ in which of two values counts."""
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


def _column_types(path: Path) -> Iterator[str]:
    """The classes of columns that Spark makes values of: in Java, in Python, and as a pickle."""
    from pyarrow import ArrowException, parquet

    try:
        schema = (parquet.read_metadata(path).metadata or {}).get(_SCHEMA)
        pending = [] if schema is None else [json.loads(schema, object_pairs_hook=_without_doubles)]
    except (ValueError, RecursionError, OSError, ArrowException) as error:
        raise FormatError(f"{path.name} is no Parquet of Spark: {str(error)[:200]}", path=path.name) from error
    while pending:
        told = pending.pop()
        if isinstance(told, list):
            pending += told
        elif isinstance(told, dict):
            if told.get("type") == "udt":
                yield from (str(told[name]) for name in ("class", "pyClass") if name in told)
                if "serializedClass" in told:
                    yield "a pickled class"
            pending += told.values()


def _strike_out_names_and_times(folder: Path) -> None:
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.name == "_SUCCESS" or path.suffix == ".crc":
            path.unlink()
        elif found := _PART.fullmatch(path.name):
            path = path.rename(path.with_name(f"part-{found[1]}{found[2]}"))  # noqa: PLW2901
            if path.parent.name == _METADATA:
                text = path.read_text(encoding="utf-8")
                path.write_text(_TIME.sub('"timestamp":0', text, count=1), encoding="utf-8")


def _params(obj: Any) -> dict[str, Any]:
    stages = getattr(obj, "stages", None)
    if isinstance(stages, list):
        return {f"{number}.{type(stage).__name__}": _params(stage) for number, stage in enumerate(stages)}
    return {param.name: value for param, value in obj.extractParamMap().items()} if hasattr(obj, "extractParamMap") else {}


ADAPTER = Adapter(
    name="spark",
    modules=("pyspark",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"pyspark": "pyspark", "pyarrow": "pyarrow"},
    formats=("spark",),
    recognizes=_recognizes,
)
