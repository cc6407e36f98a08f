"""Whom the caller trusts, and with what: files of this machine, never of the registry.

`allowed_signers` is OpenSSH's file of that name. Beside it may lie `policy.toml`, which says who may move which branch or tag, and
`revoked_keys`, a list of public keys or a KRL as ssh-keygen(1) describes them.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from cas_registry.errors import AccessError, InvalidInputError, LimitError, NotFoundError
from cas_registry.model.entry import RefKind
from cas_registry.model.signature import KeyId

POLICY = "policy.toml"
REVOKED_KEYS = "revoked_keys"
MAX_TRUST_BYTES = 4 * 1024 * 1024  # of each file
MAX_KEYS = 1000  # each costs a request when something is verified
MAX_PRINCIPAL_BYTES = 255

_KRL_MAGIC = b"SSHKRL\n\0"
_PRINCIPAL = re.compile(r"[^\s\-\"#*?!,\x00-\x1f\x7f][^\s\"*?!,\x00-\x1f\x7f]*")  # one name: no pattern, no option, no list
_FIELD = re.compile(r'(?:[^\s"]|"(?:[^"\\]|\\.)*")+')  # up to white space that stands in no quotes
_KEY_TYPE = re.compile(r"(?:ssh|ecdsa|sk|webauthn)-[A-Za-z0-9@.\-]+")
_RULE_FIELDS = frozenset({"registry", "model", "ref", "kind", "principals", "threshold"})


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may move which refs: `threshold` different ones of `principals` (None: of all allowed signers) must have signed.

    `registry` (its id, or a pattern of its URL), `model` and `ref` are patterns as of a shell, in which `*` stands for slashes too.
    """

    registry: str = "*"
    model: str = "*"
    ref: str = "*"
    kind: RefKind | None = None
    principals: frozenset[str] | None = None
    threshold: int = 1

    def covers(self, *, registry: str, url: str, model: str, kind: RefKind | None, ref: str) -> bool:
        """Whether this rule is about that ref, or about a release: then `ref` is `release:NAME`, and its kind neither branch nor tag."""
        return (
            (self.registry == registry or fnmatchcase(url, self.registry))
            and fnmatchcase(model, self.model)
            and fnmatchcase(ref, self.ref)
            and self.kind in {None, kind}
        )

    def admits(self, principal: str) -> bool:
        """Whether that signer counts."""
        return self.principals is None or principal in self.principals


@dataclass(frozen=True, slots=True)
class Trust:
    """The allowed signers by key, the rules (None without a policy), and both files of ssh-keygen's as they were read."""

    signers: Mapping[KeyId, tuple[str, ...]]
    rules: tuple[Rule, ...] | None
    allowed_signers: bytes
    revoked_keys: bytes | None
    path: Path

    def rule(self, *, registry: str, url: str, model: str, kind: RefKind | None, ref: str) -> Rule | None:
        """The first rule about a ref: without a policy one that any allowed signer satisfies, and none where no rule covers it."""
        if self.rules is None:
            return Rule()
        return next(
            (rule for rule in self.rules if rule.covers(registry=registry, url=url, model=model, kind=kind, ref=ref)), None
        )


def check_principal(name: str) -> str:
    """Accept the name of one signer, or raise InvalidInputError."""
    if not _PRINCIPAL.fullmatch(name) or len(name.encode("utf-8", "replace")) > MAX_PRINCIPAL_BYTES:
        raise InvalidInputError(f"{name[:80]!r} is no name of a signer: one word, no pattern, no dash in front", principal=name)
    return name


def load_trust(allowed_signers: Path) -> Trust:
    """Read `allowed_signers` and what lies beside it. NotFoundError where there is none, InvalidInputError for a policy that is damaged."""
    path = allowed_signers.absolute()
    data = _read(path)
    if data is None:
        raise NotFoundError(
            f"there is no {path}, which says whom to trust: a line NAME KEY-TYPE KEY for each signer (ssh-keygen(1), ALLOWED SIGNERS). "
            "Make it, or name another with --allowed-signers or REG_ALLOWED_SIGNERS",
            path=str(path),
        )
    policy = _read(path.parent / POLICY)
    return Trust(
        signers=_signers(data, path),
        rules=None if policy is None else tuple(_rules(policy, path.parent / POLICY)),
        allowed_signers=data,
        revoked_keys=_revoked(_read(path.parent / REVOKED_KEYS), path.parent / REVOKED_KEYS),
        path=path,
    )


def _signers(data: bytes, path: Path) -> dict[KeyId, tuple[str, ...]]:
    """Key -> names. Patterns and certificate authorities name nobody here; what OpenSSH does not understand it leaves out too."""
    found: dict[KeyId, tuple[str, ...]] = {}
    for line in data.decode("utf-8", "replace").split("\n"):
        parsed = _line(line)
        if parsed is None:
            continue
        names, key = parsed
        found[key] = tuple(dict.fromkeys([*found.get(key, ()), *(name for name in names if _PRINCIPAL.fullmatch(name))]))
    if len(found) > MAX_KEYS:
        raise LimitError(f"{path} has more than {MAX_KEYS:,} keys", path=str(path))
    return {key: names for key, names in found.items() if names}


def _line(line: str) -> tuple[list[str], KeyId] | None:
    fields = _FIELD.findall(line)
    if len(fields) < 3 or fields[0].startswith("#"):  # noqa: PLR2004 - names, type, key
        return None
    names, *rest = fields
    options = "" if _KEY_TYPE.fullmatch(rest[0]) else rest.pop(0)
    if len(rest) < 2 or not _KEY_TYPE.fullmatch(rest[0]) or "cert-authority" in options.lower().split(","):  # noqa: PLR2004
        return None
    try:
        return names.strip('"').split(","), KeyId.of(base64.b64decode(rest[1], validate=True))
    except (binascii.Error, ValueError):
        return None


def _revoked(data: bytes | None, path: Path) -> bytes | None:
    """A KRL as it is, or a list of which every line is a key: ssh-keygen passes over a line that it cannot read, and revokes nothing."""
    if data is None or data.startswith(_KRL_MAGIC):
        return data
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), start=1):
        if line.strip() and not line.lstrip().startswith("#") and _line(f"revoked {line}") is None:
            raise InvalidInputError(
                f"{path}, line {number}: not a public key; write TYPE KEY, or make a KRL by ssh-keygen -k", path=str(path)
            )
    return data


def _rules(data: bytes, path: Path) -> Iterator[Rule]:
    import tomllib  # noqa: PLC0415 - 3 ms, where there is a policy

    try:
        value = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInputError(f"{path} is not TOML: {error}", path=str(path)) from error
    rules = value.pop("rule", [])
    if value or not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise InvalidInputError(f"{path} holds [[rule]] tables and nothing else", path=str(path))
    for number, rule in enumerate(rules, start=1):
        try:
            yield _rule(rule)
        except InvalidInputError as error:
            raise InvalidInputError(f"{path}, rule {number}: {error.message}", path=str(path), rule=number) from error


def _rule(value: Mapping[str, Any]) -> Rule:
    """A rule, nothing in it unknown: a field mistyped must not let more through. Raises InvalidInputError."""
    if unknown := sorted(value.keys() - _RULE_FIELDS):
        raise InvalidInputError(f"unknown field {unknown[0]!r}; there are {', '.join(sorted(_RULE_FIELDS))}")
    patterns = {name: value.get(name, "*") for name in ("registry", "model", "ref")}
    for name, pattern in patterns.items():
        if not isinstance(pattern, str) or not pattern:
            raise InvalidInputError(f"{name} is not a pattern")
    kind, threshold = value.get("kind"), value.get("threshold", 1)
    if kind not in {None, *RefKind}:
        raise InvalidInputError("kind is branch or tag")
    principals = _principals(value["principals"]) if "principals" in value else None
    if type(threshold) is not int or threshold < 1 or (principals is not None and threshold > len(principals)):
        raise InvalidInputError("threshold is a number from 1 to that of the principals")
    return Rule(**patterns, kind=RefKind(kind) if kind else None, principals=principals, threshold=threshold)


def _principals(value: object) -> frozenset[str]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(name, str) for name in value):
        raise InvalidInputError('principals is a list of names, as in ["ada@example.org"]')
    return frozenset(check_principal(name) for name in value)


def _read(path: Path) -> bytes | None:
    """The file, or None where there is none. AccessError where it cannot be read, LimitError for a huge one."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TRUST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AccessError(f"cannot read {path}: {error.strerror}", path=str(path)) from error
    if len(data) > MAX_TRUST_BYTES:
        raise LimitError(f"{path} is larger than {MAX_TRUST_BYTES:,} bytes", path=str(path))
    return data
