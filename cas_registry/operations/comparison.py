"""Versions side by side, two or many, of one model or of several: what was measured, chosen and found of each, and what they hold.

Commits tell of the former, trees of files, maps of tensors; no data is read. What maps cannot tell, whether small tensors that share chunks with others are the
same, is said to be unknown.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cas_registry.errors import InvalidInputError
from cas_registry.model.canonical import Scalar
from cas_registry.model.commit import Commit
from cas_registry.model.ids import CommitId, FileId
from cas_registry.model.inputs import Input
from cas_registry.model.note import Note
from cas_registry.model.tree import Mode
from cas_registry.operations.tensor_equality import same_by_maps
from cas_registry.operations.tensors import StoredTensor, stored_tensors
from cas_registry.operations.version_files import VersionFile, list_files
from cas_registry.query.facts import amended
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores

_ENDS = 2  # of the shortest comparison


class Section(StrEnum):
    """What is compared, in the order in which it is told."""

    METRICS = "metrics"
    PARAMS = "params"
    LABELS = "labels"
    INPUTS = "inputs"
    FRAMEWORK = "framework"
    PACKAGES = "packages"
    ENVIRONMENT = "environment"
    CODE = "code"
    FILES = "files"
    TENSORS = "tensors"


@dataclass(frozen=True, slots=True)
class FileValue:
    """A file of a version."""

    id: FileId
    size_bytes: int
    executable: bool


@dataclass(frozen=True, slots=True)
class TensorValue:
    """A tensor of a version. `content` is the place of the first version that has just this tensor, None where the maps do not tell."""

    path: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int
    content: int | None


Value = Scalar | FileValue | TensorValue


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """One thing in every version, None where it is not there. `same` is None where that cannot be told without reading data."""

    name: str
    values: tuple[Value, ...]
    same: bool | None


@dataclass(frozen=True, slots=True)
class Part:
    """One section, by name."""

    section: Section
    rows: tuple[ComparedRow, ...]

    @property
    def differences(self) -> tuple[ComparedRow, ...]:
        """The rows that are not known to be the same everywhere."""
        return tuple(row for row in self.rows if not row.same)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Versions with their commits, and what was compared of them; a value's place in its row is that of its version."""

    versions: tuple[Version, ...]
    commits: tuple[Commit, ...]
    parts: tuple[Part, ...]


def compare_versions(
    stores: Stores,
    versions: Sequence[Version],
    only: Collection[str] = (),
    notes: Mapping[CommitId, Sequence[Note]] | None = None,
) -> Comparison:
    """Compare two or more versions, in all sections or in those named; labels and metrics with what `notes` say of them later, in that
    order. InvalidInputError for fewer, or for a section that there is not."""
    if len(versions) < _ENDS:
        raise InvalidInputError("name two or more versions to compare")
    wanted = _sections(only)
    commits = stores.objects.read_commits([version.commit for version in versions])
    said = [(notes or {}).get(version.commit, ()) for version in versions]
    read: Mapping[Section, Callable[[], Iterator[ComparedRow]]] = {
        Section.INPUTS: lambda: _scalar_rows([_inputs(commit.inputs) for commit in commits]),
        Section.FILES: lambda: _file_rows(stores, versions),
        Section.TENSORS: lambda: _tensor_rows(stores, versions),
        **{section: _Scalars(section, commits, said) for section in Section if section not in _READ_OTHERWISE},
    }
    return Comparison(
        tuple(versions),
        tuple(commits),
        tuple(Part(section, tuple(read[section]())) for section in Section if section in wanted),
    )


def _sections(names: Collection[str]) -> frozenset[Section]:
    known = {section.value: section for section in Section}
    for name in names:
        if name not in known:
            raise InvalidInputError(f"there is no section {name!r}; there are: {', '.join(known)}", section=name)
    return frozenset(known[name] for name in names) or frozenset(Section)


_READ_OTHERWISE = frozenset((Section.INPUTS, Section.FILES, Section.TENSORS))


@dataclass(frozen=True, slots=True)
class _Scalars:
    """Reads a flat map of commits, as notes amend it."""

    section: Section
    commits: Sequence[Commit]
    notes: Sequence[Sequence[Note]]

    def __call__(self) -> Iterator[ComparedRow]:
        return _scalar_rows([self._column(commit, said) for commit, said in zip(self.commits, self.notes, strict=True)])

    def _column(self, commit: Commit, said: Sequence[Note]) -> Mapping[str, Scalar]:
        values: Mapping[str, Scalar] = getattr(commit, self.section.value)
        for note in said:
            values = amended(self.section.value, values, note)
        return values


def _inputs(inputs: Sequence[Input]) -> dict[str, Scalar]:
    """Inputs by name; one of several of a name by its number, too."""
    times = Counter(item.name for item in inputs)
    found: dict[str, Scalar] = {}
    seen: Counter[str] = Counter()
    for item in inputs:
        seen[item.name] += 1
        name = item.name if times[item.name] == 1 else f"{item.name} {seen[item.name]}"
        digest = f" ({item.digest})" if item.digest else ""
        found[name] = f"{item.model}@{item.commit.hex}" if item.commit else f"{item.uri}{digest}"
    return found


def _scalar_rows(columns: Sequence[Mapping[str, Scalar]]) -> Iterator[ComparedRow]:
    for name in sorted({name for column in columns for name in column}):
        first = columns[0]
        same = all(name in column and name in first and repr(column[name]) == repr(first[name]) for column in columns)
        yield ComparedRow(name, tuple(column.get(name) for column in columns), same)


def _file_rows(stores: Stores, versions: Sequence[Version]) -> Iterator[ComparedRow]:
    columns = [{file.path: _file_value(file) for file in list_files(stores.objects, version.tree)[0]} for version in versions]
    for path in sorted({path for column in columns for path in column}):
        values = tuple(column.get(path) for column in columns)
        yield ComparedRow(path, values, len(set(values)) == 1)


def _file_value(file: VersionFile) -> FileValue:
    return FileValue(file.file_id, file.entry.size_bytes, file.entry.mode is Mode.EXECUTABLE)


def _tensor_rows(stores: Stores, versions: Sequence[Version]) -> Iterator[ComparedRow]:
    """Tensors by name, or by file and name where a version has several of that name."""
    listed = [list(stored_tensors(stores, version)) for version in versions]
    doubled = {
        name for tensors in listed for name, times in Counter(found.tensor.name for found in tensors).items() if times > 1
    }
    columns = [
        {f"{found.path}:{name}" if (name := found.tensor.name) in doubled else name: found for found in tensors}
        for tensors in listed
    ]
    for name in sorted({name for column in columns for name in column}):
        yield _tensor_row(name, [column.get(name) for column in columns])


def _tensor_row(name: str, tensors: Sequence[StoredTensor | None]) -> ComparedRow:
    values: list[TensorValue | None] = []
    for number, found in enumerate(tensors):
        if found is None:
            values.append(None)
            continue
        content: int | None = number
        for earlier, other in zip(values, tensors, strict=False):
            told = same_by_maps(other, found) if other else False
            if told and earlier:
                content = earlier.content
                break
            if told is None:
                content = None
        tensor = found.tensor
        values.append(TensorValue(found.path, tensor.dtype, tensor.shape, tensor.size_bytes, content))
    return ComparedRow(name, tuple(values), _all_same(values))


def _all_same(values: Sequence[TensorValue | None]) -> bool | None:
    first = values[0]
    if first is None or any(value is None or (value.dtype, value.shape) != (first.dtype, first.shape) for value in values):
        return False
    contents = {value.content for value in values if value}
    if contents <= {0}:
        return True
    return None if contents <= {0, None} else False
