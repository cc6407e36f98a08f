"""T6: all verbs in any order against dictionaries, with writers that are stopped, damage that is put right, and clocks that jump."""

import random
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import BackendError, ConflictError, IntegrityError, NotFoundError, OutcomeUnknownError, RegistryError
from cas_registry.model.entry import RefKind
from cas_registry.operations import collection, placing, repack, repack_writing, transfer
from cas_registry.operations.transfer import fetch_group
from cas_registry.operations.version_files import list_files, locate_files
from cas_registry.registry import Registry, registry_over
from cas_registry.store.stores import Stores
from tests.reliability.matrix import Row
from tests.reliability.profile import NIGHTLY, scaled
from tests.reliability.scheduler import InlineExecutor
from tests.support.folders import make_bytes
from tests.support.simulated import HookedBackend, make_registry, make_world, memory_with, objects_of

ROW = "T6"
EXAMPLES, STEPS = 216, 50
MODELS = ("m", "n")
NAMES = ("prod", "old", "trial")
Content = dict[str, bytes]

contents = st.dictionaries(
    st.sampled_from(["w.bin", "v.bin", "c.json", "d/e.txt"]), st.integers(0, 5), min_size=1, max_size=3
).map(lambda seeds: {path: make_bytes(seed, 2500 if path.endswith("bin") else 30) for path, seed in seeds.items()})
models = st.sampled_from(MODELS)
branches = st.sampled_from(["main", "other"])
picks = st.integers(0, 10**6)


@cache
def _beginning() -> dict[str, bytes]:
    """An empty registry: made once, for the probe of its store takes longer than an example."""
    store = MemoryBackend()
    make_registry(store)
    return objects_of(store)


class Ticks:
    """A clock that goes on by a second each time it is looked at, and can be set: the same for the same steps."""

    def __init__(self) -> None:
        self.now_ns = 1_764_590_400 * 10**9

    def __call__(self) -> int:
        self.now_ns += 10**9
        return max(self.now_ns, 0)


class Verbs(RuleBasedStateMachine):
    """The registry beside what it should hold: versions and refs by model, and which versions are retired."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.step = 0
        self.store = memory_with(_beginning())
        self.clock = Ticks()
        self.folder = tempfile.TemporaryDirectory()
        self.versions: dict[str, dict[str, Content]] = {model: {} for model in MODELS}
        self.retired: dict[str, dict[str, Content]] = {model: {} for model in MODELS}
        self.refs: dict[tuple[str, RefKind, str], str] = {}

    def teardown(self) -> None:
        self.folder.cleanup()

    @property
    def registry(self) -> Registry:
        """Opened anew each time, as after a crash."""
        return registry_over(self.store, make_world(clock=self.clock))

    @property
    def stores(self) -> Stores:
        return self.registry._stores

    def work(self, content: Content) -> Path:
        root = Path(tempfile.mkdtemp(dir=self.folder.name))
        for path, data in content.items():
            (root / path).parent.mkdir(exist_ok=True)
            (root / path).write_bytes(data)
        return root

    def pick(self, model: str, number: int) -> str:
        return list(self.versions[model])[number % len(self.versions[model])]

    @rule(model=models, branch=branches, content=contents)
    def commit(self, model: str, branch: str, content: Content) -> None:
        report = self.registry.model(model).commit(self.work(content), branch=branch, allow_empty=True)
        self.versions[model][report.commit.hex] = content
        self.refs[model, RefKind.BRANCH, branch] = report.commit.hex

    @rule(model=models, content=contents, at=picks)
    def commit_that_is_stopped(self, model: str, content: Content, at: int) -> None:
        """Whatever request it was stopped at: the version is there as a whole, or not at all."""
        left = [at % 25]

        def stop(method: str, key: str) -> None:
            if method in ("create", "put", "flush"):
                left[0] -= 1
            if left[0] < 0:
                raise BackendError("stopped", transient=False)

        before = self.refs.get((model, RefKind.BRANCH, "main"))
        try:
            report = (
                registry_over(HookedBackend(self.store, stop), make_world(clock=self.clock))
                .model(model)
                .commit(self.work(content), allow_empty=True)
            )
        except RegistryError:
            try:
                now = self.registry.model(model).resolve("main").commit.hex
            except NotFoundError:
                return
            if now == before:
                return
        else:
            now = report.commit.hex
        self.versions[model][now] = content
        self.refs[model, RefKind.BRANCH, "main"] = now

    @precondition(lambda self: any(self.versions.values()))
    @rule(model=models, source=models, name=st.sampled_from(NAMES), number=picks)
    def tag(self, model: str, source: str, name: str, number: int) -> None:
        if not self.versions[source] or not self._has_log(model):
            return
        commit = self.pick(source, number)
        try:
            self.registry.model(model).tag(name, f"{source}@{commit}")
        except ConflictError:
            assert source != model, "only another model's version may be under a collection's eyes"
            return
        self.versions[model][commit] = self.versions[source][commit]
        self.retired[model].pop(commit, None)
        self.refs[model, RefKind.TAG, name] = commit

    @rule(model=models, kind=st.sampled_from(RefKind), name=st.sampled_from([*NAMES, "main", "other"]))
    def delete_ref(self, model: str, kind: RefKind, name: str) -> None:
        verb = getattr(self.registry.model(model), f"delete_{kind.value}")
        if self.refs.pop((model, kind, name), None):
            verb(name)
        else:
            with pytest.raises(NotFoundError):
                verb(name)

    @rule(model=models, number=picks, force=st.booleans())
    def retire(self, model: str, number: int, force: bool) -> None:
        if not self.versions[model]:
            return
        commit = self.pick(model, number)
        at_it = [ref for ref, target in self.refs.items() if ref[0] == model and target == commit]
        homes = [home for home in MODELS if self.stores.refs(model).introduction(self._id(commit)).entry.log == home]
        if homes != [model]:
            return  # a fork: it is retired where it was made
        if at_it and not force:
            with pytest.raises(ConflictError):
                self.registry.model(model).retire(commit)
            return
        self.registry.model(model).retire(commit, force=force)
        for ref in at_it:
            del self.refs[ref]
        self.retired[model][commit] = self.versions[model].pop(commit)

    @rule(model=models, number=picks)
    def restore(self, model: str, number: int) -> None:
        if not self.retired[model]:
            return
        commit = list(self.retired[model])[number % len(self.retired[model])]
        try:
            self.registry.model(model).restore(commit)
        except ConflictError:
            return  # a collection means to delete what it needs, or has done so
        self.versions[model][commit] = self.retired[model].pop(commit)

    @rule(window=st.sampled_from([0, 3600]))
    def collect(self, window: int) -> None:
        self.registry.gc(delete=True, grace_s=0, trash_window_s=window)

    @rule(at=picks)
    def collect_that_is_stopped(self, at: int) -> None:
        left = [at % 12]

        def stop(method: str, key: str) -> None:
            if method in ("create", "put", "delete"):
                left[0] -= 1
            if left[0] < 0:
                raise BackendError("stopped", transient=False)

        try:
            registry_over(HookedBackend(self.store, stop), make_world()).gc(delete=True, grace_s=0, trash_window_s=0)
        except (BackendError, OutcomeUnknownError):
            return

    @rule()
    def undo(self) -> None:
        for info in self.registry.gc().collections:
            if info.state is collection.EpochState.WAITING:
                self.registry.undo_gc(info.epoch)

    @rule(model=models)
    def repack(self, model: str) -> None:
        if self.versions[model]:
            try:
                self.registry.model(model).repack()
            except ConflictError:
                return  # a collection is under way

    @rule(number=picks, bit=picks)
    def damage(self, number: int, bit: int) -> None:
        """One object is damaged: the check tells, no read gives a wrong byte, and put right all is as before."""
        objects = {key: data for key, data in objects_of(self.store).items() if not key.endswith("HEAD") and data}
        if not any(self.versions.values()):
            return
        key = sorted(objects)[number % len(objects)]
        spoilt = bytearray(objects[key])
        spoilt[bit // 8 % len(spoilt)] ^= 1 << bit % 8
        self.store.put(key, bytes(spoilt))
        for model, versions in self.versions.items():
            for commit, content in versions.items():
                try:
                    assert self._read(model, commit) == content
                except (IntegrityError, NotFoundError):
                    continue
        self.store.put(key, objects[key])

    @rule(ahead=st.integers(0, 4 * 10**18))
    def jump(self, ahead: int) -> None:
        self.clock.now_ns = ahead

    @invariant()
    def every_version_reads_back(self) -> None:
        Verbs.steps += 1
        self.step += 1
        for model, versions in self.versions.items():
            for commit in random.Random(self.step).sample(list(versions), min(1, len(versions))):
                assert self._read(model, commit) == versions[commit]
            for commit in list(self.retired[model])[:1]:
                if commit not in versions:
                    with pytest.raises(NotFoundError):
                        self.registry.model(model).resolve(commit)

    @invariant()
    def every_ref_stands_where_it_was_put(self) -> None:
        for model in MODELS:
            found = self.stores.refs(model).head()
            table = found[1] if found else None
            there = {
                (model, kind, name): ref.commit.hex
                for kind in RefKind
                for name, ref in (table.of(kind).items() if table else ())
                if ref.commit
            }
            assert there == {ref: commit for ref, commit in self.refs.items() if ref[0] == model}

    @precondition(lambda self: self.step % 25 == 0)
    @invariant()
    def the_registry_is_whole(self) -> None:
        assert self.registry.fsck(read_data=True).exit_code == 0

    def _has_log(self, model: str) -> bool:
        return self.stores.log(model).head() is not None

    def _id(self, commit: str) -> Any:
        from cas_registry.model.ids import CommitId

        return CommitId.parse(commit)

    def _read(self, model: str, commit: str) -> Content:
        stores = self.stores
        version = stores.refs(model).find_entry(self._id(commit))
        files = {file.path: file for file in list_files(stores.objects, version.tree)[0]}
        rows = locate_files(stores.objects, version.map, files.values())
        return {path: b"".join(fetch_group(stores.objects, rows[path])) for path in files}


@pytest.mark.parametrize("part", range(4))
def test_the_verbs_do_what_dictionaries_do(matrix: Row, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    for module in (placing, repack_writing):
        monkeypatch.setattr(module, "BIG_FILE_BYTES", 2048)
        monkeypatch.setattr(module, "INLINE_BYTES", 100)
    _beginning()  # by real threads: the probe is a race
    monkeypatch.setattr(transfer, "ThreadPoolExecutor", InlineExecutor)
    monkeypatch.setattr(collection._Collection, "_check_share", lambda *_: None)
    monkeypatch.setattr(repack, "WORTH_BYTES", 0)
    monkeypatch.setattr(repack, "WORTH_SHARE", 0)
    before = Verbs.steps
    run_state_machine_as_test(
        Verbs,
        settings=settings(
            max_examples=scaled(EXAMPLES) // 4,
            stateful_step_count=STEPS,
            deadline=None,
            phases=[Phase.generate, *([Phase.shrink] if NIGHTLY else [])],  # shrinking takes longer than all examples
            suppress_health_check=list(HealthCheck),
        ),
    )
    matrix.count(Verbs.steps - before)
