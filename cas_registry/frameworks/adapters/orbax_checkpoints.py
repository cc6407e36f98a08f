"""Checkpoints of Orbax: those of elsewhere are read, and trees of JAX are written as one where the caller asks for it (`options={"adapter": "orbax"}`).

Orbax packs its arrays into files of random names (OCDBT) and tells the time, so that the same tree is another version each time. What is written here is
the other layout that it reads: a folder for each array, not compressed, no times.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cas_registry.errors import InvalidInputError
from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.trees import array_kind, has_array
from cas_registry.model.manifest import SavedObject

_TREE = "_METADATA"  # of every checkpoint of a tree
_ABOUT = "_CHECKPOINT_METADATA"
_TIMES = ("init_timestamp_nsecs", "commit_timestamp_nsecs")
_DONE = "commit_success.txt"  # told where a folder cannot be moved into place at once
_STATES = ("flax.core.frozen_dict:FrozenDict", "flax.training.train_state:TrainState")


def _matches(obj: object) -> bool:
    return array_kind(obj) == "jax" or is_a(obj, *_STATES) or (type(obj) in {dict, list, tuple} and has_array(obj, "jax"))


def _save(obj: Any, folder: Path, options: SaveOptions) -> Saved:
    del options
    import orbax.checkpoint as ocp

    try:
        with ocp.PyTreeCheckpointer(use_ocdbt=False, use_compression=False) as checkpointer:
            checkpointer.save(folder.resolve(), obj, force=True)  # the folder is there, and empty
    except (ValueError, TypeError) as error:
        raise InvalidInputError(f"Orbax does not cover all of this: {str(error)[:500]}") from error
    _strike_out_times(folder)
    return Saved("orbax")


def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> Any:
    del stored
    import jax
    import orbax.checkpoint as ocp

    target = options.more.get("into")
    with ocp.PyTreeCheckpointer() as checkpointer:
        try:
            described = checkpointer.metadata(folder.resolve()).item_metadata if target is None else target
            told = jax.tree.map(_restore_as, getattr(described, "tree", described))
            return checkpointer.restore(folder.resolve(), item=target, restore_args=told)
        except (ValueError, KeyError, TypeError) as error:
            what = "read" if target is None else f"put into this {type(target).__name__}"
            raise InvalidInputError(f"the checkpoint cannot be {what}: {str(error)[:1000]}") from error


def _restore_as(leaf: Any) -> Any:
    """Arrays of JAX come to where those of the target are, or to the first device: those that they were saved from may not be here."""
    import jax
    import orbax.checkpoint as ocp

    if getattr(leaf, "sharding", None) is None:  # an array of numpy, a number, a text
        return ocp.RestoreArgs()
    own = leaf.sharding if isinstance(leaf, jax.Array) else jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return ocp.ArrayRestoreArgs(sharding=own)


def _recognizes(paths: Sequence[str]) -> SavedObject | None:
    """One checkpoint of a tree: alone, as an item of a step, or in the only step of a folder of them."""
    found = [path for path in paths if path.rpartition("/")[2] == _TREE]
    if len(found) != 1:
        return None
    folder = found[0].rpartition("/")[0]
    below = f"{folder}/" if folder else ""
    files = tuple(path.removeprefix(below) for path in paths if path.startswith(below))
    return SavedObject("orbax", "orbax.checkpoint", "orbax", files, folder=folder)


def _strike_out_times(folder: Path) -> None:
    about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    (folder / _ABOUT).write_text(json.dumps({**about, **dict.fromkeys(_TIMES, 0)}), encoding="utf-8")
    (folder / _DONE).unlink(missing_ok=True)


ADAPTER = Adapter(
    name="orbax",
    modules=("jax",),
    matches=_matches,
    save=_save,
    load=_load,
    libraries={"orbax-checkpoint": "orbax.checkpoint", "jax": "jax"},
    formats=("orbax",),
    load_options=("into",),
    recognizes=_recognizes,
)
