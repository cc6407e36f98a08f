"""Making a registry: probe the store, then write its first entry and its format."""

import secrets

from cas_registry.backends import Backend
from cas_registry.backends.probe import RACERS, ProbeReport, probe_create
from cas_registry.backends.wrappers import SingleWriterBackend
from cas_registry.errors import AlreadyExistsError, BackendError, InvalidInputError
from cas_registry.model.registry_format import DEFAULT_CHUNK_BYTES, RegistryFormat, chunking_around
from cas_registry.operations.transfer import worker_pool
from cas_registry.store.layout import FORMAT_KEY
from cas_registry.store.stores import Stores, create_stores

MIN_AVG_CHUNK_BYTES = 4 * 1024
MAX_AVG_CHUNK_BYTES = 4 * 1024 * 1024


def create_registry(
    backend: Backend, *, time_ms: int, who: str, single_writer: bool = False, chunk_bytes: int = DEFAULT_CHUNK_BYTES
) -> Stores:
    """Make a registry at `backend`. AlreadyExistsError if there is one; BackendError if the store is not fit for sharing."""
    if chunk_bytes & (chunk_bytes - 1) or not MIN_AVG_CHUNK_BYTES <= chunk_bytes <= MAX_AVG_CHUNK_BYTES:
        raise InvalidInputError(f"chunk_bytes is a power of two from {MIN_AVG_CHUNK_BYTES:,} to {MAX_AVG_CHUNK_BYTES:,}")
    if backend.get_many([FORMAT_KEY], length=1) != [None]:
        raise AlreadyExistsError(f"there is a registry at {backend.url} already", url=backend.url)
    report = probe_store(backend)
    if single_writer and not report.safe_for_shared_writing:
        report = probe_create(SingleWriterBackend(backend))
    if not report.safe_for_shared_writing:
        raise BackendError(
            f"{backend.url} does not honour create-if-absent ({describe_probe(report)}): two writers would overwrite each other. "
            "Use another store, or promise that one process writes at a time with --single-writer",
            url=backend.url,
        )
    registry_format = RegistryFormat(
        registry=secrets.token_hex(16), created_ms=time_ms, chunking=chunking_around(chunk_bytes), single_writer=single_writer
    )
    return create_stores(backend, registry_format, who=who)


def probe_store(backend: Backend) -> ProbeReport:
    """Ask the store whether creation is safe: a double create, and a race."""
    with worker_pool(threads=RACERS) as pool:
        return probe_create(backend, executor=pool)


def describe_probe(report: ProbeReport) -> str:
    """What the probe saw, in words."""
    if not report.second_create_refused:
        return "a second create of one key was accepted"
    if report.winners != 1:
        return f"{report.winners} of {report.racers} racing creates won"
    return "what was created did not read back" if not report.reads_back else "one winner, clashes refused"
