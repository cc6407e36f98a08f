"""A run's file of W&B (`run-ID.wandb`): records of Protocol Buffers in a log of LevelDB's form.

The file begins with `:W&B`, 0xBEE1 and a version; then come blocks of 32 KiB of pieces, each with its CRC-32, length and kind (github.com/google/leveldb,
doc/log_format.md). The fields are those of W&B's wandb_internal.proto, which never changes the number of one.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cas_registry.errors import InvalidInputError
from cas_registry.formats.protobuf import Field, Messages, Wire
from cas_registry.formats.source import MalformedError, Window

_HEADER = struct.Struct("<4sHB")
_MAGIC = (b":W&B", 0xBEE1)
_PIECE = struct.Struct("<IHB")
_BLOCK_BYTES = 32 * 1024
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_CRC_OF_KIND = {kind: zlib.crc32(bytes([kind])) for kind in (_FULL, _FIRST, _MIDDLE, _LAST)}
_MAX_FIELDS = 5_000_000  # of one record: a manifest has some ten for each file
_MAX_TEXT_BYTES = 16 * 1024 * 1024
_SUMMARY, _CONFIG, _ARTIFACT, _RUN = 3, 5, 8, 17  # of Record
_RUN_TEXTS = {1: "id", 2: "entity", 3: "project", 8: "name", 9: "notes", 13: "host"}  # of RunRecord
_RUN_CONFIG, _RUN_SUMMARY, _RUN_TAG, _RUN_START, _RUN_GIT = 4, 5, 10, 17, 21
_FILES, _MANIFEST_FILE = 4, 5  # of ArtifactManifest
_VALUE = 16  # of the items of config and summary, as JSON


@dataclass(frozen=True, slots=True)
class LoggedFile:
    """A file of an artifact: its path there, the base64 of its MD5, where it was staged, and, of a reference, what it refers to."""

    path: str
    digest: str
    reference: str
    size_bytes: int
    local_path: str


@dataclass(frozen=True, slots=True)
class LoggedArtifact:
    """An artifact that a run logged. `algorithm` is that of the files' digests, "" where it is MD5."""

    type: str
    name: str
    digest: str
    description: str
    metadata: Mapping[str, Any]
    aliases: tuple[str, ...]
    client_id: str
    files: tuple[LoggedFile, ...]
    manifest_file: str
    tags: tuple[str, ...] = ()
    algorithm: str = ""


@dataclass(slots=True)
class LoggedRun:
    """What a run's file tells."""

    id: str = ""
    entity: str = ""
    project: str = ""
    name: str = ""
    notes: str = ""
    host: str = ""
    start_ms: int | None = None
    commit: str = ""
    repository: str = ""
    tags: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: list[LoggedArtifact] = field(default_factory=list)


def read_log(data: bytes, *, what: str) -> LoggedRun:
    """The run in a file. One that was cut off, as of a run that was killed, is read as far as it goes. InvalidInputError for other damage."""
    run = LoggedRun()
    try:
        for record in _records(data, what):
            for item in _Message(record).fields():
                _take(run, item)
    except (MalformedError, ValueError, struct.error) as error:
        raise InvalidInputError(f"{what} is damaged: {str(error)[:200]}") from error
    return run


def _records(data: bytes, what: str) -> Iterator[bytes]:
    if len(data) < _HEADER.size or _HEADER.unpack_from(data)[:2] != _MAGIC:
        raise InvalidInputError(f"{what} is no file of W&B's")
    position, parts = _HEADER.size, bytearray()
    while True:
        left = _BLOCK_BYTES - position % _BLOCK_BYTES
        if left < _PIECE.size:
            position += left  # padding
        if position + _PIECE.size > len(data):
            return
        checksum, length, kind = _PIECE.unpack_from(data, position)
        content = data[position + _PIECE.size : position + _PIECE.size + length]
        if len(content) < length:
            return
        if kind not in _CRC_OF_KIND or zlib.crc32(content, _CRC_OF_KIND[kind]) != checksum:
            raise InvalidInputError(f"{what} is damaged at byte {position:,}")
        position += _PIECE.size + length
        if kind in {_FULL, _FIRST}:
            parts = bytearray()
        parts += content
        if kind in {_FULL, _LAST}:
            yield bytes(parts)


class _Bytes:
    """Bytes as a source."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size_bytes(self) -> int:
        return len(self._data)

    def read(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]


class _Message:
    """A message as its fields: (number, value), where contents are bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def fields(self) -> Iterator[tuple[int, bytes | int]]:
        for item in Messages(Window(_Bytes(self._data)), _MAX_FIELDS).fields(0, len(self._data)):
            yield item.number, self._content(item)

    def first(self) -> dict[int, bytes | int]:
        """The last value of each field: of one that is not repeated, the one that counts."""
        return dict(self.fields())

    def _content(self, item: Field) -> bytes | int:
        return item.value if item.wire is Wire.VARINT else self._data[item.start : item.start + item.size_bytes]


def _take(run: LoggedRun, item: tuple[int, bytes | int]) -> None:
    number, content = item
    if not isinstance(content, bytes):
        return
    if number == _CONFIG:
        _update(run.config, content)
    elif number == _SUMMARY:
        _update(run.summary, content)
    elif number == _RUN:
        _take_run(run, content)
    elif number == _ARTIFACT:
        run.artifacts.append(_artifact(content))


def _take_run(run: LoggedRun, content: bytes) -> None:
    """A record of the run itself; a later one says only what changed."""
    tags = []
    for number, value in _Message(content).fields():
        if not isinstance(value, bytes):
            continue
        if number in _RUN_TEXTS:
            setattr(run, _RUN_TEXTS[number], _text(value))
        elif number == _RUN_CONFIG:
            _update(run.config, value)
        elif number == _RUN_SUMMARY:
            _update(run.summary, value)
        elif number == _RUN_TAG:
            tags.append(_text(value))
        elif number == _RUN_START:
            told = _Message(value).first()
            run.start_ms = _whole(told.get(1)) * 1000 + _whole(told.get(2)) // 1_000_000
        elif number == _RUN_GIT:
            told = _Message(value).first()
            run.repository, run.commit = _text(told.get(1, b"")), _text(told.get(2, b""))
    run.tags = tuple(tags) or run.tags


def _update(values: dict[str, Any], content: bytes) -> None:
    """Config and summary: what is set, and what is taken away."""
    for number, value in _Message(content).fields():
        if not isinstance(value, bytes) or number not in {1, 2}:
            continue
        keys, text = [], ""
        for part, inner in _Message(value).fields():
            if part in {1, 2} and isinstance(inner, bytes) and inner:
                keys.append(_text(inner))
            elif part == _VALUE and isinstance(inner, bytes):
                text = _text(inner)
        name = ".".join(keys)
        if number == 1:
            values[name] = json.loads(text) if text else None
        else:
            values.pop(name, None)


def _artifact(content: bytes) -> LoggedArtifact:
    found: dict[int, str] = {}
    aliases, tags, files = [], [], []
    manifest_file = ""
    for number, value in _Message(content).fields():
        if not isinstance(value, bytes):
            continue
        match number:
            case 11:
                aliases.append(_text(value))
            case 19:
                tags.append(_text(value))
            case 12:
                for part, inner in _Message(value).fields():
                    if part == _FILES and isinstance(inner, bytes):
                        files.append(_file(inner))
                    elif part == _MANIFEST_FILE and isinstance(inner, bytes):
                        manifest_file = _text(inner)
            case 4 | 5 | 6 | 7 | 8 | 15 | 20:
                found[number] = _text(value)
            case _:
                pass
    metadata = json.loads(found[8]) if found.get(8) else {}
    return LoggedArtifact(
        type=found.get(4, ""),
        name=found.get(5, ""),
        digest=found.get(6, ""),
        description=found.get(7, ""),
        metadata=metadata if isinstance(metadata, dict) else {},
        aliases=tuple(aliases),
        client_id=found.get(15, ""),
        files=tuple(files),
        manifest_file=manifest_file,
        tags=tuple(tags),
        algorithm=found.get(20, "").removeprefix("MANIFEST_").removesuffix("MD5"),
    )


def _file(content: bytes) -> LoggedFile:
    told = _Message(content).first()
    return LoggedFile(
        _text(told.get(1, b"")), _text(told.get(2, b"")), _text(told.get(3, b"")), _whole(told.get(4)), _text(told.get(6, b""))
    )  # fmt: skip


def _text(value: bytes | int) -> str:
    if not isinstance(value, bytes) or len(value) > _MAX_TEXT_BYTES:
        raise MalformedError("a text of another kind")
    return value.decode("utf-8")


def _whole(value: bytes | int | None) -> int:
    return value if isinstance(value, int) else 0
