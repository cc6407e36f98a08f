"""`reg policy`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cas_registry.cli import text
from cas_registry.cli.output import Document, Line, Paper, Styled, View
from cas_registry.model.keep import EVERY_MODEL, Keep, keep_value


@dataclass(frozen=True, slots=True)
class Policies:
    """The retention policies of the registry at a URL."""

    registry: str
    keep: Mapping[str, Keep]


def rules(keep: Keep) -> str:
    """`the last 20, the last 90 days, the 5 largest auc`."""
    parts = [f"the last {keep.last}"] if keep.last is not None else []
    parts += [f"the last {text.count(keep.days, 'day')}"] if keep.days is not None else []
    parts += [f"the {best.count} {'smallest' if best.smallest else 'largest'} {best.metric}" for best in keep.best]
    return ", ".join([*parts, "what a branch or tag stands at"])


def _document(policies: Policies) -> Document:
    return {"registry": policies.registry, "keep": {model: keep_value(rule) for model, rule in sorted(policies.keep.items())}}


def _human(policies: Policies, _: Paper) -> Iterator[Line]:
    if not policies.keep:
        yield ["No retention policy: every version stays until it is retired (reg policy keep --help)"]
    for model, rule in sorted(policies.keep.items()):
        name = "every other model" if model == EVERY_MODEL else model
        yield [Styled(name, "bold"), f": keeps {rules(rule)}"]


POLICIES = View(_document, _human, lambda policies: sorted(policies.keep))
