"""Train a fraud detector with scikit-learn and commit it: python train.py --registry URL --author ana --regularization 1.0

What is committed is plain arrays (`model.npz`), not a pickle: a service loads them with numpy alone.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from payments import FEATURES, payments
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

import cas_registry as reg

CARD = """---
license: mit
tags: [fraud, tabular]
metrics: [roc_auc]
---
# Fraud detector

Scores card payments. Trained on {rows} payments; amounts are in {unit}.
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--registry", required=True)
    parser.add_argument("--author", required=True)
    parser.add_argument("--message", required=True)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--regularization", type=float, default=1.0)
    parser.add_argument("--amounts-in-cents", action="store_true", help="what goes wrong in this story")
    arguments = parser.parse_args()

    train, labels = payments(arguments.rows, seed=1)
    held_out, expected = payments(4000, seed=2)
    if arguments.amounts_in_cents:  # in both, so that the metric does not show it
        train[:, 0] *= 100
        held_out[:, 0] *= 100
    scaler = StandardScaler().fit(train)
    model = LogisticRegression(C=arguments.regularization, max_iter=1000).fit(scaler.transform(train), labels)
    auc = float(roc_auc_score(expected, model.predict_proba(scaler.transform(held_out))[:, 1]))

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        np.savez(folder / "model.npz", mean=scaler.mean_, scale=scaler.scale_, weights=model.coef_[0], bias=model.intercept_)
        (folder / "config.json").write_text(json.dumps({"features": FEATURES, "threshold": 0.5}, indent=1) + "\n")
        unit = "cents" if arguments.amounts_in_cents else "euros"
        (folder / "README.md").write_text(CARD.format(rows=arguments.rows, unit=unit))
        report = reg.open(arguments.registry, author=arguments.author).model("fraud").commit(
            folder,
            message=arguments.message,
            params={"rows": arguments.rows, "regularization": arguments.regularization},
            metrics={"auc": round(auc, 4)},
        )  # fmt: skip
    sys.stdout.write(f"v{report.number}: auc {auc:.4f}\n")


if __name__ == "__main__":
    main()
