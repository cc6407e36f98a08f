"""Who needs a version: found once, and again at the price of what is new."""

from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import CountingBackend
from cas_registry.model.inputs import Input
from cas_registry.operations.uses import Use, UseKind, Uses
from cas_registry.registry import Registry, registry_over
from tests.support.folders import File, write_folder
from tests.support.simulated import make_registry, make_world


class Bench:
    def __init__(self, work: Path) -> None:
        self.work = work
        self.backend = CountingBackend(MemoryBackend())
        self.registry: Registry = make_registry(self.backend)

    def commit(self, model: str, text: str, *inputs: Input) -> None:
        write_folder(self.work, {"a": File(text.encode())})
        self.registry.model(model).commit(self.work, inputs=inputs)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "work")


def test_every_kind_of_use_is_told(bench: Bench) -> None:
    bench.commit("base", "1")
    bench.commit("base", "2")
    first, second = (bench.registry.model("base").resolve(f"v{n}").commit for n in (1, 2))
    bench.commit("adapter", "1", Input("base", model="base", commit=first), Input("data", uri="s3://d"))
    bench.registry.release("prod", {"base": "v2", "adapter": "v1"})
    uses = Uses(bench.registry._stores)
    assert uses.of("base", {first, second}) == [
        Use("base", second, UseKind.RELEASE, "prod"), Use("base", first, UseKind.INPUT, "adapter", 1),
    ]  # fmt: skip
    assert [str(use) for use in uses.of("base", {first})] == [f"adapter v1 was made from base@{first.short}"]
    assert uses.of("base", set()) == uses.of("adapter", {first}) == []
    bench.registry.release("prod", drop=["adapter"])
    bench.registry.model("adapter").branch("other", "main")
    bench.registry.model("adapter").retire("v1", force=True)
    assert uses.of("base", {first}) == [], "who is retired needs nothing"
    bench.registry.retire("adapter", force=True)
    assert uses.of("base", {first}) == []


def test_asking_again_reads_only_what_has_come_since(bench: Bench) -> None:
    bench.commit("base", "1")
    first = bench.registry.model("base").resolve("v1").commit
    for n in range(60):
        bench.commit("adapter", str(n), Input("base", model="base", commit=first))
    uses = Uses(registry_over(bench.backend, make_world())._stores)
    bench.backend.reset()
    assert len(uses.of("base", {first})) == 60
    assert bench.backend.requests.total() > 120
    bench.backend.reset()
    assert len(uses.of("base", {first})) == 60
    assert bench.backend.requests.total() < 30
    bench.commit("adapter", "new", Input("base", model="base", commit=first))
    assert len(uses.of("base", {first})) == 61
