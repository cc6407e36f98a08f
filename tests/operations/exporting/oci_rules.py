"""JSON schemas by the prose of the specifications, for what an export writes: ModelPack's spec.md and config.md
(github.com/modelpack/model-spec), the image specification's manifest.md, image-index.md, image-layout.md and descriptor.md."""

from typing import Any

_DIGEST = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_LIST = {"type": "array", "items": {"type": "string"}}
_KINDS = "weight|weight\\.config|doc|code|dataset"


def _descriptor(media_type: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["mediaType", "digest", "size"],
        "properties": {
            "mediaType": media_type,
            "digest": _DIGEST,
            "size": {"type": "integer", "minimum": 0},
            "annotations": _TEXTS,
            "artifactType": {"type": "string"},
            **more,
        },
        "additionalProperties": False,
    }


MANIFEST = {
    "type": "object",
    "required": ["schemaVersion", "mediaType", "artifactType", "config", "layers"],
    "properties": {
        "schemaVersion": {"const": 2},
        "mediaType": {"const": "application/vnd.oci.image.manifest.v1+json"},
        "artifactType": {"const": "application/vnd.cncf.model.manifest.v1+json"},
        "config": _descriptor({"const": "application/vnd.cncf.model.config.v1+json"}),
        "layers": {
            "type": "array",
            "minItems": 1,
            "items": _descriptor(
                {
                    "type": "string",
                    "pattern": rf"^application/vnd\.cncf\.model\.({_KINDS})\.v1\.(raw|tar|tar\+gzip|tar\+zstd)$",
                }
            ),
        },
        "annotations": _TEXTS,
    },
    "additionalProperties": False,
}
CONFIG = {
    "type": "object",
    "required": ["descriptor", "config", "modelfs"],
    "properties": {
        "descriptor": {
            "type": "object",
            "properties": {
                "createdAt": {"type": "string", "format": "date-time"},
                **{
                    name: {"type": "string", "minLength": 1}
                    for name in (
                        "vendor",
                        "family",
                        "name",
                        "version",
                        "title",
                        "description",
                        "docURL",
                        "sourceURL",
                        "revision",
                    )
                },
                **dict.fromkeys(("authors", "datasetsURL", "licenses"), _LIST),
            },
            "additionalProperties": False,
        },
        "config": {
            "type": "object",
            "properties": {
                **{name: {"type": "string"} for name in ("architecture", "format", "precision", "quantization")},
                "paramSize": {"type": "string", "pattern": "^[0-9]+(\\.[0-9])?[QTBMKqtbmk]$"},
                "capabilities": {"type": "object"},
            },
            "additionalProperties": False,
        },
        "modelfs": {
            "type": "object",
            "required": ["type", "diffIds"],
            "properties": {"type": {"const": "layers"}, "diffIds": {"type": "array", "items": _DIGEST, "minItems": 1}},
            "additionalProperties": False,
        },
    },
    "additionalProperties": False,
}
INDEX = {
    "type": "object",
    "required": ["schemaVersion", "manifests"],
    "properties": {
        "schemaVersion": {"const": 2},
        "mediaType": {"const": "application/vnd.oci.image.index.v1+json"},
        "manifests": {"type": "array", "items": _descriptor({"const": "application/vnd.oci.image.manifest.v1+json"})},
    },
    "additionalProperties": False,
}
LAYOUT = {"type": "object", "required": ["imageLayoutVersion"], "properties": {"imageLayoutVersion": {"const": "1.0.0"}}}
FILE_METADATA = {
    "type": "object",
    "required": ["name", "mode", "uid", "gid", "size", "mtime", "typeflag"],
    "properties": {
        "name": {"type": "string"},
        **{name: {"type": "integer", "minimum": 0} for name in ("mode", "uid", "gid", "size", "typeflag")},
        "mtime": {"type": "string", "format": "date-time"},
    },
    "additionalProperties": False,
}
