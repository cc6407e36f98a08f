"""Signed log entries against somebody who may write whatever he likes to the bucket, but has none of the keys."""

import base64
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cas_registry.backends import Backend
from cas_registry.backends.memory import MemoryBackend
from cas_registry.errors import (
    ConflictError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    RegistryError,
    RollbackError,
    SignatureError,
)
from cas_registry.model.entry import Entry, Ref, RefKind, RefTable, decode_entry, encode_entry
from cas_registry.model.ids import EntryId, MapName
from cas_registry.model.signature import KeyId, Signature, armour_of, decode_signature, encode_signature, signing_key
from cas_registry.operations import signing, ssh_keygen
from cas_registry.registry import Model, Registry, init_registry, open_registry, registry_over
from cas_registry.settings import Settings, default_state_folder
from cas_registry.store.layout import entry_key, hint_key, signature_key, signatures_prefix
from tests.model.test_signature import make_blob
from tests.support.folders import File, write_folder
from tests.support.simulated import HookedBackend, make_registry, make_world, memory_with, objects_of
from tests.support.ssh_keys import Key, make_key, needs_ssh_keygen

ROW = "T17"

pytestmark = needs_ssh_keygen


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Key]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: make_key(folder, f"{name}@example.org") for name in ("ada", "bob", "eve")}


@pytest.fixture
def ada(people: dict[str, Key]) -> Key:
    return people["ada"]


@pytest.fixture
def bob(people: dict[str, Key]) -> Key:
    return people["bob"]


@pytest.fixture
def eve(people: dict[str, Key]) -> Key:
    """Nobody trusts her."""
    return people["eve"]


@pytest.fixture
def trust(tmp_path: Path, ada: Key, bob: Key) -> Path:
    """An allowed_signers file with Ada and Bob in it."""
    path = tmp_path / "trust" / "allowed_signers"
    path.parent.mkdir()
    path.write_text(ada.allowed() + bob.allowed())
    return path


@pytest.fixture
def world(trust: Path, ada: Key) -> Settings:
    return replace(make_world(state=default_state_folder()), allowed_signers=trust, signing_key=ada.path)


@pytest.fixture
def store() -> MemoryBackend:
    return MemoryBackend("signing")


@pytest.fixture
def registry(store: MemoryBackend, world: Settings) -> Registry:
    return make_registry(store, world)


def _commit(model: Model, work: Path, text: str, **more: object) -> None:
    model.commit(write_folder(work, {"config.json": File(text.encode())}), message=text, **more)


@pytest.fixture
def model(registry: Registry, tmp_path: Path) -> Model:
    """Entry 1: main at v1, 2: main at v2, 3: prod at v1, 4: prod at v2, 5: dev, unsigned, at v1; the others signed by Ada."""
    found = registry.model("fraud")
    _commit(found, tmp_path / "work", "one", sign=True)
    _commit(found, tmp_path / "work", "two", sign=True)
    found.tag("prod", "main~1", reason="first", sign=True)
    found.tag("prod", "main", reason="better", sign=True)
    found.tag("dev", "main~1")
    return found


def _again(store: Backend, world: Settings, name: str = "fraud") -> Model:
    return registry_over(store, world).model(name)


def _read(store: Backend, n: int, log: str = "fraud") -> tuple[EntryId, Entry]:
    return decode_entry(store.get(entry_key(log, n), length=2**20))


def _put(store: Backend, entry: Entry) -> EntryId:
    """An entry by whoever may write to the bucket, sealed as it must be."""
    data = encode_entry(entry)
    store.put(entry_key(entry.log, entry.n), data)
    return decode_entry(data)[0]


def _rechain(store: Backend, first: int, last: int = 5) -> None:
    """Let the entries from `first` on follow those before them as they are now."""
    for n in range(first, last + 1):
        _put(store, replace(_read(store, n)[1], prev=_read(store, n - 1)[0]))


def _append(store: Backend, table: RefTable, **more: object) -> Entry:
    """Entry 6: a move that nobody signed."""
    prev, last = _read(store, 5)
    entry = replace(last, n=6, prev=prev, refs=table, commit=None, tree=None, map=None, stats=None, **more)
    _put(store, entry)
    return entry


def _move_signatures(
    store: Backend, old: EntryId, new: EntryId, change: Callable[[Signature], Signature] | None = None
) -> None:
    """Put the signatures of one entry under another one, their objects made to say so."""
    for info in list(store.list(signatures_prefix(old))):
        found = decode_signature(store.get(info.key, length=2**16))
        moved = replace(found, entry=new)
        store.put(signature_key(new, found.key), encode_signature(change(moved) if change else moved))


# What is signed verifies


def test_a_signed_tag_and_branch_verify(model: Model, ada: Key) -> None:
    found = model.verify("prod")
    assert (found.kind, found.name, found.entry, found.head, found.followed, found.threshold) == (
        RefKind.TAG,
        "prod",
        4,
        5,
        3,
        1,
    )
    assert found.version == model.resolve("prod")
    assert [(signer.principal, signer.key.fingerprint) for signer in found.signers] == [
        ("ada@example.org", found.signers[0].key.fingerprint)
    ]
    assert (found.who, found.why) == ("tester@bench", "better")
    branch = model.verify("main")
    assert (branch.kind, branch.entry, branch.followed) == (RefKind.BRANCH, 2, 5)
    assert model.verify("fraud@main") == branch


def test_a_report_tells_the_key(model: Model, tmp_path: Path, ada: Key) -> None:
    report = model.tag("rc", "main", sign=True)
    made = model.commit(write_folder(tmp_path / "work", {"a": File(b"3")}), sign=True)
    assert report.signed_by == made.signed_by == model.sign("prod").key
    assert report.signed_by is not None
    assert report.signed_by.fingerprint.startswith("SHA256:")
    assert model.tag("unsigned", "main").signed_by is None


def test_the_signature_stands_before_the_entry(model: Model, store: MemoryBackend, world: Settings) -> None:
    written: list[str] = []
    watched = _again(HookedBackend(store, lambda method, key: written.append(key) if method == "create" else None), world)
    watched.tag("rc", "main", sign=True)
    assert [key.partition("/")[0] for key in written] == ["signatures", "refs"]


def test_nothing_moves_where_no_signature_comes_of_it(model: Model, tmp_path: Path) -> None:
    (tmp_path / "no-key").write_text("not a key")
    with pytest.raises(SignatureError, match="could not sign"):
        model.tag("prod", "main~1", sign=True, key=tmp_path / "no-key")
    with pytest.raises(NotFoundError, match="there is no key"):
        model.tag("prod", "main~1", sign=True, key=tmp_path / "nowhere")
    assert model.verify("prod").why == "better"


def test_several_people_sign_later_and_each_once(model: Model, store: MemoryBackend, bob: Key, ada: Key) -> None:
    first = model.sign("dev", key=ada.path)
    second = model.sign("dev", key=bob.path)
    assert (first.created, second.created, model.sign("dev", key=bob.path).created) == (True, True, False)
    assert (second.entry, second.commit) == (5, model.resolve("dev").commit)
    assert {signer.principal for signer in model.verify("dev").signers} == {"ada@example.org", "bob@example.org"}
    assert len(list(store.list(signatures_prefix(second.entry_id)))) == 2


def test_what_stands_there_already_is_signed_where_it_stands(model: Model, tmp_path: Path, store: MemoryBackend) -> None:
    report = model.tag("dev", "main~1", sign=True)
    assert not report.moved
    assert report.signed_by is not None
    assert model.verify("dev").entry == 5
    again = model.commit(tmp_path / "work", sign=True)
    assert not again.created
    assert again.signed_by is not None


def test_a_tag_in_the_step_of_a_commit_is_signed_with_it(model: Model, tmp_path: Path) -> None:
    _commit(model, tmp_path / "work", "three", tags=["rc"], sign=True)
    assert model.verify("rc").entry == model.verify("main").entry == 6


def test_a_lost_race_is_signed_anew(model: Model, store: MemoryBackend, world: Settings) -> None:
    raced = []

    def race(method: str, key: str) -> None:
        if method == "create" and key.startswith("refs/") and not raced:
            raced.append(key)
            model.tag("other", "main")

    _again(HookedBackend(store, race), world).tag("rc", "main", sign=True)
    assert model.verify("rc").entry == 7


def test_a_version_of_another_model_verifies_where_it_was_put(model: Model, registry: Registry, tmp_path: Path) -> None:
    other = registry.model("ranker")
    _commit(other, tmp_path / "work", "ranks")
    other.tag("best", "fraud@prod", sign=True)
    assert other.verify("best").version.commit == model.resolve("prod").commit


def test_a_table_that_was_spilled_verifies(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cas_registry.store.refs.MAX_INLINE_TABLE_BYTES", 100)
    model.tag("rc", "main", sign=True)
    model.tag("rc2", "main")
    assert model.verify("rc").followed == 3


def test_a_repack_after_signing_needs_no_key_and_verifies(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: MemoryBackend
) -> None:
    for number in range(4):
        model.commit(write_folder(tmp_path / "work", {"a": File(bytes([number]) * 3000)}), message=str(number), sign=True)
    before = model.verify("main")
    monkeypatch.setattr("cas_registry.operations.repack.WORTH_BYTES", 0)
    monkeypatch.setattr("cas_registry.operations.repack.WORTH_SHARE", 0)
    assert model.repack().remapped > 0
    after = model.verify("main")
    assert after.version.map != before.version.map
    assert replace(after, version=before.version, head=before.head, followed=before.followed) == before
    assert model.verify("prod").entry == 4


def test_a_checkout_verifies_first(model: Model, tmp_path: Path, world: Settings, store: MemoryBackend) -> None:
    assert model.checkout("prod", tmp_path / "good", verify=True).version == model.resolve("prod")
    with pytest.raises(SignatureError, match="nobody signed it"):
        model.checkout("dev", tmp_path / "bad", verify=True)
    careful = _again(store, replace(world, verify=True))
    with pytest.raises(SignatureError):
        careful.checkout("dev", tmp_path / "bad")
    with pytest.raises(InvalidInputError, match="where it stands now"):
        careful.checkout("main~1", tmp_path / "bad")
    assert not (tmp_path / "bad").exists()
    assert careful.checkout("dev", tmp_path / "bad", verify=False).version.number == 1


# Who signed it


def test_what_nobody_signed_is_refused(model: Model) -> None:
    with pytest.raises(SignatureError, match=r"tag 'dev' .* entry 5 .* nobody signed it") as caught:
        model.verify("dev")
    assert caught.value.fields["entry"] == 5
    assert caught.value.exit_code == 7


def test_an_unknown_signer_is_named_and_refused(model: Model, eve: Key) -> None:
    signed = model.sign("dev", key=eve.path)
    with pytest.raises(SignatureError, match=r"a key that .* does not name") as caught:
        model.verify("dev")
    assert signed.key.fingerprint in caught.value.message


def test_an_unknown_signer_takes_nothing_from_a_known_one(model: Model, eve: Key) -> None:
    model.sign("prod", key=eve.path)
    assert [signer.principal for signer in model.verify("prod").signers] == ["ada@example.org"]


OPTIONS = {
    "expired": 'valid-before="20200101"',
    "not valid yet": 'valid-after="20990101"',
    "another namespace": 'namespaces="git"',
}


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS.keys())
def test_options_of_allowed_signers_hold(model: Model, trust: Path, ada: Key, option: str) -> None:
    trust.write_text(ada.allowed(option))
    with pytest.raises(SignatureError, match=r"the signature of ada@example\.org \(SHA256:.*\) does not hold"):
        model.verify("prod")
    trust.write_text(ada.allowed('namespaces="git,cas_registry",valid-after="20200101"'))
    assert model.verify("prod").signers


def test_a_revoked_key_is_refused(model: Model, trust: Path, ada: Key) -> None:
    (trust.parent / "revoked_keys").write_text(ada.public + "\n")
    with pytest.raises(SignatureError, match="does not hold"):
        model.verify("prod")
    (trust.parent / "revoked_keys").write_text("")
    assert model.verify("prod").signers


def test_a_list_of_revoked_keys_may_be_a_krl(model: Model, trust: Path, ada: Key, tmp_path: Path) -> None:
    public = str(ada.path.with_suffix(".pub"))
    subprocess.run(["ssh-keygen", "-q", "-k", "-f", str(trust.parent / "revoked_keys"), public], check=True, timeout=30)
    with pytest.raises(SignatureError, match="does not hold"):
        model.verify("prod")
    (trust.parent / "revoked_keys").write_bytes(b"SSHKRL\n\0garbage")
    with pytest.raises(SignatureError, match="does not hold"):
        model.verify("prod")


@pytest.mark.parametrize("text", ["ada@example.org", "ssh-ed25519", "ssh-ed25519 x!", "\0SSHKRL", "serial: 7"])
def test_revoked_keys_that_nobody_can_read_are_an_error(model: Model, trust: Path, text: str) -> None:
    """ssh-keygen would skip such a line, and nothing would be revoked."""
    (trust.parent / "revoked_keys").write_text(f"# revoked\n\n{text}\n")
    with pytest.raises(InvalidInputError, match="line 3"):
        model.verify("prod")


def test_a_key_that_left_the_file_is_refused(model: Model, trust: Path, bob: Key) -> None:
    trust.write_text(bob.allowed())
    with pytest.raises(SignatureError, match="does not name"):
        model.verify("prod")


def test_patterns_name_nobody(model: Model, trust: Path, ada: Key) -> None:
    trust.write_text(ada.allowed(name="*@example.org"))
    with pytest.raises(SignatureError):
        model.verify("prod")


def test_without_a_file_nobody_is_trusted(model: Model, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="whom to trust"):
        model.verify("prod", allowed_signers=tmp_path / "nowhere")


def test_the_registry_has_no_say_in_whom_to_trust(model: Model, store: MemoryBackend, eve: Key) -> None:
    model.sign("dev", key=eve.path)
    for key in ("allowed_signers", "signatures/allowed_signers", "policy.toml"):
        store.put(key, eve.allowed().encode())
    with pytest.raises(SignatureError):
        model.verify("dev")


# Who may move what

POLICY = """
[[rule]]
model = "fraud"
ref = "prod"
principals = ["ada@example.org", "bob@example.org"]
threshold = 2

[[rule]]
ref = "dev"
principals = ["bob@example.org"]

[[rule]]
kind = "branch"
"""


@pytest.fixture
def policy(trust: Path) -> None:
    (trust.parent / "policy.toml").write_text(POLICY)


@pytest.mark.usefixtures("policy")
def test_a_threshold_counts_different_signers(model: Model, bob: Key) -> None:
    with pytest.raises(SignatureError, match="1 of 2 signatures hold"):
        model.verify("prod")
    model.sign("prod", key=bob.path)
    found = model.verify("prod")
    assert (found.threshold, sorted(signer.principal for signer in found.signers)) == (
        2,
        ["ada@example.org", "bob@example.org"],
    )


@pytest.mark.usefixtures("policy")
def test_two_keys_of_one_person_count_once(model: Model, trust: Path, ada: Key, bob: Key) -> None:
    trust.write_text(ada.allowed() + bob.allowed(name=ada.name))
    model.sign("prod", key=bob.path)
    with pytest.raises(SignatureError, match="1 of 2"):
        model.verify("prod")


@pytest.mark.usefixtures("policy")
def test_one_key_with_two_names_counts_once(model: Model, trust: Path, ada: Key) -> None:
    trust.write_text(ada.allowed() + ada.allowed(name="bob@example.org"))
    with pytest.raises(SignatureError, match="1 of 2"):
        model.verify("prod")


@pytest.mark.usefixtures("policy")
def test_who_may_not_move_it_is_named(model: Model, ada: Key, bob: Key) -> None:
    model.sign("dev", key=ada.path)
    with pytest.raises(SignatureError, match=r"ada@example\.org signed it, who may not move it"):
        model.verify("dev")
    model.sign("dev", key=bob.path)
    assert model.verify("dev").signers[0].principal == "bob@example.org"


@pytest.mark.usefixtures("policy")
def test_what_no_rule_covers_is_refused(model: Model) -> None:
    model.tag("rc", "main", sign=True)
    assert model.verify("main")
    with pytest.raises(SignatureError, match="no rule"):
        model.verify("rc")


# What may be done to a signed entry


def test_no_flipped_bit_of_a_signed_entry_gets_through(model: Model, store: MemoryBackend, world: Settings) -> None:
    """Every 29th bit of the entry, so that each byte of it comes under some bit in the end."""
    key = entry_key("fraud", 4)
    whole = objects_of(store)
    for bit in range(0, len(whole[key]) * 8, 29):
        data = bytearray(whole[key])
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(IntegrityError):
            _again(memory_with({**whole, key: bytes(data)}), world).verify("prod")


def test_no_flipped_bit_of_a_signature_gets_through(model: Model, store: MemoryBackend, world: Settings) -> None:
    whole = objects_of(store)
    key = next(key for key in whole if key.startswith(signatures_prefix(_read(store, 4)[0])))
    for bit in range(0, len(whole[key]) * 8, 61):
        data = bytearray(whole[key])
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(RegistryError) as caught:
            _again(memory_with({**whole, key: bytes(data)}), world).verify("prod")
        assert isinstance(caught.value, SignatureError)


def test_no_flipped_bit_inside_the_armour_gets_through(model: Model, store: MemoryBackend, world: Settings) -> None:
    """Sealed and spelt anew each time, so that only ssh-keygen stands in the way."""
    whole = objects_of(store)
    key = next(key for key in whole if key.startswith(signatures_prefix(_read(store, 4)[0])))
    found = decode_signature(whole[key])
    blob = ssh_blob(found.armour)
    tried = 0
    for at in range(len(blob) - 64, len(blob), 7):
        damaged = bytearray(blob)
        damaged[at] ^= 4
        armour = armour_of(bytes(damaged))
        data = encode_signature(replace(found, armour=armour, key=signing_key(armour)))
        with pytest.raises(SignatureError, match="does not hold"):
            _again(memory_with({**whole, key: data}), world).verify("prod")
        tried += 1
    assert tried == 10


def ssh_blob(armour: str) -> bytes:
    return base64.b64decode("".join(armour.splitlines()[1:-1]))


FORGED = {
    "time": {"time_ms": 1},
    "who": {"who": "somebody else"},
    "why": {"why": "another reason"},
    "commit": {},
}


@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED.keys())
def test_an_entry_sealed_anew_is_not_what_was_signed(
    model: Model, store: MemoryBackend, world: Settings, change: dict[str, object]
) -> None:
    old, entry = _read(store, 4)
    if not change:
        row = entry.refs.tags["prod"]
        entry = replace(entry, refs=entry.refs.with_ref(RefKind.TAG, "prod", replace(row, version=_row(store, 3))))
        _put(store, replace(_read(store, 5)[1], refs=replace_row(_read(store, 5)[1].refs, entry.refs.tags["prod"])))
    new = _put(store, replace(entry, **change))
    _move_signatures(store, old, new)
    _rechain(store, 5)
    with pytest.raises(SignatureError, match="does not hold"):
        _again(store, world).verify("prod")


def _row(store: Backend, n: int) -> object:
    return _read(store, n)[1].refs.tags["prod"].version


def replace_row(table: RefTable, row: Ref) -> RefTable:
    return table.with_ref(RefKind.TAG, "prod", row)


def test_another_map_is_no_other_version(model: Model, store: MemoryBackend, world: Settings) -> None:
    """The map is not signed: what it leads to is checked against the tree, which is."""
    old, entry = _read(store, 4)
    table = replace_row(entry.refs, replace(entry.refs.tags["prod"], version=replace(_row(store, 4), map=MapName(b"\1" * 32))))
    _move_signatures(store, old, _put(store, replace(entry, refs=table)))
    _rechain(store, 5)
    assert _again(store, world).verify("prod").entry == 4


def test_an_unsigned_move_is_refused(model: Model, store: MemoryBackend, world: Settings) -> None:
    table = _read(store, 5)[1].refs
    _append(store, replace_row(table, Ref(_row(store, 3), 6)))
    with pytest.raises(SignatureError, match=r"entry 6 .* nobody signed it"):
        _again(store, world).verify("prod")


def test_a_row_that_claims_an_older_move_is_refused(model: Model, store: MemoryBackend, world: Settings) -> None:
    """Entry 3 put prod at v1, and Ada signed it; that it does not stand there any more is in the chain."""
    _append(store, replace_row(_read(store, 5)[1].refs, _read(store, 3)[1].refs.tags["prod"]))
    with pytest.raises(SignatureError, match="has another row"):
        _again(store, world).verify("prod")


@pytest.mark.parametrize("moved", [0, 1, 5, 6, 7, 4_000_000])
def test_a_row_with_another_number_is_refused(model: Model, store: MemoryBackend, world: Settings, moved: int) -> None:
    _append(store, replace_row(_read(store, 5)[1].refs, Ref(_row(store, 4), moved)))
    with pytest.raises((SignatureError, IntegrityError)):
        _again(store, world).verify("prod")


def test_a_move_written_down_before_it_is_signed_is_refused(
    model: Model, store: MemoryBackend, world: Settings, bob: Key
) -> None:
    """Ada signs entry 7 for a reason of her own, and carries on a row that says that entry 7 moves prod."""
    _append(store, replace_row(_read(store, 5)[1].refs, Ref(_row(store, 3), 7)))
    again = _again(store, world)
    again.tag("rc", "main", sign=True)
    assert _read(store, 7)[1].refs.tags["prod"] == Ref(_row(store, 3), 7)
    assert again.verify("rc").entry == 7
    for question in (lambda: again.verify("prod"), lambda: again.sign("prod", key=bob.path)):
        with pytest.raises(SignatureError, match="says already that entry 7 moves it"):
            question()


def test_another_version_under_the_signed_number_is_refused(model: Model, store: MemoryBackend, world: Settings) -> None:
    _append(store, replace_row(_read(store, 5)[1].refs, Ref(_row(store, 3), 4)))
    with pytest.raises(SignatureError, match="has another row"):
        _again(store, world).verify("prod")


def test_an_old_entry_replayed_as_a_new_one_is_refused(model: Model, store: MemoryBackend, world: Settings) -> None:
    old, entry = _read(store, 3)
    prev, _ = _read(store, 5)
    table = replace_row(_read(store, 5)[1].refs, Ref(_row(store, 3), 6))
    new = _put(store, replace(entry, n=6, prev=prev, refs=table))
    _move_signatures(store, old, new, lambda found: replace(found, n=6))
    with pytest.raises(SignatureError, match="does not hold"):
        _again(store, world).verify("prod")


def test_the_bytes_of_an_old_entry_in_another_place_are_refused(model: Model, store: MemoryBackend, world: Settings) -> None:
    store.put(entry_key("fraud", 6), store.get(entry_key("fraud", 3), length=2**20))
    with pytest.raises(IntegrityError, match="another's place"):
        _again(store, world).verify("prod")


def test_a_signature_is_of_no_other_entry(model: Model, store: MemoryBackend, world: Settings) -> None:
    _move_signatures(store, _read(store, 4)[0], _read(store, 5)[0], lambda found: replace(found, n=5))
    with pytest.raises(SignatureError, match="does not hold"):
        _again(store, world).verify("dev")


@pytest.mark.parametrize("field", ["n", "entry"])
def test_a_signature_that_says_it_is_of_another_entry_does_not_count(model: Model, store: MemoryBackend, field: str) -> None:
    identity, _ = _read(store, 4)
    key = next(iter(store.list(signatures_prefix(identity)))).key
    found = decode_signature(store.get(key, length=2**16))
    store.put(key, encode_signature(replace(found, **{"n": {"n": 3}, "entry": {"entry": EntryId(b"\1" * 32)}}[field])))
    with pytest.raises(SignatureError):
        model.verify("prod")


def test_a_tag_with_the_name_of_a_signed_branch_is_refused(model: Model, store: MemoryBackend, world: Settings) -> None:
    table = _read(store, 5)[1].refs
    _append(store, table.with_ref(RefKind.TAG, "main", Ref(_row(store, 3), 6)))
    with pytest.raises(SignatureError, match="tag 'main'"):
        _again(store, world).verify("main")


def test_branches_swapped_are_refused(model: Model, store: MemoryBackend, world: Settings) -> None:
    table = _read(store, 5)[1].refs
    swapped = replace(table, tags={**table.tags, "prod": table.tags["dev"], "dev": table.tags["prod"]})
    _append(store, swapped)
    for name in ("prod", "dev"):
        with pytest.raises((SignatureError, IntegrityError)):
            _again(store, world).verify(name)


def test_the_log_of_another_model_is_no_log_of_this_one(
    model: Model, registry: Registry, store: MemoryBackend, world: Settings, tmp_path: Path
) -> None:
    _commit(registry.model("ranker"), tmp_path / "work", "ranks", sign=True)
    data = store.get(entry_key("ranker", 1), length=2**20)
    for n in range(2, 6):
        store.delete(entry_key("fraud", n))
    store.put(entry_key("fraud", 1), data)
    with pytest.raises(IntegrityError, match="another's place"):
        _again(store, world).verify("main")
    old, entry = decode_entry(data)
    _move_signatures(store, old, _put(store, replace(entry, log="fraud")), lambda found: replace(found, log="fraud"))
    with pytest.raises(SignatureError, match="does not hold"):
        _again(store, world).verify("main")


def test_the_log_of_another_registry_is_no_log_of_this_one(
    model: Model, store: MemoryBackend, world: Settings, tmp_path: Path
) -> None:
    theirs = MemoryBackend("theirs")
    other = make_registry(theirs, world)
    _commit(other.model("fraud"), tmp_path / "work", "one", sign=True)
    for key, data in objects_of(theirs).items():
        if key.startswith(("refs/", "signatures/", "commits/", "trees/", "maps/", "packs/")):
            store.put(key, data)
    for n in range(2, 6):
        store.delete(entry_key("fraud", n))
    store.delete(hint_key("fraud"))
    with pytest.raises(IntegrityError, match="another's place"):
        _again(store, world).verify("main")
    mine = registry_over(store, world).id
    old, entry = decode_entry(theirs.get(entry_key("fraud", 1), length=2**20))
    _move_signatures(store, old, _put(store, replace(entry, registry=mine)), lambda found: replace(found, registry=mine))
    with pytest.raises(SignatureError, match="does not hold"):
        _again(store, world).verify("main")


def test_another_registry_as_a_whole_is_told_by_its_id(
    model: Model, registry: Registry, trust: Path, store: MemoryBackend
) -> None:
    (trust.parent / "policy.toml").write_text(f'[[rule]]\nregistry = "{registry.id}"\n')
    assert model.verify("prod")
    (trust.parent / "policy.toml").write_text(f'[[rule]]\nregistry = "{"0" * 32}"\n')
    with pytest.raises(SignatureError, match="no rule"):
        model.verify("prod")


def test_a_link_of_the_chain_that_does_not_hold_is_found(model: Model, store: MemoryBackend, world: Settings) -> None:
    _, entry = _read(store, 5)
    _put(store, replace(entry, prev=EntryId(b"\1" * 32)))
    with pytest.raises(IntegrityError, match="does not follow"):
        _again(store, world).verify("prod")


def test_a_hole_in_the_log_is_found(model: Model, store: MemoryBackend, world: Settings) -> None:
    store.delete(entry_key("fraud", 3))
    store.put(hint_key("fraud"), b"5")
    with pytest.raises(IntegrityError, match="is missing"):
        _again(store, world).verify("main")


def test_a_commit_of_another_tree_is_refused(model: Model, store: MemoryBackend, world: Settings) -> None:
    """Signed with care or not: commit and tree of a row belong together."""
    _, last = _read(store, 5)
    row = replace(_row(store, 4), tree=_row(store, 3).tree)
    _append(store, replace_row(last.refs, Ref(row, 6)))
    with pytest.raises(IntegrityError, match="another tree"):
        _again(store, world).sign("prod")


# What this machine saw last


@pytest.fixture
def local(tmp_path: Path, world: Settings) -> Registry:
    return init_registry(tmp_path / "registry", world)


@pytest.fixture
def seen(local: Registry, tmp_path: Path) -> Model:
    """A registry in a folder with two signed versions, whose state before the second is kept in `before`."""
    found = local.model("fraud")
    _commit(found, tmp_path / "work", "one", sign=True)
    shutil.copytree(tmp_path / "registry", tmp_path / "before")
    _commit(found, tmp_path / "work", "two", sign=True)
    assert found.verify("main").entry == 2
    return found


def _restore(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "registry")
    shutil.copytree(tmp_path / "before", tmp_path / "registry")


def test_a_dropped_tail_is_a_rollback_though_every_signature_holds(seen: Model, tmp_path: Path, world: Settings) -> None:
    _restore(tmp_path)
    for question in (
        lambda: seen.verify("main"),
        lambda: seen.resolve("main"),
        lambda: seen.checkout("main", tmp_path / "out"),
    ):
        with pytest.raises(RollbackError, match="was at entry 2"):
            question()
    again = open_registry(tmp_path / "registry", world).model("fraud")
    with pytest.raises(RollbackError):
        again.verify("main")
    stranger = open_registry(tmp_path / "registry", replace(world, state_folder=tmp_path / "other")).model("fraud")
    assert stranger.verify("main").entry == 1  # who saw nothing cannot know


def test_a_log_that_is_gone_is_a_rollback(seen: Model, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "registry" / "refs")
    with pytest.raises(RollbackError, match="no entries"):
        seen.verify("main")


@pytest.mark.parametrize("more", [0, 1, 3])
def test_a_fork_is_found_though_every_signature_holds(seen: Model, tmp_path: Path, world: Settings, more: int) -> None:
    _restore(tmp_path)
    writer = open_registry(tmp_path / "registry", replace(world, state_folder=tmp_path / "other")).model("fraud")
    for number in range(1 + more):
        _commit(writer, tmp_path / "work", f"fork {number}", sign=True)
    assert writer.verify("main").entry == 2 + more
    with pytest.raises(RollbackError, match="another one now"):
        seen.verify("main")


def test_a_rollback_is_accepted_deliberately(seen: Model, tmp_path: Path) -> None:
    _restore(tmp_path)
    with pytest.raises(RollbackError):
        seen.log()
    assert seen.verify("main", accept=True).entry == 1
    assert len(seen.log()) == 1


def test_a_removed_memory_is_an_accepted_one(seen: Model, tmp_path: Path, world: Settings) -> None:
    _restore(tmp_path)
    with pytest.raises(RollbackError) as caught:
        seen.log()
    Path(str(caught.value.fields["remembered"])).unlink()
    assert len(seen.log()) == 1


def test_a_catalogue_that_lost_models_is_a_rollback(seen: Model, local: Registry, tmp_path: Path) -> None:
    _commit(local.model("ranker"), tmp_path / "work", "ranks")
    _restore(tmp_path)
    with pytest.raises(RollbackError, match="'catalogue'"):
        local.model_names()


def test_nothing_is_remembered_where_nobody_says_where(seen: Model, tmp_path: Path, world: Settings) -> None:
    _restore(tmp_path)
    assert open_registry(tmp_path / "registry", replace(world, state_folder=None)).model("fraud").verify("main").entry == 1


# Revisions and keys


@pytest.mark.parametrize("revision", ["main~1", "prod@{1}", "prod@{2026-01-01}"])
def test_only_where_a_name_stands_now_is_signed(model: Model, revision: str) -> None:
    for question in (model.verify, model.sign):
        with pytest.raises(InvalidInputError, match="where it stands now"):
            question(revision)


def test_a_commit_is_not_signed_by_its_id(model: Model) -> None:
    with pytest.raises(InvalidInputError, match="is a commit"):
        model.verify(model.resolve("prod").commit.hex)


def test_an_unknown_name_says_which_there_are(model: Model, registry: Registry) -> None:
    with pytest.raises(NotFoundError, match="did you mean 'prod'"):
        model.verify("prdo")
    with pytest.raises(NotFoundError, match="no versions yet"):
        registry.model("nothing").verify("main")
    with pytest.raises(NotFoundError):
        registry.model("nothing").sign("main")


def test_what_moved_on_meanwhile_is_not_signed(model: Model, registry: Registry, ada: Key) -> None:
    expect = model.resolve("main~1").commit
    with pytest.raises(ConflictError, match="has moved on"):
        model._sign("prod", ada.path, expect=expect)


def test_without_a_key_it_says_where_to_name_one(store: MemoryBackend, model: Model, world: Settings, tmp_path: Path) -> None:
    keyless = _again(store, replace(world, signing_key=None))
    for question in (lambda: keyless.sign("prod"), lambda: keyless.tag("x", "main", sign=True)):
        with pytest.raises(InvalidInputError, match="REG_SIGNING_KEY; git's"):
            question()


def test_garbage_in_the_place_of_a_signature_is_put_aside(model: Model, store: MemoryBackend, ada: Key) -> None:
    identity, _ = _read(store, 4)
    key = next(iter(store.list(signatures_prefix(identity)))).key
    store.put(key, b"squatted")
    with pytest.raises(SignatureError):
        model.verify("prod")
    assert model.sign("prod").created
    assert store.get(f"quarantine/{key}", length=100) == b"squatted"
    assert model.verify("prod").signers


def test_a_signature_that_holds_for_nothing_does_not_count(model: Model, store: MemoryBackend, trust: Path, ada: Key) -> None:
    """Ada's key, and a signature of the right length that she never made."""
    identity, entry = _read(store, 5)
    signed = model.sign("prod").key
    blob = make_blob(key=base64.b64decode(ada.public.split()[1]), made=b"\0\0\0\x0bssh-ed25519\0\0\0\x40" + b"\7" * 64)
    forged = Signature(entry.registry, "fraud", 5, identity, signed, armour_of(blob), 1)
    store.put(signature_key(identity, signed), encode_signature(forged))
    with pytest.raises(SignatureError, match="does not hold"):
        model.verify("dev")


def test_an_ids_of_keys_hex_is_the_name_of_the_object(model: Model, store: MemoryBackend) -> None:
    signed = model.sign("prod")
    assert KeyId.parse(next(iter(store.list(signatures_prefix(signed.entry_id)))).key[-64:]) == signed.key
    assert signing.Signer("ada@example.org", signed.key) in model.verify("prod").signers


def test_no_program_is_run_where_nothing_is_signed(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_keygen.shutil, "which", lambda _: None)
    with pytest.raises(SignatureError, match="nobody signed it"):
        model.verify("dev")
    for question in (lambda: model.verify("prod"), lambda: model.sign("prod")):
        with pytest.raises(NotFoundError, match="install openssh-client"):
            question()
