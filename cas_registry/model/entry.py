"""Log entries: the one place where anything moves.

Entry n of a model's log holds the whole table of its branches and tags; entry n of the catalogue the whole table of models.
Each names the hash of entry n - 1, so that a log is a hash chain and an audit trail at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from cas_registry.errors import FormatError, LimitError
from cas_registry.model import canonical
from cas_registry.model.ids import CommitId, EntryId, MapName, RefTableId, RemapId, TreeId
from cas_registry.model.keep import EVERY_MODEL, Keep, decode_keep, keep_value
from cas_registry.model.names import RELEASE, check_log, check_model, check_ref, read_name
from cas_registry.model.note import Note, decode_note, note_value
from cas_registry.model.rules import TagRules, decode_rules, rules_value

MAX_ENTRY_BYTES = 1024 * 1024
MAX_INLINE_TABLE_BYTES = 64 * 1024  # a larger ref table is stored as an object of its own
MAX_ENTRY_NUMBER = 10**10 - 1  # ten digits in the key
MAX_EPOCH = 10**10 - 1  # likewise
MAX_REFS = 100_000
MAX_WHO_BYTES = 1024
MAX_WHY_BYTES = 64 * 1024
MAX_RELEASED = 10_000  # models in one release
CATALOGUE = "catalogue"

_FIELDS = (
    "registry", "log", "n", "prev", "nonce", "op", "refs", "models", "format", "commit", "tree", "map", "versions", "remap",
    "note", "notes", "keep", "rules", "releases", "release", "gc_seen", "gc_settled", "time", "who", "why", "stats",
)  # fmt: skip


class Operation(StrEnum):
    """What an entry does: SET moves refs, NOTE says something of a version, REMAP gives versions other maps, RETIRE takes versions or a
    model away, BARRIER tells every later writer of a collection."""

    SET = "set"
    NOTE = "note"
    RETIRE = "retire"
    REMAP = "remap"
    BARRIER = "barrier"


class RefKind(StrEnum):
    BRANCH = "branch"
    TAG = "tag"


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A commit as entry `at` introduced it, as the log's `number`-th version, with its tree and its current root map."""

    commit: CommitId
    at: int
    number: int
    tree: TreeId
    map: MapName


@dataclass(frozen=True, slots=True)
class Ref:
    """Where a branch or tag stands, and the entry that last moved it.

    `version` is None once the ref was deleted: the row stays, so that its history can be followed.
    """

    version: VersionRow | None
    moved: int

    @property
    def commit(self) -> CommitId | None:
        return self.version.commit if self.version else None


@dataclass(frozen=True, slots=True)
class RefTable:
    """All branches and tags of a model."""

    branches: Mapping[str, Ref] = field(default_factory=dict)
    tags: Mapping[str, Ref] = field(default_factory=dict)

    def of(self, kind: RefKind) -> Mapping[str, Ref]:
        return self.branches if kind is RefKind.BRANCH else self.tags

    @property
    def is_live(self) -> bool:
        """Whether any branch or tag stands somewhere."""
        return any(ref.version for kind in RefKind for ref in self.of(kind).values())

    def find(self, name: str) -> tuple[RefKind, Ref] | None:
        """The live tag or branch of that name."""
        for kind in (RefKind.TAG, RefKind.BRANCH):
            ref = self.of(kind).get(name)
            if ref and ref.commit:
                return kind, ref
        return None

    def with_ref(self, kind: RefKind, name: str, ref: Ref) -> "RefTable":
        """This table with one row set."""
        if kind is RefKind.BRANCH:
            return RefTable({**self.branches, name: ref}, self.tags)
        return RefTable(self.branches, {**self.tags, name: ref})


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model in the catalogue: since which entry, and whether it is retired."""

    since: int
    retired: bool = False


@dataclass(frozen=True, slots=True)
class ReleaseRow:
    """A version in a release: the commit that entry `at` of its model's log introduced as the log's `number`-th, with its tree."""

    commit: CommitId
    at: int
    number: int
    tree: TreeId


@dataclass(frozen=True, slots=True)
class CommitStats:
    """What a commit cost, for people: files and raw bytes of the version, raw and stored bytes that were new in it."""

    files: int
    raw_bytes: int
    new_bytes: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a log. A model's log has `refs` (inline or as the id of a spilled table), the catalogue has `models`, and the log of a
    release has `release`: a version of each of its models.

    `commit`, `tree` and `map` are set where the entry introduces a commit; `versions` counts the commits introduced so far. `remap`
    is the table of the versions that have another map by now.
    `note` is what a NOTE says; `notes` counts them so far.
    `keep` holds the retention policies of models, `"*"` that of all others; `rules` the rules of tags by model, `"*"` those of all;
    `releases` lists the releases, as `models` the models. All three are in the catalogue only.
    Collections up to `gc_seen` have begun: whoever writes after this entry knows their lists. Those up to `gc_settled` are over.
    `format` holds the registry's format body in entry 1 of the catalogue: the copy from which a lost `format` is rebuilt.
    """

    registry: str
    log: str
    n: int
    prev: EntryId | None
    nonce: str
    op: Operation
    time_ms: int
    who: str
    why: str
    refs: RefTable | RefTableId | None = None
    models: Mapping[str, ModelRow] | None = None
    format: str | None = None
    commit: CommitId | None = None
    tree: TreeId | None = None
    map: MapName | None = None
    versions: int = 0
    remap: RemapId | None = None
    note: Note | None = None
    notes: int = 0
    keep: Mapping[str, Keep] | None = None
    rules: Mapping[str, TagRules] | None = None
    releases: Mapping[str, ModelRow] | None = None
    release: Mapping[str, ReleaseRow] | None = None
    gc_seen: int = 0
    gc_settled: int = 0
    stats: CommitStats | None = None


def encode_entry(entry: Entry) -> bytes:
    """The sealed bytes of an entry. Raises InvalidInputError, or LimitError for a long who or why and over 1 MiB in all."""
    for what, text, limit in (("who", entry.who, MAX_WHO_BYTES), ("why", entry.why, MAX_WHY_BYTES)):
        if len(text.encode("utf-8", "replace")) > limit:
            raise LimitError(f"the {what!r} of a log entry is longer than {limit:,} bytes")
    body = canonical.encode(
        {
            "v": 1,
            "kind": "entry",
            "registry": entry.registry,
            "log": entry.log,
            "n": entry.n,
            "prev": entry.prev.hex if entry.prev else None,
            "nonce": entry.nonce,
            "op": entry.op.value,
            "refs": entry.refs.hex if isinstance(entry.refs, RefTableId) else _refs_value(entry.refs),
            "models": _models_value(entry.models),
            "format": entry.format,
            "commit": entry.commit.hex if entry.commit else None,
            "tree": entry.tree.hex if entry.tree else None,
            "map": entry.map.hex if entry.map else None,
            "versions": entry.versions,
            "remap": entry.remap.hex if entry.remap else None,
            "note": None if entry.note is None else note_value(entry.note),
            "notes": entry.notes,
            "rules": None if entry.rules is None else {model: rules_value(rules) for model, rules in entry.rules.items()},
            "releases": _models_value(entry.releases),
            "release": release_value(entry.release),
            "keep": None if entry.keep is None else {model: keep_value(rule) for model, rule in entry.keep.items()},
            "gc_seen": entry.gc_seen,
            "gc_settled": entry.gc_settled,
            "time": entry.time_ms,
            "who": entry.who,
            "why": entry.why,
            "stats": _stats_value(entry.stats),
        }
    )
    if len(body) > MAX_ENTRY_BYTES:
        raise LimitError(f"a log entry of {len(body):,} bytes is over the limit of {MAX_ENTRY_BYTES:,}")
    return canonical.read_back(canonical.seal(body, EntryId), decode_entry, kind="log entry")


def decode_entry(data: bytes) -> tuple[EntryId, Entry]:
    """The id and the entry in sealed `data`, every rule checked. Raises FormatError."""
    if len(data) > MAX_ENTRY_BYTES + 65:
        raise FormatError(f"a log entry of {len(data):,} bytes is over the limit of {MAX_ENTRY_BYTES:,}")
    identity, body = canonical.unseal(data, EntryId)
    (
        registry, log, n, prev, nonce, op, refs, models, registry_format, commit, tree, map_root, versions, remap, note, notes,
        keep, rules, releases, release, gc_seen, gc_settled, time, who, why, stats,
    ) = canonical.fields(canonical.decode(body, kind="entry"), *_FIELDS, what="entry")  # fmt: skip
    if not isinstance(op, str) or op not in _OPERATIONS:
        raise FormatError(f"a log entry with the operation {str(op)[:40]!r}")
    _check_kind_of_log(log, models, release, refs, catalogue_only=(keep, rules, releases))
    _check_operation(op, refs, note, remap, commit, tree, map_root)
    entry = Entry(
        registry=canonical.hex_digits(registry, what="registry"),
        log=CATALOGUE if log == CATALOGUE else read_name(log, check_log, of="a log"),
        n=canonical.integer(n, what="n", maximum=MAX_ENTRY_NUMBER),
        prev=None if prev is None else EntryId.parse(prev),
        nonce=canonical.hex_digits(nonce, what="nonce"),
        op=_OPERATIONS[op],
        time_ms=canonical.integer(time, what="time"),
        who=canonical.text(who, what="who", max_bytes=MAX_WHO_BYTES),
        why=canonical.text(why, what="why", max_bytes=MAX_WHY_BYTES),
        refs=None if refs is None else RefTableId.parse(refs) if isinstance(refs, str) else _decode_refs(refs),
        models=None if models is None else _decode_models(models),
        format=None if registry_format is None else canonical.text(registry_format, what="format", max_bytes=64 * 1024),
        commit=None if commit is None else CommitId.parse(commit),
        tree=None if tree is None else TreeId.parse(tree),
        map=None if map_root is None else MapName.parse(map_root),
        versions=canonical.integer(versions, what="versions"),
        remap=None if remap is None else RemapId.parse(remap),
        note=None if note is None else decode_note(note),
        notes=canonical.integer(notes, what="notes", maximum=MAX_ENTRY_NUMBER),
        keep=None if keep is None else _decode_keep(keep),
        rules=None if rules is None else _decode_rules(rules),
        releases=None if releases is None else _decode_models(releases),
        release=None if release is None else _decode_release(release),
        gc_seen=canonical.integer(gc_seen, what="gc_seen", maximum=MAX_EPOCH),
        gc_settled=canonical.integer(gc_settled, what="gc_settled", maximum=MAX_EPOCH),
        stats=_decode_stats(stats),
    )
    if entry.gc_settled > entry.gc_seen or (entry.op is Operation.BARRIER and not entry.gc_seen):
        raise FormatError("a log entry whose collections do not add up")
    if entry.n < 1 or (entry.prev is None) != (entry.n == 1):
        raise FormatError("the first entry of a log is number 1 and the only one without a predecessor")
    return identity, entry


def _check_kind_of_log(
    log: canonical.Json,
    models: canonical.Json,
    release: canonical.Json,
    refs: canonical.Json,
    *,
    catalogue_only: Sequence[canonical.Json],
) -> None:
    in_catalogue = log == CATALOGUE
    in_release = isinstance(log, str) and log.startswith(RELEASE)
    held = [value is not None for value in (models, release, refs)]
    if held != [in_catalogue, in_release, not in_catalogue and not in_release]:
        raise FormatError("an entry of the catalogue holds models, one of a release its versions, every other one refs")
    if not in_catalogue and any(value is not None for value in catalogue_only):
        raise FormatError("policies, rules and the list of releases stand in the catalogue")


def _check_operation(
    op: str, refs: canonical.Json, note: canonical.Json, remap: canonical.Json, *introduced: canonical.Json
) -> None:
    commit = introduced[0]
    if len({value is None for value in introduced}) > 1:
        raise FormatError("a log entry that introduces a commit names its tree and its map too")
    if refs is None and (commit, note, remap) != (None, None, None):
        raise FormatError("only a model's log introduces commits, notes and remaps")
    if op == Operation.REMAP and (remap is None or commit is not None):
        raise FormatError("an entry that remaps names a table, and introduces no commit")
    if op in (Operation.NOTE, Operation.RETIRE, Operation.BARRIER) and commit is not None:
        raise FormatError("an entry that notes, retires, or tells of a collection, introduces no commit")
    if (note is None) == (op == Operation.NOTE):
        raise FormatError("an entry holds a note if it says so")


def encode_ref_table(table: RefTable) -> bytes:
    """The canonical bytes of a spilled table; their `RefTableId` is its name. Raises LimitError."""
    if len(table.branches) + len(table.tags) > MAX_REFS:
        raise LimitError(f"a model of more than {MAX_REFS:,} branches and tags, deleted ones included")
    return canonical.encode({"v": 1, "kind": "refs", "table": _refs_value(table)})


def decode_ref_table(data: bytes) -> RefTable:
    """The spilled table in `data`. Raises FormatError."""
    (table,) = canonical.fields(canonical.decode(data, kind="refs"), "table", what="ref table")
    return _decode_refs(table)


def _refs_value(table: RefTable | None) -> canonical.Json:
    if table is None:
        return None
    return {
        f"{kind.value}es" if kind is RefKind.BRANCH else f"{kind.value}s": {
            name: _ref_value(ref) for name, ref in table.of(kind).items()
        }
        for kind in RefKind
    }


def _decode_refs(value: canonical.Json) -> RefTable:
    sections = canonical.mapping(value, what="refs")
    if sections.keys() != {"branches", "tags"}:
        raise FormatError("refs need branches and tags")
    branches, tags = (
        {_ref_name(name): _decode_ref(row) for name, row in canonical.mapping(sections[key], what=key).items()}
        for key in ("branches", "tags")
    )
    if len(branches) + len(tags) > MAX_REFS:
        raise FormatError(f"more than {MAX_REFS:,} refs")
    return RefTable(branches, tags)


def _ref_value(ref: Ref) -> canonical.Json:
    row = ref.version
    if row is None:
        return [ref.moved]
    return [ref.moved, row.commit.hex, row.at, row.number, row.tree.hex, row.map.hex]


def _decode_ref(row: canonical.Json) -> Ref:
    if not isinstance(row, list) or len(row) not in _REF_COLUMNS:
        raise FormatError("a ref that is neither [moved] nor [moved, commit, at, number, tree, map]")
    moved = canonical.integer(row[0], what="moved", maximum=MAX_ENTRY_NUMBER)
    if len(row) == 1:
        return Ref(None, moved)
    _, commit, at, number, tree, map_root = row
    version = VersionRow(
        CommitId.parse(commit),
        canonical.integer(at, what="at", maximum=MAX_ENTRY_NUMBER),
        canonical.integer(number, what="number", maximum=MAX_ENTRY_NUMBER),
        TreeId.parse(tree),
        MapName.parse(map_root),
    )
    return Ref(version, moved)


def _models_value(models: Mapping[str, ModelRow] | None) -> canonical.Json:
    if models is None:
        return None
    return {name: ["retired" if row.retired else "live", row.since] for name, row in models.items()}


def _decode_models(value: canonical.Json) -> dict[str, ModelRow]:
    models: dict[str, ModelRow] = {}
    for name, row in canonical.mapping(value, what="models").items():
        if not isinstance(row, list) or len(row) != _MODEL_COLUMNS or row[0] not in ("live", "retired"):
            raise FormatError("a model that is not [live or retired, since]")
        since = canonical.integer(row[1], what="since", maximum=MAX_ENTRY_NUMBER)
        models[_model_name(name)] = ModelRow(since, retired=row[0] == "retired")
    return models


def release_value(release: Mapping[str, ReleaseRow] | None) -> canonical.Json:
    """The versions of a release as its log entry holds them."""
    if release is None:
        return None
    return {model: [row.commit.hex, row.at, row.number, row.tree.hex] for model, row in release.items()}


def _decode_release(value: canonical.Json) -> dict[str, ReleaseRow]:
    rows = canonical.mapping(value, what="release")
    if len(rows) > MAX_RELEASED:
        raise FormatError(f"a release of more than {MAX_RELEASED:,} models")
    return {_model_name(model): _decode_release_row(row) for model, row in rows.items()}


def _decode_release_row(row: canonical.Json) -> ReleaseRow:
    if not isinstance(row, list) or len(row) != _RELEASE_COLUMNS:
        raise FormatError("a version of a release that is not [commit, at, number, tree]")
    commit, at, number, tree = row
    return ReleaseRow(
        CommitId.parse(commit),
        canonical.integer(at, what="at", maximum=MAX_ENTRY_NUMBER),
        canonical.integer(number, what="number", maximum=MAX_ENTRY_NUMBER),
        TreeId.parse(tree),
    )


def _stats_value(stats: CommitStats | None) -> canonical.Json:
    if stats is None:
        return None
    return {
        "files": stats.files,
        "raw": stats.raw_bytes,
        "new": stats.new_bytes,
        "stored": stats.stored_bytes,
    }


def _decode_stats(value: canonical.Json) -> CommitStats | None:
    if value is None:
        return None
    row = canonical.mapping(value, what="stats")
    if row.keys() != {"files", "raw", "new", "stored"}:
        raise FormatError("stats with missing or unknown fields")
    return CommitStats(*(canonical.integer(row[key], what=key) for key in ("files", "raw", "new", "stored")))


def _decode_keep(value: canonical.Json) -> dict[str, Keep]:
    rules = canonical.mapping(value, what="keep")
    return {model if model == EVERY_MODEL else _model_name(model): decode_keep(rule) for model, rule in rules.items()}


def _decode_rules(value: canonical.Json) -> dict[str, TagRules]:
    rules = canonical.mapping(value, what="rules")
    return {model if model == EVERY_MODEL else _model_name(model): decode_rules(rows) for model, rows in rules.items()}


def _ref_name(name: str) -> str:
    return read_name(name, check_ref, of="a ref")


def _model_name(value: canonical.Json) -> str:
    return read_name(value, check_model, of="a model")


_REF_COLUMNS = (1, 6)
_MODEL_COLUMNS = 2
_RELEASE_COLUMNS = 4
_OPERATIONS = {operation.value: operation for operation in Operation}
