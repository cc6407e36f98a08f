"""Checkpoints of Orbax: written where that is asked for, and those of elsewhere."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cas_registry as reg
from cas_registry.errors import InvalidInputError
from tests.frameworks.round_trip import Case, assert_same, check

pytestmark = pytest.mark.filterwarnings("default")
FEATURES = np.linspace(-1, 1, 32, dtype=np.float32).reshape(4, 8)


def _tree(seed: int) -> Any:
    import jax
    import jax.numpy as jnp

    return {
        "body": {"kernel": jax.random.normal(jax.random.key(0), (8, 256))},
        "head": {"kernel": jax.random.normal(jax.random.key(seed), (256, 2)).astype(jnp.bfloat16)},
        "layers": [jnp.int32(seed), 3, 2.5, None, True],
        "key": jax.random.key(seed),
        "steps": np.arange(3),
        "name": "net",
        "none": {},
    }


def _told(tree: Any) -> Any:
    import jax

    plain = {**tree, "key": jax.random.key_data(tree["key"])}
    return jax.tree.map(lambda leaf: leaf if isinstance(leaf, str) else np.asarray(leaf), plain)


CASES = (
    Case(
        "Orbax checkpoint, head trained", ("jax", "orbax.checkpoint"), _tree, _told, "orbax", "orbax",
        save={"options": {"adapter": "orbax"}},
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


@pytest.fixture
def model(tmp_path: Path) -> Any:
    pytest.importorskip("orbax.checkpoint")
    return reg.init(tmp_path / "registry").model("net")


def test_what_is_filled_gives_the_types(model: Any) -> None:
    import jax
    import jax.numpy as jnp

    tree = {"pair": (jnp.ones(2), jnp.zeros(3))}
    model.save(tree, options={"adapter": "orbax"})
    assert type(model.load()["pair"]) is list  # Orbax knows no better
    filled = model.load(options={"into": jax.tree.map(jnp.zeros_like, tree)})
    assert type(filled["pair"]) is tuple
    assert_same(filled["pair"], tree["pair"])
    with pytest.raises(InvalidInputError, match="put into this dict"):
        model.load(options={"into": {"other": jnp.ones(2)}})


def test_a_version_is_a_checkpoint_that_orbax_reads(model: Any, tmp_path: Path) -> None:
    import orbax.checkpoint as ocp

    model.save(_tree(0), options={"adapter": "orbax"})
    model.checkout("main", tmp_path / "out")
    with ocp.StandardCheckpointer() as checkpointer:
        assert_same(_told(checkpointer.restore(tmp_path / "out")), _told(_tree(0)))
    assert not any(
        json.loads((tmp_path / "out" / "_CHECKPOINT_METADATA").read_text())[name] for name in ("init_timestamp_nsecs",)
    )


def test_checkpoints_of_elsewhere_are_recognized(model: Any, tmp_path: Path) -> None:
    import jax.numpy as jnp
    import orbax.checkpoint as ocp

    tree = {"kernel": jnp.ones((3, 4)), "steps": 3}
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "plain", tree)
    model.commit(tmp_path / "plain")
    assert_same(model.load(), tree)
    with ocp.CheckpointManager(tmp_path / "manager") as manager:
        manager.save(7, args=ocp.args.Composite(state=ocp.args.StandardSave(tree), notes=ocp.args.JsonSave({"a": 1})))
    model.commit(tmp_path / "manager")
    assert_same(model.load(), tree)
    model.commit(tmp_path / "manager" / "7", message="one step")
    assert_same(model.load(), tree)
