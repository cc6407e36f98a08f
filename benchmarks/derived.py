"""The same weights in other shapes: other shards, another container, another element type, a few rows more. Needs torch and safetensors."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SHARDS = 3
ROWS = 64


def derive(weights: Path, out: Path) -> None:
    """A folder a shape below `out`, each of the tensors of the safetensors file `weights`."""
    import torch
    from safetensors.torch import load_file, save_file

    tensors = load_file(weights)
    for name in ("resharded", "as-pt", "rows-appended", "bf16-cast", "fp16-cast"):
        (out / name).mkdir(parents=True, exist_ok=True)
    _reshard(tensors, out / "resharded")
    torch.save(tensors, out / "as-pt" / "pytorch_model.pt")
    save_file(_with_more_rows(tensors), out / "rows-appended" / weights.name, metadata={"format": "pt"})
    for name, dtype in (("bf16-cast", torch.bfloat16), ("fp16-cast", torch.float16)):
        cast = {key: tensor.to(dtype) if tensor.dtype == torch.float32 else tensor for key, tensor in tensors.items()}
        save_file(cast, out / name / weights.name, metadata={"format": "pt"})


def _reshard(tensors: Mapping[str, Any], folder: Path) -> None:
    """Shards of about equal size with an index, as transformers lays them out."""
    from safetensors.torch import save_file

    total = sum(tensor.nbytes for tensor in tensors.values())
    shards: list[dict[str, Any]] = [{} for _ in range(SHARDS)]
    done = 0
    for name, tensor in tensors.items():
        shards[min(done * SHARDS // total, SHARDS - 1)][name] = tensor
        done += tensor.nbytes
    weight_map = {}
    for number, shard in enumerate(shards):
        file = f"model-{number + 1:05}-of-{SHARDS:05}.safetensors"
        save_file(shard, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(shard, file)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))


def _with_more_rows(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The largest embedding with rows appended, as when a tokenizer gains words."""
    import torch

    name = max((name for name in tensors if "embeddings" in name), key=lambda name: tensors[name].nbytes)
    embedding = tensors[name]
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(ROWS, *embedding.shape[1:], generator=generator) * embedding.float().std()
    return {**tensors, name: torch.cat([embedding, rows.to(embedding.dtype)])}
