"""Reading versions out of the index: those that a condition finds, with all their values."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from cas_registry.model.canonical import Scalar
from cas_registry.model.ids import CommitId, TreeId
from cas_registry.operations.indexing.rows import Found
from cas_registry.query.condition import Condition
from cas_registry.query.fields import GROUPS
from cas_registry.query.order import Order
from cas_registry.query.sql import Sql, order_by, scalar, where

_COLUMNS = (
    "m.name", "v.number", "v.commit_id", "v.at", "v.tree", "v.author", "v.time", "v.message", "v.size", "v.stored", "v.new", "v.files",
    "v.retired",
)  # fmt: skip
_SELECT = f"SELECT v.id, v.input, {', '.join(f'v.{group}' for group in GROUPS)}, {', '.join(_COLUMNS)} FROM version v JOIN model m ON m.id = v.model"
_VARIABLES = 500  # of a statement; SQLite takes some thousand
_NEWEST_FIRST = "v.time DESC, m.name, v.number DESC"


def find(
    connection: sqlite3.Connection,
    condition: Condition | None,
    *,
    models: Sequence[str] | None,
    order: Order | None,
    top: int | None,
    retired: bool,
    now_ms: int,
) -> list[Found]:
    """The versions that a condition matches (None: every one), in that order, then newest first; at most `top`."""
    wanted = where(condition, now_ms=now_ms) if condition else Sql("1")
    names = _in_models(models)
    sorting = order_by(order, now_ms=now_ms) if order else None
    text = (
        f"{_SELECT} WHERE {wanted.text} AND {names.text}{'' if retired else ' AND NOT v.retired'} "
        f"ORDER BY {f'{sorting.text}, ' if sorting else ''}{_NEWEST_FIRST}{'' if top is None else ' LIMIT ?'}"
    )
    values = (*wanted.parameters, *names.parameters, *(sorting.parameters if sorting else ()), *(() if top is None else (top,)))
    with _snapshot(connection):
        return _whole(connection, connection.execute(text, values).fetchall())


def find_commit(connection: sqlite3.Connection, model: str, commit: CommitId) -> Found | None:
    """The version of a model with that commit; where the log introduces it twice, the last of them."""
    text = f"{_SELECT} WHERE v.commit_id = ? AND m.name = ? ORDER BY v.at DESC LIMIT 1"
    with _snapshot(connection):
        rows = _whole(connection, connection.execute(text, (commit.hex, model)).fetchall())
    return rows[0] if rows else None


def find_made_from(connection: sqlite3.Connection, source: CommitId) -> list[Found]:
    """The versions, of any model, that name a commit as an input."""
    text = f"{_SELECT} JOIN made_from f ON f.version = v.id WHERE f.source = ? ORDER BY {_NEWEST_FIRST}"
    with _snapshot(connection):
        return _whole(connection, connection.execute(text, (source.hex,)).fetchall())


def find_named_by(connection: sqlite3.Connection, sources: Sequence[str]) -> list[CommitId]:
    """The commits, of any model, that were made from any of these sources, as `made_from` holds them."""
    found: dict[str, None] = {}
    for batch in (sources[start : start + _VARIABLES] for start in range(0, len(sources), _VARIABLES)):
        places = ", ".join("?" * len(batch))
        text = f"SELECT v.commit_id FROM made_from f JOIN version v ON v.id = f.version WHERE f.source IN ({places}) ORDER BY v.time, v.model, v.number"
        found.update((commit, None) for (commit,) in connection.execute(text, batch))
    return [CommitId.parse(commit) for commit in found]


@contextmanager
def _snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Several questions of one state, whatever other processes write meanwhile."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def _in_models(models: Sequence[str] | None) -> Sql:
    if models is None:
        return Sql("1")
    return Sql(f"v.model IN (SELECT id FROM model WHERE name IN ({', '.join('?' * len(models))}))", tuple(models))


def _whole(connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> list[Found]:
    """Rows with the values of their groups, their inputs and their refs: a few statements, however many rows."""
    values = _values(connection, {holder for row in rows for holder in row[2 : 2 + len(GROUPS)] if holder is not None})
    inputs = _inputs(connection, {row[1] for row in rows if row[1] is not None})
    refs = _refs(connection, [row[0] for row in rows])
    found: list[Found] = []
    for row in rows:
        model, number, commit, at, tree, author, time, message, size, stored_bytes, new, files, is_retired = row[
            2 + len(GROUPS) :
        ]
        groups = {group: values.get(holder, {}) for group, holder in zip(GROUPS, row[2:], strict=False)}
        found.append(
            Found(
                model, number, CommitId.parse(commit), at, TreeId(tree), author, time, message, size, stored_bytes, new, files,
                bool(is_retired), refs[row[0], "tag"], refs[row[0], "branch"], inputs.get(row[1], ()), **groups,
            )
        )  # fmt: skip
    return found


def _values(connection: sqlite3.Connection, holders: set[int]) -> Mapping[int, Mapping[str, Scalar]]:
    _want(connection, holders)
    found: dict[int, dict[str, Scalar]] = defaultdict(dict)
    rows = connection.execute(
        "SELECT f.holder, n.text, f.value FROM wanted w CROSS JOIN fact f ON f.holder = w.id CROSS JOIN name n ON n.id = f.name"
    )
    for holder, name, value in rows:
        found[holder][name] = scalar(value)
    return found


def _inputs(connection: sqlite3.Connection, holders: set[int]) -> Mapping[int, tuple[str, ...]]:
    _want(connection, holders)
    found: dict[int, tuple[str, ...]] = {}
    for holder, text in connection.execute(
        "SELECT i.holder, i.text FROM wanted w CROSS JOIN input i ON i.holder = w.id ORDER BY i.holder, i.position"
    ):
        found[holder] = (*found.get(holder, ()), text)
    return found


def _refs(connection: sqlite3.Connection, versions: Iterable[int]) -> Mapping[tuple[int, str], tuple[str, ...]]:
    _want(connection, versions)
    found: dict[tuple[int, str], tuple[str, ...]] = defaultdict(tuple)
    for version, kind, name in connection.execute(
        "SELECT r.version, r.kind, r.name FROM wanted w CROSS JOIN ref r ON r.version = w.id ORDER BY r.name"
    ):
        found[version, kind] = (*found[version, kind], name)
    return found


def _want(connection: sqlite3.Connection, ids: Iterable[int]) -> None:
    """Put the ids that are wanted into a table to begin from: a cross join is what SQLite does not begin elsewhere."""
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS wanted (id INTEGER PRIMARY KEY)")
    connection.execute("DELETE FROM temp.wanted")
    connection.executemany("INSERT INTO temp.wanted VALUES (?)", ((identity,) for identity in ids))
