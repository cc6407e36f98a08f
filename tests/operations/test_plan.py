"""A plan is the commit itself, but for the writing."""

from pathlib import Path

import numpy as np
import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import CountingBackend
from cas_registry.errors import ConflictError, InvalidInputError
from cas_registry.operations.plan import Prices, parse_prices
from cas_registry.registry import Registry
from tests.support.folders import File, make_bytes, write_folder
from tests.support.simulated import make_registry, make_world, objects_of


@pytest.fixture
def store() -> MemoryBackend:
    return MemoryBackend("plan")


@pytest.fixture
def counting(store: MemoryBackend) -> CountingBackend:
    return CountingBackend(store)


@pytest.fixture
def registry(counting: CountingBackend, tmp_path: Path) -> Registry:
    return make_registry(counting, make_world(tmp_path / "cache"))


def _version(folder: Path, step: int) -> Path:
    rng = np.random.default_rng(3)
    weights = rng.standard_normal(400_000).astype(np.float32)
    write_folder(folder, {"config.json": File(b'{"step": %d}' % step), "data.bin": File(make_bytes(step, 1_500_000))})
    np.save(folder / "weights.npy", weights + np.float32(step * 1e-4))
    return folder


def test_a_plan_says_what_the_commit_then_does(
    store: MemoryBackend, counting: CountingBackend, registry: Registry, tmp_path: Path
) -> None:
    model = registry.model("m")
    for step in range(3):
        work = _version(tmp_path / "work", step)
        before = objects_of(store)
        plan = model.plan(work)
        assert objects_of(store) == before, "a plan writes nothing"
        counting.reset()
        report = model.commit(work)
        assert plan.report.created
        assert (plan.report.new_bytes, plan.report.raw_bytes, plan.report.files, plan.report.files_read, plan.report.tree) == (
            report.new_bytes, report.raw_bytes, report.files, report.files_read, report.tree,
        )  # fmt: skip
        assert (plan.report.stored_bytes, plan.report.packs) == (report.stored_bytes, report.packs)
        assert plan.writes == counting.requests["create"] + counting.requests["put"]
        assert plan.reads == counting.requests["get"] + counting.requests["stat"]
        assert (plan.sent_bytes, plan.received_bytes) == (counting.bytes_out, counting.bytes_in)


def test_a_plan_leaves_no_trace_on_this_machine(registry: Registry, tmp_path: Path) -> None:
    registry.model("m").plan(_version(tmp_path / "work", 1))
    assert not list((tmp_path / "cache").rglob("*"))
    assert registry.model_names() == []
    assert not list((tmp_path / "work").rglob(".reg"))


def test_a_plan_of_nothing_new_costs_no_write(registry: Registry, tmp_path: Path) -> None:
    model, work = registry.model("m"), _version(tmp_path / "work", 1)
    model.commit(work)
    plan = model.plan(work)
    assert (plan.report.created, plan.writes, plan.sent_bytes, plan.month_dollars) == (False, 0, 0, 0)


def test_a_plan_is_refused_where_the_commit_would_be(registry: Registry, tmp_path: Path) -> None:
    model, work = registry.model("m"), _version(tmp_path / "work", 1)
    model.commit(work)
    model.tag("prod", "main")
    with pytest.raises(ConflictError, match="is a tag"):
        model.plan(work, branch="prod")


def test_dollars_follow_the_prices(registry: Registry, tmp_path: Path) -> None:
    work = _version(tmp_path / "work", 1)
    plan = registry.model("m").plan(work, prices={"thousand_writes": 1000, "thousand_reads": 0, "gb_month": 1e9})
    assert plan.commit_dollars == plan.writes
    assert plan.month_dollars == pytest.approx(plan.sent_bytes)


def test_prices_have_names_and_are_dollars() -> None:
    assert parse_prices({}) == Prices()
    assert parse_prices({"gb_month": 1}) == Prices(gb_month=1.0)
    with pytest.raises(InvalidInputError, match="there is no price 'put'"):
        parse_prices({"put": 1.0})
    for price in (-1, float("nan"), float("inf"), "cheap", True, None):
        with pytest.raises(InvalidInputError, match="give dollars"):
            parse_prices({"gb_month": price})
