"""What is signed of an entry, and the object that holds a signature."""

import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.errors import FormatError, InvalidInputError, UnsupportedFormatError
from cas_registry.model import signature
from cas_registry.model.canonical import seal
from cas_registry.model.entry import CATALOGUE, CommitStats, Entry, Operation, Ref, RefTable, VersionRow
from cas_registry.model.ids import CommitId, EntryId, MapName, RefTableId, RemapId, SignatureId, TreeId
from cas_registry.model.note import Note
from cas_registry.model.signature import (
    PAYLOAD_MAGIC,
    KeyId,
    Signature,
    armour_of,
    decode_signature,
    encode_signature,
    signed_payload,
    signing_key,
)

PUBLIC_KEY = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(range(32))


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def make_blob(
    *, magic: bytes = b"SSHSIG\0\0\0\1", key: bytes = PUBLIC_KEY, namespace: bytes = b"cas_registry", reserved: bytes = b"",
    hashed: bytes = b"sha512", made: bytes = b"\0" * 83, after: bytes = b"",
) -> bytes:  # fmt: skip
    """An SSHSIG as PROTOCOL.sshsig lays it out."""
    return magic + b"".join(map(_string, (key, namespace, reserved, hashed, made))) + after


def make_signature(**fields: object) -> Signature:
    found = Signature(
        "ab" * 16, "fraud", 7, EntryId(b"\1" * 32), KeyId.of(PUBLIC_KEY), armour_of(make_blob()), 1_764_590_400_000
    )
    return replace(found, **fields)


ROW = VersionRow(CommitId(b"\2" * 32), 3, 2, TreeId(b"\3" * 32), MapName(b"\4" * 32))
OTHER = VersionRow(CommitId(b"\5" * 32), 4, 3, TreeId(b"\6" * 32), MapName(b"\4" * 32))
TABLE = RefTable({"main": Ref(ROW, 3)}, {"prod": Ref(ROW, 4), "old": Ref(None, 2)})
ENTRY = Entry(
    registry="ab" * 16, log="fraud", n=5, prev=EntryId(b"\1" * 32), nonce="cd" * 16, op=Operation.SET, time_ms=17, who="ada", why="good",
    refs=TABLE, commit=ROW.commit, tree=ROW.tree, map=ROW.map, versions=2,
)  # fmt: skip

# What is signed


def test_the_payload_is_a_magic_and_canonical_json() -> None:
    payload = signed_payload(ENTRY, TABLE)
    assert payload.startswith(PAYLOAD_MAGIC)
    fields = json.loads(payload[len(PAYLOAD_MAGIC) :])
    assert list(fields) == sorted(fields)
    assert fields.keys() == {
        "registry", "log", "n", "prev", "op", "refs", "note", "release", "commit", "tree", "time", "who", "why",
    }  # fmt: skip
    assert json.dumps(fields, separators=(",", ":")).encode() == payload[len(PAYLOAD_MAGIC) :]


CHANGES = {
    "registry": {"registry": "ac" * 16},
    "log": {"log": "fraud2"},
    "n": {"n": 6},
    "prev": {"prev": EntryId(b"\7" * 32)},
    "no prev": {"prev": None},
    "op": {"op": Operation.REMAP},
    "commit": {"commit": OTHER.commit},
    "no commit": {"commit": None},
    "tree": {"tree": OTHER.tree},
    "note": {"note": Note(OTHER.commit)},
    "release": {"release": {}},
    "time": {"time_ms": 18},
    "who": {"who": "eve"},
    "why": {"why": "bad"},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_every_field_that_is_signed_counts(change: dict[str, object]) -> None:
    assert signed_payload(replace(ENTRY, **change), TABLE) != signed_payload(ENTRY, TABLE)


TABLES = {
    "another commit": RefTable(TABLE.branches, {**TABLE.tags, "prod": Ref(replace(ROW, commit=OTHER.commit), 4)}),
    "another tree": RefTable(TABLE.branches, {**TABLE.tags, "prod": Ref(replace(ROW, tree=OTHER.tree), 4)}),
    "another entry": RefTable(TABLE.branches, {**TABLE.tags, "prod": Ref(replace(ROW, at=2), 4)}),
    "another number": RefTable(TABLE.branches, {**TABLE.tags, "prod": Ref(replace(ROW, number=1), 4)}),
    "another move": RefTable(TABLE.branches, {**TABLE.tags, "prod": Ref(ROW, 3)}),
    "another name": RefTable(TABLE.branches, {"Prod": Ref(ROW, 4), "old": Ref(None, 2)}),
    "a ref more": RefTable(TABLE.branches, {**TABLE.tags, "new": Ref(ROW, 4)}),
    "a ref fewer": RefTable({}, TABLE.tags),
    "a ref deleted": RefTable({"main": Ref(None, 3)}, TABLE.tags),
    "tags as branches": RefTable(TABLE.tags, TABLE.branches),
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_every_row_counts(table: RefTable) -> None:
    assert signed_payload(replace(ENTRY, refs=table), table) != signed_payload(ENTRY, TABLE)


def test_maps_are_not_signed_and_neither_is_what_a_repack_leaves() -> None:
    maps = {name: Ref(replace(ROW, map=MapName(b"\x09" * 32)), 4) for name in ("prod",)}
    table = RefTable(TABLE.branches, {**TABLE.tags, **maps})
    entry = replace(
        ENTRY,
        refs=table,
        map=MapName(b"\x09" * 32),
        remap=RemapId(b"\x08" * 32),
        stats=CommitStats(1, 1, 1, 1),
        nonce="ef" * 16,
    )
    assert signed_payload(entry, table) == signed_payload(ENTRY, TABLE)


def test_a_spilled_table_signs_like_one_inside_the_entry() -> None:
    assert signed_payload(replace(ENTRY, refs=RefTableId(b"\x0a" * 32)), TABLE) == signed_payload(ENTRY, TABLE)


def test_entries_of_the_catalogue_are_not_signed() -> None:
    with pytest.raises(InvalidInputError, match="catalogue"):
        signed_payload(replace(ENTRY, log=CATALOGUE, refs=None, models={}), TABLE)


# The object


@given(
    st.integers(1, 10**10 - 1),
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**63 - 1),
    st.binary(min_size=1, max_size=200),
    st.binary(min_size=1, max_size=900),
)
def test_what_is_encoded_decodes_to_the_same(n: int, entry: bytes, time_ms: int, key: bytes, made: bytes) -> None:
    armour = armour_of(make_blob(key=key, made=made))
    found = make_signature(n=n, entry=EntryId(entry), time_ms=time_ms, key=KeyId.of(key), armour=armour)
    data = encode_signature(found)
    assert decode_signature(data) == found
    assert encode_signature(decode_signature(data)) == data


def _sealed(**change: object) -> bytes:
    value = {**json.loads(encode_signature(make_signature()).partition(b"\n")[2]), **change}
    body = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return seal(body, SignatureId)


HOSTILE = {
    "another kind": {"kind": "entry"},
    "version 0": {"v": 0},
    "a field more": {"more": 1},
    "a registry in upper case": {"registry": "AB" * 16},
    "a hostile log": {"log": "../x"},
    "the catalogue": {"log": "catalogue"},
    "a number beyond all": {"n": 10**10},
    "a negative time": {"time": -1},
    "a short entry": {"entry": "ab"},
    "another key": {"key": "00" * 32},
    "a key in upper case": {"key": "AB" * 32},
    "no armour": {"signature": ""},
    "armour that is no text": {"signature": 7},
    "too much armour": {"signature": armour_of(make_blob(made=b"\0" * 20_000))},
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_signatures_are_refused(change: dict[str, object]) -> None:
    decode_signature(_sealed())
    with pytest.raises(FormatError):
        decode_signature(_sealed(**change))


def test_a_newer_one_says_so() -> None:
    with pytest.raises(UnsupportedFormatError):
        decode_signature(_sealed(v=2))


def test_no_signature_that_could_not_be_read_again_is_written() -> None:
    with pytest.raises(InvalidInputError):
        encode_signature(make_signature(armour=armour_of(make_blob(key=b"another"))))


def test_a_huge_object_is_refused_unseen() -> None:
    with pytest.raises(FormatError, match="more than"):
        decode_signature(b"x" * (signature.MAX_SIGNATURE_BYTES + 1))


@given(st.data())
def test_no_flipped_byte_gets_past_the_seal(data: st.DataObject) -> None:
    whole = bytearray(encode_signature(make_signature()))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(FormatError):
        decode_signature(bytes(whole))


# The armour

BLOBS = {
    "another magic": make_blob(magic=b"SSHSIH\0\0\0\1"),
    "another version": make_blob(magic=b"SSHSIG\0\0\0\2"),
    "another namespace": make_blob(namespace=b"git"),
    "no namespace": make_blob(namespace=b""),
    "a reserved field": make_blob(reserved=b"x"),
    "another hash": make_blob(hashed=b"md5"),
    "no key": make_blob(key=b""),
    "no signature": make_blob(made=b""),
    "something behind": make_blob(after=b"\0"),
    "cut short": make_blob()[:-1],
    "a length beyond the end": make_blob()[:10] + b"\xff\xff\xff\xff",
    "nothing": b"",
}


@pytest.mark.parametrize("blob", BLOBS.values(), ids=BLOBS.keys())
def test_other_blobs_are_refused(blob: bytes) -> None:
    with pytest.raises(FormatError):
        signing_key(armour_of(blob))


GOOD = armour_of(make_blob())
ARMOURS = {
    "text before": "x\n" + GOOD,
    "text behind": GOOD + "x",
    "no end": GOOD.partition("-----END")[0],
    "lines of another length": GOOD.replace("\n", "", 2).replace("-----U", "-----\nU"),
    "carriage returns": GOOD.replace("\n", "\r\n"),
    "not base64": GOOD.replace("U1NI", "U1N!", 1),
    "not ASCII": GOOD.replace("U1NI", "U1Né", 1),
}


@pytest.mark.parametrize("armour", ARMOURS.values(), ids=ARMOURS.keys())
def test_other_spellings_are_refused(armour: str) -> None:
    assert signing_key(GOOD) == KeyId.of(PUBLIC_KEY)
    with pytest.raises(FormatError):
        signing_key(armour)


@given(st.text(max_size=300))
def test_any_text_is_a_signature_or_a_format_error(text: str) -> None:
    with pytest.raises(FormatError):
        signing_key(text)


@given(st.binary(max_size=300))
def test_any_blob_behind_the_magic_is_a_signature_or_a_format_error(data: bytes) -> None:
    try:
        found = signing_key(armour_of(b"SSHSIG\0\0\0\1" + data))
    except FormatError:
        return
    assert len(found.digest) == 32


def test_a_fingerprint_is_as_ssh_keygen_prints_it() -> None:
    found = KeyId.of(PUBLIC_KEY)
    assert str(found) == found.fingerprint
    assert base64.b64decode(found.fingerprint.removeprefix("SHA256:") + "=") == found.digest
    assert KeyId.parse(found.hex) == found


@pytest.mark.parametrize("text", ["", "ab", "AB" * 32, "xy" * 32, None, 7, "ab" * 33])
def test_other_ids_of_keys_are_refused(text: object) -> None:
    with pytest.raises(FormatError):
        KeyId.parse(text)
