"""A version as a plain folder, with what is made for it beside its files, and nothing else.

Files that are there already stay, so a run that was stopped goes on, and a second one changes nothing. Whatever else stands in the folder would
be taken for a part of the version by its readers, and is refused.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from cas_registry.errors import ConflictError, LocalEditsError
from cas_registry.operations.checkout import CheckoutRequest, FolderTools, checkout_version, plan_checkout
from cas_registry.operations.exporting.aside import disk_errors, write_whole
from cas_registry.operations.exporting.contents import Contents
from cas_registry.store.refs import Version
from cas_registry.store.stores import Stores
from cas_registry.worktree.scan import TEMPORARY_PREFIX

MAX_MADE_BYTES = 64 * 1024 * 1024  # more than any made file has: what is longer is not one
_LISTED = 5


def export_folder(
    stores: Stores, version: Version, folder: Path, contents: Contents, tools: FolderTools, *,
    may_renew: Callable[[str, bytes], bool], force: bool, dry_run: bool,
) -> tuple[frozenset[str], int]:  # fmt: skip
    """Make the folder hold the contents; which paths were written (or would be, in a dry run), and how many bytes were fetched.

    A made file that holds something else is replaced where `may_renew` says so of its path and bytes. ConflictError where the folder holds
    what is not of the version, LocalEditsError where it holds files of these names with other bytes, unless `force`: those are replaced
    then, and whatever else is there stays. Nothing is changed before all that is known.
    """
    if not force:
        _refuse_others(folder, contents)
    made = _changed_made(folder, contents, may_renew, force=force)
    request = CheckoutRequest(version, folder, force=force)
    if dry_run:
        return frozenset((*plan_checkout(stores, request, tools).write, *made)), 0
    report = checkout_version(stores, request, tools)
    for path, data in made.items():
        write_whole(folder / path, data)
    return frozenset((*report.written, *made)), report.fetched_bytes


def _refuse_others(folder: Path, contents: Contents) -> None:
    around = (parent.as_posix() for path in contents.made for parent in PurePosixPath(path).parents)
    wanted = {*(file.path for file in contents.files), *contents.folders, *contents.made, *around}
    others = [path for path in _walk(folder) if path not in wanted]
    if others:
        more = f" and {len(others) - _LISTED:,} more" if len(others) > _LISTED else ""
        raise ConflictError(
            f"{folder} holds what is not of this version: {', '.join(sorted(others)[:_LISTED])}{more}. Export into a folder of its own, "
            "or give --force to leave that beside the version",
            paths=sorted(others),
        )


def _walk(folder: Path) -> Iterator[str]:
    """Everything below a folder, links not followed; files of a run that was stopped are not counted."""
    with disk_errors("list", folder):
        for parent, folders, files in os.walk(folder):
            inside = Path(parent).relative_to(folder)
            for name in (*folders, *files):
                if not name.startswith(TEMPORARY_PREFIX):
                    yield (inside / name).as_posix()


def _changed_made(
    folder: Path, contents: Contents, may_renew: Callable[[str, bytes], bool], *, force: bool
) -> dict[str, bytes]:
    """The made files that are not there as they should be. LocalEditsError for those that hold somebody's own bytes."""
    changed: dict[str, bytes] = {}
    edits: list[str] = []
    for path, data in contents.made.items():
        found = _read(folder / path, at_most=MAX_MADE_BYTES)
        if found == data:
            continue
        changed[path] = data
        if found is not None and not force and not may_renew(path, found):
            edits.append(path)
    if edits:
        raise LocalEditsError(
            f"{folder} has {', '.join(edits)} with other contents than the export's; nothing was changed. Move it, or give --force",
            paths=edits,
        )
    return changed


def _read(path: Path, *, at_most: int) -> bytes | None:
    """The bytes of a file, at most so many; None where there is none. A link or a folder in its place is somebody's own."""
    if path.is_symlink() or path.is_dir():
        raise LocalEditsError(f"{path} is no file; remove it first", paths=[path.name])
    if not path.exists():
        return None
    with disk_errors("read", path), path.open("rb") as file:
        return file.read(at_most)
