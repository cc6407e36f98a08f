"""What a commit tells of its surroundings without being asked: code, environment, packages, frameworks.

An allow-list: interpreter, machine, installed distributions, git. Never the value of an environment variable, an argument of the command
line, a home folder or a user's name; and whatever is told goes through the filter for secrets. What cannot be found is left out: nothing here
raises, and nothing here asks the network. The world says where to look (`Scene`); this package does not read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cas_registry.model.canonical import Scalar
from cas_registry.redaction import redact

if TYPE_CHECKING:
    from types import ModuleType


@dataclass(frozen=True, slots=True)
class Captured:
    """What was found, as a commit's flat maps."""

    code: Mapping[str, Scalar] = field(default_factory=dict)
    environment: Mapping[str, Scalar] = field(default_factory=dict)
    packages: Mapping[str, Scalar] = field(default_factory=dict)
    framework: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a commit is made: the folders in which to look for a git repository, the first first; the folders that hold the installed
    distributions; the version of Python that they are for; and the modules of the process that made the model, if it is this one.

    With `diff` the changes that are in no git commit are told, too.
    """

    folders: Sequence[Path]
    search_path: Sequence[str]
    python: str
    implementation: str
    modules: Mapping[str, ModuleType] = field(default_factory=dict)
    diff: bool = False


def capture(scene: Scene) -> Captured:
    """All that can be found, in some 20 ms. Raises nothing."""
    from cas_registry.operations.capture.frameworks import loaded_frameworks  # noqa: PLC0415 - an unchanged folder needs none of it
    from cas_registry.operations.capture.git import find_code  # noqa: PLC0415 - likewise
    from cas_registry.operations.capture.machine import find_machine  # noqa: PLC0415 - likewise
    from cas_registry.operations.capture.packages import installed_packages  # noqa: PLC0415 - likewise

    packages = _found(lambda: installed_packages(scene.search_path))
    return Captured(
        code=_found(lambda: find_code(scene.folders, scene.modules.get("__main__"), diff=scene.diff)),
        environment={"python": scene.python, "implementation": scene.implementation, **_found(find_machine)},
        packages=packages,
        framework=_found(lambda: loaded_frameworks(scene.modules, packages)),
    )


def _found(find: Callable[[], Mapping[str, Scalar]]) -> Mapping[str, Scalar]:
    try:
        return {name: _harmless(value) if isinstance(value, str) else value for name, value in find().items()}
    except Exception:  # noqa: BLE001 - what a machine says of itself stops no commit, whatever it is
        return {}


def _harmless(text: str) -> str:
    """Text without secrets, and without what no commit holds: names of files may be any bytes."""
    return redact(text.encode("utf-8", "replace").decode("utf-8"))
