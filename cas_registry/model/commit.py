"""Commits: a tree with its parents, its author and what was measured of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cas_registry.errors import FormatError, LimitError
from cas_registry.model import canonical
from cas_registry.model.canonical import Scalar
from cas_registry.model.ids import CommitId, TreeId
from cas_registry.model.inputs import MAX_INPUTS, Input, decode_input, input_value
from cas_registry.model.names import check_model, read_name
from cas_registry.model.schema import Schema, decode_schema, schema_value

MAX_PARENTS = 64
MAX_TEXT_BYTES = 64 * 1024  # a message; longer prose belongs into a file of the version
MAX_WHO_BYTES = 1024
MAX_COMMIT_BYTES = 1024 * 1024
_SCALARS = {  # field -> what one of its values is called
    "params": "param",
    "metrics": "metric",
    "labels": "label",
    "framework": "framework",
    "packages": "package",
    "environment": "environment",
    "code": "code",
}
_FIELDS = ("tree", "parents", "author", "time", "message", *_SCALARS, "inputs", "schema", "log", "position")


@dataclass(frozen=True, slots=True)
class Commit:
    """One version of a model.

    `log` and `position` say on which head of which model's log the commit was made: the entry that introduces it is
    the first one after `position` that names it. `time_ms` is the author's clock (UTC, milliseconds since 1970): for
    people, never for decisions. What was measured (`metrics`), chosen (`params`), said (`labels`) and found around it (`framework` and
    `packages`: versions by name; `environment`: interpreter and machine; `code`: where it was made from) are flat maps.
    """

    tree: TreeId
    parents: tuple[CommitId, ...]
    author: str
    time_ms: int
    message: str
    log: str
    position: int
    params: Mapping[str, Scalar] = field(default_factory=dict)
    metrics: Mapping[str, Scalar] = field(default_factory=dict)
    labels: Mapping[str, Scalar] = field(default_factory=dict)
    framework: Mapping[str, Scalar] = field(default_factory=dict)
    packages: Mapping[str, Scalar] = field(default_factory=dict)
    environment: Mapping[str, Scalar] = field(default_factory=dict)
    code: Mapping[str, Scalar] = field(default_factory=dict)
    inputs: tuple[Input, ...] = ()
    schema: Schema | None = None


def encode_commit(commit: Commit) -> bytes:
    """The canonical bytes of a commit; their `CommitId` is its name. Raises InvalidInputError or LimitError."""
    for what, text, limit in (
        ("message", commit.message, MAX_TEXT_BYTES),
        ("author", commit.author, MAX_WHO_BYTES),
    ):
        if len(text.encode("utf-8", "replace")) > limit:
            raise LimitError(f"the {what} is longer than {limit:,} bytes; put long text into a file of the version")
    data = canonical.encode(
        {
            "v": 1,
            "kind": "commit",
            "tree": commit.tree.hex,
            "parents": [parent.hex for parent in commit.parents],
            "author": commit.author,
            "time": commit.time_ms,
            "message": commit.message,
            **{name: canonical.encode_scalars(getattr(commit, name), what=what) for name, what in _SCALARS.items()},
            "inputs": [input_value(item) for item in commit.inputs],
            "schema": None if commit.schema is None else schema_value(commit.schema),
            "log": commit.log,
            "position": commit.position,
        }
    )
    if len(data) > MAX_COMMIT_BYTES:
        raise LimitError(
            f"params, metrics, labels, environment and inputs take {len(data):,} bytes; the limit is {MAX_COMMIT_BYTES:,}"
        )
    return canonical.read_back(data, decode_commit, kind="commit")


def decode_commit(data: bytes) -> Commit:
    """The commit in `data`, every rule checked. Raises FormatError."""
    if len(data) > MAX_COMMIT_BYTES:
        raise FormatError(f"a commit of {len(data):,} bytes is over the limit of {MAX_COMMIT_BYTES:,}")
    tree, parents, author, time, message, *scalars, inputs, schema, log, position = canonical.fields(
        canonical.decode(data, kind="commit"), *_FIELDS, what="commit"
    )
    maps = {
        name: canonical.decode_scalars(value, what=what) for (name, what), value in zip(_SCALARS.items(), scalars, strict=True)
    }
    return Commit(
        tree=TreeId.parse(tree),
        parents=tuple(CommitId.parse(parent) for parent in canonical.array(parents, what="parents", max_items=MAX_PARENTS)),
        author=canonical.text(author, what="author", max_bytes=MAX_WHO_BYTES),
        time_ms=canonical.integer(time, what="time"),
        message=canonical.text(message, what="message", max_bytes=MAX_TEXT_BYTES),
        inputs=tuple(decode_input(item) for item in canonical.array(inputs, what="inputs", max_items=MAX_INPUTS)),
        schema=None if schema is None else decode_schema(schema),
        log=read_name(log, check_model, of="a commit on a log"),
        position=canonical.integer(position, what="position"),
        **maps,
    )
