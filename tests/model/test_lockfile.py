"""Lock files: what comes back, and that nothing is believed that an id does not prove."""

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.errors import FormatError, RegistryError
from cas_registry.model.commit import Commit, encode_commit
from cas_registry.model.ids import CommitId, FileId, TreeId
from cas_registry.model.lockfile import Lock, LockedFile, LockedVersion, decode_lock, encode_lock, tree_of
from cas_registry.model.tree import Mode
from tests.support.strategies import model_names, mutate_text, mutate_value, stored_texts

FILES = (
    LockedFile("a/b.bin", Mode.FILE, 3, FileId.of(b"abc")),
    LockedFile("run.sh", Mode.EXECUTABLE, 2, FileId.of(b"#!")),
)


def locked(model: str = "fraud", revision: str = "prod", files: tuple[LockedFile, ...] | None = FILES) -> LockedVersion:
    tree = tree_of(files, ("empty/below",)) if files is not None else TreeId.of(b"a large one")
    commit = Commit(tree, (), "ada", 1, f"a commit — of {model}", model, 0, metrics={"auc": 0.5})
    identity = CommitId.of(encode_commit(commit))
    return LockedVersion(model, revision, 1, identity, commit, files, ("empty/below",) if files is not None else ())


@given(st.lists(st.tuples(model_names(), stored_texts(), st.booleans()), max_size=3), stored_texts())
def test_a_lock_comes_back(versions: list[tuple[str, str, bool]], url: str) -> None:
    rows = tuple(locked(model, revision, FILES if few else None) for model, revision, few in versions)
    lock = Lock("0" * 32, url, rows)
    assert decode_lock(encode_lock(lock).encode()) == lock


def test_a_version_is_found_by_what_was_asked_and_by_its_id() -> None:
    prod, other = locked(), locked("ranker", "main")
    lock = Lock("0" * 32, "/x", (prod, other))
    assert lock.find("fraud", "prod") == lock.find("fraud", prod.id.hex[:8]) == lock.find_commit(prod.id) == prod
    assert lock.find("ranker", "main") == other
    assert lock.find("fraud", "main") is lock.find("fraud", prod.id.hex[:7]) is lock.find("ranker", prod.id.hex) is None


def _changed(path: str, value: Any) -> bytes:
    document = json.loads(encode_lock(Lock("0" * 32, "/x", (locked(),))))
    place = document
    *above, last = path.split(".")
    for part in above:
        place = place[int(part)] if part.isdigit() else place[part]
    place[int(last) if last.isdigit() else last] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("lock", 2),
        ("more", 1),
        ("registry", "x"),
        ("versions.0.model", "a/b"),
        ("versions.0.commit", "0" * 64),
        ("versions.0.tree", "0" * 64),
        ("versions.0.commit_bytes", "{}"),
        ("versions.0.files.0.0", "a/c.bin"),
        ("versions.0.files.0.0", "../x"),
        ("versions.0.files.0.0", "run.sh"),
        ("versions.0.files.0.1", "tree"),
        ("versions.0.files.0.2", 4),
        ("versions.0.files.0.3", "0" * 64),
        ("versions.0.files.0", ["a"]),
        ("versions.0.empty_folders", []),
        ("versions.0.empty_folders.0", "run.sh"),
        ("versions.0", {}),
        ("versions.0.files.0.0", "\ud800"),
        ("versions.0.revision", "\udfff"),
    ],
)
def test_what_an_id_does_not_prove_is_refused(path: str, value: Any) -> None:
    assert decode_lock(encode_lock(Lock("0" * 32, "/x", (locked(),))).encode())
    with pytest.raises(FormatError):
        decode_lock(_changed(path, value))


@given(st.integers(0, 2**32))
def test_damaged_lock_files_are_refused_and_nothing_else(seed: int) -> None:
    rng = random.Random(seed)
    data = encode_lock(Lock("0" * 32, "/x", (locked(),))).encode()
    mutate = rng.choice((mutate_value, mutate_text))
    changed = mutate(rng, data)
    try:
        lock = decode_lock(changed)
    except FormatError:
        return
    except RegistryError as error:  # pragma: no cover
        raise AssertionError(f"{type(error).__name__}: {error}") from error
    for version in lock.versions:
        assert CommitId.of(encode_commit(version.commit)) == version.id
        assert version.files is None or tree_of(version.files, version.empty_folders) == version.tree


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"lock": 1}'])
def test_what_is_no_lock_file_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        decode_lock(data)
