"""A small real model for `reg demo`: it learns to continue Python source text, and is saved as safetensors.

An embedding of the last 16 characters, two hidden layers and a head over 96 characters: about 1.8 million float32 parameters,
trained by Adam on the standard library's own sources.
"""

import json
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cas_registry.errors import NotFoundError

Array = NDArray[np.float32]
Tensors = dict[str, Array]

CONTEXT = 16
VOCABULARY = 96  # printable ASCII, and one for everything else
_EMBEDDED = 24
_HIDDEN = 1024
_BATCH = 256
_TEXT_BYTES = 2_000_000
_LEARNING_RATE = 1.5e-3


@dataclass(slots=True)
class CharacterModel:
    """Weights and what Adam remembers of them."""

    tensors: Tensors
    steps: int = 0
    _moments: dict[str, tuple[Array, Array]] = field(default_factory=dict)

    @classmethod
    def fresh(cls, random: np.random.Generator) -> "CharacterModel":
        """Random weights, scaled by fan-in."""
        shapes = {
            "embedding.weight": (VOCABULARY, _EMBEDDED),
            "hidden.0.weight": (CONTEXT * _EMBEDDED, _HIDDEN),
            "hidden.0.bias": (_HIDDEN,),
            "hidden.1.weight": (_HIDDEN, _HIDDEN),
            "hidden.1.bias": (_HIDDEN,),
            "head.weight": (_HIDDEN, VOCABULARY),
            "head.bias": (VOCABULARY,),
        }
        return cls({name: _initial(name, shape, random) for name, shape in shapes.items()})

    def train(self, text: NDArray[np.uint8], random: np.random.Generator, *, steps: int, only: str = "") -> float:
        """Take so many steps on random places of `text`, moving the tensors whose names start with `only`. The last steps' mean loss."""
        losses: list[float] = []
        for _ in range(steps):
            places = random.integers(0, len(text) - CONTEXT - 1, _BATCH)
            windows = text[places[:, None] + np.arange(CONTEXT)]
            loss, gradients = self._gradients(windows, text[places + CONTEXT], head_only=only.startswith("head"))
            losses.append(loss)
            self.steps += 1
            for name, gradient in gradients.items():
                if name.startswith(only):
                    self._move(name, gradient)
        return float(np.mean(losses[-10:]))

    def _gradients(self, windows: NDArray[np.uint8], targets: NDArray[np.uint8], *, head_only: bool) -> tuple[float, Tensors]:
        weights = self.tensors
        embedded = weights["embedding.weight"][windows].reshape(len(windows), -1)
        first = np.maximum(embedded @ weights["hidden.0.weight"] + weights["hidden.0.bias"], 0)
        second = np.maximum(first @ weights["hidden.1.weight"] + weights["hidden.1.bias"], 0)
        logits = second @ weights["head.weight"] + weights["head.bias"]
        logits -= logits.max(axis=1, keepdims=True)
        exponents = np.exp(logits)
        chances = exponents / exponents.sum(axis=1, keepdims=True)
        rows = np.arange(len(targets))
        loss = float(-np.log(chances[rows, targets] + 1e-9).mean())
        chances[rows, targets] -= 1
        back = chances / np.float32(len(targets))
        gradients = {"head.weight": second.T @ back, "head.bias": back.sum(axis=0)}
        if head_only:
            return loss, gradients
        back = (back @ weights["head.weight"].T) * (second > 0)
        gradients |= {"hidden.1.weight": first.T @ back, "hidden.1.bias": back.sum(axis=0)}
        back = (back @ weights["hidden.1.weight"].T) * (first > 0)
        gradients |= {"hidden.0.weight": embedded.T @ back, "hidden.0.bias": back.sum(axis=0)}
        embedding = np.zeros_like(weights["embedding.weight"])
        np.add.at(embedding, windows, (back @ weights["hidden.0.weight"].T).reshape(*windows.shape, _EMBEDDED))
        gradients["embedding.weight"] = embedding
        return loss, gradients

    def _move(self, name: str, gradient: Array) -> None:
        """One step of Adam (Kingma and Ba, 2015)."""
        weight = self.tensors[name]
        mean, square = self._moments.setdefault(name, (np.zeros_like(weight), np.zeros_like(weight)))
        mean += np.float32(0.1) * (gradient - mean)
        square += np.float32(0.001) * (gradient * gradient - square)
        corrected = np.float32(_LEARNING_RATE * np.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps))
        weight -= corrected * mean / (np.sqrt(square) + np.float32(1e-8))


def read_sources() -> NDArray[np.uint8]:
    """About 2 MB of the standard library's own source text as character numbers."""
    parts: list[bytes] = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        parts.append(path.read_bytes())
        if sum(map(len, parts)) > _TEXT_BYTES:
            break
    raw = np.frombuffer(b"".join(parts), dtype=np.uint8)
    if len(raw) < _TEXT_BYTES // 10:
        raise NotFoundError("reg demo trains on the sources of Python's standard library, which this Python does not have")
    printable = (raw >= 32) & (raw < 127)  # noqa: PLR2004 - ASCII
    return np.where(printable, raw - 31, 0).astype(np.uint8)


def write_safetensors(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """The format of https://github.com/huggingface/safetensors: the header's length, the header, then the tensors' bytes."""
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    offset = 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, offset + tensor.nbytes]}
        offset += tensor.nbytes
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little"))
        file.write(encoded)
        for tensor in tensors.values():
            file.write(np.ascontiguousarray(tensor, dtype="<f4").tobytes())


def _initial(name: str, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    if name.endswith("bias"):
        return np.zeros(shape, dtype=np.float32)
    scale = 1.0 if name.startswith("embedding") else np.sqrt(2 / shape[0])
    return (random.standard_normal(shape, dtype=np.float32) * np.float32(scale)).astype(np.float32)
