"""What must hold after a kill: the one question of the rows about crashes, asked of a scene's folder."""

from pathlib import Path

from cas_registry.backends.local import TEMPORARY_PREFIX
from tests.reliability.scenes import SCENES, copy_scene, open_scene, prepare, run, state, target_files
from tests.reliability.steps import Fate, Kind, Step, Steps
from tests.reliability.whole import is_whole

DATA_CHECKED_EVERY = 5  # kills; the others are checked without reading packs


class Kills:
    """One scene with what is known about it: its steps, and what a reader sees before and after."""

    def __init__(self, name: str, folder: Path, seed: int) -> None:
        folder.mkdir(exist_ok=True)
        self.scene = SCENES[name]
        self.template = folder / "template"
        prepare(self.scene, self.template, seed)
        whole = folder / "whole"
        copy_scene(self.template, whole)
        self.old, self.old_files = state(whole), target_files(whole)
        with Steps(whole) as steps:
            run(self.scene, whole)
        self.steps: list[Step] = steps.taken
        self.new, self.new_files = state(whole), target_files(whole)
        self.garbage = self._garbage(whole)

    def cases(self) -> list[tuple[int, Fate]]:
        """Every step from both sides, writes in the middle too."""
        fates = {
            number: [Fate.KILL_BEFORE, Fate.KILL_AFTER, *([Fate.KILL_WITHIN] if step.kind is Kind.WRITE else [])]
            for number, step in enumerate(self.steps)
        }
        return [(number, fate) for number, several in fates.items() for fate in several]

    def check(self, root: Path, *, read_data: bool) -> None:
        """What must hold after a kill."""
        assert state(root) in (self.old, self.new)
        for key, data in _stored(root).items():
            assert is_whole(key, data), key
        for path, data in target_files(root).items():
            assert data in (self.old_files.get(path), self.new_files.get(path)), path
        if state(root) is not None:
            report = open_scene(root).fsck(read_data=read_data)
            assert report.exit_code == 0, report.findings

    def finish(self, root: Path) -> None:
        """The same command again, which ends where an undisturbed one does."""
        with Steps(root):
            run(self.scene, root)
        assert state(root) == self.new
        assert target_files(root) == self.new_files
        assert self._garbage(root) == self.garbage

    def _garbage(self, root: Path) -> int:
        """What a collection leaves behind: nothing."""
        return open_scene(root).gc(grace_s=0).garbage_objects if self.scene.name == "gc" else 0


def _stored(root: Path) -> dict[str, bytes]:
    registry = root / "registry"
    files = [path for path in registry.rglob("*") if path.is_file() and not path.name.startswith(TEMPORARY_PREFIX)]
    return {path.relative_to(registry).as_posix(): path.read_bytes() for path in files}
