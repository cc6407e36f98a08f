"""The `.reg` folder: which registry and model a working folder belongs to, and which version it holds.

`.reg/config.toml` is for people (registry, model, storage options that are no secrets); `.reg/state.json` for this program.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cas_registry.errors import AccessError, FormatError, InvalidInputError
from cas_registry.model.ids import TreeId
from cas_registry.worktree.target import PRIVATE_FOLDER as FOLDER
from cas_registry.worktree.target import TargetFolder

CONFIG = "config.toml"
STATE = "state.json"
_SECRET_OPTION = re.compile(r"(?i)secret|token|password|passwd|credential|^key$|access_key|account_key|sas")


@dataclass(frozen=True, slots=True)
class Binding:
    """What `.reg/config.toml` says."""

    registry: str
    model: str | None = None
    storage_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FolderState:
    """What a folder last held: `tree` of `commit`; `pending` are the trees of checkouts since then that did not finish."""

    registry: str
    model: str
    folder: str
    commit: str
    tree: TreeId
    pending: tuple[TreeId, ...] = ()
    branch: str | None = None

    @property
    def trees(self) -> tuple[TreeId, ...]:
        """The versions that the folder may hold files of, the one of `commit` first."""
        return (self.tree, *self.pending)


def find_bound_folder(start: Path) -> Path | None:
    """The nearest folder at or above `start` that has a `.reg/config.toml`."""
    return next((folder for folder in (start, *start.parents) if (folder / FOLDER / CONFIG).is_file()), None)


def read_binding(folder: Path) -> Binding:
    """The binding of a folder. InvalidInputError says what in the file is wrong."""
    import tomllib  # noqa: PLC0415 - 3 ms, where there is a binding

    path = folder / FOLDER / CONFIG
    try:
        value = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AccessError(f"cannot read {path}: {error.strerror}", path=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} is not TOML: {error}", path=str(path)) from error
    registry, model, options = value.get("registry"), value.get("model"), value.get("storage_options", {})
    if not isinstance(registry, str) or not isinstance(model, str | None) or not isinstance(options, dict):
        raise InvalidInputError(
            f'{path} needs registry = "URL" and may have model = "NAME" and [storage_options]', path=str(path)
        )
    return Binding(registry, model, options)


def write_binding(folder: Path, binding: Binding) -> Path:
    """Write `.reg/config.toml`. InvalidInputError for a storage option that looks like a secret: those stay out of files."""
    lines = ["# Which registry and model this folder works with. Credentials belong into the environment or a profile.\n"]
    lines.append(f"registry = {_toml(binding.registry)}\n")
    if binding.model:
        lines.append(f"model = {_toml(binding.model)}\n")
    if binding.storage_options:
        lines.append("\n[storage_options]\n")
    for name, value in sorted(binding.storage_options.items()):
        if is_secret(name):
            raise InvalidInputError(f"storage option {name!r} looks like a secret; give it by the environment or a profile")
        if not isinstance(value, str | bool | int):
            raise InvalidInputError(f"storage option {name!r} must be text, a number or a boolean to be kept in {CONFIG}")
        lines.append(f"{_toml(name)} = {_toml(value)}\n")
    with TargetFolder(folder) as target:
        target.write_private(CONFIG, "".join(lines).encode("utf-8"))
    return folder / FOLDER / CONFIG


def is_secret(name: str) -> bool:
    """Whether a storage option of that name looks like a credential."""
    return _SECRET_OPTION.search(name) is not None


def read_state(folder: Path) -> FolderState | None:
    """What the folder last held, or None where that is not known."""
    try:
        value = json.loads((folder / FOLDER / STATE).read_text(encoding="utf-8"))
        tree, pending = TreeId.parse(value.pop("tree")), tuple(TreeId.parse(item) for item in value.pop("pending"))
        state = FolderState(**value, tree=tree, pending=pending)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, FormatError):
        return None
    texts = (state.registry, state.model, state.folder, state.commit, state.branch or "")
    return state if all(isinstance(text, str) for text in texts) else None


def write_state(folder: TargetFolder, state: FolderState) -> None:
    """Remember what the folder holds."""
    fields = {name: getattr(state, name) for name in FolderState.__slots__}
    fields.update(tree=state.tree.hex, pending=[tree.hex for tree in state.pending])
    folder.write_private(STATE, (json.dumps(fields, indent=1) + "\n").encode("utf-8"))


def _toml(value: str | int) -> str:
    """A TOML value: as JSON, but for characters beyond U+FFFF, which TOML does not take as pairs, and DEL, which it escapes."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
