"""Whether a new version repeats an earlier one: a training that came out the same, bit for bit."""

from __future__ import annotations

from cas_registry.model.entry import RefKind, RefTable
from cas_registry.model.ids import TreeId
from cas_registry.store.log import Recorded
from cas_registry.store.refs import READ_BATCH, ModelRefs

MAX_ENTRIES = 4096  # looked through, newest first: 16 round trips, some 4 MB


def find_identical(refs: ModelRefs, head: Recorded, table: RefTable, tree: TreeId) -> int | None:
    """The number of a version that this log introduces up to `head`, is not retired, and has this very tree: one that a branch or tag stands at,
    else the newest among the last `MAX_ENTRIES` entries; None without any.

    To be asked only where the registry had the tree before: a version's tree is never missing, so that there is nothing to find where it
    was new.
    """
    rows = [row for kind in RefKind for ref in table.of(kind).values() if (row := ref.version) and row.tree == tree]
    if rows:
        return max(row.number for row in rows)
    remap = None
    for top in range(head.n, max(0, head.n - MAX_ENTRIES), -READ_BATCH):
        for recorded in refs.log.read_many(range(top, max(0, top - READ_BATCH), -1)):
            entry = recorded.entry
            if entry.commit is None or entry.map is None or entry.tree != tree:
                continue
            remap = remap or refs.remap(head)
            if remap.of(entry.n, entry.map) is not None:
                return entry.versions
    return None
