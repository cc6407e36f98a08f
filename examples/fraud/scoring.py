"""What a service does with a version: load arrays, score payments. Needs numpy, no scikit-learn and no pickle."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Detector:
    """A loaded version."""

    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]

    @classmethod
    def load(cls, folder: Path) -> "Detector":
        with np.load(folder / "model.npz", allow_pickle=False) as arrays:
            return cls(**{name: arrays[name] for name in ("mean", "scale", "weights", "bias")})

    def scores(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The probability of fraud for each payment."""
        odds = ((rows - self.mean) / self.scale) @ self.weights + self.bias
        return 1 / (1 + np.exp(-odds))
