"""The command that is run when there is another version to serve: `--exec`."""

import os
import signal
import subprocess
from dataclasses import dataclass

from cas_registry.registry import Reload

_STANDARD_ERROR = 2


class HookError(Exception):
    """The command did not do it; the text says how it ended."""


@dataclass(frozen=True, slots=True)
class Hook:
    """Runs a command of the shell, in the version's folder if there is one, and lets it have `timeout_s` seconds. What it prints goes to standard
    error, so that standard output stays what the verb says."""

    command: str
    revision: str
    timeout_s: float

    def __call__(self, reload: Reload) -> None:
        """HookError where the command fails or does not end in time; it is killed then, with all that it has started."""
        environment = {
            **os.environ,
            "REG_MODEL": reload.model,
            "REG_REVISION": self.revision,
            "REG_COMMIT": reload.commit.hex,
            "REG_NUMBER": str(reload.number),
            "REG_FOLDER": str(reload.folder or ""),
            "REG_PREVIOUS": reload.previous.hex if reload.previous else "",
            "REG_ROLLED_BACK": "1" if reload.rolled_back else "",
        }
        words = ["/bin/sh", "-c", self.command]
        with subprocess.Popen(  # noqa: S603 - what the user typed
            words, cwd=reload.folder, env=environment, stdin=subprocess.DEVNULL, stdout=_STANDARD_ERROR, start_new_session=True
        ) as process:
            try:
                status = process.wait(timeout=self.timeout_s)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise HookError(f"the command did not end in {self.timeout_s:g} s and was killed") from error
                raise
        if status:
            raise HookError(
                f"the command was killed by signal {-status}" if status < 0 else f"the command ended with status {status}"
            )
