"""T15: at every moment of every operation all that is named is there; and what goes is needed by no version at that moment.

tests/operations/test_write_order.py does it for commits and moves of refs; here it is done beside repacks, retirements and
collections, and for what people do with versions: notes, forks, merges, releases.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.model.rules import TagRule
from cas_registry.registry import Registry, registry_over
from tests.reliability.matrix import Row
from tests.reliability.scenes import small_borders
from tests.support.folders import CHUNK_BYTES, KIB, File, make_bytes, read_folder, write_folder
from tests.support.references import references
from tests.support.simulated import TracingBackend, Written, make_registry, make_world, memory_with, with_small_packs

ROW = "T15"
MANY_TAGS = 400  # of 150 characters: more than an entry holds


def _versions(registry: Registry, work: Path, count: int = 4) -> None:
    for number in range(count):
        lines = b"".join(b"layer %d of %d: %d\n" % (line % 7, number, line % (11 + number)) for line in range(900))
        folder = {f"{name}.txt": File(lines + b"%d" % name) for name in range(3 + number)}
        write_folder(work, {**folder, "w.bin": File(make_bytes(number // 2, 30 * KIB))})
        registry.model("m").commit(work)


def _tags(registry: Registry, work: Path) -> None:
    _versions(registry, work, 2)
    model = registry.model("m")
    model.commit(work, tags=[f"release-{number:04}-{'x' * 150}" for number in range(MANY_TAGS)], allow_empty=True)
    model.tag("prod", "main~1")
    model.tag("prod", "main")
    model.delete_tag("prod")


def _retire(registry: Registry, work: Path) -> None:
    _versions(registry, work)
    model = registry.model("m")
    gone = model.resolve("main~3").commit.hex
    model.retire("main~3", "main~2")
    model.restore(gone)
    model.repack()
    registry.retire("m", force=True)
    model.commit(work)


def _repack(registry: Registry, work: Path) -> None:
    _versions(registry, work)
    registry.model("m").repack()
    write_folder(work, {"late.bin": File(make_bytes(77, 15 * KIB))})
    registry.model("m").commit(work)
    registry.model("m").repack(level=19)


def _collect(registry: Registry, work: Path) -> None:
    """What a repack left, then what two versions alone needed, then nothing."""
    _versions(registry, work)
    registry.model("other").commit(work)
    registry.model("m").retire("main~3", "main~2")
    _gc(registry)
    registry.model("m").repack()
    _gc(registry)
    registry.retire("other")
    _gc(registry)


def _team(registry: Registry, work: Path) -> None:
    """Notes, a fork and its merge back, a card, and a release that moves, whose versions are given up."""
    _versions(registry, work, 3)
    model = registry.model("m")
    model.note("v2", "drifts", labels={"reviewed": True})
    model.approve("v2", "prod")
    registry.protect("env/*", TagRule(after=("prod",)))
    model.promote("v2", "prod", reason="better")
    model.fork("fork", "v2")
    fork = registry.model("fork")
    write_folder(work, {**read_folder(work), "0.txt": File(b"of the fork")})
    fork.commit(work)
    fork.set_card("main", {"license": "mit"})
    model.merge("fork@main", take="theirs")
    registry.release("stack", {"m": "v2", "fork": "main"})
    registry.release("stack", {"m": "main"}, drop=["fork"])
    model.rollback("prod", to="v2", reason="an outage")
    registry.rollback_release("stack")
    model.retire("v1", reason="old")
    registry.retire("fork", force=True)


def _gc(registry: Registry) -> None:
    found = registry.gc(grace_s=0)
    registry.gc(delete=True, grace_s=0, trash_window_s=0, confirmed=found.garbage_objects)


@pytest.mark.parametrize("act", [_tags, _retire, _repack, _team, _collect])
def test_at_every_moment_the_store_is_closed(act: Callable[[Registry, Path], None], matrix: Row, tmp_path: Path) -> None:
    backend = TracingBackend(MemoryBackend("order"))
    with small_borders():
        act(with_small_packs(make_registry(backend, make_world(), chunk_bytes=CHUNK_BYTES), 40 * KIB), tmp_path / "work")
    present: dict[str, bytes] = {}
    for written, missing in _moments(backend.trace, present):
        assert missing == [], f"{written.key} names what is not there: {missing}"
        if written.method == "delete" and written.key.startswith(("maps/", "packs/")):
            report = registry_over(memory_with(present), make_world()).fsck()
            assert report.exit_code == 0, (written.key, report.findings)
        matrix.count()
    report = registry_over(memory_with(present), make_world()).fsck(read_data=True)
    assert report.exit_code == 0
    assert any(written.method == "delete" and written.key.startswith("packs/") for written in backend.trace) == (
        act is _collect
    )


def _moments(trace: list[Written], present: dict[str, bytes]) -> Iterator[tuple[Written, list[str]]]:
    """Each write with the keys that it names and that are not `present`, which is kept up with it.

    An entry carries on what the tables before it named, and what a table says of retired versions is that they have no map.
    """
    for written in trace:
        yield written, [key for key in references(written) if key not in present]
        if written.method == "delete":
            present.pop(written.key, None)
        elif written.method != "flush":
            present[written.key] = written.data
