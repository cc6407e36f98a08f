"""Which versions hold some bytes. Trees are read once, the first time that somebody asks, and then those of new versions only.

The folders are kept as they are stored, each once, however many versions share it; the way from a file up to the versions is walked
when it is asked for.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from cas_registry.model.entry import RefKind
from cas_registry.model.ids import CommitId, FileId, TreeId
from cas_registry.model.names import MAX_PATH_DEPTH
from cas_registry.operations.indexing.catching_up import THREADS, transaction
from cas_registry.operations.indexing.rows import Holding, Stay
from cas_registry.operations.progress import Progress
from cas_registry.operations.transfer import map_ordered, worker_pool
from cas_registry.store.objects import ObjectStore

MAX_HOLDINGS = 100_000  # folders that hold each other twice make any number of paths of a few trees
_BATCH = 64  # trees asked for at once
_IN_FLIGHT = 4
_UP = f"""
WITH RECURSIVE up (id, tree, path, depth) AS (
    SELECT id, tree, name, 1 FROM tree_entry WHERE id = ?1
    UNION
    SELECT up.id, e.tree, e.name || '/' || up.path, depth + 1 FROM up JOIN tree_entry e ON e.id = up.tree WHERE depth < {MAX_PATH_DEPTH}
    LIMIT {MAX_HOLDINGS}
)
SELECT m.name, v.number, v.commit_id, places.path, v.author, v.time, v.retired, v.model
FROM (SELECT tree, path FROM up UNION SELECT ?1, '') places JOIN version v ON v.tree = places.tree JOIN model m ON m.id = v.model
ORDER BY v.time, m.name, v.number, places.path
LIMIT {MAX_HOLDINGS}
"""


def learn_trees(connection: sqlite3.Connection, objects: ObjectStore, *, progress: Progress) -> None:
    """Read the folders of versions, but for retired ones, that the index does not have yet."""
    with worker_pool(threads=THREADS) as executor:
        while wanted := _unknown(connection):
            batches = [wanted[start : start + _BATCH] for start in range(0, len(wanted), _BATCH)]
            done = 0
            for batch, trees in zip(
                batches, map_ordered(executor, objects.read_trees, batches, in_flight=_IN_FLIGHT), strict=True
            ):
                rows = [
                    (entry.id.digest, identity.digest, entry.name, entry.is_folder)
                    for identity, tree in zip(batch, trees, strict=True)
                    for entry in tree.entries
                ]
                with transaction(connection):
                    connection.executemany("INSERT OR IGNORE INTO tree_entry VALUES (?, ?, ?, ?)", rows)
                    connection.executemany("INSERT OR IGNORE INTO tree VALUES (?)", [(identity.digest,) for identity in batch])
                done += len(batch)
                progress.update("trees", done, len(wanted))


def find_ids(connection: sqlite3.Connection, hex_prefix: str) -> list[FileId | TreeId]:
    """The files and folders whose id begins so."""
    low = bytes.fromhex(hex_prefix.ljust(64, "0"))
    high = bytes.fromhex(hex_prefix.ljust(64, "f"))
    files = connection.execute("SELECT DISTINCT id, folder FROM tree_entry WHERE id BETWEEN ? AND ?", (low, high))
    found: dict[bytes, FileId | TreeId] = {digest: TreeId(digest) if folder else FileId(digest) for digest, folder in files}
    roots = connection.execute("SELECT DISTINCT tree FROM version WHERE tree BETWEEN ? AND ?", (low, high))
    found |= {digest: TreeId(digest) for (digest,) in roots}
    return [found[digest] for digest in sorted(found)]


def find_holdings(connection: sqlite3.Connection, wanted: FileId | TreeId) -> list[Holding]:
    """The versions that hold a file or a folder, oldest first, each with every path of it."""
    rows = connection.execute(_UP, (wanted.digest,)).fetchall()
    stays: dict[tuple[int, str], tuple[Stay, ...]] = {}
    for *_, commit, _, _, _, _, model in rows:
        if (model, commit) not in stays:
            stays[model, commit] = tuple(find_stays(connection, model, commit))
    return [
        Holding(model, number, CommitId.parse(commit), path, wanted, author, time_ms, bool(retired), stays[identity, commit])
        for model, number, commit, path, author, time_ms, retired, identity in rows
    ]


def find_stays(connection: sqlite3.Connection, model: int, commit: str) -> Iterator[Stay]:
    """When which refs of a model stood at a commit, by the order of the log, oldest first; one that was put there again goes on."""
    refs: Iterable[tuple[str, str]] = connection.execute(
        "SELECT DISTINCT kind, name FROM move WHERE model = ? AND commit_id = ? ORDER BY kind DESC, name", (model, commit)
    ).fetchall()
    for kind, name in refs:
        moves: Sequence[tuple[str | None, int, str, str]] = connection.execute(
            "SELECT commit_id, time, who, why FROM move WHERE model = ? AND kind = ? AND name = ? ORDER BY n",
            (model, kind, name),
        ).fetchall()
        since: tuple[int, str, str] | None = None
        for target, time_ms, who, why in moves:
            if target == commit and since is None:
                since = (time_ms, who, why)
            elif target != commit and since is not None:
                yield Stay(RefKind(kind), name, since[0], time_ms, since[1], since[2])
                since = None
        if since is not None:
            yield Stay(RefKind(kind), name, since[0], None, since[1], since[2])


def _unknown(connection: sqlite3.Connection) -> list[TreeId]:
    rows = connection.execute(
        "SELECT DISTINCT tree FROM version WHERE NOT retired AND tree NOT IN (SELECT id FROM tree) "
        "UNION SELECT id FROM tree_entry WHERE folder AND id NOT IN (SELECT id FROM tree)"
    )
    return [TreeId(digest) for (digest,) in rows]
