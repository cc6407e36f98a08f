"""`reg models` and `reg stats`."""

from collections.abc import Iterator
from dataclasses import dataclass

from cas_registry.cli import text
from cas_registry.cli.output import Cell, Document, Line, Paper, Styled, Table, View
from cas_registry.cli.views.fields import time_fields
from cas_registry.operations.stats import ModelStats, RegistryStats
from cas_registry.registry import CodecShare, Ladder

_TAGS = 6  # named in a line


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
        "tag_names": list(model.tag_names),
        "latest": model.latest,
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
    headers = ["model", "latest", "versions", "branches", "raw", "stored", "updated", "tags"]
    yield Table(headers, [_model_row(model, paper) for model in models.models], frozenset(headers[1:6]))


def _model_row(model: ModelStats, paper: Paper) -> list[Cell]:
    tags = ", ".join(model.tag_names[:_TAGS]) + (f" and {model.tags - _TAGS:,} more" if model.tags > _TAGS else "")
    return [
        Styled(model.model, "bold"),
        f"v{model.latest}" if model.latest else "-",
        f"{model.versions:,}",
        f"{model.branches:,}",
        text.size(model.raw_bytes),
        text.size(model.stored_bytes),
        "never" if model.updated_ms is None else text.age(model.updated_ms, paper.now_ms),
        tags,
    ]


def _ladder_fields(ladder: Ladder) -> dict[str, object]:
    return {
        "raw_bytes": ladder.raw_bytes,
        "files": ladder.files,
        "file_bytes": ladder.file_bytes,
        "chunks": ladder.chunks,
        "chunk_bytes": ladder.chunk_bytes,
        "coded_bytes": ladder.coded_bytes,
        "stored_bytes": ladder.stored_bytes,
        "base_bytes": ladder.base_bytes,
        "codecs": [
            {
                "codec": share.codec.name.lower(),
                "chunks": share.chunks,
                "raw_bytes": share.raw_bytes,
                "stored_bytes": share.stored_bytes,
                "ratio": round(share.stored_bytes / share.raw_bytes, 6),
            }
            for share in ladder.codecs
        ],
    }


def _stats_document(found: Stats) -> Document:
    stats = found.stats
    return {
        "registry": found.registry,
        "raw_bytes": stats.raw_bytes,
        "stored_bytes": stats.stored_bytes,
        "ratio": round(stats.ratio, 6),
        "ladder": _ladder_fields(stats.ladder),
        "placed_bytes": stats.placed_bytes,
        "framing_bytes": stats.framing_bytes,
        "unreferenced_bytes": stats.unreferenced_bytes,
        "metadata_bytes": stats.metadata_bytes,
        "models": [
            {**_model_fields(model), "ladder": _ladder_fields(ladder)}
            for model, ladder in zip(stats.models, stats.ladders, strict=True)
        ],
        "areas": [{"area": area, "objects": stats.objects[area], "bytes": stats.bytes[area]} for area in sorted(stats.objects)],
    }


def _stats_human(found: Stats, _: Paper) -> Iterator[Line | Table]:
    stats = found.stats
    yield [Styled(found.registry, "bold")]
    yield [f"{text.count(len(stats.models), 'model')}, {text.count(stats.ladder.versions, 'version')}"]
    share = text.ratio(stats.stored_bytes, stats.raw_bytes)
    yield [f"{text.size(stats.raw_bytes)} raw, {text.size(stats.stored_bytes)} stored: {share}"]
    if stats.ladder.versions:
        yield [""]
        yield _rungs(stats)
        yield [""]
        yield _ladders(stats)
    if stats.ladder.codecs:
        yield [""]
        headers = ["chunks", "raw", "stored", "ratio", "codec"]
        yield Table(headers, [_codec_row(codec) for codec in stats.ladder.codecs], frozenset(headers[:4]))
    if stats.objects:
        yield [""]
        headers = ["objects", "bytes", "area"]
        rows = [[f"{stats.objects[area]:,}", text.size(stats.bytes[area]), area] for area in stats.objects]
        yield Table(headers, rows, frozenset(headers[:2]))


def _rungs(stats: RegistryStats) -> Table:
    """What is left after each rung, down to all that is in the bucket."""
    ladder = stats.ladder
    again_bytes = stats.placed_bytes - ladder.stored_bytes
    rungs = [
        ("raw", ladder.raw_bytes, "every file of every version"),
        ("files", ladder.file_bytes, f"{text.count(ladder.files, 'file')}, each once"),
        ("chunks", ladder.chunk_bytes, f"{text.count(ladder.chunks, 'chunk')}, each once"),
        ("codec", ladder.coded_bytes, "chunks by zstd and byte planes"),
        ("delta", ladder.stored_bytes, "chunks as differences to others"),
    ]
    rows: list[list[Cell]] = []
    above = ladder.raw_bytes
    for name, left, what in rungs:
        rows.append([name, text.size(left), text.size(above - left), text.ratio(left, ladder.raw_bytes), what])
        above = left
    beside = [
        ("again", again_bytes, "chunks stored again, or kept for deltas alone"),
        ("frames", stats.framing_bytes, "headers, footers and what else is in these packs"),
        ("unused", stats.unreferenced_bytes, "packs that no version needs"),
        ("metadata", stats.metadata_bytes, "logs, commits, trees, maps, hints"),
    ]
    left = ladder.stored_bytes
    for name, more, what in beside:
        left += more
        if more:
            rows.append([name, text.size(left), f"+{text.size(more)}", text.ratio(left, ladder.raw_bytes), what])
    return Table(["rung", "left", "saved", "of raw", ""], rows, frozenset({"left", "saved", "of raw"}))


def _ladders(stats: RegistryStats) -> Table:
    headers = ["versions", "raw", "files", "chunks", "codec", "delta", "of raw", "model"]
    return Table(headers, [_ladder_row(ladder) for ladder in stats.ladders], frozenset(headers[:7]))


def _ladder_row(ladder: Ladder) -> list[Cell]:
    rungs = (ladder.raw_bytes, ladder.file_bytes, ladder.chunk_bytes, ladder.coded_bytes, ladder.stored_bytes)
    share = text.ratio(ladder.stored_bytes, ladder.raw_bytes)
    return [f"{ladder.versions:,}", *map(text.size, rungs), share, Styled(ladder.model or "", "bold")]


def _codec_row(share: CodecShare) -> list[Cell]:
    sizes = [text.size(share.raw_bytes), text.size(share.stored_bytes)]
    return [f"{share.chunks:,}", *sizes, text.ratio(share.stored_bytes, share.raw_bytes), share.codec.name.lower()]


MODELS = View(_models_document, _models_human, lambda models: (model.model for model in models.models))
STATS = View(_stats_document, _stats_human, lambda found: [f"{found.stats.ratio:.6f}"])
