"""A lineage as OpenLineage run events (https://openlineage.io, core schema 2-0-2): one for each version, oldest first.

A version is a dataset of the registry, named by its model, with the commit's id as its dataset version; committing it is the run that
wrote it, whose id is made from the commit's, so that whoever tells of it again tells of the same run.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

from cas_registry.model.commit import Commit
from cas_registry.operations.origins import Lineage, Relation, SourceNode, VersionNode
from cas_registry.version import __version__

_PRODUCER = f"https://pypi.org/project/cas-registry/{__version__}"
_SPEC = "https://openlineage.io/spec"
_RUN_EVENT = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
_VERSION_FACET = f"{_SPEC}/facets/1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet"
_TEXT_FACET = f"{_SPEC}/facets/1-1-0/DocumentationDatasetFacet.json#/$defs/DocumentationDatasetFacet"
_CODE_FACET = f"{_SPEC}/facets/1-1-0/SourceCodeLocationJobFacet.json#/$defs/SourceCodeLocationJobFacet"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

Event = Mapping[str, object]


def run_events(lineage: Lineage, registry: str) -> list[Event]:
    """The runs that wrote the versions of a lineage. `registry` is the URL that they are in. Versions that are only named have none."""
    versions = [node for node in lineage.nodes.values() if isinstance(node, VersionNode) and node.commit is not None]
    versions.sort(key=lambda node: (node.commit.time_ms if node.commit else 0, node.number or 0))
    return [_event(lineage, node, node.commit, registry) for node in versions if node.commit is not None]


def _event(lineage: Lineage, node: VersionNode, commit: Commit, registry: str) -> Event:
    sources = [lineage.nodes[edge.source] for edge in lineage.above(node.key) if edge.relation is not Relation.CONTENT]
    return {
        "eventTime": _moment(commit.time_ms),
        "eventType": "COMPLETE",
        "producer": _PRODUCER,
        "schemaURL": _RUN_EVENT,
        "run": {"runId": str(uuid5(NAMESPACE_URL, f"{registry}#{node.id.hex}")), "facets": {}},
        "job": {"namespace": registry, "name": f"commit {commit.log}", "facets": _code(commit)},
        "inputs": [_dataset(source, registry) for source in sources],
        "outputs": [_dataset(node, registry)],
    }


def _dataset(node: VersionNode | SourceNode, registry: str) -> Event:
    if isinstance(node, VersionNode):
        facets = _version(node.id.hex)
        if node.commit is not None and node.commit.message:
            facets["documentation"] = {**_facet(_TEXT_FACET), "description": node.commit.message}
        return {"namespace": registry, "name": node.model, "facets": facets}
    namespace, name = _located(node.uri)
    return {"namespace": namespace, "name": name, "facets": _version(node.digest) if node.digest else {}}


def _located(uri: str) -> tuple[str, str]:
    """Namespace and name, as OpenLineage names datasets: `s3://bucket` and `path`; of a path on a machine `file` and the path."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return "unknown", uri
    if not parts.scheme:
        return "file", uri
    namespace = f"{parts.scheme}://{parts.netloc}" if parts.netloc else parts.scheme
    return namespace, uri.removeprefix(namespace).lstrip("/:") or "/"


def _version(text: str) -> dict[str, object]:
    return {"version": {**_facet(_VERSION_FACET), "datasetVersion": text}}


def _code(commit: Commit) -> Event:
    """Where the code was, if that is known by a URL: the facet demands one of HTTP."""
    repository, version = commit.code.get("repository"), commit.code.get("commit")
    if not isinstance(repository, str) or not isinstance(version, str) or not repository.startswith(("https://", "http://")):
        return {}
    branch = commit.code.get("branch")
    location = {"type": "git", "url": repository, "repoUrl": repository, "version": version}
    return {
        "sourceCodeLocation": {**_facet(_CODE_FACET), **location, **({"branch": branch} if isinstance(branch, str) else {})}
    }


def _facet(schema: str) -> dict[str, object]:
    return {"_producer": _PRODUCER, "_schemaURL": schema}


def _moment(time_ms: int) -> str:
    try:
        moment = _EPOCH + timedelta(milliseconds=time_ms)
    except OverflowError:
        moment = _LATEST
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
