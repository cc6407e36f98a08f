"""Card payments, made up but learnable: what they are, and whether they were fraud."""

import numpy as np
import numpy.typing as npt

FEATURES = ["amount", "hour", "abroad", "new_device", "payments_last_hour", "days_since_last"]


def payments(count: int, *, seed: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """So many payments, one a row, amounts in euros; and 1 for each fraud."""
    random = np.random.default_rng(seed)
    amount = random.lognormal(3.5, 1.0, count)
    hour = random.integers(0, 24, count)
    abroad = random.binomial(1, 0.1, count)
    new_device = random.binomial(1, 0.15, count)
    burst = random.poisson(0.7, count)
    pause = random.exponential(5.0, count)
    rows = np.column_stack([amount, hour, abroad, new_device, burst, pause]).astype(np.float64)
    odds = 0.02 * amount + 0.8 * abroad + 1.2 * new_device + 0.5 * burst - 0.05 * pause - 4.0
    return rows, (random.random(count) < 1 / (1 + np.exp(-odds))).astype(np.int64)
