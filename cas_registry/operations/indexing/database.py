"""The index's file: one SQLite database a registry, which can be thrown away at any time.

A file that is damaged, of another registry or of another version of this program is thrown away; where none can be kept, the index is in
memory. Several processes may read and write one file at once.
"""

import contextlib
import sqlite3
from pathlib import Path

from cas_registry.errors import BackendError
from cas_registry.query.condition import contains
from cas_registry.query.fields import GROUPS

APPLICATION_ID = 0x52_45_47_49  # "REGI": whose file it is
SCHEMA_VERSION = 2  # to be raised with every change of what is below, or of what is put there
_BUSY_S = 60.0  # how long one waits for another process's transaction, which takes a second
_CACHE_KIB = 64 * 1024
_SCHEMA = f"""
CREATE TABLE about (registry TEXT, url TEXT, synced_ms INTEGER, catalogue INTEGER);
CREATE TABLE model (
    id INTEGER PRIMARY KEY, name TEXT UNIQUE, retired INTEGER NOT NULL DEFAULT 0,
    last INTEGER NOT NULL DEFAULT 0, last_id BLOB, last_ms INTEGER, remap BLOB
);
CREATE TABLE version (
    id INTEGER PRIMARY KEY, model INTEGER NOT NULL, number INTEGER NOT NULL, at INTEGER NOT NULL, commit_id TEXT NOT NULL, tree BLOB NOT NULL,
    author TEXT, message TEXT, time INTEGER, size INTEGER, stored INTEGER, new INTEGER, files INTEGER, retired INTEGER NOT NULL DEFAULT 0,
    input INTEGER, {", ".join(f"{group} INTEGER" for group in GROUPS)},
    UNIQUE (model, at)
);
CREATE INDEX version_by_number ON version (model, number);
CREATE INDEX version_by_commit ON version (commit_id);
CREATE INDEX version_by_tree ON version (tree);
CREATE TABLE holder (id INTEGER PRIMARY KEY, digest BLOB UNIQUE);
CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT UNIQUE);
CREATE TABLE fact (holder INTEGER, name INTEGER, value, PRIMARY KEY (holder, name)) WITHOUT ROWID;
CREATE INDEX fact_by_value ON fact (name, value);
CREATE TABLE input (holder INTEGER, position INTEGER, text TEXT);
CREATE INDEX input_by_holder ON input (holder);
CREATE TABLE made_from (version INTEGER, source TEXT, PRIMARY KEY (version, source)) WITHOUT ROWID;
CREATE INDEX made_from_by_source ON made_from (source);
CREATE TABLE ref (model INTEGER, kind TEXT, name TEXT, version INTEGER, PRIMARY KEY (model, kind, name)) WITHOUT ROWID;
CREATE INDEX ref_by_version ON ref (version);
CREATE TABLE move (
    model INTEGER, n INTEGER, kind TEXT, name TEXT, commit_id TEXT, time INTEGER, who TEXT, why TEXT, PRIMARY KEY (model, kind, name, n)
) WITHOUT ROWID;
CREATE INDEX move_by_commit ON move (commit_id);
CREATE TABLE note (
    model INTEGER, n INTEGER, entry_id BLOB, commit_id TEXT, body BLOB, time INTEGER, who TEXT, why TEXT, PRIMARY KEY (model, n)
) WITHOUT ROWID;
CREATE INDEX note_by_commit ON note (model, commit_id);
CREATE TABLE tree (id BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE tree_entry (id BLOB, tree BLOB, name TEXT, folder INTEGER, PRIMARY KEY (id, tree, name)) WITHOUT ROWID;
CREATE INDEX tree_entry_folders ON tree_entry (id) WHERE folder;
"""


def connect(path: Path | None, registry: str) -> sqlite3.Connection:
    """The database in that file, made anew unless it is the index of this registry. Where no file can be kept, one in memory.

    BackendError where another process holds the file for longer than a minute.
    """
    if path is None:
        return _prepared(sqlite3.connect(":memory:", isolation_level=None), registry)
    for _ in range(2):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return _open(path, registry)
        except OSError:
            break
        except sqlite3.Error as error:
            if is_busy(error):
                raise busy(path) from error
            if not is_damage(error):  # a disk that is full or read-only, a file system without locks
                break
            discard(path)
    return connect(None, registry)


def connect_offline(path: Path) -> tuple[sqlite3.Connection, str, str] | None:
    """What a file holds without asking any registry, with the id and the URL of its registry; None where it is no index."""
    try:
        connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
        if _stamp(connection) != (APPLICATION_ID, SCHEMA_VERSION):
            connection.close()
            return None
        row = connection.execute("SELECT registry, url FROM about").fetchone()
    except sqlite3.Error:
        return None
    if row is None or row[1] is None:
        connection.close()
        return None
    _register(connection)
    return connection, row[0], row[1]


def discard(path: Path) -> None:
    """Throw the file away, with what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(OSError):
            path.with_name(path.name + suffix).unlink()


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is at fault: no database, a damaged one, or one with other tables."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process holds the file."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def busy(path: Path) -> BackendError:
    """What is said when another process holds the file for too long."""
    return BackendError(f"another process keeps the index {path} to itself; try again, or remove the file", transient=True)


def _open(path: Path, registry: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
    try:
        return _prepared(connection, registry)
    except sqlite3.Error:
        connection.close()
        raise


def _prepared(connection: sqlite3.Connection, registry: str) -> sqlite3.Connection:
    """With its tables, which are made where the file is new. A file of somebody else's counts as damaged."""
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        if not is_busy(error):  # somebody makes the file right now, and nobody waits for that; the mode is the file's, not ours
            raise
    connection.execute("PRAGMA synchronous = OFF")  # what a power loss damages is made anew
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    connection.execute("PRAGMA temp_store = MEMORY")
    if _stamp(connection) == (0, 0):
        _create(connection, registry)
    if _stamp(connection) != (APPLICATION_ID, SCHEMA_VERSION):
        raise _foreign("it is of another program, or of another version of this one")
    row = connection.execute("SELECT registry FROM about").fetchone()
    if row != (registry,):
        raise _foreign("it is of another registry")
    _register(connection)
    return connection


def _create(connection: sqlite3.Connection, registry: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    if _stamp(connection) == (0, 0):  # nobody has been quicker
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute("INSERT INTO about VALUES (?, NULL, NULL, 0)", (registry,))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _stamp(connection: sqlite3.Connection) -> tuple[int, int]:
    return connection.execute("PRAGMA application_id").fetchone()[0], connection.execute("PRAGMA user_version").fetchone()[0]


def _register(connection: sqlite3.Connection) -> None:
    connection.create_function("contains", 2, contains, deterministic=True)


def _foreign(what: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(what)
    error.sqlite_errorcode = sqlite3.SQLITE_NOTADB
    return error
