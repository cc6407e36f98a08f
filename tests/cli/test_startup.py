"""What a command imports before it begins."""

import json
import time

import pytest

from tests.cli.shell import Shell, python

HEAVY = (
    "s3fs",
    "fsspec",
    "rich",
    "numpy",
    "asyncio",
    "botocore",
    "aiohttp",
    "pyfastcdc",
    "pathspec",
    "platformdirs",
    "blake3",
    "yaml",
)

SCRIPT = """
import json, sys
sys.argv = ["reg", *sys.argv[1:]]
from cas_registry.cli import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def modules_of(*words: str) -> set[str]:
    """What is imported once a command has run."""
    found = python(SCRIPT, *words)
    assert found.exit_code == 0, found.stderr
    return set(json.loads(found.stderr.splitlines()[-1]))


@pytest.mark.parametrize("words", [["--help"], ["--version"]])
def test_the_help_imports_neither_heavy_libraries_nor_any_verb(words):
    modules = modules_of(*words)
    assert modules.isdisjoint(HEAVY)
    assert not [
        name for name in modules if name.startswith(("cas_registry.cli.verbs", "cas_registry.registry", "cas_registry.model"))
    ]


def test_the_help_of_a_verb_imports_that_verb_alone():
    modules = modules_of("commit", "--help")
    assert modules.isdisjoint(HEAVY)
    assert [name for name in modules if name.startswith("cas_registry.cli.verbs.")] == ["cas_registry.cli.verbs.commit"]
    assert "cas_registry.registry" not in modules


def test_a_local_log_imports_no_file_system_library(story: Shell):
    modules = modules_of("log")
    assert "cas_registry.registry" in modules
    assert modules.isdisjoint({"s3fs", "fsspec", "numpy", "asyncio", "botocore", "rich", "pyfastcdc", "platformdirs"})


def test_a_commit_of_nothing_new_imports_no_more_than_it_needs(story: Shell):
    time.sleep(0.1)  # what was written in the moment of its commit is read once more
    assert story.reg("commit", "out", "--json").json["created"] is False
    modules = modules_of("commit", "out")
    assert modules.isdisjoint(set(HEAVY) - {"blake3"})
    operations = {name.rpartition(".")[2] for name in modules if name.startswith("cas_registry.operations.")}
    assert operations == {"commit", "progress"}


def test_an_export_loads_what_its_format_needs_and_no_more(story: Shell):
    unneeded = {"s3fs", "fsspec", "numpy", "asyncio", "botocore", "pyfastcdc", "yaml", "tarfile"}
    assert modules_of("export", "prod", "outside", "-q").isdisjoint(unneeded)
    assert modules_of("export", "prod", "outside.tar", "-q").isdisjoint(unneeded - {"tarfile"})
    assert modules_of("export", "prod", "layout", "--as", "oci", "-q").isdisjoint(unneeded)


def test_teams_load_what_they_use_and_no_more(story: Shell):
    """Names and trees move; nothing is cut, encoded or asked of numpy."""
    story.reg("fork", "fraud", "fraud-eu")
    story.reg("lock", "prod")
    story.reg("checkout", "prod", "serve", "--locked")
    story.reg("release", "live", "fraud@main")
    unneeded = {"s3fs", "fsspec", "numpy", "asyncio", "botocore", "pyfastcdc", "pathspec"}
    for words in (
        ["fork", "fraud", "fraud-us"],
        ["merge", "fraud-eu@main", "-M", "fraud"],
        ["release", "live", "fraud@prod"],
        ["show", "release:live/fraud"],
        ["lock", "prod"],
        ["verify", "serve", "--lock", "reg.lock"],
    ):
        assert modules_of(*words).isdisjoint(unneeded), words
