"""The tree of errors: as its docstring draws it, with stable codes and the documented exit codes."""

import copy
import inspect
import pickle
import re
from collections.abc import Iterator

import pytest

from cas_registry import errors
from cas_registry.errors import (
    AccessError,
    AlreadyExistsError,
    BackendError,
    ChangedDuringCommitError,
    ConflictError,
    FormatError,
    HostileNameError,
    IntegrityError,
    InvalidInputError,
    LimitError,
    LocalEditsError,
    MergeConflictError,
    NotFoundError,
    OfflineError,
    OutcomeUnknownError,
    RegistryError,
    RollbackError,
    RuleError,
    SignatureError,
    UnsafeFileError,
    UnsupportedFormatError,
)

TREE = {
    NotFoundError: (RegistryError, KeyError),
    ConflictError: (RegistryError,),
    AlreadyExistsError: (ConflictError,),
    LocalEditsError: (ConflictError,),
    ChangedDuringCommitError: (ConflictError,),
    MergeConflictError: (ConflictError,),
    OutcomeUnknownError: (RegistryError,),
    IntegrityError: (RegistryError,),
    FormatError: (IntegrityError,),
    RollbackError: (IntegrityError,),
    SignatureError: (RegistryError,),
    RuleError: (RegistryError,),
    InvalidInputError: (RegistryError, ValueError),
    HostileNameError: (InvalidInputError,),
    LimitError: (InvalidInputError,),
    UnsafeFileError: (RegistryError,),
    AccessError: (RegistryError,),
    BackendError: (RegistryError,),
    OfflineError: (BackendError,),
    UnsupportedFormatError: (RegistryError,),
}
EXIT_CODES = {
    RegistryError: 1,
    UnsafeFileError: 1,
    InvalidInputError: 2,
    HostileNameError: 2,
    LimitError: 2,
    NotFoundError: 3,
    ConflictError: 4,
    AlreadyExistsError: 4,
    LocalEditsError: 4,
    ChangedDuringCommitError: 4,
    MergeConflictError: 4,
    IntegrityError: 5,
    FormatError: 5,
    RollbackError: 5,
    SignatureError: 7,
    RuleError: 8,
    AccessError: 6,
    BackendError: 6,
    OfflineError: 6,
    UnsupportedFormatError: 6,
    OutcomeUnknownError: 75,
}
CODES = {
    RegistryError: "error",
    NotFoundError: "not-found",
    ConflictError: "conflict",
    AlreadyExistsError: "already-exists",
    LocalEditsError: "local-edits",
    ChangedDuringCommitError: "changed-during-commit",
    MergeConflictError: "merge-conflict",
    OutcomeUnknownError: "outcome-unknown",
    IntegrityError: "integrity",
    FormatError: "format",
    RollbackError: "rollback",
    SignatureError: "signature",
    RuleError: "rule",
    InvalidInputError: "invalid-input",
    HostileNameError: "hostile-name",
    LimitError: "limit",
    UnsafeFileError: "unsafe-file",
    AccessError: "access",
    BackendError: "backend",
    OfflineError: "offline",
    UnsupportedFormatError: "unsupported-format",
}
every_error = pytest.mark.parametrize("kind", CODES)


def _drawn() -> Iterator[tuple[str, str, str | None]]:
    """The tree in the docstring: (class, parent, other base)."""
    parents = ["RegistryError"]
    for line in (errors.__doc__ or "").splitlines():
        row = re.match(r"    ([│ ]*)[├└]── (\w+)(?: \((\w+)\))?", line)
        if row:
            depth = len(row[1]) // 4 + 1
            del parents[depth:]
            yield row[2], parents[-1], row[3]
            parents.append(row[2])


def test_the_tree_is_as_drawn() -> None:
    drawn = {name: (parent, other) if other else (parent,) for name, parent, other in _drawn()}
    assert drawn == {kind.__name__: tuple(base.__name__ for base in bases) for kind, bases in TREE.items()}
    assert {kind: kind.__bases__ for kind in TREE} == TREE
    assert RegistryError.__bases__ == (Exception,)


def test_every_error_of_the_module_is_in_these_tables() -> None:
    defined = {value for _, value in inspect.getmembers(errors, inspect.isclass) if value.__module__ == errors.__name__}
    defined -= {errors.FrameworkVersionWarning}  # a warning is no error
    assert defined == set(TREE) | {RegistryError} == set(CODES) == set(EXIT_CODES)


def test_codes_are_unique_and_never_change() -> None:
    assert {kind: kind.code for kind in CODES} == CODES
    assert len(set(CODES.values())) == len(CODES)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in CODES.values())


def test_exit_codes_are_the_documented_ones() -> None:
    assert {kind: kind.exit_code for kind in EXIT_CODES} == EXIT_CODES


@every_error
def test_the_message_is_kept_and_printed_without_quotes(kind: type[RegistryError]) -> None:
    error = kind("no model 'fraud' in ./registry", model="fraud")
    assert str(error) == error.message == "no model 'fraud' in ./registry"
    assert f"{error}" == error.message
    assert error.args == (error.message,)
    assert error.message in repr(error)
    assert error.fields == {"model": "fraud"}


@every_error
def test_pickles_and_copies_keep_message_and_fields(kind: type[RegistryError]) -> None:
    error = kind("what went wrong", key="refs/fraud/0000000001", paths=("a", "b"), offset=7)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is kind
        assert str(again) == "what went wrong"
        assert again.fields == {"key": "refs/fraud/0000000001", "paths": ("a", "b"), "offset": 7}


@every_error
def test_fields_cannot_be_changed(kind: type[RegistryError]) -> None:
    error = kind("message", key="a")
    with pytest.raises(TypeError):
        error.fields["key"] = "b"  # type: ignore[index]


def test_not_found_is_caught_as_a_key_error_and_invalid_input_as_a_value_error() -> None:
    with pytest.raises(KeyError, match="no such model"):
        raise NotFoundError("no such model")
    for kind in (InvalidInputError, HostileNameError, LimitError):
        with pytest.raises(ValueError, match="wrong"):
            raise kind("wrong")


def test_no_other_error_is_a_builtin_one() -> None:
    for kind in set(CODES) - {NotFoundError}:
        assert not issubclass(kind, (KeyError, OSError))
    for kind in set(CODES) - {InvalidInputError, HostileNameError, LimitError}:
        assert not issubclass(kind, ValueError)


@pytest.mark.parametrize(("fields", "transient"), [({}, False), ({"transient": True}, True), ({"transient": False}, False)])
def test_a_backend_error_says_whether_trying_again_is_reasonable(fields: dict[str, bool], transient: bool) -> None:
    error = BackendError("no answer", **fields)
    assert error.transient is transient
    assert pickle.loads(pickle.dumps(error)).transient is transient
