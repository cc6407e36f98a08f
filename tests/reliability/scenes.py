"""Operations on a registry in a folder, each with the state that it begins with: what the rows about crashes interrupt.

A scene's folder has `registry`, `work` (what is committed), `target` (what is checked out) and `cache`. Data are tiny, borders and
chunks small, so that every kind of object is written.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from cas_registry.errors import AlreadyExistsError, ConflictError, NotFoundError
from cas_registry.model.rules import TagRule
from cas_registry.operations import placing, repack, repack_writing, transfer, version_files
from cas_registry.registry import Model, Registry, Reload, init_registry, open_registry
from cas_registry.worktree.scan import TEMPORARY_PREFIX
from tests.support.folders import CHUNK_BYTES, KIB, File, make_bytes, read_folder, write_folder
from tests.support.simulated import make_world

MODEL = "m"
COLLEAGUE = "colleague@bench"
_BIG_BYTES = 12 * KIB


@dataclass(frozen=True)
class Scene:
    """`prepare` makes the state before, `act` is the operation: acknowledged when it returns."""

    name: str
    prepare: Callable[[Path, int], object]
    act: Callable[[Path], object]


def open_scene(root: Path, *, author: str = "tester@bench") -> Registry:
    return open_registry(root / "registry", make_world(root / "cache", author=author))


@contextmanager
def small_borders() -> Iterator[None]:
    """Files of a few KiB count as big ones, and every repack as worth it."""
    with (
        mock.patch.object(placing, "BIG_FILE_BYTES", _BIG_BYTES),
        mock.patch.object(repack_writing, "BIG_FILE_BYTES", _BIG_BYTES),
        mock.patch.object(version_files, "BIG_FILE_BYTES", _BIG_BYTES),
        mock.patch.object(placing, "INLINE_BYTES", KIB),
        mock.patch.object(repack_writing, "INLINE_BYTES", KIB),
        mock.patch.object(repack, "WORTH_BYTES", 0),
        mock.patch.object(repack, "WORTH_SHARE", 0),
        mock.patch.object(transfer, "_ARENA_BYTES", 0),  # 40 ms of page faults, in a process that ran it before
    ):
        yield


def run(scene: Scene, root: Path) -> None:
    """The operation, by a process of its own: it opens the registry anew."""
    with small_borders():
        scene.act(root)


def prepare(scene: Scene, root: Path, seed: int) -> None:
    root.mkdir()
    with small_borders():
        scene.prepare(root, seed)


def copy_scene(template: Path, root: Path) -> None:
    """The same state in another folder. The registry's files are further names of the same ones: nobody writes into a file there."""
    shutil.copytree(template, root, copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    if f"{os.sep}registry{os.sep}" in target:
        os.link(source, target)
    else:
        shutil.copy2(source, target)


def _model(root: Path) -> Model:
    return open_scene(root).model(MODEL)


def _nothing(root: Path, seed: int) -> None:
    del seed
    (root / "work").mkdir()


def _empty(root: Path, seed: int) -> None:
    init_registry(root / "registry", make_world(root / "cache"), chunk_bytes=CHUNK_BYTES)
    _work(root, seed, 0)


def _work(root: Path, seed: int, version: int) -> None:
    """A big file that changes in the middle, one that stays, a small one that changes, and a folder that comes and goes."""
    big = bytearray(make_bytes(seed, 20 * KIB))
    big[9000 : 9000 + 16] = make_bytes(1000 + version, 16)
    folder: dict[str, File | None] = {
        "model.bin": File(bytes(big)),
        "same.bin": File(make_bytes(seed + 500, 14 * KIB)),
        "config.json": File(b'{"version": %d, "seed": %d}' % (version, seed)),
        f"epoch-{version}/log.txt": File(b"loss 0.%d\n" % version * 40, executable=True),
    }
    write_folder(root / "work", folder)


def _one(root: Path, seed: int) -> None:
    _empty(root, seed)
    _model(root).commit(root / "work", tags=["prod"])


def _one_and_changes(root: Path, seed: int) -> None:
    _one(root, seed)
    _work(root, seed, 1)


def _two(root: Path, seed: int) -> None:
    _one_and_changes(root, seed)
    _model(root).commit(root / "work", tags=["candidate"])


def _two_free(root: Path, seed: int) -> None:
    """The first version is at no tag."""
    _two(root, seed)
    _model(root).tag("prod", "main")


def _garbage(root: Path, seed: int) -> None:
    """The first of three versions is retired, a fourth one is at the same bytes, and another model shares some."""
    _two(root, seed)
    registry = open_scene(root)
    registry.model("other").commit(root / "work")
    write_folder(root / "work", {"new.bin": File(make_bytes(seed + 900, 16 * KIB))})
    registry.model(MODEL).commit(root / "work")
    registry.model(MODEL).tag("prod", "main")
    registry.model(MODEL).retire("main~2", reason="wrong split")


def _fat(root: Path, seed: int) -> None:
    """Versions that gain from a repack."""
    _empty(root, seed)
    for number in range(3):
        lines = b"".join(b"layer %d of %d: %d\n" % (line % 7, number, line % (11 + number)) for line in range(300))
        write_folder(root / "work", {f"{name}.txt": File(lines + b"%d" % name) for name in range(3 + number)})
        _model(root).commit(root / "work")


def _checked_out(root: Path, seed: int) -> None:
    _two(root, seed)
    _model(root).checkout("prod", root / "target")


def _protected(root: Path, seed: int) -> None:
    """Two versions, and a rule that lets nobody move `prod` to what no other has approved."""
    _two(root, seed)
    open_scene(root).protect("prod", TagRule(approvals=1, after=("candidate",)), model=MODEL)


def _approved(root: Path, seed: int) -> None:
    _protected(root, seed)
    _approve(root)


def _apart(root: Path, seed: int) -> None:
    """Two branches: the big file changed on one and a small one on the other, and folders came and went."""
    _one(root, seed)
    model = _model(root)
    model.branch("dev", "main")
    base = read_folder(root / "work")
    write_folder(root / "work", {**base, "config.json": File(b"{}"), "dev/log.txt": File(b"loss 0.5\n" * 40)})
    model.commit(root / "work", branch="dev")
    _work(root, seed, 1)
    write_folder(root / "work", {**read_folder(root / "work"), "config.json": base["config.json"]})
    model.commit(root / "work")


def _two_models(root: Path, seed: int) -> None:
    _two(root, seed)
    open_scene(root).model("other").commit(root / "work")


def _released(root: Path, seed: int) -> None:
    """The first version, at which no branch or tag stands, is in a release."""
    _two_models(root, seed)
    registry = open_scene(root)
    registry.model(MODEL).tag("prod", "main")
    registry.release("prod", {MODEL: "v1", "other": "main"})


def _rolled_out(root: Path, seed: int) -> None:
    _two(root, seed)
    _model(root).promote("main", "prod", reason="better")


def _carded(root: Path, seed: int) -> None:
    _empty(root, seed)
    (root / "work" / "README.md").write_bytes(b"---\nlicense: mit\n---\n# A model\n")
    _model(root).commit(root / "work", tags=["prod"])


def _note(root: Path) -> None:
    _model(root).note("main~1", "drifts", labels={"reviewed": True}, metrics={"drift": 0.02})


def _approve(root: Path) -> None:
    open_scene(root, author=COLLEAGUE).model(MODEL).approve("main", "prod", "looks right")


def _fork(root: Path) -> None:
    _finished(lambda: _model(root).fork("fork", "main~1"))


def _release(root: Path) -> None:
    open_scene(root).release("prod", {MODEL: "main", "other": "main"}, reason="both")


def _edit_card(root: Path) -> None:
    _model(root).set_card("main", {"license": "apache-2.0"})


def _retire_released(root: Path) -> None:
    retire_released(open_scene(root))


def retire_released(registry: Registry) -> None:
    """Whoever retires what a release names is refused."""
    try:
        registry.model(MODEL).retire("v1", reason="old")
    except ConflictError as error:
        assert error.fields["uses"] == [f"release prod names {MODEL}@{registry.model(MODEL).resolve('v1').commit.short}"]  # noqa: PT017
    else:
        raise AssertionError("a version that a release names was retired")


def _collect(root: Path) -> None:
    """As a run of `reg gc --delete` with nothing too young and no trash window."""
    open_scene(root).gc(delete=True, grace_s=0, trash_window_s=0)


def _init(root: Path) -> None:
    _finished(lambda: init_registry(root / "registry", make_world(root / "cache"), chunk_bytes=CHUNK_BYTES))


def _retire(root: Path) -> None:
    _finished(lambda: _model(root).retire("main~1", reason="wrong split"))


def _finished(action: Callable[[], object]) -> None:
    """A second run finds that the first one did all of it, and says so."""
    try:
        action()
    except AlreadyExistsError:
        pass
    except NotFoundError as error:
        if "retired" not in error.fields:
            raise


SCENES = {
    scene.name: scene
    for scene in (
        Scene("init", _nothing, _init),
        Scene("first commit", _empty, lambda root: _model(root).commit(root / "work")),
        Scene("first commit with a tag", _empty, lambda root: _model(root).commit(root / "work", tags=["prod"])),
        Scene("second commit", _one_and_changes, lambda root: _model(root).commit(root / "work", metrics={"auc": 0.5})),
        Scene(
            "second commit with tags", _one_and_changes, lambda root: _model(root).commit(root / "work", tags=["prod", "r2"])
        ),
        Scene("tag", _two, lambda root: _model(root).tag("r1", "main~1")),
        Scene("promote", _two, lambda root: _model(root).tag("prod", "main", reason="better")),
        Scene("retire", _two_free, _retire),
        Scene("gc", _garbage, _collect),
        Scene("repack", _fat, lambda root: _model(root).repack()),
        Scene("note", _two, _note),
        Scene("approve", _protected, _approve),
        Scene("promote a protected tag", _approved, lambda root: _model(root).promote("main", "prod", reason="approved")),
        Scene("roll back", _rolled_out, lambda root: _model(root).rollback("prod", to="main~1", reason="an outage")),
        Scene("fork", _two, _fork),
        Scene("merge", _apart, lambda root: _model(root).merge("dev")),
        Scene("release", _two_models, _release),
        Scene("release again", _released, _release),
        Scene("edit a card", _carded, _edit_card),
        Scene("checkout", _two, lambda root: _model(root).checkout("main", root / "target")),
        Scene("checkout over another", _checked_out, lambda root: _model(root).checkout("main", root / "target")),
    )
}


def _deployed(root: Path, seed: int) -> None:
    """The first version is served, and the second one is on main."""
    _two(root, seed)
    _model(root).deploy("prod", root / "serve", hook=lambda reload: _load(root, reload))


def _load(root: Path, reload: Reload, *, bad: int = 0) -> None:
    """Whoever serves: remembers what was taken up last, unless it is bad."""
    assert reload.folder
    assert (root / "serve" / "current").resolve() == reload.folder.resolve()
    if reload.number == bad:
        raise RuntimeError("does not load")
    (root / "loaded").write_bytes(b"%d" % reload.number)


def _deploy(root: Path, *, bad: int = 0) -> None:
    _model(root).deploy("main", root / "serve", hook=lambda reload: _load(root, reload, bad=bad))


def _watch(root: Path, *, bad: int = 0) -> None:
    """One look, which deploys. What was refused is not tried again."""
    list(_model(root).changes("main", once=True, folder=root / "serve", hook=lambda reload: _load(root, reload, bad=bad)))


DEPLOYMENTS = {
    scene.name: scene
    for scene in (
        Scene("deploy", _two, _deploy),
        Scene("deploy over another", _deployed, _deploy),
        Scene("deploy a bad one", _deployed, lambda root: _deploy(root, bad=2)),
        Scene("watch a bad one", _deployed, lambda root: _watch(root, bad=2)),
    )
}


REFUSED = Scene("retire what a release names", _released, _retire_released)  # which takes no step at all


def registry_state(registry: Registry) -> object:
    """What a reader sees: where branches and tags stand, which versions there are, what is said of them, and what releases name. A model
    without a branch has none yet."""
    models = {name: registry.model(name) for name in registry.model_names()}
    versions = {
        name: (
            {ref.name: model.resolve(ref.name).tree.hex for ref in (*model.branches(), *model.tags())},
            [(record.commit.tree.hex, record.retired) for record in model.walk("main")],
            _said(model),
        )
        for name, model in models.items()
        if model.branches()
    }
    releases = {info.name: {name: row.tree.hex for name, row in info.versions.items()} for info in registry.releases()}
    return versions, releases


def _said(model: Model) -> object:
    """What notes come to: what is said twice is said once."""
    said: dict[str, dict[object, object]] = {}
    for note in model.notes():
        about = said.setdefault(note.commit.hex, {})
        about |= {("label", name): value for name, value in note.labels.items()}
        about |= {("metric", name): value for name, value in note.metrics.items()}
        about |= {(note.who, note.tag): (note.approved, note.text)}
    return said


def state(root: Path) -> object:
    """What a reader sees of the registry; None where there is none."""
    try:
        registry = open_scene(root)
    except NotFoundError:
        return None
    return registry_state(registry)


def target_files(root: Path) -> dict[str, bytes]:
    """What the checked-out folder holds, without what is being written aside."""
    if not (root / "target").exists():
        return {}
    found = read_folder(root / "target")
    return {path: file.data for path, file in found.items() if file and TEMPORARY_PREFIX not in path}
