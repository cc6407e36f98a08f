"""Models of ONNX, run by onnxruntime."""

from pathlib import Path

import numpy as np
import pytest

import cas_registry as reg
from cas_registry.model.schema import Column
from tests.frameworks.round_trip import Case, check

pytestmark = pytest.mark.filterwarnings("default")


def _model(seed: int):
    """A body that stays, and a head of this seed."""
    from onnx import TensorProto, helper, numpy_helper

    body = np.random.default_rng(7).normal(size=(8, 256)).astype(np.float32)
    head = np.random.default_rng(seed).normal(size=(256, 3)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "body"], ["hidden"]),
            helper.make_node("Relu", ["hidden"], ["active"]),
            helper.make_node("MatMul", ["active", "head"], ["y"]),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(body, "body"), numpy_helper.from_array(head, "head")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9, producer_name="tests")


def _run(model):
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.linspace(-1, 1, 16, dtype=np.float32).reshape(2, 8)})[0]


NEEDS = ("onnx", "onnxruntime")
CASES = (
    Case("ONNX, other head", NEEDS, _model, _run, "onnx", "onnx"),
    Case(
        "ONNX with tensors beside it, other head",
        NEEDS,
        _model,
        _run,
        "onnx",
        "onnx",
        save={"options": {"max_inline_bytes": 1024}},
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_signature_is_the_graphs(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    model = reg.init(tmp_path / "registry").model("m")
    proto = _model(0)
    before = proto.SerializeToString()
    model.save(proto, options={"max_inline_bytes": 1024})
    assert proto.SerializeToString() == before
    commit = model.show("main").commit
    assert commit.schema is not None
    assert commit.schema.inputs == (Column("x", "float32", (None, 8)),)
    assert commit.schema.outputs == (Column("y", "float32", (None, 3)),)
    assert commit.params["opset.ai.onnx"] == 17
    assert [file.path for file in model.files("main")] == ["cas-model.json", "model.onnx", "model.onnx.data"]


def test_file_of_elsewhere_is_recognized(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = reg.init(tmp_path / "registry").model("m")
    proto = _model(0)
    onnx.save_model(proto, tmp_path / "net.onnx")
    model.commit([tmp_path / "net.onnx"])
    assert model.load().SerializeToString() == proto.SerializeToString()
