"""What the engine makes of any source: once each, in order, stopped and gone on with, tags that people moved left alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import BackendError, InvalidInputError, NotFoundError
from cas_registry.model.entry import RefKind
from cas_registry.model.rules import TagRule
from cas_registry.operations.importing import engine
from cas_registry.operations.importing.engine import ImportedVersion, ImportReport, ImportRequest, import_versions
from cas_registry.operations.importing.foreign import ForeignTag, ForeignVersion, Unreadable
from cas_registry.operations.progress import NoProgress
from cas_registry.registry import Registry, registry_over
from tests.support.simulated import make_world


def version(number: int, *tags: str, model: str = "fraud", data: bytes | None = None, **more: object) -> ForeignVersion:
    def lay_out(scratch: Path) -> Path:
        (scratch / "weights.bin").write_bytes(b"%d" % number if data is None else data)
        return scratch

    found = ForeignVersion(model, f"id-{number}", f"{model}/{number}", lay_out, author=f"maker-{number}", time_ms=1000 * number)
    return replace(found, tags=tuple(ForeignTag(tag, f"alias {tag}") for tag in tags), **more)


@dataclass
class Listed:
    """A source of these."""

    items: list[ForeignVersion | Unreadable]
    kind: str = "listed"
    place: str = "here"

    def versions(self) -> Iterator[ForeignVersion | Unreadable]:
        yield from self.items


def run(
    registry: Registry,
    *items: ForeignVersion | Unreadable,
    tell: Callable[[ImportedVersion], None] = lambda _: None,
    **request: object,
) -> ImportReport:
    world = registry._world
    asked = ImportRequest(who="importer", time_ms=1_800_000_000_000, **request)
    return import_versions(
        registry._stores,
        Listed(list(items)),
        asked,
        cache_folder=world.cache_folder,
        clock_ns=world.clock_ns,
        progress=NoProgress(),
        tell=tell,
    )


def outcomes(report: ImportReport) -> list[str]:
    return [item.outcome.value for item in report.versions]


def test_versions_keep_author_and_time_and_the_log_tells_who_imported(registry: Registry) -> None:
    run(registry, version(1), version(2, "prod"))
    commits = [record.commit for record in registry.model("fraud").log()]
    assert [(commit.author, commit.time_ms) for commit in commits] == [("maker-2", 2000), ("maker-1", 1000)]
    assert commits[0].labels == {
        "imported.from": "listed",
        "imported.id": "id-2",
        "imported.name": "fraud/2",
        "imported.place": "here",
    }
    moves = registry.model("fraud").history(RefKind.BRANCH, "main")
    assert {(move.who, move.time_ms) for move in moves} == {("importer", 1_800_000_000_000)}


def test_what_nobody_made_is_the_importer_s(registry: Registry) -> None:
    run(registry, version(1, author=None, time_ms=None))
    commit = registry.model("fraud").show("main").commit
    assert (commit.author, commit.time_ms) == ("importer", 1_800_000_000_000)


def test_a_second_import_brings_only_what_is_new_also_where_versions_are_retired(registry: Registry) -> None:
    assert outcomes(run(registry, version(1), version(2))) == ["imported", "imported"]
    registry.model("fraud").retire("v1")
    entries = registry._stores.log("fraud").head().n
    assert outcomes(run(registry, version(1), version(2))) == ["known", "known"]
    assert registry._stores.log("fraud").head().n == entries
    assert outcomes(run(registry, version(1), version(2), version(3))) == ["known", "known", "imported"]
    assert len(registry.model("fraud").log()) == 3


def test_the_same_files_again_are_a_version_of_their_own(registry: Registry) -> None:
    run(registry, version(1, data=b"x"), version(2, data=b"x"))
    assert len(registry.model("fraud").log()) == 2


def test_an_import_that_was_stopped_goes_on_where_it_was(registry: Registry) -> None:
    class Stopped(BaseException):
        pass

    def stop(told: ImportedVersion) -> None:
        if told.id == "id-2":
            raise Stopped

    with pytest.raises(Stopped):
        run(registry, version(1, "prod"), version(2), version(3), tell=stop)
    report = run(registry, version(1, "prod"), version(2), version(3))
    assert outcomes(report) == ["known", "known", "imported"]
    assert [tag.outcome for tag in report.tags] == ["imported"]


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    from tests.support.simulated import make_registry, objects_of

    backend = MemoryBackend("dry")
    registry = make_registry(backend, make_world(tmp_path / "cache"))
    before = objects_of(backend)
    report = run(registry, version(1, "prod"), version(2), dry_run=True)
    assert outcomes(report) == ["planned", "planned"]
    assert [(tag.tag, tag.outcome, tag.commit) for tag in report.tags] == [("prod", "planned", None)]
    assert objects_of(backend) == before


def test_a_bad_version_is_told_of_and_the_others_come(registry: Registry) -> None:
    def broken(_: Path) -> Path:
        raise ValueError("nonsense")

    def hostile(scratch: Path) -> Path:
        (scratch / "CON").write_bytes(b"x")
        return scratch

    items = [
        version(1),
        version(2, "two", lay_out=broken),
        version(3, lay_out=hostile),
        Unreadable(None, "four", "no JSON"),
        version(5, metrics={"x": 2**70}),
        version(6),
    ]
    report = run(registry, *items)
    assert outcomes(report) == ["imported", "failed", "failed", "failed", "failed", "imported"]
    assert report.failed
    assert [bool(item.reason) for item in report.versions] == [False, True, True, True, True, False]
    assert [(tag.tag, tag.outcome, tag.reason) for tag in report.tags] == [("two", "failed", "its version was not imported")]
    with pytest.raises(InvalidInputError, match="nonsense"):
        run(registry, *items, strict=True)


def test_a_tag_follows_the_source_until_somebody_moves_it_here(registry: Registry) -> None:
    model = registry.model("fraud")
    run(registry, version(1, "prod"), version(2))
    assert model.resolve("prod").number == 1
    assert [tag.outcome for tag in run(registry, version(1), version(2, "prod")).tags] == ["imported"]
    assert model.resolve("prod").number == 2
    model.tag("prod", "v1", reason="mine")
    report = run(registry, version(1), version(2, "prod"))
    assert [(tag.outcome, tag.reason) for tag in report.tags] == [("kept", "tester@bench moved it here since")]
    assert model.resolve("prod").number == 1
    model.delete_tag("prod")
    assert [tag.outcome for tag in run(registry, version(1), version(2, "prod")).tags] == ["kept"]


def test_rules_of_tags_hold_for_imports_by_the_importer_s_name(registry: Registry) -> None:
    run(registry, version(1))
    registry.protect("prod", TagRule(who=("maker-1",)))
    report = run(registry, version(1, "prod"))
    assert [tag.outcome for tag in report.tags] == ["failed"]
    assert "rule" in report.tags[0].reason


def test_of_two_versions_that_have_a_name_the_later_one_has_it_here(registry: Registry) -> None:
    report = run(registry, version(1, "prod"), version(2, "prod"))
    assert [tag.version for tag in report.tags] == ["fraud/2"]


def test_models_are_chosen_and_called_otherwise(registry: Registry) -> None:
    items = [version(1), version(2, model="org/name"), version(3, model="third")]
    run(registry, *items, only=["fraud", "org/name"], names={"fraud": "fraud-classic"})
    assert registry.model_names() == ["fraud-classic", "org-name"]
    for wrong in ({"only": ["froud"]}, {"names": {"froud": "x"}}):
        with pytest.raises(NotFoundError, match="no model 'froud'; it has fraud, org/name, third"):
            run(registry, *items, **wrong)
    with pytest.raises(InvalidInputError, match="would both be model 'org-name'"):
        run(registry, version(1, model="org/name"), version(2, model="org-name"))


def test_two_imports_at_once_commit_each_version_once(registry: Registry) -> None:
    """While one lays out its second version, the other imports everything."""
    other = registry_over(registry._stores.backend, make_world())
    run(registry, version(1))

    def meanwhile(scratch: Path) -> Path:
        run(other, version(1), version(2), version(3))
        return version(2).lay_out(scratch)

    report = run(registry, version(1), version(2, lay_out=meanwhile), version(3))
    assert outcomes(report) == ["known", "known", "known"]
    assert len(registry.model("fraud").log()) == 3


def test_what_another_import_commits_while_this_one_looks_is_not_committed_again(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(registry, version(1))
    other = registry_over(registry._stores.backend, make_world())
    asking = engine.ask_index

    def interrupted(*words: object, **more: object) -> None:
        asking(*words, **more)
        monkeypatch.setattr(engine, "ask_index", asking)
        run(other, version(1), version(2))

    monkeypatch.setattr(engine, "ask_index", interrupted)
    assert outcomes(run(registry, version(1), version(2), version(3))) == ["known", "known", "imported"]
    assert len(registry.model("fraud").log()) == 3


def test_two_imports_at_once_of_a_model_that_is_not_here_yet(registry: Registry) -> None:
    """While one lays out its first version, the other imports everything."""
    other = registry_over(registry._stores.backend, make_world())

    def meanwhile(scratch: Path) -> Path:
        run(other, version(1), version(2))
        return version(1).lay_out(scratch)

    assert outcomes(run(registry, version(1, lay_out=meanwhile), version(2))) == ["known", "known"]
    assert len(registry.model("fraud").log()) == 2


def test_a_first_version_follows_what_a_stranger_committed_meanwhile(registry: Registry, tmp_path: Path) -> None:
    def meanwhile(scratch: Path) -> Path:
        (tmp_path / "mine").write_bytes(b"mine")
        registry.model("fraud").commit(tmp_path / "mine", message="mine")
        return version(1).lay_out(scratch)

    assert outcomes(run(registry, version(1, lay_out=meanwhile))) == ["imported"]
    assert [record.commit.message for record in registry.model("fraud").log()] == ["", "mine"]


def test_a_stranger_s_commit_in_between_stays_and_the_import_follows_it(registry: Registry, tmp_path: Path) -> None:
    run(registry, version(1))

    def meanwhile(scratch: Path) -> Path:
        (tmp_path / "mine").write_bytes(b"mine")
        registry.model("fraud").commit(tmp_path / "mine", message="mine")
        return version(2).lay_out(scratch)

    assert outcomes(run(registry, version(1), version(2, lay_out=meanwhile))) == ["known", "imported"]
    assert [record.commit.message for record in registry.model("fraud").log()] == ["", "mine", ""]


def test_a_store_that_does_not_answer_stops_the_import(registry: Registry) -> None:
    def unreachable(_: Path) -> Path:
        raise BackendError("no answer", key="x")

    with pytest.raises(BackendError):
        run(registry, version(1, lay_out=unreachable), version(2))


def test_progress_tells_of_the_listing_and_of_each_version(registry: Registry) -> None:
    stages: list[str] = []

    class Told:
        def update(self, stage: str, done_bytes: int, total_bytes: int) -> None:
            del done_bytes, total_bytes
            stages.append(stage)

    asked = ImportRequest(who="importer", time_ms=1_800_000_000_000)
    world = registry._world
    import_versions(
        registry._stores, Listed([version(1)]), asked, cache_folder=world.cache_folder, clock_ns=world.clock_ns, progress=Told()
    )
    assert stages[0] == "list"
    assert "import fraud/1 (1 of 1): fetch" in stages
    assert "import fraud/1 (1 of 1): hash" in stages
