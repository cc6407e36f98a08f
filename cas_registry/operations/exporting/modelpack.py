"""ModelPack: what a version is called in an OCI artifact (github.com/modelpack/model-spec, docs/spec.md, config.md and annotations.md).

Each file is a layer of its own, as it is: a layer's digest is then the file's SHA-256, equal files are one blob, and who reads one file
unpacks nothing. Values and their bytes; no files are touched here.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import PurePosixPath
from typing import Any

from cas_registry.model.commit import Commit
from cas_registry.model.tensors import ElementType
from cas_registry.operations.exporting.record import clean, moment, rfc3339
from cas_registry.operations.tensors import StoredTensor
from cas_registry.store.refs import Version

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT_TYPE = "application/vnd.cncf.model.manifest.v1+json"
CONFIG_TYPE = "application/vnd.cncf.model.config.v1+json"
FILE_PATH = "org.cncf.model.filepath"
FILE_METADATA = "org.cncf.model.file.metadata+json"
UNTESTED = "org.cncf.model.file.mediatype.untested"
BLAKE3 = "cas-registry.blake3"  # of a layer: the file's id in the registry
COMMIT = "cas-registry.commit"  # of a manifest: which version it is of
_KINDS = ("weight", "weight.config", "doc", "code", "dataset")
_WEIGHT, _CONFIG, _DOC, _CODE, _DATASET = (f"application/vnd.cncf.model.{kind}.v1.raw" for kind in _KINDS)
BIG_FILE_BYTES = 1024 * 1024  # a file of an unknown kind is taken for weights from here on, below for configuration
_SUFFIXES = {
    _WEIGHT: "safetensors bin pt pth ckpt onnx onnx_data gguf ggml h5 hdf5 keras pb tflite msgpack npz npy pkl pickle joblib ubj xgb bst "
    "cbm lgb skops model mlmodel ot params weights engine plan pdparams pdmodel zarr orbax ann",
    _CONFIG: "json yaml yml toml ini cfg conf config txt jinja tiktoken spm vocab",
    _DOC: "md rst pdf html png jpg jpeg svg gif",
    _CODE: "py ipynb sh r jl c cc cpp h cu js ts java go rs lua",
    _DATASET: "csv tsv parquet arrow jsonl avro orc",
}
_BY_SUFFIX = {suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
_DOCUMENTS = ("readme", "license", "licence", "notice", "copying", "changelog", "model_card")
_BY_NAME = {"tokenizer.model": _CONFIG, "mlmodel": _CONFIG, "requirements.txt": _CODE, "dockerfile": _CODE}
_FORMATS = {"safetensors": "safetensors", "onnx": "onnx", "gguf": "gguf", "pt": "pt", "pth": "pt", "bin": "pt", "keras": "keras", "h5": "hdf5"}  # fmt: skip
_PRECISIONS = {
    ElementType.F32: "float32", ElementType.F64: "float64", ElementType.F16: "float16", ElementType.BF16: "bfloat16",
    ElementType.F8_E4M3: "float8_e4m3", ElementType.F8_E5M2: "float8_e5m2", ElementType.C64: "complex64",
    ElementType.C128: "complex128", ElementType.I8: "int8", ElementType.I16: "int16", ElementType.I32: "int32",
    ElementType.I64: "int64", ElementType.U8: "uint8", ElementType.U16: "uint16", ElementType.U32: "uint32",
    ElementType.U64: "uint64", ElementType.BOOL: "bool",
}  # fmt: skip
_RARE = 100  # an element type of fewer than one element in so many is a buffer's, not the model's
_SCALES = ((10**15, "Q"), (10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K"))


@dataclass(frozen=True, slots=True)
class Layer:
    """A file of an artifact. `digest` is the SHA-256 of its bytes in hex, `identity` the file's id in the registry, None of a made one."""

    path: str
    media_type: str
    tested: bool
    size_bytes: int
    executable: bool
    digest: str
    identity: str | None


@dataclass(frozen=True, slots=True)
class Weights:
    """What the tensors of a version are, all together."""

    paths: frozenset[str] = frozenset()
    precision: str | None = None
    param_size: str | None = None


def weigh(tensors: Iterable[StoredTensor]) -> Weights:
    """Which files have tensors, of which types, and how many elements."""
    paths: set[str] = set()
    elements: Counter[ElementType] = Counter()
    for found in tensors:
        paths.add(found.path)
        elements[found.tensor.element] += prod(found.tensor.shape)
    total = sum(elements.values())
    names = [
        _PRECISIONS[element]
        for element, count in elements.most_common()
        if element in _PRECISIONS and count and count * _RARE >= total
    ]
    return Weights(frozenset(paths), ",".join(names) or None, param_size(total))


def param_size(count: int) -> str | None:
    """`6.7B`: a count with one of the specification's prefixes, rounded down. None below a thousand, which has none."""
    for scale, prefix in _SCALES:
        if count >= scale:
            tenths = count * 10 // scale
            return f"{tenths // 10}{prefix}" if tenths % 10 == 0 else f"{tenths // 10}.{tenths % 10}{prefix}"
    return None


def media_type(path: str, size_bytes: int) -> str:
    """What kind of file it seems to be, by its name, else by its size."""
    name = PurePosixPath(path).name.lower()
    if name in _BY_NAME:
        return _BY_NAME[name]
    if name.startswith(_DOCUMENTS):
        return _DOC
    by_suffix = _BY_SUFFIX.get(name.rpartition(".")[2]) if "." in name else None
    return by_suffix or (_WEIGHT if size_bytes >= BIG_FILE_BYTES else _CONFIG)


def tensor_file_type() -> str:
    """The kind of a file in which tensors were found."""
    return _WEIGHT


def encode_config(
    version: Version, commit: Commit, weights: Weights, layers: Sequence[Layer], licenses: Sequence[str]
) -> bytes:
    """The configuration object: general facts, technical ones, and the layers' digests in their order."""
    found = moment(commit.time_ms)
    code = commit.code
    descriptor = {
        "createdAt": rfc3339(found) if found else None,
        "authors": [commit.author] if commit.author else None,
        "name": version.model,
        "version": f"v{version.number}",
        "description": commit.message or None,
        "sourceURL": _text(code.get("repository")),
        "revision": _text(code.get("commit")),
        "datasetsURL": [item.uri for item in commit.inputs if item.uri],
        "licenses": list(licenses),
    }
    technical = {"format": _format(layers), "paramSize": weights.param_size, "precision": weights.precision}
    return encode(
        {
            "descriptor": clean({name: value for name, value in descriptor.items() if value}),
            "config": {name: value for name, value in technical.items() if value},
            "modelfs": {"type": "layers", "diffIds": [f"sha256:{layer.digest}" for layer in layers]},
        }
    )


def encode_manifest(version: Version, commit: Commit, config: tuple[str, int], layers: Sequence[Layer]) -> bytes:
    """The manifest, given digest and size of its configuration object."""
    digest, size_bytes = config
    found = moment(commit.time_ms)
    annotations = {
        COMMIT: version.commit.hex,
        "cas-registry.tree": version.tree.hex,
        "org.opencontainers.image.title": version.model,
        "org.opencontainers.image.version": f"v{version.number}",
        **({"org.opencontainers.image.created": rfc3339(found)} if found else {}),
    }
    return encode(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": ARTIFACT_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "digest": f"sha256:{digest}", "size": size_bytes},
            "layers": [_layer(layer, commit) for layer in layers],
            "annotations": annotations,
        }
    )


def encode(document: Mapping[str, Any]) -> bytes:
    """JSON of one spelling: keys sorted, nothing between them."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _layer(layer: Layer, commit: Commit) -> dict[str, Any]:
    found = moment(commit.time_ms)
    metadata = {
        "name": PurePosixPath(layer.path).name,
        "mode": 0o755 if layer.executable else 0o644,
        "uid": 0,
        "gid": 0,
        "size": layer.size_bytes,
        "mtime": rfc3339(found) if found else "1970-01-01T00:00:00Z",
        "typeflag": ord("0"),
    }
    return {
        "mediaType": layer.media_type,
        "digest": f"sha256:{layer.digest}",
        "size": layer.size_bytes,
        "annotations": {
            FILE_PATH: layer.path,
            FILE_METADATA: json.dumps(metadata, separators=(",", ":"), ensure_ascii=False),
            UNTESTED: "false" if layer.tested else "true",
            **({BLAKE3: layer.identity} if layer.identity else {}),
        },
    }


def _format(layers: Sequence[Layer]) -> str | None:
    """The format of most bytes of weights."""
    sizes: Counter[str] = Counter()
    for layer in layers:
        found = _FORMATS.get(layer.path.lower().rpartition(".")[2])
        if layer.media_type == _WEIGHT and found:
            sizes[found] += layer.size_bytes
    return sizes.most_common(1)[0][0] if sizes else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
