"""`ssh-keygen -Y`: signatures made and checked by the keys that people have. The only place that runs it.

It is run without a shell, on files in a private folder, under names that are given here. Of what it says its exit status counts, and
the one line that ssh-keygen(1) documents.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cas_registry.errors import AccessError, FormatError, InvalidInputError, NotFoundError, SignatureError
from cas_registry.model.signature import MAX_ARMOUR_BYTES, NAMESPACE, signing_key

PROGRAM = "ssh-keygen"
SIGN_TIMEOUT_S = 120  # somebody may have to type a passphrase, or to touch a key
CHECK_TIMEOUT_S = 30
_SHOWN = 300  # characters of what it complains of


def sign(payload: bytes, key: Path) -> str:
    """The armoured signature of `payload` by a private key, or by a public one whose private half the ssh-agent holds.

    A passphrase is asked for on the terminal. Raises NotFoundError for a key or a program that is not there, SignatureError where no
    signature came of it.
    """
    path = _key_path(key)
    with _private_folder() as folder:
        done = _run(["sign", "-f", path, "-n", NAMESPACE], payload, folder, timeout_s=SIGN_TIMEOUT_S)
        if done.returncode != 0:
            raise SignatureError(
                f"{PROGRAM} could not sign with {path}: {_complaint(done)}", reasons=[_complaint(done)], key=path
            )
        try:
            armour = done.stdout[: MAX_ARMOUR_BYTES + 1].decode("ascii")
            signing_key(armour)
        except (UnicodeDecodeError, FormatError) as error:
            raise SignatureError(f"{PROGRAM} made no signature that can be read with {path}: {error}", key=path) from error
        _write(folder / "signature", armour.encode("ascii"))
        checked = _run(["check-novalidate", "-n", NAMESPACE, "-s", "signature"], payload, folder)
    if checked.returncode != 0:  # what could not be verified again is not written
        raise SignatureError(f"{PROGRAM} made a signature with {path} that does not hold: {_complaint(checked)}", key=path)
    return armour


class Checker:
    """Checks signatures by one list of allowed signers and of revoked keys, as they were read."""

    def __init__(self, folder: Path, *, revoked: bool) -> None:
        self._folder = folder
        self._revoked = ["-r", "revoked_keys"] if revoked else []

    def complaint(self, payload: bytes, armour: str, principal: str) -> str | None:
        """None where `principal` made this signature of `payload`, else what ssh-keygen has against it."""
        key = signing_key(armour)
        _write(self._folder / "signature", armour.encode("ascii"))
        done = _run(
            ["verify", "-f", "allowed_signers", "-I", principal, "-n", NAMESPACE, "-s", "signature", *self._revoked],
            payload,
            self._folder,
        )
        good = f'Good "{NAMESPACE}" signature for {principal} with '.encode()
        if done.returncode != 0:
            return _complaint(done)
        if not done.stdout.startswith(good) or not done.stdout.rstrip().endswith(f" {key.fingerprint}".encode()):
            return f"{PROGRAM} did not say that it is good"
        return None


@contextmanager
def checker(allowed_signers: bytes, revoked_keys: bytes | None) -> Iterator[Checker]:
    """A checker by the content of an allowed_signers file and, if there is one, of a list of revoked keys."""
    with _private_folder() as folder:
        _write(folder / "allowed_signers", allowed_signers)
        if revoked_keys is not None:
            _write(folder / "revoked_keys", revoked_keys)
        yield Checker(folder, revoked=revoked_keys is not None)


@contextmanager
def _private_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cas_registry-") as name:  # 0700, so that nobody else reads what lies in it
        yield Path(name)


def _write(path: Path, data: bytes) -> None:
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:  # noqa: PTH123 - Path.open takes no opener
        file.write(data)


def _key_path(key: Path) -> str:
    path = os.path.abspath(key)  # noqa: PTH100 - begins with no dash, and follows no link
    if any(mark in path for mark in "\0\n\r"):
        raise InvalidInputError(f"the path of a key holds a line feed or NUL: {path!r}")
    if not Path(path).is_file():
        raise NotFoundError(f"there is no key {path}; make one with: ssh-keygen -t ed25519 -f {path}", path=path)
    return path


def _run(
    arguments: Sequence[str], payload: bytes, folder: Path, *, timeout_s: float = CHECK_TIMEOUT_S
) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which(PROGRAM)
    if program is None:
        raise NotFoundError(
            f"signatures need {PROGRAM} of OpenSSH 8.2 or later, and it is not in the PATH; install openssh-client (Debian, Ubuntu), "
            "openssh-clients (Fedora), openssh (Alpine, Homebrew) or the optional feature OpenSSH Client (Windows)",
            program=PROGRAM,
        )
    try:
        return subprocess.run(  # noqa: S603 - no shell; every argument is a constant, an absolute path or a checked principal
            [os.path.abspath(program), "-Y", *arguments],  # noqa: PTH100 - PATH may hold relative folders
            input=payload,
            capture_output=True,
            cwd=folder,
            timeout=timeout_s,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SignatureError(f"{PROGRAM} did not answer in {timeout_s:.0f} s", program=PROGRAM) from error
    except OSError as error:
        raise AccessError(f"{program} cannot be run: {error.strerror}", program=program) from error


def _complaint(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode("utf-8", "replace").split("\n") + done.stdout.decode("utf-8", "replace").split("\n")
    said = "; ".join(dict.fromkeys(line.strip() for line in lines if line.strip() and line.strip() not in _SMALL_TALK))
    return said[:_SHOWN] or f"exit status {done.returncode}"


_SMALL_TALK = frozenset({"Signing data on standard input", "Could not verify signature."})
