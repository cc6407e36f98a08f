"""What log entries and their commits put into the index. It is told everything, and asks nothing of any store.

A group of values (all params of a version, all its packages) is held once however many versions have the same: packages and environment
hardly change from one to the next.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import blake3

from cas_registry.model.canonical import Scalar, encode
from cas_registry.model.commit import Commit
from cas_registry.model.entry import Operation, RefKind, RefTable
from cas_registry.model.ids import CommitId
from cas_registry.model.note import note_value
from cas_registry.model.remap import RemapTable
from cas_registry.query.facts import amended, input_texts
from cas_registry.query.fields import GROUPS
from cas_registry.query.sql import Stored, scalar, stored
from cas_registry.store.log import Recorded

_REMEMBERED = 100_000  # holders of which the number is kept in memory
_VERSION = (
    "model", "number", "at", "commit_id", "tree", "author", "message", "time", "size", "stored", "new", "files", "input", *GROUPS,
)  # fmt: skip
_INSERT_VERSION = f"INSERT INTO version ({', '.join(_VERSION)}) VALUES ({', '.join('?' * len(_VERSION))})"

PARENT = "parent"  # before the id of a commit that a version came after


@dataclass(frozen=True, slots=True)
class Moved:
    """Entry `n` moved a branch or tag to this commit; None: deleted it."""

    n: int
    kind: RefKind
    name: str
    commit: CommitId | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries of one log that follow each other, with the commits that they introduce and the refs that they moved."""

    entries: Sequence[Recorded]
    commits: Mapping[CommitId, Commit]
    moves: Sequence[Moved]


@dataclass(frozen=True, slots=True)
class Ending:
    """What a log's head says of all its versions: where branches and tags stand, and which are retired (None: as before)."""

    table: RefTable
    remap: RemapTable | None


class Intake:
    """Writes into one connection, within a transaction of whoever calls."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run: Callable[..., sqlite3.Cursor] = connection.execute
        self._run_many = connection.executemany
        self._names: dict[str, int] = {}
        self._holders: dict[bytes, int] = {}
        self._facts: list[tuple[int, int, Stored | None]] = []  # still to be written

    def forget(self) -> None:
        """What was remembered in a transaction that came to nothing."""
        self._names.clear()
        self._holders.clear()
        self._facts.clear()

    def take(self, model: int, batch: Batch, ending: Ending | None) -> None:
        """The entries of a batch, which follow the last one that the index has of this model's log; after the last batch its ending."""
        self._run_many(
            _INSERT_VERSION, [self._version_row(model, recorded, batch) for recorded in batch.entries if recorded.entry.commit]
        )
        self._take_sources(model, batch)
        for recorded in batch.entries:
            if recorded.entry.op is Operation.NOTE:
                self._take_note(model, recorded)
        self._write_facts()
        self._take_moves(model, batch)
        last = batch.entries[-1]
        self._run(
            "UPDATE model SET last = ?, last_id = ?, last_ms = ? WHERE id = ?",
            (last.n, last.id.digest, last.entry.time_ms, model),
        )
        if ending is None:
            return
        self._take_refs(model, ending.table)
        if ending.remap is not None:
            self._take_retired(model, ending.remap)
        remap = last.entry.remap
        self._run("UPDATE model SET remap = ? WHERE id = ?", (remap.digest if remap else None, model))

    def drop(self, model: int) -> None:
        """Forget all that a log said: it is another one now."""
        for table in ("made_from", "ref"):
            self._run(f"DELETE FROM {table} WHERE version IN (SELECT id FROM version WHERE model = ?)", (model,))
        for table in ("version", "move", "note"):
            self._run(f"DELETE FROM {table} WHERE model = ?", (model,))
        self._run("UPDATE model SET last = 0, last_id = NULL, last_ms = NULL, remap = NULL WHERE id = ?", (model,))

    def _version_row(self, model: int, recorded: Recorded, batch: Batch) -> tuple[object, ...]:
        entry = recorded.entry
        assert entry.commit  # noqa: S101 - see above
        assert entry.tree  # noqa: S101 - an entry has both or none
        commit, stats = batch.commits[entry.commit], entry.stats
        sizes = (stats.raw_bytes, stats.stored_bytes, stats.new_bytes, stats.files) if stats else (None,) * 4
        texts = [text for item in commit.inputs for text in input_texts(item)]
        groups = (self._hold(getattr(commit, group)) for group in GROUPS)
        return (
            model, entry.versions, entry.n, entry.commit.hex, entry.tree.digest, commit.author, commit.message, commit.time_ms, *sizes,
            self._hold_inputs(texts), *groups,
        )  # fmt: skip

    def _take_sources(self, model: int, batch: Batch) -> None:
        rows = [
            (model, recorded.n, source)
            for recorded in batch.entries
            if recorded.entry.commit
            for source in _sources(batch.commits[recorded.entry.commit])
        ]
        self._run_many(
            "INSERT OR IGNORE INTO made_from SELECT id, ?3 FROM version WHERE model = ?1 AND at = ?2",
            rows,
        )

    def _take_note(self, model: int, recorded: Recorded) -> None:
        entry, note = recorded.entry, recorded.entry.note
        assert note is not None  # noqa: S101 - an entry that notes has one
        self._run(
            "INSERT INTO note VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                model,
                entry.n,
                recorded.id.digest,
                note.commit.hex,
                encode(note_value(note)),
                entry.time_ms,
                entry.who,
                entry.why,
            ),
        )
        for group in ("labels", "metrics"):
            if not getattr(note, group):
                continue
            for identity, holder in self._run(
                f"SELECT id, {group} FROM version WHERE model = ? AND commit_id = ?", (model, note.commit.hex)
            ).fetchall():
                values = amended(group, self._held(holder), note)
                self._run(f"UPDATE version SET {group} = ? WHERE id = ?", (self._hold(values), identity))

    def _take_moves(self, model: int, batch: Batch) -> None:
        by_number = {recorded.n: recorded.entry for recorded in batch.entries}
        rows = [
            (
                model,
                move.n,
                move.kind.value,
                move.name,
                move.commit.hex if move.commit else None,
                entry.time_ms,
                entry.who,
                entry.why,
            )
            for move in batch.moves
            for entry in [by_number[move.n]]
        ]
        self._run_many("INSERT INTO move VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def _take_refs(self, model: int, table: RefTable) -> None:
        self._run("DELETE FROM ref WHERE model = ?", (model,))
        rows = [
            (model, kind.value, name, ref.version.at)
            for kind in RefKind
            for name, ref in table.of(kind).items()
            if ref.version is not None
        ]
        self._run_many("INSERT INTO ref SELECT ?1, ?2, ?3, id FROM version WHERE model = ?1 AND at = ?4", rows)

    def _take_retired(self, model: int, remap: RemapTable) -> None:
        self._run("UPDATE version SET retired = 0 WHERE model = ? AND retired", (model,))
        rows = [(model, at) for at, root in remap.maps.items() if root is None]
        self._run_many("UPDATE version SET retired = 1 WHERE model = ? AND at = ?", rows)

    def _hold(self, values: Mapping[str, Scalar]) -> int | None:
        """The holder of these values, None of none."""
        if not values:
            return None
        identity, is_new = self._holder(repr(values))
        if is_new:
            rows = ((identity, self._name(name), stored(value)) for name, value in values.items())
            self._facts += [row for row in rows if row[2] is not None]
        return identity

    def _hold_inputs(self, texts: Sequence[str]) -> int | None:
        if not texts:
            return None
        identity, is_new = self._holder(f"inputs {texts!r}")
        if is_new:
            self._run_many(
                "INSERT INTO input VALUES (?, ?, ?)", [(identity, position, text) for position, text in enumerate(texts)]
            )
        return identity

    def _holder(self, spelled: str) -> tuple[int, bool]:
        """The holder of what is spelled so, and whether it is still to be filled."""
        digest = blake3.blake3(spelled.encode("utf-8")).digest()
        known = self._holders.get(digest)
        if known is not None:
            return known, False
        found = self._run("SELECT id FROM holder WHERE digest = ?", (digest,)).fetchone()
        identity = found[0] if found else self._run("INSERT INTO holder (digest) VALUES (?)", (digest,)).lastrowid
        assert isinstance(identity, int)  # noqa: S101 - of the row that was just inserted
        if len(self._holders) >= _REMEMBERED:
            self._holders.clear()
        self._holders[digest] = identity
        return identity, found is None

    def _write_facts(self) -> None:
        self._run_many("INSERT INTO fact VALUES (?, ?, ?)", self._facts)
        self._facts.clear()

    def _held(self, holder: int | None) -> dict[str, Scalar]:
        self._write_facts()
        rows: Iterable[tuple[str, Stored]] = self._run(
            "SELECT n.text, f.value FROM fact f JOIN name n ON n.id = f.name WHERE f.holder = ?", (holder,)
        )
        return {name: scalar(value) for name, value in rows}

    def _name(self, text: str) -> int:
        known = self._names.get(text)
        if known is None:
            found = self._run("SELECT id FROM name WHERE text = ?", (text,)).fetchone()
            known = found[0] if found else self._run("INSERT INTO name (text) VALUES (?)", (text,)).lastrowid
            assert isinstance(known, int)  # noqa: S101 - as above
            self._names[text] = known
        return known


def _sources(commit: Commit) -> Iterator[str]:
    """What a version was made from, as `made_from` holds it: commits by id, those it came after by `parent` and the id, and digests."""
    for item in commit.inputs:
        if item.commit is not None:
            yield item.commit.hex
        elif item.digest is not None:
            yield item.digest
    for parent in commit.parents:
        yield f"{PARENT} {parent.hex}"
