"""Objects of frameworks in and out of a model's versions."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cas_registry.errors import FormatError, InvalidInputError, NotFoundError
from cas_registry.face.contents import Contents
from cas_registry.face.world import AnyPath
from cas_registry.model.canonical import Scalar
from cas_registry.model.inputs import Input
from cas_registry.model.schema import Schema
from cas_registry.operations.progress import Progress
from cas_registry.store.refs import Version

if TYPE_CHECKING:
    from cas_registry.model.manifest import Manifest, SavedObject
    from cas_registry.operations.commit import CommitReport

_SCRATCH = "cas_registry-"  # what folders begin with that are there for one save or load


class Objects(Contents):
    """Objects of frameworks: saved as a version, loaded from one."""

    def save(
        self,
        obj: object = None,
        /,
        *,
        branch: str = "main",
        message: str = "",
        params: Mapping[str, Scalar] | None = None,
        metrics: Mapping[str, Scalar] | None = None,
        labels: Mapping[str, Scalar] | None = None,
        inputs: Mapping[str, str] | Iterable[Input | str] = (),
        schema: Schema | None = None,
        extra_files: AnyPath | Sequence[AnyPath] = (),
        extra_metadata: Mapping[str, Any] | None = None,
        X_train: object = None,  # noqa: N803 - as everybody calls it
        y_train: object = None,
        allow_pickle: bool = False,
        options: Mapping[str, Any] | None = None,
        capture: bool = True,
        tags: Iterable[str] = (),
        base: str | None = None,
        expect: str | None = None,
        author: str | None = None,
        sign: bool = False,
        key: AnyPath | None = None,
        progress: Progress | None = None,
        **objects: object,
    ) -> CommitReport:
        """Commit an object of a framework, in that framework's own safest format; or several by name: `save(model=clf, explainer=ex)`.

        One object lies in the version's own folder, as its framework would have written it; several lie in a folder of their name each. `cas-model.json` beside
        them says what they are (docs/frameworks.md lists what is known). Where a framework's safe format does not cover the object,
        InvalidInputError says what stands in the way; with `allow_pickle` a pickle is written then. `options` are the framework's own (docs/frameworks.md).

        Hyper-parameters go to the params, under those that are given. Of `X_train` and `y_train` shapes, names, types, ranges and counts of labels are told, never
        a row. `extra_files` lie beside the objects, each under its own name; `extra_metadata` is any JSON, kept in `cas-model.json`.
        The rest is as in `commit`, whose report this returns; the objects are written to a temporary folder, which is gone afterwards.
        """
        from cas_registry.frameworks.loading import DEFAULT_NAME
        from cas_registry.frameworks.saving import SaveRequest, write_objects

        if obj is not None and DEFAULT_NAME in objects:
            raise InvalidInputError(f"two objects called {DEFAULT_NAME!r}: name both")
        named = {**({} if obj is None else {DEFAULT_NAME: obj}), **objects}
        if not named:
            raise InvalidInputError("nothing to save: give an object, or several by name")
        request = SaveRequest(named, allow_pickle, X_train, y_train, extra_metadata or {}, options or {})
        extras = [extra_files] if isinstance(extra_files, (str, PathLike)) else list(extra_files)
        with tempfile.TemporaryDirectory(prefix=_SCRATCH, ignore_cleanup_errors=True) as scratch:
            folder = Path(scratch)
            written = write_objects(request, folder)
            return self.commit(
                [*sorted(folder.iterdir()), *extras],
                branch=branch,
                message=message,
                params={**written.params, **(params or {})},
                metrics=metrics,
                labels=labels,
                framework=written.framework,
                inputs=inputs,
                schema=schema or written.schema,
                capture=capture,
                tags=tags,
                base=base,
                expect=expect,
                author=author,
                sign=sign,
                key=key,
                progress=progress,
            )

    def load(
        self,
        revision: str = "main",
        name: str | None = None,
        *,
        allow_pickle: bool = False,
        trust: Iterable[str] = (),
        folder: AnyPath | None = None,
        options: Mapping[str, Any] | None = None,
        verify: bool | None = None,
        cache: bool = True,
        progress: Progress | None = None,
    ) -> Any:
        """The object that `save` put into a version; of several the one of that name, or the one called `model`.

        Nothing is unpickled without `allow_pickle`: UnsafeFileError names the file, before any of it is fetched. `trust` are full names of types
        that skops and others may make (`numpy.dtype`), beyond those that they trust themselves. Under other versions of the libraries than the object was saved
        with, FrameworkVersionWarning has both. Only the object's files are checked out, into a temporary folder that is gone afterwards; with `folder` they
        go there and stay. With `verify` the version is one that `Model.verify` accepts. `options` are the framework's own (docs/frameworks.md).

        A version that was not saved so is loaded if its files say what they are. Raises NotFoundError, UnsupportedFormatError (saved by an adapter that is not
        here), InvalidInputError (a library is missing).
        """
        from cas_registry.frameworks.adapter import LoadOptions
        from cas_registry.frameworks.loading import check_object, choose_object, load_object, recognize_object

        version, _ = self._chosen(revision, verify=self._world.verify if verify is None else verify, lock=None)
        what = f"{version.model}@{version.commit.short}"
        wanted = LoadOptions(allow_pickle, tuple([trust] if isinstance(trust, str) else trust), options or {})
        manifest = self._manifest(version)
        if manifest is None:
            stored = recognize_object([file.path for file in self.files(_exactly(version))], what=what)
        else:
            found, stored = choose_object(manifest.objects, name, what=what)
            what = f"{found} of {what}"
        adapter = check_object(stored, wanted, what=what, warn_level=2)
        if folder is not None:
            self._place(version, stored, Path(fspath(folder)), transient=False, cache=cache, progress=progress)
            return load_object(adapter, stored, Path(fspath(folder)), wanted)
        if adapter.keeps_files:
            raise InvalidInputError(
                f"{what} goes on using its files: say where they shall stay, as in load(..., folder='serve')"
            )
        with tempfile.TemporaryDirectory(prefix=_SCRATCH, ignore_cleanup_errors=True) as scratch:
            self._place(version, stored, Path(scratch), transient=True, cache=cache, progress=progress)
            return load_object(adapter, stored, Path(scratch), wanted)

    def manifest(self, revision: str = "main") -> Manifest:
        """What `save` wrote down of a version: its objects by name (class, framework, format, whether loading needs pickle, versions), the data that they were
        trained on, and `extra_metadata`. NotFoundError for a version that was not made by it."""
        version = self.resolve(revision)
        found = self._manifest(version)
        if found is None:
            raise NotFoundError(f"{version.model}@{version.commit.short} was not saved as an object (Model.save)")
        return found

    def _manifest(self, version: Version) -> Manifest | None:
        from cas_registry.model.manifest import MANIFEST, MAX_MANIFEST_BYTES, decode_manifest

        entry = self._stores.objects.read_tree(version.tree).get(MANIFEST)
        if entry is None or entry.is_folder:
            return None
        if entry.size_bytes > MAX_MANIFEST_BYTES:
            raise FormatError(f"{MANIFEST} of {entry.size_bytes:,} bytes is over the limit of {MAX_MANIFEST_BYTES:,}")
        return decode_manifest(self.read_bytes(_exactly(version), MANIFEST))

    def _place(
        self, version: Version, stored: SavedObject, target: Path, *, transient: bool, cache: bool, progress: Progress | None
    ) -> None:
        """Check out an object's files."""
        self._fill(
            self._into(version, target, patterns=stored.paths), branch=None, remember=False, cached=cache and self._is_remote,
            transient=transient, progress=progress,
        )  # fmt: skip


def _exactly(version: Version) -> str:
    """The revision that names this very version."""
    return f"{version.model}@{version.commit.hex}"
