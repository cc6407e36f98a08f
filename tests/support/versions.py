"""Versions without files: commits and log entries appended straight to the stores, as fast as they can be encoded."""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from cas_registry.model.commit import Commit, encode_commit
from cas_registry.model.entry import CommitStats, Entry, Operation, Ref, RefKind, RefTable, VersionRow, encode_entry
from cas_registry.model.ids import CommitId, EntryId, MapName, TreeId
from cas_registry.model.note import Note
from cas_registry.registry import Registry
from cas_registry.store.layout import entry_key, object_key

EPOCH_MS = 1_760_000_000_000


class LogWriter:
    """Appends to the log of one model. Trees and maps of its versions are names only: nothing can be checked out."""

    def __init__(self, registry: Registry, model: str, *, author: str = "tester@bench") -> None:
        self._stores = registry._stores
        self._author = author
        self.model = model
        self._stores.catalogue.ensure(model, time_ms=EPOCH_MS, who=author)
        found = self._stores.refs(model).head()
        self._head: Entry | None = found[0].entry if found else None
        self._head_id: EntryId | None = found[0].id if found else None
        self._table = found[1] if found else RefTable()

    @property
    def number(self) -> int:
        """Of the last version."""
        return self._head.versions if self._head else 0

    def commit(
        self, *, branch: str = "main", tags: Iterable[str] = (), stats: CommitStats | None = None, **fields: Any
    ) -> CommitId:
        """A version on a branch with these fields of its commit."""
        before = self._table.branches.get(branch)
        at = self._next_number
        commit = Commit(
            **{
                "tree": TreeId.of(f"{self.model} {at}".encode()),
                "parents": (before.commit,) if before and before.commit else (),
                "author": self._author,
                "time_ms": EPOCH_MS + at,
                "message": f"version {self.number + 1}",
                "log": self.model,
                "position": at - 1,
                **fields,
            }
        )
        data = encode_commit(commit)
        identity = CommitId.of(data)
        self._stores.backend.create(object_key(identity), data)
        root = MapName.of(data)
        row = VersionRow(identity, at, self.number + 1, commit.tree, root)
        table = self._table.with_ref(RefKind.BRANCH, branch, Ref(row, at))
        for tag in tags:
            table = table.with_ref(RefKind.TAG, tag, Ref(row, at))
        self._append(
            Operation.SET, table, time_ms=commit.time_ms, who=commit.author, why=commit.message, commit=identity, tree=commit.tree,
            map=root, versions=self.number + 1, stats=stats or CommitStats(3, 1000 + at, 500, 400),
        )  # fmt: skip
        return identity

    def tag(self, name: str, commit: CommitId | None, *, time_ms: int = EPOCH_MS, who: str = "mover", why: str = "") -> None:
        """Move a tag to a version that a ref stands at, or delete it."""
        rows = (ref.version for kind in RefKind for ref in self._table.of(kind).values())
        row = next(row for row in rows if row and row.commit == commit) if commit else None
        self._append(
            Operation.SET,
            self._table.with_ref(RefKind.TAG, name, Ref(row, self._next_number)),
            time_ms=time_ms,
            who=who,
            why=why,
        )

    def note(self, note: Note, *, time_ms: int = EPOCH_MS, who: str = "noter", why: str = "") -> None:
        """Say something of a version."""
        notes = (self._head.notes if self._head else 0) + 1
        self._append(Operation.NOTE, self._table, time_ms=time_ms, who=who, why=why, note=note, notes=notes)

    def finish(self) -> None:
        """Leave the hint, as a writer does after each entry."""
        if self._head:
            self._stores.log(self.model).write_hint(self._head.n)

    @property
    def _next_number(self) -> int:
        return (self._head.n if self._head else 0) + 1

    def _append(self, op: Operation, table: RefTable, *, time_ms: int, who: str, why: str, **more: Any) -> None:
        carried: Mapping[str, Any] = (
            {"versions": self._head.versions, "notes": self._head.notes, "remap": self._head.remap} if self._head else {}
        )
        entry = Entry(
            **{
                "registry": self._stores.format.registry,
                "log": self.model,
                "n": self._next_number,
                "prev": self._head_id,
                "nonce": secrets.token_hex(16),
                "op": op,
                "time_ms": time_ms,
                "who": who,
                "why": why,
                "refs": table,
                **carried,
                **more,
            }
        )
        data = encode_entry(entry)
        self._stores.backend.create(entry_key(self.model, entry.n), data)
        self._head, self._head_id, self._table = replace(entry, note=None), EntryId.parse(data[:64].decode()), table
