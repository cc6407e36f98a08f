"""`reg du`."""

from collections.abc import Iterator
from dataclasses import dataclass

from cas_registry.cli import text
from cas_registry.cli.output import Cell, Document, Line, Paper, Styled, Table, View
from cas_registry.registry import Family, ModelUsage, Usage, UsageReport, VersionUsage

_SIZES = ("raw", "stored", "unique", "shared", "freed")
_PAIRS = 20  # shown of a family
_NAMED = 5  # versions named in a sentence


@dataclass(frozen=True, slots=True)
class Models:
    """What the models of a registry take."""

    registry: str
    models: list[ModelUsage]


@dataclass(frozen=True, slots=True)
class Families:
    """Which models of a registry share chunks."""

    registry: str
    families: list[Family]


def _usage_fields(usage: Usage) -> dict[str, object]:
    return {
        "raw_bytes": usage.raw_bytes,
        "stored_bytes": usage.stored_bytes,
        "unique_bytes": usage.unique_bytes,
        "shared_bytes": usage.shared_bytes,
        "freed_bytes": usage.freed_bytes,
        "freed_objects": usage.freed_objects,
    }


def _versions_document(report: UsageReport) -> Document:
    return {"versions": [_version_fields(row) for row in report.versions], "together": _usage_fields(report.together)}


def _version_fields(row: VersionUsage) -> dict[str, object]:
    version = row.version
    return {"model": version.model, "commit": version.commit.hex, "number": version.number, **_usage_fields(row.usage)}


def _sizes(usage: Usage) -> list[Cell]:
    sizes = (usage.raw_bytes, usage.stored_bytes, usage.unique_bytes, usage.shared_bytes, usage.freed_bytes)
    return [text.size(size) for size in sizes]


def _versions_human(report: UsageReport, _: Paper) -> Iterator[Line | Table]:
    rows: list[list[Cell]] = [
        [*_sizes(row.usage), f"{row.version.model} v{row.version.number}", Styled(row.version.commit.short, "yellow")]
        for row in report.versions
    ]
    if len(rows) > 1:
        rows.append([*_sizes(report.together), Styled("together", "bold"), ""])
    yield Table([*_SIZES, "version", "id"], rows, frozenset(_SIZES))


def _retiring_human(report: UsageReport, _: Paper) -> Iterator[Line]:
    names = [f"{row.version.model} v{row.version.number}" for row in report.versions]
    named = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    found = report.together
    objects = f" ({text.count(found.freed_objects, 'object')})"
    yield [
        f"Retiring {named} frees ",
        Styled(text.size(found.freed_bytes), "bold"),
        f"{objects}, not {text.size(found.raw_bytes)}",
    ]
    yield [
        f"{text.size(found.unique_bytes)} of chunks are theirs alone, {text.size(found.shared_bytes)} are needed by others too"
    ]
    if found.freed_bytes < found.unique_bytes:
        yield ["What is theirs alone and is not freed lies in packs with what others need"]


def _models_document(models: Models) -> Document:
    rows = [{"model": row.model, "versions": row.versions, **_usage_fields(row.usage)} for row in models.models]
    return {"registry": models.registry, "models": rows}


def _models_human(models: Models, _: Paper) -> Iterator[Line | Table]:
    headers = [*_SIZES, "versions", "model"]
    rows = [[*_sizes(row.usage), f"{row.versions:,}", Styled(row.model, "bold")] for row in models.models]
    yield Table(headers, rows, frozenset(headers[:-1]))


def _families_document(families: Families) -> Document:
    return {
        "registry": families.registry,
        "families": [
            {
                "models": list(family.models),
                "stored_bytes": family.stored_bytes,
                "shared_bytes": family.shared_bytes,
                "pairs": [{"models": [left, right], "shared_bytes": size} for left, right, size in family.pairs],
            }
            for family in families.families
        ],
    }


def _families_human(families: Families, _: Paper) -> Iterator[Line | Table]:
    related = [family for family in families.families if len(family.models) > 1]
    for family in related:
        size = text.size(family.stored_bytes)
        yield [Styled(", ".join(family.models), "bold"), f": {size} stored, {text.size(family.shared_bytes)} of it in several"]
        headers = ["shared", "models"]
        yield Table(
            headers,
            [(text.size(size), f"{left}, {right}") for left, right, size in family.pairs[:_PAIRS]],
            frozenset(headers[:1]),
        )
        if len(family.pairs) > _PAIRS:
            yield [f"and {len(family.pairs) - _PAIRS:,} more pairs (--json lists all)"]
        yield [""]
    alone = len(families.families) - len(related)
    yield [f"{text.count(alone, 'model')} {'shares' if alone == 1 else 'share'} chunks with no other"]


VERSIONS = View(
    _versions_document,
    _versions_human,
    lambda report: (f"{row.usage.freed_bytes} {row.version.commit.hex}" for row in report.versions),
)
RETIRING = View(_versions_document, _retiring_human, lambda report: [str(report.together.freed_bytes)])
MODELS = View(_models_document, _models_human, lambda models: (f"{row.usage.freed_bytes} {row.model}" for row in models.models))
FAMILIES = View(_families_document, _families_human, lambda families: (" ".join(family.models) for family in families.families))
