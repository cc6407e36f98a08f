"""What the classical frameworks are trained on: one set of features, and targets that another seed makes a little different."""

import numpy as np
import numpy.typing as npt
import pandas as pd

FEATURES: npt.NDArray[np.float64] = np.random.default_rng(7).normal(size=(300, 8))
TABLE = pd.DataFrame(FEATURES, columns=[f"f{number}" for number in range(8)]).assign(
    town=np.where(FEATURES[:, 3] > 0, "Rome", "Oslo")
)


def classes(seed: int) -> npt.NDArray[np.int64]:
    """Two classes."""
    return (amounts(seed) > 0).astype(np.int64)


def names(seed: int) -> npt.NDArray[np.str_]:
    """Three classes, by name."""
    return np.array(["high", "low", "middle"])[np.digitize(amounts(seed), [-0.7, 0.7])]


def amounts(seed: int) -> npt.NDArray[np.float64]:
    """A quantity."""
    noise = np.random.default_rng(seed).normal(scale=0.3, size=len(FEATURES))
    found: npt.NDArray[np.float64] = FEATURES[:, 0] + FEATURES[:, 1] * FEATURES[:, 2] + noise
    return found
