"""A model's life, from the first commit to a bad release and back: python story.py [FOLDER]

Trains three times with scikit-learn, protects `prod`, promotes by approval, lets a service follow the tag, rolls back, finds the culprit with
bisect and blame, and collects it. Prints every command with what it says; stops where anything is not as told.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
PATIENCE_S = 60


class Story:
    """A folder with a registry, a service and a watcher, and the commands given to them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry = folder / "registry"
        self.serve = folder / "serve"
        self.port_file = folder / "port"
        self.environment = {
            **os.environ,
            "REG_REGISTRY": str(self.registry),
            "REG_MODEL": "fraud",
            "REG_CACHE": str(folder / "cache"),
            "REG_STATE": str(folder / "state"),
            "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }

    def chapter(self, title: str) -> None:
        sys.stdout.write(f"\n# {title}\n\n")
        sys.stdout.flush()

    def run(self, *command: str, who: str = "ana", code: int = 0, shown: bool = True) -> str:
        """Run a command as somebody, print it with its output, and insist on its exit status."""
        words = [sys.executable, "-m", "cas_registry", *command[1:]] if command[0] == "reg" else [sys.executable, *command[1:]]
        done = subprocess.run(
            words, cwd=self.folder, env={**self.environment, "REG_AUTHOR": who}, capture_output=True, text=True, check=False
        )
        if shown:
            sys.stdout.write(f"{who} $ {' '.join(_quoted(word) for word in command)}\n{done.stdout}{done.stderr}\n")
            sys.stdout.flush()
        if done.returncode != code:
            raise SystemExit(f"exit status {done.returncode} instead of {code}: {done.stderr}")
        return done.stdout

    def train(self, who: str, message: str, *more: str) -> None:
        script = str(HERE / "train.py")
        self.run("python", script, "--registry", str(self.registry), "--author", who, "--message", message, *more, who=who)

    @contextmanager
    def service(self) -> Iterator[None]:
        """The scoring service, and `reg watch`, which deploys what `prod` names and tells the service to reload."""
        watch = [sys.executable, "-m", "cas_registry", "watch", "fraud@prod", "--folder", str(self.serve), "--interval", "1s"]
        reload = f"{sys.executable} {HERE / 'reload.py'} {self.port_file}"
        log = (self.folder / "watch.log").open("w")
        processes: list[subprocess.Popen[bytes]] = []
        try:
            processes.append(
                subprocess.Popen(
                    [sys.executable, str(HERE / "service.py"), str(self.serve), str(self.port_file)], env=self.environment
                )
            )
            _wait(self.port_file.exists, "the service")
            processes.append(
                subprocess.Popen([*watch, "--exec", reload], env=self.environment, cwd=self.folder, stdout=log, stderr=log)
            )
            yield
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait(PATIENCE_S)
            log.close()

    def expect_served(self, version: str) -> None:
        """Wait until the service says that it serves that version."""
        port = self.port_file.read_text()

        def serves_it() -> bool:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/version", timeout=10) as answer:
                return str(json.load(answer)["version"]).startswith(f"{version}-")

        _wait(serves_it, f"{version} to be served")
        sys.stdout.write(f"The service answers with {version}.\n\n")


def tell(story: Story) -> None:
    """The story itself."""
    story.chapter("Three trainings")
    story.run("reg", "init", str(story.registry))
    story.train("ana", "first model", "--rows", "1000")
    story.train("ben", "eight times the data", "--rows", "8000")
    story.run("reg", "compare", "v1", "v2", "--only", "metrics,params", who="ben")

    story.chapter("prod is protected: two eyes more, no worse, nothing that runs code, a card")
    story.run(
        "reg", "policy", "protect", "prod", "--approvals", "1", "--require", "metrics.auc >= 0.8 and metrics.auc >= prod",
        "--check", "safe", "--check", "card",
    )  # fmt: skip
    story.run("reg", "promote", "v2", "prod", "--reason", "more data", who="ben", code=8)
    story.run("reg", "approve", "v1", "prod", "-m", "looks right", who="eve")
    story.run("reg", "promote", "v1", "prod", "--reason", "first one in production")

    with story.service():
        story.chapter("A service follows the tag")
        story.expect_served("v1")
        story.run("reg", "approve", "v2", "prod", "-m", "better on the holdout", who="eve")
        story.run("reg", "promote", "v2", "prod", "--reason", "more data", who="ben")
        story.expect_served("v2")

        story.chapter("A third training, worse than its metric says")
        story.train("cleo", "recalibrated", "--rows", "8000", "--regularization", "0.5", "--amounts-in-cents")
        story.run("reg", "approve", "v3", "prod", "-m", "auc is as good", who="eve")
        story.run("reg", "promote", "v3", "prod", "--reason", "recalibrated", who="cleo")
        story.expect_served("v3")

        story.chapter("Fraud gets through: roll back first, ask later")
        story.run("reg", "rollback", "prod", "--reason", "fraud gets through since Tuesday")
        story.expect_served("v2")
        story.run("reg", "tag", "--history", "prod")

    story.chapter("Which version broke it, and what did it change?")
    evaluate = str(HERE / "evaluate.py")
    found = story.run("reg", "bisect", "run", "v1", "v3", "--", sys.executable, evaluate)
    _insist("is the first bad version" in found and "v3" in found, found)
    blamed = story.run("reg", "blame", "v3:model.npz", "--tensors")
    _insist("cleo" in blamed, blamed)
    story.run("reg", "diff", "v2", "v3", "--values")
    story.run("reg", "note", "v3", "-m", "trained on cents, served in euros", "--label", "state=broken")
    listed = story.run("reg", "search", "labels.state = broken or metrics.auc > 0.8", "--sort", "metrics.auc")
    _insist("v3" in listed, listed)

    story.chapter("The culprit goes")
    story.run("reg", "branch", "-f", "main", "v2")
    story.run("reg", "retire", "v3", "-m", "trained on cents")
    story.run("reg", "gc", "--delete", "--grace", "0", "--trash-window", "0")
    story.run("reg", "fsck", "--read-data")
    story.run("reg", "checkout", "prod", "back")
    story.run("reg", "show", "v3", code=3)


def _wait(done: "object", what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {PATIENCE_S} s for {what}")
        time.sleep(0.05)


def _insist(condition: bool, said: str) -> None:  # noqa: FBT001 - a condition
    if not condition:
        raise SystemExit(f"not as told:\n{said}")


def _quoted(word: str) -> str:
    return f"'{word}'" if " " in word else word


if __name__ == "__main__":
    if len(sys.argv) > 1:
        tell(Story(Path(sys.argv[1]).resolve()))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            tell(Story(Path(temporary)))
