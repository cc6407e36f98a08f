"""What can be saved and loaded, and what of it is installed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version

from cas_registry.frameworks.adapter import Adapter
from cas_registry.frameworks.table import TABLE, adapters


@dataclass(frozen=True, slots=True)
class KnownFramework:
    """An adapter: the formats that it loads as data, those that may run code, and the versions of its libraries, None where one is not installed.

    `is_ours` is False of one that another package brings.
    """

    name: str
    formats: tuple[str, ...]
    pickle_formats: tuple[str, ...]
    libraries: dict[str, str | None]
    is_ours: bool

    @property
    def is_installed(self) -> bool:
        """Whether all that it needs is installed."""
        return None not in self.libraries.values()


def known_frameworks() -> list[KnownFramework]:
    """All adapters in the order in which they are asked. No framework is imported."""
    return [_known(adapter) for adapter in adapters()]


def _known(adapter: Adapter) -> KnownFramework:
    libraries = {name: _installed(name, module) for name, module in adapter.libraries.items()}
    return KnownFramework(adapter.name, adapter.formats, adapter.pickle_formats, libraries, adapter.name in TABLE)


def _installed(name: str, module: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:  # some come under several names: tensorflow-cpu, xgboost-cpu
        others = _distributions().get(module.partition(".")[0], ())
        return version(others[0]) if others else None


@cache
def _distributions() -> Mapping[str, Sequence[str]]:
    return packages_distributions()
