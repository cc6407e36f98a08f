"""Model cards: a README.md or MODEL_CARD.md whose front matter is Hugging Face's (huggingface.co/docs/hub/model-cards).

Front matter is YAML between two lines of `---` at the beginning of the file. It comes from strangers: it is read within bounds, as data, and what cannot be read
is shown as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cas_registry.errors import InvalidInputError, LimitError, NotFoundError
from cas_registry.model.ids import FileId
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores

CARD_NAMES = ("MODEL_CARD.md", "README.md")  # the first that a version has, right in its root
MAX_CARD_BYTES = 1024 * 1024  # shown; a longer one is a document like any other
MAX_FRONT_MATTER_BYTES = 64 * 1024
LISTS = ("language", "tags", "datasets", "metrics")  # what Hugging Face gives several values as a rule
_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(?P<yaml>.*?)(?:^|(?<=\n))---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True, slots=True)
class Card:
    """A card: the front matter as plain data, the prose after it, and its path in the version.

    `problem` says why the front matter could not be read; `metadata` is then empty, and `text` the whole file.
    """

    metadata: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    path: str = CARD_NAMES[-1]
    problem: str | None = None

    @property
    def title(self) -> str | None:
        """The first heading of the prose."""
        return next((line.lstrip("#").strip() for line in self.text.splitlines() if line.startswith("# ")), None)


def parse_card(source: str, path: str) -> Card:
    """The card in a file's text. Raises nothing: front matter that is none is a `problem`."""
    found = _FRONT_MATTER.match(source)
    if found is None:
        return Card({}, source, path, "its front matter has no end" if source.startswith("---\n") else None)
    try:
        metadata = _load(found["yaml"])
    except InvalidInputError as error:
        return Card({}, source, path, error.message)
    return Card(metadata, source[found.end() :].lstrip("\r\n"), path)


def find_card(stores: Stores, version: Version) -> Card | None:
    """The card of a version, None if it has none."""
    found = _read(stores, version)
    return parse_card(found[1].decode("utf-8-sig", "replace"), found[0]) if found else None


def require_card(stores: Stores, version: Version) -> Card:
    """The card of a version. NotFoundError if it has none."""
    card = find_card(stores, version)
    if card is None:
        name = f"{version.model}@{version.commit.short}"
        raise NotFoundError(
            f"{name} has no {' or '.join(CARD_NAMES)}; write one with reg card {version.model}@BRANCH --edit",
            model=version.model,
        )
    return card


def read_source(stores: Stores, version: Version) -> tuple[str, str] | None:
    """Path and whole text of the version's card, to be changed. LimitError for more than a mebibyte, InvalidInputError for what is not UTF-8."""
    found = _read(stores, version)
    if found is None:
        return None
    path, data = found
    if len(data) > MAX_CARD_BYTES:
        raise LimitError(
            f"{path} is longer than {MAX_CARD_BYTES:,} bytes; check it out, change it there, and commit", path=path
        )
    try:
        return path, data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{path} is not UTF-8; check it out, change it there, and commit", path=path) from error


def _read(stores: Stores, version: Version) -> tuple[str, bytes] | None:
    """Path and bytes of the version's card, one more than a card has at most where there are more."""
    tree = stores.objects.read_tree(version.tree)
    entry = next((found for name in CARD_NAMES if (found := tree.get(name)) and isinstance(found.id, FileId)), None)
    if entry is None:
        return None
    from cas_registry.operations.reading import open_file  # noqa: PLC0415 - a version without a card needs no reader

    with open_file(stores, version, entry.name) as file:
        return entry.name, file.read(MAX_CARD_BYTES + 1)


def set_fields(source: str, changes: Mapping[str, Any]) -> str:
    """The text of a card with other values for some fields of its front matter; None takes a field away.

    Lines of other fields, their order and their comments stay as they are. InvalidInputError where the front matter cannot be read.
    """
    from cas_registry.operations.yaml_text import dump_yaml  # noqa: PLC0415 - loads PyYAML

    found = _FRONT_MATTER.match(source)
    if found is None and source.startswith("---\n"):
        raise InvalidInputError("the card's front matter has no end; mend it with reg card --edit")
    head, rest = (found["yaml"], source[found.end() :]) if found else ("", source)
    try:
        _load(head)
    except InvalidInputError as error:
        raise InvalidInputError(
            f"the card's front matter cannot be changed: {error.message}; mend it with reg card --edit"
        ) from error
    blocks = _blocks(head)
    for name, value in changes.items():
        new = "" if value is None else dump_yaml({name: value})
        at = next((number for number, (key, _) in enumerate(blocks) if key == name), None)
        if at is not None:
            blocks[at] = (name, new)
        elif new:
            blocks.append((name, new))
    head = "".join(text if text.endswith("\n") or not text else f"{text}\n" for _, text in blocks)
    _load(head)
    return f"---\n{head}---\n{rest}" if found or not rest else f"---\n{head}---\n\n{rest}"


def field_value(name: str, text: str) -> Any:
    """What `--set name=text` means: several values with commas, or one where the field takes several; nothing takes it away."""
    if not text:
        return None
    if "," in text or name in LISTS:
        return [part.strip() for part in text.split(",") if part.strip()]
    from cas_registry.operations.yaml_text import load_yaml  # noqa: PLC0415 - loads PyYAML

    value = load_yaml(text, what=f"the value of {name}") if re.fullmatch(r"[A-Za-z0-9.+-]+", text) else text
    return text if isinstance(value, Mapping | Sequence) and not isinstance(value, str) else value


def template(model: str) -> str:
    """A card to fill in, with the fields that Hugging Face knows."""
    return _TEMPLATE.replace("MODEL", model)


def _load(head: str) -> dict[str, Any]:
    from cas_registry.operations.yaml_text import load_yaml  # noqa: PLC0415 - loads PyYAML

    if len(head.encode("utf-8", "replace")) > MAX_FRONT_MATTER_BYTES:
        raise InvalidInputError(f"the front matter is longer than {MAX_FRONT_MATTER_BYTES:,} bytes")
    value = load_yaml(head, what="the front matter")
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInputError("the front matter holds no names with values")
    return {str(name): item for name, item in value.items()}


def _blocks(head: str) -> list[tuple[str | None, str]]:
    """The lines of a front matter by the field that they belong to: each from its name on to the line before the next one."""
    import yaml  # noqa: PLC0415 - the marks of nodes are wanted

    root = yaml.compose(head, Loader=yaml.SafeLoader)
    if root is None:
        return [(None, head)] if head else []
    if not isinstance(root, yaml.MappingNode) or root.flow_style:  # { a: 1, b: 2 } has no lines of its own for each
        return [(key, text) for key, text in _rewritten(head).items()]
    starts = [(key.start_mark.line, str(key.value)) for key, _ in root.value]
    lines = _LINE.findall(head)
    blocks: list[tuple[str | None, str]] = [(None, "".join(lines[: starts[0][0]]))] if starts and starts[0][0] else []
    for number, (line, key) in enumerate(starts):
        end = starts[number + 1][0] if number + 1 < len(starts) else len(lines)
        blocks.append((key, "".join(lines[line:end])))
    return blocks


def _rewritten(head: str) -> dict[str, str]:
    from cas_registry.operations.yaml_text import dump_yaml  # noqa: PLC0415 - loads PyYAML

    return {name: dump_yaml({name: value}) for name, value in _load(head).items()}


_TEMPLATE = """---
license: other            # an SPDX identifier such as apache-2.0 or mit; other
language: []              # ISO 639 codes, such as en
library_name:             # scikit-learn, transformers, xgboost, ...
pipeline_tag:             # what it does: text-classification, tabular-classification, ...
tags: []
datasets: []              # what it was trained on
metrics: []               # what it was measured by: roc_auc, accuracy, ...
base_model:               # what it was tuned from
model-index: []           # results: huggingface.co/docs/hub/model-cards
---

# MODEL

What it is, in one paragraph.

## Intended use

Who should use it, for what; and what it must not be used for.

## Training

Data, preprocessing, parameters. `reg show` has those that were recorded.

## Evaluation

On which data, by which metrics, with which results.

## Limits, bias and risks

Where it fails, and whom that may hurt.
"""
