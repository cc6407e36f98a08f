"""The command line `reg`: parse, call the registry, render. The only place that prints.

This module holds the table of verbs and nothing heavy: a verb's module is imported when the verb is used.
"""

import click

from cas_registry.cli.group import RegGroup, VerbGroup
from cas_registry.cli.options import global_options
from cas_registry.version import __version__

_VERBS = "cas_registry.cli.verbs"

_TABLE = (
    VerbGroup(
        "Start",
        {
            "init": (f"{_VERBS}.init", "Make a registry and bind this folder to it."),
            "import": (f"{_VERBS}.importing", "Bring in versions from MLflow, DVC, modelstore and others."),
            "demo": (f"{_VERBS}.demo", "Train a small model and show the whole of it in ten seconds."),
        },
    ),
    VerbGroup(
        "Versions",
        {
            "commit": (f"{_VERBS}.commit", "Store a folder or files as a new version."),
            "checkout": (f"{_VERBS}.checkout", "Write a version, or parts of it, into a folder."),
            "fetch": (f"{_VERBS}.fetch", "Bring all of a version here, to work offline."),
            "export": (f"{_VERBS}.export", "Write a version for others: folder, tar, OCI, MLflow."),
            "lock": (f"{_VERBS}.lock", "Write down which versions are meant, by id."),
            "status": (f"{_VERBS}.status", "Show how a folder differs from a version."),
        },
    ),
    VerbGroup(
        "Looking",
        {
            "log": (f"{_VERBS}.log", "Show a version and its ancestors, newest first."),
            "show": (f"{_VERBS}.show", "Show one version: message, params, metrics, files."),
            "ls": (f"{_VERBS}.files", "List the files of a version with their BLAKE3."),
            "card": (f"{_VERBS}.card", "Show or change the model card of a version."),
            "inputs": (f"{_VERBS}.inputs", "Show what a version was made from, and check it."),
            "cat": (f"{_VERBS}.files", "Write a file of a version to standard output."),
            "diff": (f"{_VERBS}.diff", "Show what differs between two versions."),
            "search": (f"{_VERBS}.search", "Find versions by params, metrics, labels, tags, author, age."),
            "whence": (f"{_VERBS}.whence", "Find the versions that hold a file, and where they stood."),
            "compare": (f"{_VERBS}.compare", "Show two or more versions side by side, differences first."),
            "lineage": (f"{_VERBS}.lineage", "Show what a version was made from, and what came of it."),
            "blame": (f"{_VERBS}.blame", "Show which version last changed each file or tensor."),
            "bisect": (f"{_VERBS}.bisect", "Find the first version that fails a test."),
        },
    ),
    VerbGroup(
        "Names",
        {
            "branch": (f"{_VERBS}.refs", "List, create, move or delete branches."),
            "tag": (f"{_VERBS}.refs", "List, create, move or delete tags, or show a tag's history."),
            "resolve": (f"{_VERBS}.resolve", "Print the commits that names stand for."),
        },
    ),
    VerbGroup(
        "Promotion",
        {
            "note": (f"{_VERBS}.notes", "Say something of a version later, or list what was said."),
            "approve": (f"{_VERBS}.notes", "Approve, or refuse, that a tag moves to a version."),
            "promote": (f"{_VERBS}.promotion", "Move a tag once its rules are met, and say why."),
            "rollback": (f"{_VERBS}.promotion", "Move a tag back to where it stood before."),
        },
    ),
    VerbGroup(
        "Serving",
        {
            "deploy": (f"{_VERBS}.deploy", "Put a version into a folder of its own and switch to it."),
            "watch": (f"{_VERBS}.watch", "Follow a name: deploy what it stands at, run a command."),
        },
    ),
    VerbGroup(
        "Teams",
        {
            "fork": (f"{_VERBS}.teams", "Make a model of a version of another; no bytes are copied."),
            "merge": (f"{_VERBS}.teams", "Join the changes of two versions; no file is read."),
            "release": (f"{_VERBS}.releases", "Move versions of several models at once, or show a release."),
            "releases": (f"{_VERBS}.releases", "List the releases."),
        },
    ),
    VerbGroup(
        "Signatures",
        {
            "sign": (f"{_VERBS}.signatures", "Sign where a branch or tag stands."),
            "verify": (f"{_VERBS}.signatures", "Check that it stands where somebody put it who may."),
        },
    ),
    VerbGroup(
        "Registry",
        {
            "models": (f"{_VERBS}.stats", "List the models of the registry."),
            "stats": (f"{_VERBS}.stats", "Show what the registry holds and what it costs."),
            "du": (f"{_VERBS}.du", "Show what versions take, and what retiring them frees."),
            "retire": (f"{_VERBS}.retire", "Take versions or a model away; nothing is deleted yet."),
            "policy": (f"{_VERBS}.policy", "Say which versions stay, and what it takes to move a tag."),
            "gc": (f"{_VERBS}.gc", "Delete what no version needs, safely beside writers."),
            "repack": (f"{_VERBS}.repack", "Encode old versions anew, smaller; no id changes."),
            "fsck": (f"{_VERBS}.fsck", "Check that everything is there and whole."),
            "doctor": (f"{_VERBS}.doctor", "Check a registry's URL end to end."),
            "frameworks": (f"{_VERBS}.frameworks", "List whose objects Model.save and Model.load know."),
            "completion": (f"{_VERBS}.completion", "Print the completion script of a shell."),
        },
    ),
)


@click.group(
    cls=RegGroup,
    table=_TABLE,
    name="reg",
    subcommand_metavar="VERB ...",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Options of this page may also follow the verb. REV is a tag, a branch, v17, main~2, main@{3}, main@{2026-11-01}, or 8 or more "
    "hex digits of a commit; MODEL@REV:PATH names a model and a file too, release:NAME/MODEL what a release names.",
)
@click.version_option(__version__, "-V", "--version", prog_name="reg", message="%(prog)s %(version)s")
@global_options
def reg() -> None:
    """A content-addressed, git-like store for machine-learning models. The bucket is the registry."""


def main() -> None:
    """The program `reg`."""
    reg(prog_name="reg")
