"""`reg sign` and `reg verify`."""

from collections.abc import Iterator

from cas_registry.cli import text
from cas_registry.cli.output import Document, Line, Paper, Styled, View
from cas_registry.cli.views.fields import name_of, time_fields
from cas_registry.registry import SignReport, Verification


def _sign_document(report: SignReport) -> Document:
    return {
        "model": report.model,
        "kind": report.kind.value,
        "name": report.name,
        "commit": report.commit.hex,
        "entry": report.entry,
        "entry_id": report.entry_id.hex,
        "signed_by": report.key.fingerprint,
        "created": report.created,
    }


def _sign_human(report: SignReport, _: Paper) -> Iterator[Line]:
    what = f"entry {report.entry}, which put {report.kind.value} {report.name} of {report.model} at "
    yield ["Signed " if report.created else "Signed already: ", what, Styled(report.commit.short, "yellow")]
    yield [f"by {report.key.fingerprint}"]


def _verify_document(verified: Verification) -> Document:
    version = verified.version
    return {
        "model": version.model,
        "kind": verified.kind.value,
        "name": verified.name,
        "commit": version.commit.hex,
        "number": version.number,
        "tree": version.tree.hex,
        "signers": [{"principal": signer.principal, "key": signer.key.fingerprint} for signer in verified.signers],
        "threshold": verified.threshold,
        "entry": verified.entry,
        "entry_id": verified.entry_id.hex,
        **time_fields("time", verified.time_ms),
        "who": verified.who,
        "why": verified.why,
        "head": verified.head,
        "followed": verified.followed,
    }


def _verify_human(verified: Verification, paper: Paper) -> Iterator[Line]:
    version = verified.version
    name = name_of(version.model, version.number, version.commit)
    yield [Styled("Verified: ", "green"), f"{verified.kind.value} {verified.name} stands at ", *name]
    for signer in verified.signers:
        yield [f"  signed by {signer.principal}, {signer.key.fingerprint}"]
    needed = f"; {verified.threshold} signers needed" if verified.threshold > 1 else ""
    yield [f"  by entry {verified.entry}, {text.age(verified.time_ms, paper.now_ms)} by {verified.who}{needed}"]
    if verified.why:
        yield [f"  {verified.why}"]
    length = "1 entry" if verified.followed == 1 else f"{verified.followed:,} entries"
    yield [f"  chain of hashes followed through {length} to the head, entry {verified.head}"]


SIGN = View(_sign_document, _sign_human, lambda report: [report.key.fingerprint])
VERIFY = View(_verify_document, _verify_human, lambda verified: (signer.principal for signer in verified.signers))
