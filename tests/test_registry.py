"""The face: a registry against a dictionary, under any sequence of commits, moves, deletions, checkouts and reopenings."""

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

import cas_registry as reg
from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import ConflictError, InvalidInputError, NotFoundError
from cas_registry.model.entry import RefKind
from cas_registry.registry import Registry, registry_over
from tests.support.folders import CHUNK_BYTES, File, file_values, folders, paths, put, read_folder, write_folder
from tests.support.simulated import make_registry, make_world

NAMES = ("main", "try", "prod", "v1.4", "feature/x")


class AgainstADictionary(RuleBasedStateMachine):
    """`moves[kind, name]` are the commits that a ref stood at, oldest first, None once deleted; `folders` what each commit holds."""

    commits = Bundle("commits")

    @initialize(folder=folders(max_files=3), target=commits)
    def start(self, folder: dict[str, File | None]) -> Any:
        self.home = Path(tempfile.mkdtemp())
        self.store = MemoryBackend("machine")
        self.registry = make_registry(self.store, make_world(self.home / "cache"), chunk_bytes=CHUNK_BYTES)
        self.folders: dict[str, dict[str, File | None]] = {}
        self.parents: dict[str, str | None] = {}
        self.moves: dict[tuple[RefKind, str], list[str | None]] = {}
        self.held: dict[str, File | None] = {}
        return self._commit("main", folder)

    @property
    def model(self) -> Any:
        return self.registry.model("m")

    def _at(self, kind: RefKind, name: str) -> str | None:
        return self.moves.get((kind, name), [None])[-1]

    def _live(self, kind: RefKind) -> dict[str, str]:
        return {name: at[-1] for (other, name), at in self.moves.items() if other is kind and at[-1]}

    def _taken(self, kind: RefKind, name: str) -> bool:
        other = RefKind.TAG if kind is RefKind.BRANCH else RefKind.BRANCH
        return self._at(other, name) is not None

    def _commit(self, branch: str, folder: dict[str, File | None]) -> Any:
        work = write_folder(self.home / "work", folder)
        before = self._at(RefKind.BRANCH, branch)
        if self._taken(RefKind.BRANCH, branch):
            with pytest.raises(ConflictError):
                self.model.commit(work, branch=branch)
            return multiple()
        report = self.model.commit(work, branch=branch)
        assert report.created is not (before is not None and self.folders[before] == folder)
        if not report.created:
            assert report.commit.hex == before
            return multiple()
        assert (report.parent.hex if report.parent else None) == before
        identity = report.commit.hex
        self.folders[identity] = dict(folder)
        self.parents[identity] = before
        self.moves.setdefault((RefKind.BRANCH, branch), []).append(identity)
        return identity

    @rule(target=commits, branch=st.sampled_from(NAMES), path=paths(), file=file_values(), source=commits)
    def commit(self, branch: str, path: str, file: File, source: str) -> Any:
        folder = dict(self.folders[source])
        put(folder, path, file)
        return self._commit(branch, folder)

    @rule(kind=st.sampled_from(RefKind), name=st.sampled_from(NAMES), commit=commits, force=st.booleans())
    def move(self, kind: RefKind, name: str, commit: str, force: bool) -> None:
        before = self._at(kind, name)
        stuck = kind is RefKind.BRANCH and before is not None and before != commit and not force
        action = (
            (lambda: self.model.tag(name, commit))
            if kind is RefKind.TAG
            else (lambda: self.model.branch(name, commit, force=force))
        )
        if self._taken(kind, name) or stuck:
            with pytest.raises(ConflictError):
                action()
            return
        report = action()
        assert report.moved is (before != commit)
        assert (report.previous.hex if report.previous else None) == before
        if report.moved:
            self.moves.setdefault((kind, name), []).append(commit)

    @rule(kind=st.sampled_from(RefKind), name=st.sampled_from(NAMES))
    def delete(self, kind: RefKind, name: str) -> None:
        action = self.model.delete_tag if kind is RefKind.TAG else self.model.delete_branch
        if self._at(kind, name) is None:
            with pytest.raises(NotFoundError):
                action(name)
            return
        action(name)
        self.moves[kind, name].append(None)

    @rule(commit=commits)
    def check_out(self, commit: str) -> None:
        self.model.checkout(commit, self.home / "out")
        assert read_folder(self.home / "out") == self.folders[commit]

    @rule(commit=commits)
    def read(self, commit: str) -> None:
        files = {path: file for path, file in self.folders[commit].items() if file}
        assert {info.path: info.size_bytes for info in self.model.files(commit)} == {
            path: len(file.data) for path, file in files.items()
        }
        for path, file in files.items():
            assert self.model.read_bytes(commit, path) == file.data

    @rule(commit=commits)
    def look_back(self, commit: str) -> None:
        expected = [commit]
        while parent := self.parents[expected[-1]]:
            expected.append(parent)
        assert [record.id.hex for record in self.model.log(commit)] == expected
        for steps, ancestor in enumerate(expected):
            assert self.model.resolve(f"{commit}~{steps}").commit.hex == ancestor
        with pytest.raises(NotFoundError):
            self.model.resolve(f"{commit}~{len(expected)}")

    @rule()
    def reopen(self) -> None:
        self.registry = registry_over(self.store, make_world(self.home / "cache"))

    @rule()
    def lose_the_hint(self) -> None:
        self.store.delete("refs/m/HEAD")

    @invariant()
    @precondition(lambda self: hasattr(self, "moves"))
    def refs_stand_where_they_should(self) -> None:
        for kind, listed in ((RefKind.BRANCH, self.model.branches()), (RefKind.TAG, self.model.tags())):
            assert {ref.name: ref.commit.hex for ref in listed} == self._live(kind)
        for (kind, name), at in self.moves.items():
            history = self.model.history(kind, name)
            assert [move.commit.hex if move.commit else None for move in history] == at[::-1]
            if at[-1] is not None:
                for back, commit in enumerate(at[::-1]):
                    if commit is not None:
                        assert self.model.resolve(f"{name}@{{{back}}}").commit.hex == commit

    def teardown(self) -> None:
        if not hasattr(self, "registry"):
            return
        report = self.registry.fsck(read_data=True)
        assert report.exit_code == 0, report.findings
        assert report.versions == len(self.folders)
        shutil.rmtree(self.home)


TestAgainstADictionary = AgainstADictionary.TestCase
TestAgainstADictionary.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)


# What the face adds to the verbs below it


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return reg.init(tmp_path / "registry", cache_folder=tmp_path / "cache", author="ada@bench")


def test_a_registry_opens_by_path_and_by_url(tmp_path: Path, registry: Registry) -> None:
    for url in (tmp_path / "registry", str(tmp_path / "registry"), f"file://{tmp_path}/registry"):
        opened = reg.open(url)
        assert opened.id == registry.id
        assert opened.is_shared
        assert opened.url == str(tmp_path / "registry")


def test_a_registry_in_memory_is_shared_within_the_process(tmp_path: Path) -> None:
    made = reg.init("memory://shared-within-the-process", cache_folder=tmp_path)
    assert reg.open("memory://shared-within-the-process").id == made.id
    with pytest.raises(NotFoundError):
        reg.open("memory://another")


def test_the_author_defaults_to_the_user_and_can_be_given_for_all_and_for_one(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = write_folder(tmp_path / "work", {"a": File(b"1")})
    registry.model("m").commit(work)
    assert registry.model("m").show("main").commit.author == "ada@bench"
    monkeypatch.setenv("REG_AUTHOR", "grace@elsewhere")
    reg.open(tmp_path / "registry").model("m").commit(write_folder(work, {"a": File(b"2")}))
    assert registry.model("m").show("main").commit.author == "grace@elsewhere"
    registry.model("m").commit(write_folder(work, {"a": File(b"3")}), author="linus")
    assert registry.model("m").show("main").commit.author == "linus"


def test_show_names_the_refs_at_a_version(tmp_path: Path, registry: Registry) -> None:
    model = registry.model("m")
    model.commit(write_folder(tmp_path / "work", {"a": File(b"1")}), message="first", tags=["prod", "r1"])
    model.branch("try", "main")
    shown = model.show("main")
    assert (shown.commit.message, shown.branches, shown.tags) == ("first", ("main", "try"), ("prod", "r1"))
    assert model.show(shown.version.commit.hex) == shown


def test_ls_lists_one_folder(tmp_path: Path, registry: Registry) -> None:
    model = registry.model("m")
    model.commit(
        write_folder(
            tmp_path / "work", {"a.txt": File(b"1"), "sub/b.txt": File(b"22"), "sub/deep/c": File(b"3"), "empty": None}
        )
    )
    assert [(info.path, info.size_bytes, info.is_folder) for info in model.ls("main")] == [
        ("a.txt", 1, False), ("empty", 0, True), ("sub", 3, True),
    ]  # fmt: skip
    assert [info.path for info in model.ls("main:sub")] == ["sub/b.txt", "sub/deep"]
    assert [info.path for info in model.ls("m@main:sub/deep/")] == ["sub/deep/c"]
    assert [info.path for info in model.ls("main:a.txt")] == ["a.txt"]
    assert model.ls("main:empty") == []
    with pytest.raises(NotFoundError, match="there is no sub/nothing"):
        model.ls("main:sub/nothing")


def test_files_can_be_chosen_by_pattern(tmp_path: Path, registry: Registry) -> None:
    model = registry.model("m")
    model.commit(write_folder(tmp_path / "work", {"a.txt": File(b"1"), "sub/b.txt": File(b"22"), "sub/c.bin": File(b"3")}))
    assert [info.path for info in model.files("main", ["*.txt"])] == ["a.txt", "sub/b.txt"]
    assert [info.path for info in model.files("main", ["sub"])] == ["sub/b.txt", "sub/c.bin"]
    with pytest.raises(NotFoundError):
        model.files("main", ["*.onnx"])


def test_a_model_reads_another_through_its_revision(tmp_path: Path, registry: Registry) -> None:
    registry.model("base").commit(write_folder(tmp_path / "work", {"a.txt": File(b"base")}))
    model = registry.model("derived")
    assert model.read_bytes("base@main", "a.txt") == b"base"
    assert model.checkout("base@main", tmp_path / "out").version.model == "base"
    assert [record.commit.message for record in model.log("base@main")] == [""]
    with pytest.raises(NotFoundError, match="has no versions yet"):
        model.log("main")


@pytest.mark.parametrize("revision", ["", "@", "a@{", "main~x", "a..b", "main^2", "x@y@z", "main:../x", "~1", "main@{}", "-rf"])
def test_what_is_no_revision_is_refused_as_such(tmp_path: Path, registry: Registry, revision: str) -> None:
    registry.model("m").commit(write_folder(tmp_path / "work", {"a": File(b"1")}))
    with pytest.raises((InvalidInputError, NotFoundError)):
        registry.model("m").resolve(revision)


def test_one_registry_serves_several_threads(tmp_path: Path, registry: Registry) -> None:
    def work(number: int) -> str:
        model = registry.model(f"model-{number % 4}")
        folder = write_folder(tmp_path / f"work-{number}", {"a": File(b"%d" % number)})
        report = model.commit(folder, message=str(number))
        assert report.created
        assert model.read_bytes(report.commit.hex, "a") == b"%d" % number
        return str(number)

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(work, range(24)))
    logged = [record.commit.message for number in range(4) for record in registry.model(f"model-{number}").log("main")]
    assert sorted(logged) == sorted(done)
    assert registry.fsck(read_data=True).exit_code == 0
