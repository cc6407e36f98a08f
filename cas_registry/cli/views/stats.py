"""`reg models` and `reg stats`."""

from collections.abc import Iterator
from dataclasses import dataclass

from cas_registry.cli import text
from cas_registry.cli.output import Cell, Document, Line, Paper, Styled, Table, View
from cas_registry.cli.views.fields import time_fields
from cas_registry.operations.stats import ModelStats, RegistryStats


@dataclass(frozen=True, slots=True)
class Models:
    """The models of a registry."""

    registry: str
    models: list[ModelStats]


@dataclass(frozen=True, slots=True)
class Stats:
    """What a registry holds and costs."""

    registry: str
    stats: RegistryStats


def _model_fields(model: ModelStats) -> dict[str, object]:
    return {
        "model": model.model,
        "versions": model.versions,
        "branches": model.branches,
        "tags": model.tags,
        "raw_bytes": model.raw_bytes,
        "new_bytes": model.new_bytes,
        "stored_bytes": model.stored_bytes,
        **time_fields("updated", model.updated_ms),
    }


def _models_document(models: Models) -> Document:
    return {"registry": models.registry, "models": [_model_fields(model) for model in models.models]}


def _models_human(models: Models, paper: Paper) -> Iterator[Line | Table]:
    if not models.models:
        yield [f"{models.registry} has no models yet; the first reg commit creates one"]
        return
    headers = ["versions", "branches", "tags", "raw", "stored", "updated", "model"]
    yield Table(headers, [_model_row(model, paper) for model in models.models], frozenset(headers[:5]))


def _model_row(model: ModelStats, paper: Paper) -> list[Cell]:
    return [
        f"{model.versions:,}",
        f"{model.branches:,}",
        f"{model.tags:,}",
        text.size(model.raw_bytes),
        text.size(model.stored_bytes),
        "never" if model.updated_ms is None else text.age(model.updated_ms, paper.now_ms),
        Styled(model.model, "bold"),
    ]


def _stats_document(found: Stats) -> Document:
    stats = found.stats
    return {
        "registry": found.registry,
        "raw_bytes": stats.raw_bytes,
        "stored_bytes": stats.stored_bytes,
        "ratio": round(stats.ratio, 6),
        "models": [_model_fields(model) for model in stats.models],
        "areas": [{"area": area, "objects": stats.objects[area], "bytes": stats.bytes[area]} for area in sorted(stats.objects)],
    }


def _stats_human(found: Stats, _: Paper) -> Iterator[Line | Table]:
    stats = found.stats
    yield [Styled(found.registry, "bold")]
    versions = sum(model.versions for model in stats.models)
    yield [f"{text.count(len(stats.models), 'model')}, {text.count(versions, 'version')}"]
    share = text.ratio(stats.stored_bytes, stats.raw_bytes)
    yield [f"{text.size(stats.raw_bytes)} raw, {text.size(stats.stored_bytes)} stored: {share}"]
    if stats.models:
        yield [""]
        headers = ["versions", "raw", "new", "stored", "ratio", "model"]
        yield Table(headers, [_share(model) for model in stats.models], frozenset(headers[:5]))
    if stats.objects:
        yield [""]
        headers = ["objects", "bytes", "area"]
        rows = [[f"{stats.objects[area]:,}", text.size(stats.bytes[area]), area] for area in stats.objects]
        yield Table(headers, rows, frozenset(headers[:2]))


def _share(model: ModelStats) -> list[Cell]:
    sizes = [text.size(found) for found in (model.raw_bytes, model.new_bytes, model.stored_bytes)]
    return [f"{model.versions:,}", *sizes, text.ratio(model.stored_bytes, model.raw_bytes), Styled(model.model, "bold")]


MODELS = View(_models_document, _models_human, lambda models: (model.model for model in models.models))
STATS = View(_stats_document, _stats_human, lambda found: [f"{found.stats.ratio:.6f}"])
