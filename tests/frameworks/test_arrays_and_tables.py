"""Arrays of numpy and tables of pandas."""

from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.data import FEATURES, TABLE
from tests.frameworks.round_trip import Case, check


def _table(found: Any) -> Any:
    return [found.to_dict("list"), list(found.index), [str(kind) for kind in found.dtypes]]


CASES = (
    Case("numpy array", ("numpy",), lambda seed: FEATURES + seed, lambda found: found, "numpy", "npz"),
    Case("numpy arrays by name", ("numpy",), lambda seed: {"a": FEATURES, "b": FEATURES[0] * seed}, dict, "numpy", "npz"),
    Case("pandas DataFrame", ("pandas", "pyarrow"), lambda seed: TABLE.assign(n=seed).iloc[::-1], _table, "pandas", "parquet"),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
