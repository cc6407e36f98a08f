"""What ModelPack calls things."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.operations.exporting.modelpack import BIG_FILE_BYTES, media_type, param_size


@pytest.mark.parametrize(
    ("path", "size_bytes", "kind"),
    [
        ("model.safetensors", 10, "weight"),
        ("encoder/pytorch_model.bin", 10, "weight"),
        ("model.ubj", 10, "weight"),
        ("config.json", 10**9, "weight.config"),
        ("tokenizer.model", 10**7, "weight.config"),
        ("MLmodel", 10, "weight.config"),
        ("README.md", 10, "doc"),
        ("LICENSE", 10, "doc"),
        ("train.py", 10, "code"),
        ("requirements.txt", 10, "code"),
        ("data/train.parquet", 10, "dataset"),
        ("shard-00001", BIG_FILE_BYTES, "weight"),
        ("shard-00001", BIG_FILE_BYTES - 1, "weight.config"),
    ],
)
def test_the_kind_of_a_file(path: str, size_bytes: int, kind: str) -> None:
    assert media_type(path, size_bytes) == f"application/vnd.cncf.model.{kind}.v1.raw"


@pytest.mark.parametrize(
    ("count", "text"),
    [(999, None), (1000, "1K"), (6_700_000_000, "6.7B"), (1_999_999, "1.9M"), (10**12, "1T"), (10**18, "1000Q")],
)
def test_how_many_parameters(count: int, text: str | None) -> None:
    assert param_size(count) == text


@given(st.integers(min_value=1000, max_value=10**18))
def test_a_count_is_rounded_down_by_less_than_a_tenth(count: int) -> None:
    text = param_size(count)
    assert text is not None
    scale = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12, "Q": 10**15}[text[-1]]
    tenths = round(float(text[:-1]) * 10)
    assert tenths * scale <= count * 10 < (tenths + 1) * scale
