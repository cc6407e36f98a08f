"""`reg frameworks`."""

from collections.abc import Iterator, Sequence

from cas_registry.cli.output import Document, Paper, Table, View
from cas_registry.registry import KnownFramework


def _document(found: Sequence[KnownFramework]) -> Document:
    return {
        "frameworks": [
            {
                "name": known.name,
                "formats": list(known.formats),
                "pickle_formats": list(known.pickle_formats),
                "libraries": [{"name": name, "version": version} for name, version in known.libraries.items()],
                "installed": known.is_installed,
                "built_in": known.is_ours,
            }
            for known in found
        ]
    }


def _human(found: Sequence[KnownFramework], _: Paper) -> Iterator[Table]:
    yield Table(
        ["framework", "as data", "as pickle", "installed"],
        [
            (known.name, ", ".join(known.formats) or "-", ", ".join(known.pickle_formats) or "-", _installed(known))
            for known in found
        ],
    )


def _installed(known: KnownFramework) -> str:
    """`lightgbm 4.6.0`; what is missing is named."""
    present = ", ".join(f"{name} {version}" for name, version in known.libraries.items() if version)
    missing = [name for name, version in known.libraries.items() if not version]
    return "; ".join(part for part in (present, f"without {', '.join(missing)}" if missing else "") if part) or "always there"


FRAMEWORKS = View(_document, _human, lambda found: [known.name for known in found])
