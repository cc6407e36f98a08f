"""Keys as people have them, made by the real ssh-keygen."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

needs_ssh_keygen = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")


@dataclass(frozen=True)
class Key:
    """A key pair without a passphrase, and the name of whom it belongs to."""

    name: str
    path: Path

    @property
    def public(self) -> str:
        """Type and key, without the comment."""
        return " ".join(self.path.with_suffix(".pub").read_text().split()[:2])

    def allowed(self, options: str = "", *, name: str = "") -> str:
        """Its line of an allowed_signers file."""
        return " ".join(part for part in (name or self.name, options, self.public) if part) + "\n"


def make_key(folder: Path, name: str, *, passphrase: str = "") -> Key:
    """An ed25519 key pair in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name.partition("@")[0]
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f", str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
    return Key(name, path)
