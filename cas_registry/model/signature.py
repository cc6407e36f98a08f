"""Signatures of log entries: what is signed, and the object that holds a signature. See docs/format.md, "Signatures".

What is signed names no map: a repack gives versions other maps, and needs nobody's key for it. Making and checking signatures is
`ssh-keygen`'s work, not this module's.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Self

from cas_registry.errors import FormatError, InvalidInputError
from cas_registry.model import canonical
from cas_registry.model.entry import MAX_ENTRY_NUMBER, Entry, Ref, RefTable, release_value
from cas_registry.model.ids import ID_BYTES, EntryId, SignatureId, SignedRefsId
from cas_registry.model.names import check_log, read_name
from cas_registry.model.note import note_value

NAMESPACE = "cas_registry"  # of `ssh-keygen -Y`: a signature made for another purpose is none here
PAYLOAD_MAGIC = b"cas_registry/entry/v1\0"
MAX_ARMOUR_BYTES = 16 * 1024  # RSA of 16384 bits, the longest key that OpenSSH takes, comes to 6 KiB
MAX_SIGNATURE_BYTES = 32 * 1024  # the armour, its line feeds escaped, and the fields around it

_FIELDS = ("registry", "log", "n", "entry", "key", "signature", "time")
_ARMOUR_HEAD = "-----BEGIN SSH SIGNATURE-----\n"
_ARMOUR_TAIL = "-----END SSH SIGNATURE-----\n"
_MAGIC = b"SSHSIG\0\0\0\1"
_HASHES = (b"sha256", b"sha512")
_LENGTH_BYTES = 4
_STRINGS = 5  # public key, namespace, reserved, hash, signature


@dataclass(frozen=True, slots=True, order=True)
class KeyId:
    """SHA-256 of a public key in OpenSSH's wire form: the fingerprint that ssh-keygen prints, as bytes."""

    digest: bytes

    @classmethod
    def of(cls, public_key: bytes) -> Self:
        """The id of a public key's blob."""
        return cls(hashlib.sha256(public_key).digest())

    @classmethod
    def parse(cls, text: object) -> Self:
        """The id written as 64 lower-case hex digits. Raises FormatError."""
        if not isinstance(text, str) or len(text) != 2 * ID_BYTES or text.strip("0123456789abcdef"):
            raise FormatError(f"not a key's id: {str(text)[:80]!r} (64 lower-case hex digits are)")
        return cls(bytes.fromhex(text))

    @property
    def hex(self) -> str:
        return self.digest.hex()

    @property
    def fingerprint(self) -> str:
        """As people know it: `SHA256:…`."""
        return f"SHA256:{base64.b64encode(self.digest).decode('ascii').rstrip('=')}"

    def __str__(self) -> str:
        return self.fingerprint


@dataclass(frozen=True, slots=True)
class Signature:
    """One key's signature of one log entry, armoured as ssh-keygen writes it. `time_ms` is what the signer's clock said, for people."""

    registry: str
    log: str
    n: int
    entry: EntryId
    key: KeyId
    armour: str
    time_ms: int


def signed_payload(entry: Entry, table: RefTable) -> bytes:
    """The bytes that are signed for an entry that leaves `table` (of a release: no refs). InvalidInputError for one of the catalogue, which
    nobody signs."""
    if entry.models is not None:
        raise InvalidInputError("entries of the catalogue are not signed", n=entry.n)
    return PAYLOAD_MAGIC + canonical.encode(
        {
            "registry": entry.registry,
            "log": entry.log,
            "n": entry.n,
            "prev": entry.prev.hex if entry.prev else None,
            "op": entry.op.value,
            "refs": None if entry.refs is None else SignedRefsId.of(encode_signed_refs(table)).hex,
            "note": None if entry.note is None else note_value(entry.note),
            "release": release_value(entry.release),
            "commit": entry.commit.hex if entry.commit else None,
            "tree": entry.tree.hex if entry.tree else None,
            "time": entry.time_ms,
            "who": entry.who,
            "why": entry.why,
        }
    )


def encode_signed_refs(table: RefTable) -> bytes:
    """A ref table without maps, whose id stands in the payload."""
    rows = {
        name: {ref_name: signed_row(ref) for ref_name, ref in refs.items()}
        for name, refs in (("branches", table.branches), ("tags", table.tags))
    }
    return canonical.encode({"v": 1, "kind": "signed-refs", "table": rows})


def signed_row(ref: Ref) -> canonical.Json:
    """What is signed of a row: all of it but the map."""
    row = ref.version
    return [ref.moved] if row is None else [ref.moved, row.commit.hex, row.at, row.number, row.tree.hex]


def encode_signature(signature: Signature) -> bytes:
    """The sealed bytes of a signature object. Raises InvalidInputError for what could not be read again."""
    body = canonical.encode(
        {
            "v": 1,
            "kind": "signature",
            "registry": signature.registry,
            "log": signature.log,
            "n": signature.n,
            "entry": signature.entry.hex,
            "key": signature.key.hex,
            "signature": signature.armour,
            "time": signature.time_ms,
        }
    )
    return canonical.read_back(canonical.seal(body, SignatureId), decode_signature, kind="signature")


def decode_signature(data: bytes) -> Signature:
    """The signature object in sealed `data`; that its key made it over an entry is for ssh-keygen to say. Raises FormatError."""
    if len(data) > MAX_SIGNATURE_BYTES:
        raise FormatError(f"a signature of more than {MAX_SIGNATURE_BYTES:,} bytes")
    _, body = canonical.unseal(data, SignatureId)
    registry, log, n, entry, key, armour, time = canonical.fields(
        canonical.decode(body, kind="signature"), *_FIELDS, what="signature"
    )
    signature = Signature(
        registry=canonical.hex_digits(registry, what="registry"),
        log=read_name(log, check_log, of="a signature of a log"),
        n=canonical.integer(n, what="n", maximum=MAX_ENTRY_NUMBER),
        entry=EntryId.parse(entry),
        key=KeyId.parse(key),
        armour=canonical.text(armour, what="signature", max_bytes=MAX_ARMOUR_BYTES),
        time_ms=canonical.integer(time, what="time"),
    )
    if signing_key(signature.armour) != signature.key:
        raise FormatError("a signature by another key than the one it names")
    return signature


def signing_key(armour: str) -> KeyId:
    """The key that an armoured signature says it is by, as OpenSSH's PROTOCOL.sshsig lays it out. Raises FormatError.

    It must be of this package's namespace and of one spelling: base64 in lines of 70, nothing before or behind.
    """
    try:
        lines = armour.encode("ascii").removeprefix(_ARMOUR_HEAD.encode()).removesuffix(_ARMOUR_TAIL.encode())
        blob = base64.b64decode(lines.replace(b"\n", b""), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise FormatError("a signature that is not armoured as ssh-keygen does") from error
    if armour_of(blob) != armour:
        raise FormatError("a signature that is not armoured as ssh-keygen does")
    if not blob.startswith(_MAGIC):
        raise FormatError("a signature that is no SSHSIG of version 1")
    public_key, namespace, reserved, hashed, signature = _strings(blob[len(_MAGIC) :])
    if namespace != NAMESPACE.encode("ascii") or reserved or hashed not in _HASHES or not public_key or not signature:
        raise FormatError(f"a signature of another namespace than {NAMESPACE}, or with fields that are not known")
    return KeyId.of(public_key)


def armour_of(blob: bytes) -> str:
    """An SSHSIG as ssh-keygen writes it: base64 in lines of 70."""
    text = base64.b64encode(blob).decode("ascii")
    lines = [text[start : start + 70] for start in range(0, len(text), 70)]
    return f"{_ARMOUR_HEAD}{''.join(f'{line}{chr(10)}' for line in lines)}{_ARMOUR_TAIL}"


def _strings(data: bytes) -> list[bytes]:
    """The five strings of the message, each behind its length (u32, big-endian). Raises FormatError."""
    found: list[bytes] = []
    for _ in range(_STRINGS):
        length = int.from_bytes(data[:_LENGTH_BYTES], "big")
        end = _LENGTH_BYTES + length
        if len(data) < end:
            raise FormatError("a signature that is cut short")
        found.append(data[_LENGTH_BYTES:end])
        data = data[end:]
    if data:
        raise FormatError("a signature with more fields than are known")
    return found
