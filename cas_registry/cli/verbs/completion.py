"""`reg completion`: verbs and options by the tab key."""

import os
from pathlib import PurePath

import click

from cas_registry.cli.options import Format, verb
from cas_registry.cli.session import Session

_SHELLS = ("bash", "zsh", "fish")


@verb(
    examples="""
    reg completion bash > ~/.local/share/bash-completion/completions/reg
    reg completion zsh > "${fpath[1]}/_reg"
    reg completion fish > ~/.config/fish/completions/reg.fish
    """
)
@click.argument("shell", type=click.Choice(_SHELLS), required=False)
def completion(session: Session, shell: str | None) -> None:
    """Print the completion script of a shell: bash, zsh or fish; by default that of $SHELL."""
    from click.shell_completion import get_completion_class

    from cas_registry.cli.output import View

    chosen = shell or PurePath(os.environ.get("SHELL", "")).name
    found = get_completion_class(chosen) if chosen in _SHELLS else None
    if found is None:
        raise click.UsageError(f"name a shell: {', '.join(_SHELLS)}", click.get_current_context())
    root = click.get_current_context().find_root()
    script = found(root.command, {}, "reg", "_REG_COMPLETE").source().strip()
    view: View[str] = View(lambda text: {"shell": chosen, "script": text}, lambda _, __: ())
    if session.out.format is Format.JSON:
        session.out.show(view, script)
    else:
        click.echo(script)
