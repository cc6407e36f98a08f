"""Trees of parameters of JAX, modules and states of Flax."""

from pathlib import Path

import numpy as np
import pytest

import cas_registry as reg
from cas_registry.errors import InvalidInputError
from tests.frameworks.filling import Into
from tests.frameworks.round_trip import Case, check

pytestmark = pytest.mark.filterwarnings("default")
FEATURES = np.linspace(-1, 1, 32, dtype=np.float32).reshape(4, 8)


def _params(seed: int):
    """A tree of one's own: shared body, own head, types of machine learning, a key."""
    import jax
    import jax.numpy as jnp

    body = jax.random.normal(jax.random.key(0), (8, 256))
    head = jax.random.normal(jax.random.key(seed), (256, 2)).astype(jnp.bfloat16)
    return {
        "body": {"kernel": body},
        "head": {"kernel": head},
        "layers": [jnp.int32(seed)],
        "key": jax.random.key(seed),
        "name": "net",
    }


def _apply(tree):
    import jax

    hidden = FEATURES @ tree["body"]["kernel"]
    logits = hidden.astype(tree["head"]["kernel"].dtype) @ tree["head"]["kernel"]
    return [
        np.asarray(logits.astype("float32")),
        str(logits.dtype),
        int(tree["layers"][0]),
        np.asarray(jax.random.normal(tree["key"], (3,))),
        tree["name"],
    ]


def _net(seed: int):
    from flax import nnx

    from tests.frameworks.flax_nets import Net

    net = Net(rngs=nnx.Rngs(0))
    net.head.kernel.value = net.head.kernel.value + seed + 1
    net(FEATURES)  # moves the mean of the normalisation, and the random states
    return net


def _fresh():
    from flax import nnx

    from tests.frameworks.flax_nets import Net

    return Net(rngs=nnx.Rngs(9))


def _predict(net):
    net.eval()  # in training, predicting would move the state that is saved
    return np.asarray(net(FEATURES))


def _train_state(seed: int, *, steps: int = 2):
    import jax
    import optax
    from flax import linen
    from flax.training.train_state import TrainState

    model = linen.Dense(64)
    params = model.init(jax.random.key(0), FEATURES)
    state = TrainState.create(apply_fn=model.apply, params=params, tx=optax.adam(0.01))
    for _ in range(steps):
        gradients = jax.grad(lambda params: ((model.apply(params, FEATURES) - seed) ** 2).mean())(state.params)
        state = state.apply_gradients(grads=gradients)
    return state


def _state_predict(state):
    import jax

    gradients = jax.tree.map(lambda leaf: leaf * 0 + 1, state.params)
    return [
        int(state.step),
        np.asarray(state.apply_gradients(grads=gradients).apply_fn(state.params, FEATURES)),
        type(state.opt_state[0]).__name__,
    ]


def _module(seed: int):
    import equinox
    import jax

    return equinox.nn.MLP(8, 2, 32, 2, key=jax.random.key(seed))


def _module_predict(module):
    return np.stack([np.asarray(module(row)) for row in FEATURES])


CASES = (
    Case("JAX tree of parameters, head trained", ("jax", "safetensors"), _params, _apply, "tensors", "safetensors"),
    Case("Flax NNX module, head trained", ("flax", "safetensors"), _net, _predict, "flax", "safetensors", load=Into(_fresh)),
    Case("Flax TrainState", ("flax", "optax", "safetensors"), _train_state, _state_predict, "flax", "safetensors", load=Into(lambda: _train_state(9, steps=0))),
    Case("Equinox module, other seed", ("equinox", "safetensors"), _module, _module_predict, "equinox", "safetensors", load=Into(lambda: _module(9))),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    if case.missing:
        pytest.skip(f"{', '.join(case.missing)} not installed")
    check(case, tmp_path)


def test_frozen_trees_come_back_frozen(tmp_path: Path) -> None:
    pytest.importorskip("flax")
    pytest.importorskip("safetensors")
    import jax.numpy as jnp
    from flax.core import FrozenDict

    model = reg.init(tmp_path / "registry").model("m")
    model.save(FrozenDict({"dense": {"kernel": jnp.ones((2, 3))}}))
    loaded = model.load()
    assert type(loaded) is FrozenDict
    assert loaded["dense"]["kernel"].shape == (2, 3)


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    pytest.importorskip("flax")
    pytest.importorskip("safetensors")
    from flax import nnx

    model = reg.init(tmp_path / "registry").model("m")
    model.save(_net(0))
    with pytest.raises(InvalidInputError, match="into"):
        model.load()
    with pytest.raises(InvalidInputError, match="does not fit"):
        model.load(options={"into": nnx.Linear(2, 2, rngs=nnx.Rngs(0))})
