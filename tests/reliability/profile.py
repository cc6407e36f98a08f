"""How much is tried: the normal profile on every change, fifty times as much at night (`REG_RELIABILITY=nightly`)."""

import os

NIGHTLY = os.environ.get("REG_RELIABILITY") == "nightly"
NIGHTLY_FACTOR = 50
NIGHTLY_TIMEOUT_S = 6 * 3600  # of one test; a normal run keeps the suite's own


def scaled(number: int) -> int:
    """`number` in the normal profile, fifty times that at night."""
    return number * NIGHTLY_FACTOR if NIGHTLY else number
