"""Repacking: the versions of models encoded anew, with better bases, at a higher level, in full packs. No id changes.

Everything is planned before anything is written: every lineage of tensors and every other chunk is read and tried, packs and maps are
measured, and where too little is gained nothing is written. Then new packs, new maps, and for each model one log entry that names its
remap table. Packs and maps of before stay: whoever reads by them goes on, and collection takes them some day. See docs/design/006-repack.md.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import accumulate, islice

from cas_registry.chunking import Piece
from cas_registry.codecs import encode_whole
from cas_registry.errors import InvalidInputError, RegistryError
from cas_registry.model.ids import CommitId, MapName
from cas_registry.model.maps import Located
from cas_registry.model.tensors import ElementType
from cas_registry.operations.lineages import Form, Member, plan_lineage
from cas_registry.operations.placing import write_hints
from cas_registry.operations.predecessors import EarlierFile, Predecessors
from cas_registry.operations.progress import Progress
from cas_registry.operations.remapping import Remapping, publish_maps
from cas_registry.operations.repack_ledger import Ledger
from cas_registry.operations.repack_writing import Measuring, Needs, Uploading, encoded, measured, write_maps, write_packs
from cas_registry.operations.tensor_index import decode_index
from cas_registry.operations.transfer import (
    GROUP_CHUNKS,
    GROUP_RAW_BYTES,
    GROUPS_IN_FLIGHT,
    fetch_group,
    map_ordered,
    worker_pool,
)
from cas_registry.operations.version_files import VersionFile, VersionFiles, list_files
from cas_registry.store.objects import ObjectStore
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores

DEFAULT_LEVEL = 9
MAX_LEVEL = 19
WORTH_SHARE = 0.01  # what must be gained of the bytes that the versions need,
WORTH_BYTES = 1024 * 1024  # or in all
PACK_STAYS = 0.95  # a full pack whose content would take more than this share of it again is not written anew
PACK_FULL = 0.5  # of the registry's pack size
_HINTS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class RepackRequest:
    """Which models to repack, who does it and when. `level` is zstd's, for what lies in no tensor (by default `DEFAULT_LEVEL`); a dry run writes nothing."""

    models: Sequence[str]
    who: str
    time_ms: int
    level: int | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class RepackReport:
    """What a repack did, or would do. `before` and `after` count the packs and maps that the current maps of the models' versions need.

    `written_bytes` are the new ones among them; `unreferenced_bytes` those that no current map of any model needs any more (they stay).
    `remapped` counts versions that have new maps, chunks are those written anew and those of them in another form than before. Not
    `worthwhile`: too little is gained, and nothing is written.
    """

    models: tuple[str, ...]
    versions: int
    remapped: int
    chunks: int
    moved_chunks: int
    reencoded_chunks: int
    packs_before: int
    packs_after: int
    bytes_before: int
    bytes_after: int
    written_bytes: int
    unreferenced_bytes: int
    worthwhile: bool
    dry_run: bool

    @property
    def gained_bytes(self) -> int:
        """What collection can free, less what was written."""
        return self.unreferenced_bytes - self.written_bytes


def repack(stores: Stores, request: RepackRequest, *, progress: Progress, executor: Executor | None = None) -> RepackReport:
    """Encode the versions of these models anew, together. Each model's versions then have their new maps at one stroke.

    Versions committed meanwhile keep their maps, and those that somebody else repacked meanwhile keep theirs. Raises NotFoundError for
    a model without versions, IntegrityError at the first thing that is damaged, OutcomeUnknownError, and what the store raises; the models
    that were not reached by then are as they were.
    """
    level = DEFAULT_LEVEL if request.level is None else request.level
    if not 1 <= level <= MAX_LEVEL:
        raise InvalidInputError(f"level is {level}: zstd's levels for this go from 1 to {MAX_LEVEL}")
    heads = {model: stores.refs(model).existing_head()[0] for model in dict.fromkeys(request.models)}
    versions = {model: list(stores.refs(model).versions(head)) for model, head in heads.items()}
    together = [version for found in versions.values() for version in found]
    with closing(Ledger()) as ledger, worker_pool(executor) as pool:
        _survey(stores.objects, ledger, together)
        _plan(stores.objects, ledger, pool, level, progress)
        before, elsewhere = Needs(), _elsewhere(stores, versions.keys())
        for version in together:
            before.add_version(stores.objects, version.map)
        full = stores.format.pack_bytes * PACK_FULL
        moved = ledger.decide_moves(PACK_STAYS, full, elsewhere.packs)
        roots: dict[MapName, MapName] = {}
        after = before
        if moved:
            sink = Measuring()
            write_packs(ledger, measured(ledger.moves()), stores.format.pack_bytes, sink)
            roots, after = write_maps(stores.objects, ledger, together, sink)
        report = _report(request, versions, ledger, roots, moved, before, after, elsewhere)
        if request.dry_run or not report.worthwhile:
            return report
        ledger.forget_places()
        roots, after = _write(stores, ledger, together, pool, level, progress)
        remapped = sum(
            publish_maps(
                stores,
                Remapping(model, {item.at: (item.map, roots[item.map]) for item in found if item.map in roots}, "repack"),
                stores.threats(heads[model].entry),
                who=request.who,
                time_ms=request.time_ms,
            )
            for model, found in versions.items()
        )
        if remapped:
            _leave_hints(stores, ledger)
        return replace(_report(request, versions, ledger, roots, moved, before, after, elsewhere), remapped=remapped)


def _elsewhere(stores: Stores, models: Iterable[str]) -> Needs:
    """What the versions of all other models need: it is not freed, whatever is done here."""
    needs = Needs()
    for model in sorted(stores.catalogue.models().keys() - set(models)):
        refs = stores.refs(model)
        head = refs.log.head()
        for version in refs.versions(head) if head else ():
            needs.add_version(stores.objects, version.map)
    return needs


def _survey(objects: ObjectStore, ledger: Ledger, versions: Sequence[Version]) -> None:
    """Enter every chunk, and which lineage it is of: that of its base, else of the same piece in the parent, or in the version before."""
    places = {version.commit: number for number, version in reversed(list(enumerate(versions)))}
    for number, version in enumerate(versions):
        files = [file for file in list_files(objects, version.tree)[0] if file.entry.size_bytes]
        maps = VersionFiles(objects, version.map)
        maps.prepare((file.entry, file.folder) for file in files)
        predecessors: Predecessors | None = None
        for file in files:
            identity = file.file_id
            if ledger.has_file(identity):
                continue
            row = maps.chunks(file.entry, file.folder)
            encoded_index = maps.encoded_index(file.entry, file.folder)
            if encoded_index is None:
                lines: Iterable[int | None] = (None for _ in row)
            else:
                if predecessors is None:
                    before = versions[_parent(objects, version.commit, places, number)] if number else None
                    predecessors = Predecessors(_earlier_files(objects, before) if before else ())
                lines = _lines(ledger, predecessors, file, row, encoded_index)
            numbers = [ledger.add_chunk(located, line) for located, line in zip(row, lines, strict=True)]
            ledger.add_file(identity, file.entry.size_bytes, numbers, encoded_index, maps.on_load(file.entry, file.folder))


def _parent(objects: ObjectStore, commit: CommitId, places: Mapping[CommitId, int], number: int) -> int:
    """The version that another most likely came from."""
    parents = objects.read_commit(commit).parents
    place = places.get(parents[0], number) if parents else number
    return place if place < number else number - 1


def _earlier_files(objects: ObjectStore, version: Version) -> list[EarlierFile]:
    files = [file for file in list_files(objects, version.tree)[0] if file.entry.size_bytes]
    maps = VersionFiles(objects, version.map)
    maps.prepare((file.entry, file.folder) for file in files)
    found: list[EarlierFile] = []
    for file in files:
        index = maps.index(file.entry, file.folder)
        if index is not None:
            found.append(EarlierFile(file.path, index, lambda file=file: maps.chunks(file.entry, file.folder)))  # type: ignore[misc]
    return found


def _lines(
    ledger: Ledger, predecessors: Predecessors, file: VersionFile, row: Sequence[Located], encoded_index: memoryview
) -> Iterator[int | None]:
    """The lineage of what each chunk resembles. Lazily: a chunk's lineage is known once it is entered."""
    find = predecessors.of_file(file.path, decode_index(encoded_index, size_bytes=file.entry.size_bytes))
    offsets = accumulate((located.placement.raw_bytes for located in row), initial=0)
    for located, offset in zip(row, offsets, strict=False):
        before = None
        if located.placement.element is not ElementType.NONE:
            before = find(Piece(memoryview(b""), offset, located.placement.element))
        yield ledger.line_of(before.placement.chunk) if before else None


def _plan(objects: ObjectStore, ledger: Ledger, executor: Executor, level: int, progress: Progress) -> None:
    """Decide on the form of every chunk, by trying."""
    _, total = ledger.count()
    done = 0

    def plan_lines(lines: Sequence[Sequence[Member]]) -> tuple[int, list[Form]]:
        forms = [form for members in lines for form in plan_lineage(members, lambda wanted: fetch_group(objects, wanted))]
        return sum(_raw_bytes(members) for members in lines), forms

    def plan_plain(group: Sequence[Member]) -> tuple[int, list[Form]]:
        data = fetch_group(objects, [member.located for member in group])
        forms: list[Form] = []
        for member, raw in zip(group, data, strict=True):
            placement = member.located.placement
            length = len(encode_whole(raw, ElementType.NONE, level=level)[1])
            forms.append(Form(member.number, None, min(length, placement.stored_bytes), length >= placement.stored_bytes))
        return _raw_bytes(group), forms

    for planner, work in ((plan_lines, _grouped(ledger.lineages())), (plan_plain, _grouped_plain(ledger.plain()))):
        for raw_bytes, forms in map_ordered(executor, planner, work, in_flight=GROUPS_IN_FLIGHT):  # type: ignore[arg-type]
            ledger.set_forms(forms)
            done += raw_bytes
            progress.update("plan", done, total)


def _raw_bytes(members: Iterable[Member]) -> int:
    return sum(member.located.placement.raw_bytes for member in members)


def _grouped(lines: Iterable[Sequence[Member]]) -> Iterator[list[Sequence[Member]]]:
    """Lineages of small tensors several at once."""
    group: list[Sequence[Member]] = []
    raw_bytes = 0
    for members in lines:
        group.append(members)
        raw_bytes += _raw_bytes(members)
        if raw_bytes > GROUP_RAW_BYTES:
            yield group
            group, raw_bytes = [], 0
    if group:
        yield group


def _grouped_plain(members: Iterator[Member]) -> Iterator[list[Member]]:
    group: list[Member] = []
    raw_bytes = 0
    for member in members:
        group.append(member)
        raw_bytes += member.located.placement.raw_bytes
        if raw_bytes > GROUP_RAW_BYTES or len(group) >= GROUP_CHUNKS:
            yield group
            group, raw_bytes = [], 0
    if group:
        yield group


def _write(
    stores: Stores, ledger: Ledger, versions: Sequence[Version], executor: Executor, level: int, progress: Progress
) -> tuple[dict[MapName, MapName], Needs]:
    """Store the packs, then the maps."""
    sink = Uploading(stores.objects, executor)
    total = ledger.moving_bytes()
    try:
        forms = encoded(stores.objects, executor, ledger.moves(), level, total, progress)
        write_packs(ledger, forms, stores.format.pack_bytes, sink)
        sink.finish()
    except BaseException:
        sink.abandon()
        raise
    return write_maps(stores.objects, ledger, versions, sink)


def _report(
    request: RepackRequest, versions: Mapping[str, Sequence[Version]], ledger: Ledger, roots: Mapping[MapName, MapName], moved: int,
    before: Needs, after: Needs, elsewhere: Needs,
) -> RepackReport:  # fmt: skip
    written = after.without(before)
    freed = before.without(after, elsewhere)
    gained = freed.size_bytes - written.size_bytes
    chunks, _ = ledger.count()
    return RepackReport(
        models=tuple(versions),
        versions=sum(map(len, versions.values())),
        remapped=sum(version.map in roots for found in versions.values() for version in found),
        chunks=chunks,
        moved_chunks=moved,
        reencoded_chunks=ledger.count_reencoded(),
        packs_before=len(before.packs),
        packs_after=len(after.packs),
        bytes_before=before.size_bytes,
        bytes_after=after.size_bytes,
        written_bytes=written.size_bytes,
        unreferenced_bytes=freed.size_bytes,
        worthwhile=gained > 0 and (gained >= WORTH_BYTES or gained >= before.size_bytes * WORTH_SHARE),
        dry_run=request.dry_run,
    )


def _leave_hints(stores: Stores, ledger: Ledger) -> None:
    hints = ledger.hints()
    try:
        while batch := dict(islice(hints, _HINTS_AT_ONCE)):
            write_hints(stores, batch)
    except RegistryError:
        return  # the repack is done; a hint that leads to an old map costs bytes some day
