"""A registry that is said to be in a bucket, and people at work on it from this machine."""

from collections.abc import Callable
from pathlib import Path

from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.wrappers import CountingBackend
from cas_registry.face.keeping import open_without_store
from cas_registry.registry import Registry, registry_over
from tests.support.folders import File, write_folder
from tests.support.simulated import Clock, FarBackend, make_registry, make_world

URL = "s3://far/away"


class Far:
    """A registry in a bucket with five versions of fraud, prod at the third; `open` is somebody at work on this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.memory = MemoryBackend("far")
        make_registry(self.memory)
        writer = registry_over(self.memory, make_world()).model("fraud")
        for number in range(5):
            write_folder(folder / "work", {"a.json": File(b"%d" % number), "sub/b.bin": File(bytes([number]) * 2_000_000)})
            writer.commit(folder / "work", message=f"v{number + 1}", metrics={"auc": number / 10})
        writer.tag("prod", "v3")
        self.store = CountingBackend(FarBackend(self.memory))

    def open(self, cache: str = "cache", *, state: str | None = None) -> Registry:
        return registry_over(
            self.store, make_world(self.folder / cache, state=self.folder / state if state else None, clock=Clock())
        )

    def asked(self, action: Callable[[], object]) -> list[str]:
        """The keys that are read meanwhile."""
        self.store.reset()
        action()
        return [key for method, key in self.store.keys if method == "get"]

    def kept(self) -> list[Path]:
        """The files of the objects that are kept here."""
        folder = self.folder / "cache/objects" / self.registry_id
        return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "HEAD")

    @property
    def registry_id(self) -> str:
        return registry_over(self.memory, make_world()).id

    def offline(self, cache: str = "cache") -> Registry:
        """The registry without its store."""
        world = make_world(self.folder / cache, clock=Clock())
        return Registry(open_without_store(URL, world), world)
