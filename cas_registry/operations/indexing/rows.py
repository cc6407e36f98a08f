"""What the index answers with."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cas_registry.model.canonical import Scalar
from cas_registry.model.entry import RefKind
from cas_registry.model.ids import CommitId, FileId, TreeId
from cas_registry.query.condition import Fact
from cas_registry.query.fields import GROUPS, Field


@dataclass(frozen=True, slots=True)
class Found:
    """A version with all that the index knows of it: what its commit says, as amended by notes, and the refs that stand at it.

    `number` is its place in the model's log (`v17`), `at` the entry that introduced it. `inputs` are the texts that it was made from as
    `input` finds them: names, URIs, digests, `MODEL@COMMIT`. Null and NaN are not among the values. Sizes are None where the log does not
    tell them: of a version taken over from another model.
    """

    model: str
    number: int
    commit: CommitId
    at: int
    tree: TreeId
    author: str
    time_ms: int
    message: str
    size_bytes: int | None
    stored_bytes: int | None
    new_bytes: int | None
    files: int | None
    retired: bool
    tags: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    params: Mapping[str, Scalar] = field(default_factory=dict)
    metrics: Mapping[str, Scalar] = field(default_factory=dict)
    labels: Mapping[str, Scalar] = field(default_factory=dict)
    framework: Mapping[str, Scalar] = field(default_factory=dict)
    packages: Mapping[str, Scalar] = field(default_factory=dict)
    environment: Mapping[str, Scalar] = field(default_factory=dict)
    code: Mapping[str, Scalar] = field(default_factory=dict)

    def group(self, name: str) -> Mapping[str, Scalar]:
        """The values of a group of fields: `params`, `metrics`."""
        values: Mapping[str, Scalar] = getattr(self, name)
        return values

    def value(self, wanted: Field, *, now_ms: int) -> Fact:
        """The value of any field that a condition may ask for; None where there is none."""
        if wanted.group is not None:
            return self.group(wanted.group).get(wanted.name)
        return now_ms - self.time_ms if wanted.name == "age" else self._own()[wanted.name]

    def facts(self) -> dict[str, Fact]:
        """What a condition asks for."""
        facts: dict[str, Fact] = {name: value for name, value in self._own().items() if value is not None}
        for group in GROUPS:
            facts |= {f"{group}.{name}": value for name, value in self.group(group).items()}
        return facts

    def _own(self) -> dict[str, Fact]:
        return {
            "model": self.model,
            "number": self.number,
            "commit": self.commit.hex,
            "author": self.author,
            "message": self.message,
            "time": self.time_ms,
            "size": self.size_bytes,
            "stored": self.stored_bytes,
            "files": self.files,
            "tag": self.tags,
            "branch": self.branches,
            "input": self.inputs,
        }


@dataclass(frozen=True, slots=True)
class Stay:
    """That a branch or tag of a model stood at a version, from one move to the next; `until_ms` is None where it stands there now."""

    kind: RefKind
    name: str
    since_ms: int
    until_ms: int | None
    who: str
    why: str


@dataclass(frozen=True, slots=True)
class Holding:
    """A version that holds bytes that were asked for, the path under which it does (empty: the whole version is that folder), and where
    branches and tags stood at it."""

    model: str
    number: int
    commit: CommitId
    path: str
    id: FileId | TreeId
    author: str
    time_ms: int
    retired: bool
    stays: tuple[Stay, ...]
