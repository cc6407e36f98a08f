"""Modules of PyTorch, state dicts, and its programs."""

from pathlib import Path

import pytest

import cas_registry as reg
from cas_registry.errors import InvalidInputError, NotFoundError, UnsafeFileError
from tests.frameworks.filling import Into
from tests.frameworks.round_trip import Case, check

pytestmark = pytest.mark.filterwarnings("default")


def _net(seed: int):
    from tests.frameworks.torch_nets import trained

    return trained(seed, head_only=False)[0]


def _head(seed: int):
    from tests.frameworks.torch_nets import trained

    return trained(seed, head_only=True)[0]


def _fresh():
    from tests.frameworks.torch_nets import Net

    return Net()


def _predict(net):
    from tests.frameworks.torch_nets import predict

    return predict(net)


def _checkpoint(seed: int):
    from tests.frameworks.torch_nets import trained

    net, optimizer = trained(seed, head_only=False, width=64)
    return {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": seed, "best": float("inf"), "shape": (16, 8)}


def _script(seed: int):
    import torch

    return torch.jit.script(_net(seed))


def _program(seed: int):
    import torch

    from tests.frameworks.torch_nets import INPUTS

    return torch.export.export(_net(seed), (INPUTS,))


def _numbers(value):
    """A checkpoint as numbers and text."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.float().numpy()
    if isinstance(value, dict):
        return {str(key): _numbers(item) for key, item in value.items()}
    return [_numbers(item) for item in value] if isinstance(value, (list, tuple)) else value


def _predict_program(program):
    import torch

    from tests.frameworks.torch_nets import INPUTS

    with torch.no_grad():
        return program.module()(INPUTS).numpy()


CASES = (
    Case("PyTorch nn.Module, other seed", ("torch", "safetensors"), _net, _predict, "pytorch", "safetensors", load=Into(_fresh)),
    Case("PyTorch nn.Module, head trained", ("torch", "safetensors"), _head, _predict, "pytorch", "safetensors", load=Into(_fresh)),
    Case("PyTorch checkpoint (dict of tensors)", ("torch", "safetensors"), _checkpoint, _numbers, "tensors", "safetensors"),
    Case("TorchScript", ("torch",), _script, _predict, "torchscript", "torchscript", needs_pickle=True),
    Case(
        "torch.export", ("torch",), _program, _predict_program, "torch-export", "pt2", needs_pickle=True,
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


@pytest.fixture
def model(tmp_path: Path):
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    return reg.init(tmp_path / "registry").model("net")


def test_class_is_made_only_where_it_is_trusted(model) -> None:
    from tests.frameworks.torch_nets import Net, predict, trained

    net, _ = trained(0, head_only=False, width=32)
    model.save(net, options={"init": {"width": 32}})
    name = "tests.frameworks.torch_nets.Net"
    assert model.show("main").commit.params["width"] == 32
    with pytest.raises(UnsafeFileError, match="into") as caught:
        model.load()
    assert caught.value.fields["types"] == [name]
    with pytest.raises(UnsafeFileError):
        model.load(trust=["tests.frameworks.torch_nets"])
    loaded = model.load(trust=[name])
    assert type(loaded) is Net
    assert not loaded.training
    assert (predict(loaded) == predict(net)).all()
    assert loaded.embedding.weight is loaded.head.weight


def test_another_class_under_the_same_name_does_not_fit(model) -> None:
    from tests.frameworks.torch_nets import Net

    model.save(Net(16))
    with pytest.raises(InvalidInputError, match="does not fit"):
        model.load(options={"into": Net(32)})


def test_class_of_a_function_cannot_be_found_by_name(model) -> None:
    import torch

    class Local(torch.nn.Linear):
        pass

    model.save(Local(2, 2))
    (name,) = model.manifest().objects["model"].trust
    with pytest.raises(NotFoundError, match="within a function"):
        model.load(trust=[name])


def test_training_goes_on_with_the_optimizer_as_it_would_have(model) -> None:
    import torch

    from tests.frameworks.torch_nets import INPUTS, Net, predict, trained

    net, optimizer = trained(0, head_only=False)
    model.save(net, options={"optimizer": optimizer})
    assert model.show("main").commit.params["optimizer.lr"] == 0.01
    assert not any(file.on_load.runs_code for file in model.files("main"))
    other = Net()
    resumed = torch.optim.AdamW(other.parameters(), lr=1.0)
    model.load(options={"into": other, "optimizer": resumed})
    for each, its in ((net, optimizer), (other, resumed)):
        its.zero_grad()
        each.eval()(INPUTS).sum().backward()
        its.step()
    assert (predict(net) == predict(other)).all()
    model.save(Net(), branch="bare")
    with pytest.raises(InvalidInputError, match="no optimizer"):
        model.load("bare", options={"into": Net(), "optimizer": resumed})


def test_shells_are_taken_off(model) -> None:
    import torch

    from tests.frameworks.torch_nets import Net, predict

    net = Net()
    first = model.save(net)
    assert not model.save(torch.nn.DataParallel(net)).created or model.manifest().objects["model"].details["class"].endswith(
        "Net"
    )
    into = Net()
    model.load(options={"into": torch.nn.DataParallel(into)})
    assert (predict(into) == predict(net)).all()
    assert first.created


def test_tensors_that_safetensors_has_no_place_for_are_refused(model) -> None:
    import torch

    class Odd(torch.nn.Module):
        def __init__(self, tensor) -> None:
            super().__init__()
            self.register_buffer("odd", tensor)

    with pytest.raises(InvalidInputError, match="sparse"):
        model.save(Odd(torch.eye(3).to_sparse()))
    with pytest.raises(InvalidInputError, match="no data yet"):
        model.save(torch.nn.LazyLinear(3))
    with pytest.raises(InvalidInputError, match="no data yet"):
        model.save(torch.nn.Linear(2, 2, device="meta"))


def test_views_of_one_storage_are_written_apart(model) -> None:
    import torch

    whole = torch.arange(12.0)

    class Views(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, view in (("all", whole), ("first", whole[:6]), ("rest", whole[6:]), ("turned", whole.reshape(3, 4).T)):
                self.register_buffer(name, view)

    model.save(Views())
    into = Views()
    for buffer in into.buffers():
        buffer.data = torch.zeros_like(buffer)
    model.load(options={"into": into})
    assert into.first.tolist() == whole[:6].tolist()
    assert into.turned.tolist() == whole.reshape(3, 4).T.tolist()


def test_state_beside_tensors_is_plain_or_refused(model) -> None:
    import torch

    class Counts(torch.nn.Linear):
        seen = None

        def get_extra_state(self):
            return self.seen

        def set_extra_state(self, state) -> None:
            self.seen = state

    module = Counts(2, 2)
    module.seen = {"steps": 3, "names": ["a"]}
    model.save(module)
    into = Counts(2, 2)
    assert model.load(options={"into": into}).seen == {"steps": 3, "names": ["a"]}
    module.seen = object()
    with pytest.raises(InvalidInputError, match="_extra_state"):
        model.save(module)
