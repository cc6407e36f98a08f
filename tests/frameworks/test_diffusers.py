"""Pipelines of Diffusers, their models and schedulers."""

import json
from pathlib import Path

import pytest

import cas_registry as reg
from cas_registry.errors import UnsafeFileError
from tests.frameworks.round_trip import Case, check

pytestmark = pytest.mark.filterwarnings("default")
NEEDS = ("diffusers", "torch", "safetensors")


def _unet(seed: int):
    import torch
    from diffusers import UNet2DModel

    torch.manual_seed(seed)
    return UNet2DModel(
        sample_size=8, in_channels=1, out_channels=1, layers_per_block=1, block_out_channels=(16, 32), norm_num_groups=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    ).eval()  # fmt: skip


def _pipeline(seed: int):
    from diffusers import DDPMPipeline, DDPMScheduler

    return DDPMPipeline(unet=_unet(seed), scheduler=DDPMScheduler(num_train_timesteps=10))


def _draw(pipeline):
    import torch

    pipeline.set_progress_bar_config(disable=True)
    return pipeline(batch_size=1, num_inference_steps=3, generator=torch.Generator().manual_seed(3), output_type="np").images


def _denoise(unet):
    import torch

    with torch.no_grad():
        return unet(torch.linspace(0, 1, 64).reshape(1, 1, 8, 8), 3).sample.numpy()


CASES = (
    Case("Diffusers pipeline, other seed", NEEDS, _pipeline, _draw, "diffusers", "safetensors"),
    Case("Diffusers UNet, other seed", NEEDS, _unet, _denoise, "diffusers", "safetensors"),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_parts_of_elsewhere_have_to_be_trusted(tmp_path: Path) -> None:
    for name in NEEDS:
        pytest.importorskip(name)
    model = reg.init(tmp_path / "registry").model("m")
    model.save(_pipeline(0))
    model.checkout("main", tmp_path / "out")
    path = tmp_path / "out" / "model_index.json"
    index = json.loads(path.read_text())
    for change in ({"scheduler": ["subprocess", "Popen"]}, {"_class_name": ["pipeline", "Own"]}):
        path.write_text(json.dumps({**index, **change}))
        model.commit(tmp_path / "out")
        with pytest.raises(UnsafeFileError, match=r"subprocess\.Popen|pipeline\.Own"):
            model.load()


def test_scheduler_alone_and_folder_of_elsewhere(tmp_path: Path) -> None:
    for name in NEEDS:
        pytest.importorskip(name)
    from diffusers import DDPMScheduler

    model = reg.init(tmp_path / "registry").model("m")
    model.save(DDPMScheduler(num_train_timesteps=17))
    assert model.load().config.num_train_timesteps == 17
    pipeline = _pipeline(1)
    pipeline.save_pretrained(tmp_path / "there")
    model.commit(tmp_path / "there")
    assert (_draw(model.load()) == _draw(pipeline)).all()
