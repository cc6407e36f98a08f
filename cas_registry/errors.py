"""The tree of errors: what went wrong, grouped by what the caller would do about it.

    RegistryError
    ├── NotFoundError (KeyError)       nothing of that name; check the name
    ├── ConflictError                  somebody else moved first; look, then try again
    │   ├── AlreadyExistsError         the key of a create-only write is taken
    │   ├── LocalEditsError            files on disk would be overwritten; --force or move them
    │   ├── ChangedDuringCommitError   the folder moved while it was read; commit again
    │   └── MergeConflictError         both sides changed the same paths; say whose to take
    ├── OutcomeUnknownError            the write may or may not have landed; read before retrying
    ├── IntegrityError                 stored bytes are not what their name says
    │   ├── FormatError                bytes that no writer of this format produces
    │   └── RollbackError              a log is shorter or other than it was
    ├── SignatureError                 not signed by those who must have signed it
    ├── RuleError                      a tag may not move there: its rules ask for more
    ├── InvalidInputError (ValueError) the call itself is wrong
    │   ├── HostileNameError           a name outside the grammar
    │   └── LimitError                 larger than the format allows
    ├── UnsafeFileError                a file runs code on loading, or was not looked at, and that was to be refused
    ├── AccessError                    credentials or permissions
    ├── BackendError                   the store did not answer, or answered nonsense
    │   └── OfflineError               it was not to be asked, and what was seen of it does not answer
    └── UnsupportedFormatError         written by a newer version

Every class has a stable `code` for programs and an `exit_code` for the command line. Messages say what was tried, on
which key, and what to do next; `fields` carries the same as data.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar


class RegistryError(Exception):
    """Base of every error that this package raises on purpose.

    `message` is one sentence for people; `fields` holds the same facts as data (keys, ids, paths), never a secret.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, **fields: object) -> None:
        super().__init__(message)
        self.message = message
        self.fields: Mapping[str, object] = MappingProxyType(fields)

    def __str__(self) -> str:  # KeyError's own __str__ would quote the message
        return self.message

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, dict(self.fields))


def _rebuild(kind: type[RegistryError], message: str, fields: dict[str, object]) -> RegistryError:
    return kind(message, **fields)


class NotFoundError(RegistryError, KeyError):
    """No such registry, model, revision, path or key."""

    code = "not-found"
    exit_code = 3


class ConflictError(RegistryError):
    """The state is not what the caller expected; nothing was changed."""

    code = "conflict"
    exit_code = 4


class AlreadyExistsError(ConflictError):
    """A create-only write found its key taken."""

    code = "already-exists"


class LocalEditsError(ConflictError):
    """A checkout would overwrite files edited on disk; `fields["paths"]` lists them."""

    code = "local-edits"


class ChangedDuringCommitError(ConflictError):
    """The folder changed while it was committed; `fields["paths"]` lists what moved. No commit was made."""

    code = "changed-during-commit"


class MergeConflictError(ConflictError):
    """Both sides of a merge changed the same paths differently; `fields["conflicts"]` lists them as (path, clash, base, ours, theirs), the last
    three the ids of what stands there. Nothing was merged."""

    code = "merge-conflict"


class OutcomeUnknownError(RegistryError):
    """The store stopped answering after the decisive write was sent: it may have landed. Read before retrying."""

    code = "outcome-unknown"
    exit_code = 75


class IntegrityError(RegistryError):
    """Stored bytes do not match their name. No byte of them was returned."""

    code = "integrity"
    exit_code = 5


class FormatError(IntegrityError):
    """Bytes that no writer of this format produces. Decoders raise this, or UnsupportedFormatError, and nothing else."""

    code = "format"


class RollbackError(IntegrityError):
    """A log is shorter than it was, or differs from what was seen before."""

    code = "rollback"


class SignatureError(RegistryError):
    """A ref does not stand where somebody who may move it put it, by the caller's own allowed signers; or no signature could be made.

    `fields["reasons"]` says what was found instead.
    """

    code = "signature"
    exit_code = 7


class RuleError(RegistryError):
    """A tag was not moved, because its rules ask for more: who may, approvals, a condition, checks, where the version must have stood before.

    `fields["unmet"]` says what is asked for and what was found instead, `fields["rules"]` by which rules, `fields["remedies"]` what would do, in
    the same order.
    """

    code = "rule"
    exit_code = 8


class InvalidInputError(RegistryError, ValueError):
    """The arguments make no sense, whatever the registry holds."""

    code = "invalid-input"
    exit_code = 2


class HostileNameError(InvalidInputError):
    """A path, ref or model name outside the grammar of `model.names`."""

    code = "hostile-name"


class LimitError(InvalidInputError):
    """The input exceeds a limit of the format."""

    code = "limit"


class UnsafeFileError(RegistryError):
    """Files run code on loading, or were not looked at, and only others were wanted; `fields["paths"]` lists them. Nothing was written."""

    code = "unsafe-file"


class AccessError(RegistryError):
    """The store refused: wrong credentials, or no permission for this operation."""

    code = "access"
    exit_code = 6


class BackendError(RegistryError):
    """The store could not be reached, did not answer, or failed.

    `transient` says whether trying again is reasonable. The failed request may have taken effect.
    """

    code = "backend"
    exit_code = 6

    @property
    def transient(self) -> bool:
        return bool(self.fields.get("transient", False))


class OfflineError(BackendError):
    """The store was not to be asked, and this machine does not have what it takes to answer without it.

    `fields["missing"]` names what is not here: a key, or the paths of files. Asking once online brings it here, and what writes to the registry,
    or looks after the store itself, is never done offline.
    """

    code = "offline"


class UnsupportedFormatError(RegistryError):
    """The registry was written by a newer version, or uses a feature that this one lacks."""

    code = "unsupported-format"
    exit_code = 6


class FrameworkVersionWarning(UserWarning):
    """An object is loaded under other versions of its libraries than it was saved with; the text has both. No error: it often works."""
