"""Signed releases, against somebody who may write to the bucket and has none of the keys."""

from dataclasses import replace
from pathlib import Path

import pytest

from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import (
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    RollbackError,
    SignatureError,
)
from cas_registry.model.entry import Entry, decode_entry, encode_entry
from cas_registry.operations.signing import ReleaseKind
from cas_registry.registry import Registry, init_registry, registry_over
from cas_registry.settings import Settings, default_state_folder
from cas_registry.store.layout import entry_key
from tests.support.folders import File, write_folder
from tests.support.simulated import make_registry, make_world, memory_with, objects_of
from tests.support.ssh_keys import Key, make_key, needs_ssh_keygen

pytestmark = needs_ssh_keygen
LOG = "release:prod"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Key]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: make_key(folder, f"{name}@example.org") for name in ("ada", "bob")}


@pytest.fixture
def trust(tmp_path: Path, people: dict[str, Key]) -> Path:
    path = tmp_path / "trust" / "allowed_signers"
    path.parent.mkdir()
    path.write_text(people["ada"].allowed() + people["bob"].allowed())
    return path


@pytest.fixture
def world(trust: Path, people: dict[str, Key]) -> Settings:
    return replace(make_world(state=default_state_folder()), allowed_signers=trust, signing_key=people["ada"].path)


@pytest.fixture
def store() -> MemoryBackend:
    return MemoryBackend("signing")


@pytest.fixture
def registry(store: MemoryBackend, world: Settings, tmp_path: Path) -> Registry:
    """Entry 1 of the release: fraud v1 and ranker v1, signed by Ada; 2: ranker v2, unsigned; 3: fraud v2, signed."""
    made = make_registry(store, world)
    for model in ("fraud", "ranker"):
        for n in range(1, 4):
            made.model(model).commit(write_folder(tmp_path / "work", {"c": File(f"{model}{n}".encode())}))
    assert made.release("prod", {"fraud": "v1", "ranker": "v1"}, sign=True).signed_by is not None
    made.release("prod", {"ranker": "v2"})
    made.release("prod", {"fraud": "v2"}, reason="better", sign=True)
    return made


def _verify(registry: Registry, model: str = "fraud"):
    return registry.model(model).verify(f"release:prod/{model}")


def _read(store: MemoryBackend, n: int) -> tuple[object, Entry]:
    return decode_entry(store.get(entry_key(LOG, n), length=2**20))


def test_a_version_is_verified_by_the_entry_that_put_it_there(registry: Registry) -> None:
    found = _verify(registry)
    assert (found.kind, found.name, found.version.number, found.entry, found.why) == (
        ReleaseKind.RELEASE,
        "prod",
        2,
        3,
        "better",
    )
    assert [signer.principal for signer in found.signers] == ["ada@example.org"]
    assert (found.head, found.followed) == (3, 2)
    with pytest.raises(
        SignatureError, match=r"'ranker' in release 'prod' is not verified: entry 2 put it at .*nobody signed it"
    ):
        _verify(registry, "ranker")
    registry.release("prod", {"ranker": "v3"}, sign=True)
    assert _verify(registry).entry == 3, "what others move later changes nothing"
    assert _verify(registry, "ranker").entry == 4
    registry.rollback_release("prod")
    with pytest.raises(SignatureError, match="entry 5"):
        _verify(registry, "ranker")


def test_somebody_else_may_sign_it_later(registry: Registry, people: dict[str, Key]) -> None:
    report = registry.model("ranker").sign("release:prod/ranker", key=people["bob"].path)
    assert (report.kind, report.entry, report.created) == (ReleaseKind.RELEASE, 2, True)
    assert [signer.principal for signer in _verify(registry, "ranker").signers] == ["bob@example.org"]


def test_a_policy_says_who_may_move_which_release(registry: Registry, trust: Path, people: dict[str, Key]) -> None:
    policy = trust.parent / "policy.toml"
    policy.write_text('[[rule]]\nref = "release:prod"\nmodel = "fraud"\nprincipals = ["bob@example.org"]\n')
    with pytest.raises(SignatureError, match="who may not move it"):
        _verify(registry)
    with pytest.raises(SignatureError, match="no rule for it"):
        _verify(registry, "ranker")
    registry.model("fraud").sign("release:prod/fraud", key=people["bob"].path)
    assert [signer.principal for signer in _verify(registry).signers] == ["bob@example.org"]
    policy.write_text('[[rule]]\nkind = "tag"\n')
    with pytest.raises(SignatureError, match="no rule for it"):
        _verify(registry)
    policy.write_text('[[rule]]\nref = "release:*"\nthreshold = 2\n')
    assert len(_verify(registry).signers) == 2


def test_a_checkout_that_must_verify_does(registry: Registry, tmp_path: Path) -> None:
    registry.model("fraud").checkout("release:prod/fraud", tmp_path / "out", verify=True)
    assert (tmp_path / "out" / "c").read_bytes() == b"fraud2"
    with pytest.raises(SignatureError):
        registry.model("ranker").checkout("release:prod/ranker", tmp_path / "other", verify=True)
    assert not (tmp_path / "other").exists()


def test_only_what_a_release_names_now_is_signed(registry: Registry) -> None:
    for revision in ("release:prod/fraud@{1}", "release:prod/fraud~1", "release:prod/fraud@{2999-01-01}"):
        with pytest.raises(InvalidInputError, match="as it is now"):
            registry.model("fraud").verify(revision)
    for revision in ("release:live/fraud", "release:prod/nothing"):
        with pytest.raises(NotFoundError):
            registry.model("fraud").verify(revision)


def test_no_entry_can_be_changed_replayed_or_slipped_in(registry: Registry, store: MemoryBackend, world: Settings) -> None:
    """Another version under the signed entry's number, its row again by an entry that nobody signed, another tree, an older end."""
    (_, second), (third_id, third) = _read(store, 2), _read(store, 3)
    rows = dict(third.release or {})
    earlier = {**rows, "fraud": (second.release or {})["fraud"]}
    other = {**rows, "fraud": rows["ranker"]}
    wrong_tree = {**rows, "fraud": replace(rows["fraud"], tree=rows["ranker"].tree)}
    fourth = replace(third, n=4, prev=third_id, nonce="0" * 32)

    def attacked(*entries: Entry) -> Registry:
        copy = memory_with(objects_of(store))
        for entry in entries:
            copy.put(entry_key(LOG, entry.n), encode_entry(entry))
        copy.delete("releases/prod/HEAD")
        return registry_over(copy, replace(world, state_folder=None))

    assert _verify(attacked()).entry == 3
    forged = replace(fourth, release=earlier)
    again = replace(fourth, n=5, prev=decode_entry(encode_entry(forged))[0])
    for entries in ([replace(third, release=other)], [replace(third, release=wrong_tree)], [forged], [forged, again]):
        with pytest.raises((SignatureError, IntegrityError)):
            _verify(attacked(*entries))
    with pytest.raises(IntegrityError, match="does not follow"):
        _verify(attacked(replace(second, nonce="1" * 32)))


def test_an_older_end_is_noticed(world: Settings, tmp_path: Path) -> None:
    registry = init_registry(tmp_path / "registry", world)
    for n in (1, 2):
        registry.model("fraud").commit(write_folder(tmp_path / "work", {"c": File(b"%d" % n)}))
        registry.release("prod", {"fraud": "main"}, sign=True)
    assert _verify(registry).version.number == 2
    for key in ("0000000002", "HEAD"):
        (tmp_path / "registry" / "releases" / "prod" / key).unlink()
    for call in (lambda: _verify(registry), lambda: registry.resolve("release:prod/fraud")):
        with pytest.raises(RollbackError):
            call()
    assert registry.model("fraud").verify("release:prod/fraud", accept=True).version.number == 1, "it is accepted"


def test_the_log_of_another_release_is_none(registry: Registry, store: MemoryBackend, world: Settings) -> None:
    registry.release("live", {"fraud": "v3"})
    store.put("releases/live/0000000001", store.get(entry_key(LOG, 1), length=2**20))
    with pytest.raises(IntegrityError, match="another's place"):
        registry_over(store, replace(world, state_folder=None)).resolve("release:live/fraud")
