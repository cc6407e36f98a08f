"""SavedModel of TensorFlow: a graph with its variables. It is a program: its operations read and write files, and TensorFlow says to treat it as code,
so that it counts as a pickle.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.adapters.tensorflow_modules import CHECKPOINT
from cas_registry.model.manifest import SavedObject
from cas_registry.model.schema import Column, Schema

_GRAPH = "saved_model.pb"
_FILES = (_GRAPH, "fingerprint.pb", "keras_metadata.pb")
_FOLDERS = ("variables/", "assets/", "assets.extra/")
_SERVING = "serving_default"  # what TensorFlow calls the signature that is asked where none is named


def _matches(obj: object) -> bool:
    return is_a(obj, "tensorflow.python.trackable.autotrackable:AutoTrackable") and not is_a(obj, CHECKPOINT)


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    import tensorflow as tf

    signatures = options.more.get("signatures")
    if is_a(obj, "keras:Model") and signatures is None:
        obj.export(
            str(folder), format="tf_saved_model", verbose=False
        )  # which makes it one to be called: `loaded.serve(features)`
    else:
        tf.saved_model.save(obj, str(folder), signatures=signatures)
    return Saved("saved-model", schema=_schema(folder))


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    del stored, options
    import tensorflow as tf

    return tf.saved_model.load(str(folder))


def _recognizes(paths: Sequence[str]) -> SavedObject | None:
    if _GRAPH not in paths:
        return None
    files = tuple(path for path in paths if path in _FILES or path.startswith(_FOLDERS))
    return SavedObject("saved-model", "tensorflow.SavedModel", "saved-model", files, needs_pickle=True)


def _schema(folder: Path) -> Schema | None:
    """What the signature for serving takes and gives, by the names that it is called with."""
    from tensorflow.core.protobuf import saved_model_pb2

    read = saved_model_pb2.SavedModel.FromString((folder / _GRAPH).read_bytes())
    found = read.meta_graphs[0].signature_def.get(_SERVING) if read.meta_graphs else None
    return None if found is None else Schema(_columns(found.inputs), _columns(found.outputs))


def _columns(tensors: Any) -> tuple[Column, ...]:
    import tensorflow as tf

    return tuple(
        Column(
            name,
            tf.dtypes.as_dtype(told.dtype).name,
            tuple(None if size is None else int(size) for size in tf.TensorShape(told.tensor_shape).as_list())
            if not told.tensor_shape.unknown_rank
            else (),
        )
        for name, told in sorted(tensors.items())
    )


ADAPTER = Adapter(
    name="saved-model",
    modules=("tensorflow",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"tensorflow": "tensorflow"},
    pickle_formats=("saved-model",),
    save_options=("signatures",),
    recognizes=_recognizes,
)
