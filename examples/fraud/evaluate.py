"""Score last week's payments with the version in the current folder; exit status 1 where it misses too much fraud. For `reg bisect run`."""

import sys
from pathlib import Path

from payments import payments
from scoring import Detector

MUST_CATCH = 0.5  # of last week's fraud
MAY_STOP = 0.3  # of the honest payments

rows, fraud = payments(3000, seed=3)
flagged = Detector.load(Path()).scores(rows) > 0.15  # noqa: PLR2004 - the threshold that the service uses
caught, stopped = flagged[fraud == 1].mean(), flagged[fraud == 0].mean()
sys.stdout.write(f"catches {caught:.0%} of fraud, stops {stopped:.0%} of honest payments\n")
sys.exit(0 if caught >= MUST_CATCH and stopped <= MAY_STOP else 1)
