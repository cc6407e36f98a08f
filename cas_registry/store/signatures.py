"""Signatures of log entries: one object for each entry and key, looked for by the keys that the reader trusts, never by listing."""

from collections.abc import Sequence

from cas_registry.backends import Backend
from cas_registry.errors import AlreadyExistsError, FormatError
from cas_registry.model.ids import EntryId
from cas_registry.model.signature import MAX_SIGNATURE_BYTES, KeyId, Signature, decode_signature, encode_signature
from cas_registry.store.layout import QUARANTINE, signature_key, signatures_prefix


class SignatureStore:
    """The signatures of one registry. What is read is whole and in its place; whether it holds is for the caller to ask."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def read(self, entry: EntryId, keys: Sequence[KeyId]) -> dict[KeyId, Signature]:
        """The signatures of an entry by these keys, in one round trip; what is damaged or out of place counts as absent."""
        names = [signature_key(entry, key) for key in keys]
        found = self._backend.get_many(names, length=MAX_SIGNATURE_BYTES + 1) if names else []
        signatures = ((key, _decoded(data, entry, key)) for key, data in zip(keys, found, strict=True))
        return {key: signature for key, signature in signatures if signature is not None}

    def find_keys(self, entry: EntryId) -> list[KeyId]:
        """The keys of the signatures that a listing shows, for telling people why none of them counted."""
        prefix = signatures_prefix(entry)
        keys: list[KeyId] = []
        for info in self._backend.list(prefix):
            try:
                keys.append(KeyId.parse(info.key[len(prefix) :]))
            except FormatError:
                continue
        return sorted(keys)

    def write(self, signature: Signature) -> bool:
        """Store a signature; False where this key's is there already. Bytes in its place that are none are put into quarantine."""
        key, data = signature_key(signature.entry, signature.key), encode_signature(signature)
        try:
            self._backend.create(key, data)
        except AlreadyExistsError:
            existing = self._backend.get(key, length=MAX_SIGNATURE_BYTES + 1)
            if _decoded(existing, signature.entry, signature.key) is not None:
                return False
            self._backend.put(f"{QUARANTINE}{key}", existing)
            self._backend.put(key, data)
        return True


def _decoded(data: bytes | None, entry: EntryId, key: KeyId) -> Signature | None:
    if data is None:
        return None
    try:
        signature = decode_signature(data)
    except FormatError:
        return None
    return signature if (signature.entry, signature.key) == (entry, key) else None
