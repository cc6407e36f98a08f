"""What goes into an export: the files and folders of a version, and files that are made for it; and the files' bytes, verified."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from cas_registry.backends.wrappers import CountingBackend
from cas_registry.codecs import Buffer
from cas_registry.errors import InvalidInputError
from cas_registry.model.maps import Located
from cas_registry.model.names import fold
from cas_registry.operations.file_writer import verified_chunks
from cas_registry.operations.progress import Progress
from cas_registry.operations.transfer import fetch_chunks
from cas_registry.operations.version_files import VersionFile, list_files, locate_files
from cas_registry.store.objects import ObjectStore
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores


@dataclass(frozen=True, slots=True)
class Contents:
    """The files of a version sorted by path, its folders likewise, and the bytes of `made` files by path, which are no version's."""

    files: tuple[VersionFile, ...]
    folders: tuple[str, ...]
    made: Mapping[str, bytes]

    @property
    def sizes(self) -> dict[str, int]:
        """How many bytes each file of the export has, sorted by path."""
        found = {file.path: file.entry.size_bytes for file in self.files}
        found.update((path, len(data)) for path, data in self.made.items())
        return dict(sorted(found.items()))


def read_contents(stores: Stores, version: Version) -> Contents:
    """What a version holds; nothing is made yet."""
    files, folders = list_files(stores.objects, version.tree)
    return Contents(tuple(files), tuple(folders), {})


def with_made(contents: Contents, made: Mapping[str, bytes]) -> Contents:
    """The same with more made files, right in the root or in folders that the version has not. InvalidInputError where the version has a file or folder of such a name."""
    taken = {fold(path.partition("/")[0]) for path in (*(file.path for file in contents.files), *contents.folders)}
    for path in made:
        if fold(path) in taken:
            raise InvalidInputError(
                f"the version has a {path} of its own, so none can be written beside its files; export it without", path=path
            )
    return Contents(contents.files, contents.folders, {**contents.made, **made})


class FileStream:
    """The bytes of a version's files, one file after another, fetched ahead by threads. Not thread-safe."""

    def __init__(self, stores: Stores, version: Version, progress: Progress) -> None:
        self._stores = stores
        self._version = version
        self._progress = progress
        self._counted = CountingBackend(stores.backend)

    @property
    def fetched_bytes(self) -> int:
        """What was read from packs, as it is stored."""
        return self._counted.bytes_in

    def read(self, files: Sequence[VersionFile], pool: Executor) -> Iterator[tuple[VersionFile, Iterator[Buffer]]]:
        """Each file with its bytes, which must be taken before the next file is asked for.

        Every part is verified before it is given, and the whole once the last part is taken: IntegrityError where the parts do not make
        up the file.
        """
        rows: dict[str, tuple[Located, ...]] = {file.path: () for file in files}
        if any(file.entry.size_bytes for file in files):
            rows = locate_files(self._stores.objects, self._version.map, files)
        chunks = fetch_chunks(ObjectStore(self._counted), pool, (row for file in files for row in rows[file.path]))
        total_bytes = sum(file.entry.size_bytes for file in files)
        done_bytes = 0
        for file in files:
            yield file, verified_chunks(file, chunks, len(rows[file.path]))
            done_bytes += file.entry.size_bytes
            self._progress.update("write", done_bytes, total_bytes)
