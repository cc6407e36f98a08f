"""What a version was made from: data and models elsewhere by URI and digest, or a version of this registry."""

from dataclasses import dataclass

from cas_registry.errors import FormatError
from cas_registry.model import canonical
from cas_registry.model.ids import CommitId
from cas_registry.model.names import check_model, read_name

MAX_INPUTS = 10_000
MAX_INPUT_NAME_BYTES = 255
MAX_URI_BYTES = 4096
MAX_DIGEST_BYTES = 512
_FIELDS = ("name", "uri", "digest", "model", "commit")


@dataclass(frozen=True, slots=True)
class Input:
    """One thing that a version was made from, under the name that its makers give it (`train`, `base`).

    Either `uri` is set, with the `digest` of what was there (`blake3:…`, `sha256:…`, an ETag; None if nobody computed one), or `model` and
    `commit` name a version of this registry.
    """

    name: str
    uri: str | None = None
    digest: str | None = None
    model: str | None = None
    commit: CommitId | None = None

    @property
    def is_version(self) -> bool:
        """Whether it is a version of this registry."""
        return self.commit is not None


def input_value(item: Input) -> canonical.Json:
    """The input as a commit holds it."""
    return {
        "name": item.name,
        "uri": item.uri,
        "digest": item.digest,
        "model": item.model,
        "commit": item.commit.hex if item.commit else None,
    }


def decode_input(value: canonical.Json) -> Input:
    """The input in a commit. Raises FormatError."""
    row = canonical.mapping(value, what="an input")
    if row.keys() != set(_FIELDS):
        raise FormatError("an input with missing or unknown fields")
    name, uri, digest, model, commit = (row[field] for field in _FIELDS)
    if (uri is None) == (commit is None) or (model is None) != (commit is None) or (digest is not None and uri is None):
        raise FormatError("an input is either a URI, perhaps with a digest, or a model and a commit")
    if not name:
        raise FormatError("an input without a name")
    return Input(
        name=canonical.text(name, what="the name of an input", max_bytes=MAX_INPUT_NAME_BYTES),
        uri=None if uri is None else canonical.text(uri, what="uri", max_bytes=MAX_URI_BYTES),
        digest=None if digest is None else canonical.text(digest, what="digest", max_bytes=MAX_DIGEST_BYTES),
        model=None if model is None else read_name(model, check_model, of="an input of a model"),
        commit=None if commit is None else CommitId.parse(commit),
    )
