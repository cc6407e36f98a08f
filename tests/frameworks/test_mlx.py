"""Modules of MLX."""

from pathlib import Path

import numpy as np
import pytest

import cas_registry as reg
from cas_registry.errors import InvalidInputError
from tests.frameworks.filling import Into
from tests.frameworks.round_trip import Case, check

pytestmark = pytest.mark.filterwarnings("default")
FEATURES = np.linspace(-1, 1, 32, dtype=np.float32).reshape(4, 8)


def _net(seed: int):
    import mlx.core as mx
    from mlx import nn

    mx.random.seed(seed)
    return nn.Sequential(nn.Linear(8, 128), nn.ReLU(), nn.Linear(128, 2))


def _predict(net):
    import mlx.core as mx

    return np.asarray(net(mx.array(FEATURES)))


CASES = (Case("MLX module, other seed", ("mlx",), _net, _predict, "mlx", "safetensors", load=Into(lambda: _net(9))),)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_another_module_does_not_fit(tmp_path: Path) -> None:
    pytest.importorskip("mlx.core")
    from mlx import nn

    model = reg.init(tmp_path / "registry").model("m")
    model.save(_net(0))
    with pytest.raises(InvalidInputError, match="do not fit"):
        model.load(options={"into": nn.Linear(8, 2)})
    with pytest.raises(InvalidInputError, match="into"):
        model.load()
