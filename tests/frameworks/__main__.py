"""`python -m tests.frameworks`: every adapter against its real framework, and the table of docs/frameworks.md of what that showed.

Each module runs in a process of its own, and one for each environment that its cases name. Rows of frameworks that are not installed here stay as they are: the table may come of several environments.
`python -m tests.frameworks scikit_learn xgboost` runs those modules only.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.frameworks.round_trip import Case, Row, check

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[1] / "docs" / "frameworks.md"
TABLE = re.compile(r"(?<=<!-- round trips -->\n).*?(?=<!-- end -->)", re.DOTALL)
HEAD = (
    "| object | versions | format | loading needs pickle | equal predictions | second training | saved again |\n"
    "|---|---|---|---|---|---|---|\n"
)


def modules() -> list[str]:
    """The modules that have cases, by the part of their name that tells the framework."""
    return sorted(
        path.stem.removeprefix("test_") for path in FOLDER.glob("test_*.py") if "\nCASES" in path.read_text(encoding="utf-8")
    )


def cases_of(module: str) -> tuple[Case, ...]:
    return tuple(importlib.import_module(f"tests.frameworks.test_{module}").CASES)


def line(row: Row) -> str:
    """A row of the table."""
    versions = ", ".join(f"{name} {version}" for name, version in sorted(row.versions.items()))
    share = f"{row.stored_bytes:,} of {row.raw_bytes:,} bytes stored ({row.stored_bytes / row.raw_bytes:.0%})"
    again = "the same version" if row.same_bytes else "a new version"
    return f"| {row.name} | {versions} | {row.format} | {'yes' if row.needs_pickle else 'no'} | yes | {share} | {again} |"


def main(names: list[str]) -> None:
    """Run the modules of these names, or all, and write what they showed into the table."""
    text = PAGE.read_text(encoding="utf-8")
    found = TABLE.search(text)
    assert found
    lines = {old.split("|")[1].strip(): old for old in found[0].splitlines()[2:] if old.startswith("|")}
    for module in names or modules():
        environments = {tuple(sorted(case.environment.items())) for case in cases_of(module) if not case.missing}
        for environment in sorted(environments):
            done = subprocess.run(
                [sys.executable, "-m", "tests.frameworks", "--rows", module, json.dumps(dict(environment))],
                stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **dict(environment)},
            )  # fmt: skip
            for told in json.loads(done.stdout.splitlines()[-1]):
                row = Row(**told)
                lines[row.name] = line(row)
                print(lines[row.name], flush=True)
    known = [case.name for module in modules() for case in cases_of(module)]
    body = HEAD + "".join(f"{lines[name]}\n" for name in known if name in lines)
    PAGE.write_text(text[: found.start()] + body + text[found.end() :], encoding="utf-8")


def rows(module: str, environment: dict[str, str]) -> None:
    """The rows of one module's cases that ask for this environment, as JSON."""
    shown = []
    for case in [case for case in cases_of(module) if case.environment == environment]:
        if case.missing:
            print(f"{case.name}: {', '.join(case.missing)} not installed", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory() as folder:
            shown.append(dataclasses.asdict(check(case, Path(folder))))
    print(json.dumps(shown))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rows"]:
        rows(sys.argv[2], json.loads(sys.argv[3]))
    else:
        main(sys.argv[1:])
