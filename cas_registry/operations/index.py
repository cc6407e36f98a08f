"""The index of a registry on this machine: every version of every model with its values, notes and refs, and where refs stood before.

It is made of immutable entries and commits, so it can be deleted at any time, and is brought up to date by reading what follows the last
entry that it has. It answers questions; what may be written is never decided by it, but by the log.

    with open_index(stores, cache_folder, now_ms=now_ms, progress=progress) as index:
        index.search(parse_condition("metrics.auc > 0.9"))
        index.facts("fraud", commit)        # what a rule's condition is judged by
        index.notes("fraud", commit)        # approvals, labels and metrics added later, with who and when
        index.stays("fraud", commit)        # was it ever prod?
        index.made_from(commit)             # the versions that name it as an input
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from cas_registry.errors import BackendError, IntegrityError, NotFoundError
from cas_registry.model.entry import RefKind
from cas_registry.model.ids import CommitId, EntryId, FileId, TreeId
from cas_registry.model.note import decode_note
from cas_registry.operations.indexing import database, holding, searching
from cas_registry.operations.indexing.catching_up import catch_up
from cas_registry.operations.indexing.intake import PARENT
from cas_registry.operations.indexing.rows import Found, Holding, Stay
from cas_registry.operations.notes import NoteRecord
from cas_registry.operations.progress import NoProgress, Progress
from cas_registry.query.condition import Condition, Fact
from cas_registry.query.order import Order
from cas_registry.store.objects import ObjectStore
from cas_registry.store.refs import Move
from cas_registry.store.stores import Stores

__all__ = ["Found", "Holding", "Index", "NoteRecord", "Stay", "ask_index", "open_index", "open_offline"]

T = TypeVar("T")


class Index:
    """What is known of one registry. One thread at a time; several processes may have it open. To be closed, or used as a context.

    Every method raises IntegrityError where the file turns out to be damaged; it is thrown away then, and the next one who opens it makes
    it anew.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path | None, *, now_ms: int) -> None:
        self._connection = connection
        self._path = path
        self._now_ms = now_ms

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def synced_ms(self) -> int | None:
        """When it was last brought up to date."""
        row = self._ask(lambda connection: connection.execute("SELECT synced_ms FROM about").fetchone())
        found: int | None = row[0]
        return found

    def models(self) -> list[str]:
        """The models that are not retired, sorted."""
        rows = self._ask(
            lambda connection: connection.execute("SELECT name FROM model WHERE NOT retired ORDER BY name").fetchall()
        )
        return [name for (name,) in rows]

    def search(
        self,
        condition: Condition | None = None,
        *,
        models: Sequence[str] | None = None,
        order: Order | None = None,
        top: int | None = None,
        retired: bool = False,
    ) -> list[Found]:
        """The versions that a condition matches (None: every one) of these models (None: of all), in that order, then newest first."""
        return self._ask(
            lambda connection: searching.find(
                connection, condition, models=models, order=order, top=top, retired=retired, now_ms=self._now_ms
            )
        )

    def version(self, model: str, commit: CommitId) -> Found:
        """A version of a model, retired or not. NotFoundError if its log does not introduce that commit."""
        found = self._ask(lambda connection: searching.find_commit(connection, model, commit))
        if found is None:
            raise NotFoundError(f"model {model!r} has no version {commit.short}", commit=commit.hex)
        return found

    def facts(self, model: str, commit: CommitId) -> dict[str, Fact]:
        """What conditions are judged by: of the version, as amended by its notes. NotFoundError as above."""
        return self.version(model, commit).facts()

    def notes(self, model: str, commit: CommitId) -> tuple[NoteRecord, ...]:
        """What was said of a version later, in the order of the log."""
        rows = self._ask(
            lambda connection: connection.execute(
                "SELECT n, entry_id, body, time, who, why FROM note WHERE commit_id = ? "
                "AND model = (SELECT id FROM model WHERE name = ?) ORDER BY n",
                (commit.hex, model),
            ).fetchall()
        )
        return tuple(
            NoteRecord(n, EntryId(entry), decode_note(json.loads(body)), time_ms, who, why)
            for n, entry, body, time_ms, who, why in rows
        )

    def stays(self, model: str, commit: CommitId) -> tuple[Stay, ...]:
        """Where the branches and tags of a model stood at a commit, and when: tags first, each from its first time on."""

        def ask(connection: sqlite3.Connection) -> tuple[Stay, ...]:
            row = connection.execute("SELECT id FROM model WHERE name = ?", (model,)).fetchone()
            return tuple(holding.find_stays(connection, row[0], commit.hex)) if row else ()

        return self._ask(ask)

    def moves(self, model: str, kind: RefKind, name: str) -> tuple[Move, ...]:
        """Every move of a branch or tag, newest first: what `history` reads from the log, without asking it."""
        rows = self._ask(
            lambda connection: connection.execute(
                "SELECT n, commit_id, (SELECT max(number) FROM version WHERE version.model = move.model AND version.commit_id = move.commit_id "
                "AND at <= n), time, who, why FROM move "
                "WHERE model = (SELECT id FROM model WHERE name = ?) AND kind = ? AND name = ? ORDER BY n DESC",
                (model, kind.value, name),
            ).fetchall()
        )
        targets = [(CommitId.parse(commit) if commit else None, number) for _, commit, number, *_ in rows]
        return tuple(
            Move(n, kind, name, target, before, time_ms, who, why, number, number_before)
            for (n, _, _, time_ms, who, why), (target, number), (before, number_before) in zip(
                rows, targets, [*targets, (None, None)][1:], strict=True
            )
        )

    def made_from(self, commit: CommitId) -> tuple[Found, ...]:
        """The versions, of any model, that name this one as an input, newest first; retired ones too."""
        return tuple(self._ask(lambda connection: searching.find_made_from(connection, commit)))

    def children(self, commit: CommitId) -> list[CommitId]:
        """The commits, of any model, that have this one as a parent, oldest first."""
        return self._ask(lambda connection: searching.find_named_by(connection, [f"{PARENT} {commit.hex}"]))

    def named_by(self, sources: Sequence[str]) -> list[CommitId]:
        """The commits, of any model, that name one of these as an input: the ids of commits (hex), or digests; oldest first."""
        return self._ask(lambda connection: searching.find_named_by(connection, sources))

    def learn_trees(self, objects: ObjectStore, *, progress: Progress) -> None:
        """Read the folders of those versions whose folders are not known yet, so that `ids` and `holdings` know them."""
        self._ask(lambda connection: holding.learn_trees(connection, objects, progress=progress))

    def ids(self, hex_prefix: str) -> list[FileId | TreeId]:
        """The known files and folders whose id begins with these hex digits."""
        return self._ask(lambda connection: holding.find_ids(connection, hex_prefix))

    def holdings(self, wanted: FileId | TreeId) -> list[Holding]:
        """The versions that hold a file or a folder, of those whose folders are known; oldest first, retired ones too."""
        return self._ask(lambda connection: holding.find_holdings(connection, wanted))

    def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return question(self._connection)
        except sqlite3.Error as error:
            raise self._translated(error) from error

    def _translated(self, error: sqlite3.Error) -> BackendError | IntegrityError:
        if self._path is not None and database.is_busy(error):
            return database.busy(self._path)
        if self._path is None or not database.is_damage(error):
            return BackendError(f"the index {self._path or 'in memory'} cannot be used: {error}", transient=False)
        self._connection.close()
        database.discard(self._path)
        return IntegrityError(
            f"the index {self._path} was damaged ({error}); it is thrown away and made anew the next time",
            path=str(self._path),
            index=True,
        )

    def catch_up(self, stores: Stores, *, progress: Progress) -> None:
        """Take in what was written since; see `open_index`."""
        self._ask(lambda connection: catch_up(connection, stores, now_ms=self._now_ms, progress=progress))


def open_index(stores: Stores, cache_folder: Path | None, *, now_ms: int, progress: Progress | None = None) -> Index:
    """The index of a registry, up to date. It is kept in `cache_folder/index`, or in memory for as long as it is open.

    Asks one GET of each log, and what follows the last entry that is known. RollbackError for a log that was set back on the way.
    """
    return ask_index(stores, cache_folder, _itself, now_ms=now_ms, progress=progress, keep_open=True)


def ask_index(
    stores: Stores, cache_folder: Path | None, question: Callable[[Index], T], *, now_ms: int, progress: Progress | None = None,
    keep_open: bool = False,
) -> T:  # fmt: skip
    """What a question to the index comes to, once it is up to date (offline: as it was left); asked again of a new one where the file was
    damaged."""
    path = None if cache_folder is None else cache_folder / "index" / f"{stores.format.registry}.sqlite"
    if stores.offline:
        return _ask_offline(stores, path, question, now_ms=now_ms)
    for is_last in (False, True):
        index = Index(database.connect(path, stores.format.registry), path, now_ms=now_ms)
        try:
            index.catch_up(stores, progress=progress or NoProgress())
            answer = question(index)
        except IntegrityError as error:
            index.close()
            if is_last or "index" not in error.fields:
                raise
        except BaseException:
            index.close()
            raise
        else:
            if not keep_open:
                index.close()
            return answer
    raise AssertionError


def open_offline(url: str, cache_folder: Path | None, *, now_ms: int) -> Index:
    """The index of the registry at `url` as it was left, no request made. NotFoundError if this machine has none."""
    files = sorted((cache_folder / "index").glob("*.sqlite")) if cache_folder is not None else []
    for path in files:
        found = database.connect_offline(path)
        if found is None:
            continue
        if found[2] == url:
            return Index(found[0], path, now_ms=now_ms)
        found[0].close()
    raise _no_index(url)


def _ask_offline(stores: Stores, path: Path | None, question: Callable[[Index], T], *, now_ms: int) -> T:
    found = database.connect_offline(path) if path is not None and path.exists() else None
    if found is None:
        raise _no_index(stores.backend.url)
    with Index(found[0], path, now_ms=now_ms) as index:
        return question(index)


def _no_index(url: str) -> NotFoundError:
    return NotFoundError(f"this machine has no index of {url}: search it once while it can be reached", url=url)


def _itself(index: Index) -> Index:
    return index
