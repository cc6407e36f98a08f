"""Files of W&B, whole, cut off and damaged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.errors import InvalidInputError
from cas_registry.operations.importing.wandb_log import read_log
from tests.operations.importing.make_data import DATA

LOG = next((DATA / "wandb").rglob("run-*.wandb")).read_bytes()


def test_a_run_s_file_tells_run_config_summary_and_artifacts() -> None:
    run = read_log(LOG, what="run")
    assert (run.project, run.entity, run.tags, run.notes) == ("fraud", "lab", ("nightly",), "all data")
    assert [(artifact.type, artifact.name) for artifact in run.artifacts] == [("model", "fraud-model"), ("dataset", "rows")]
    assert [file.path for file in run.artifacts[0].files] == ["deep/config.json", "weights.bin"]


@given(st.integers(7, len(LOG)))
def test_a_run_that_was_killed_is_read_as_far_as_it_goes(end: int) -> None:
    whole, cut = read_log(LOG, what="run"), read_log(LOG[:end], what="run")
    assert cut.artifacts == whole.artifacts[: len(cut.artifacts)]


@given(st.integers(0, len(LOG) - 1), st.integers(1, 255))
def test_a_flipped_byte_is_an_error_or_cuts_it_off(position: int, flip: int) -> None:
    data = bytearray(LOG)
    data[position] ^= flip
    try:
        found = read_log(bytes(data), what="run")
    except InvalidInputError:
        return
    assert found.artifacts == read_log(LOG, what="run").artifacts[: len(found.artifacts)]


@given(st.binary(max_size=200))
def test_anything_else_is_no_run(data: bytes) -> None:
    with pytest.raises(InvalidInputError, match="no file of W&B"):
        read_log(data, what="run")
