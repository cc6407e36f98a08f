"""A real model through the whole store, with every request counted: python benchmarks/real_model.py [--s3]"""

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measure import same
from benchmarks.minilm import prepare_model
from cas_registry.backends.opening import open_backend
from cas_registry.backends.wrappers import CountingBackend
from cas_registry.operations.init import create_registry
from cas_registry.registry import registry_over
from cas_registry.settings import Settings


@contextlib.contextmanager
def store(*, s3: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """A fresh place for a registry: a folder, or a bucket on SeaweedFS."""
    with tempfile.TemporaryDirectory() as folder:
        if not s3:
            yield str(Path(folder) / "registry"), {}
            return
        from tests.support.servers import seaweedfs

        with seaweedfs(Path(folder)) as server:
            server.make_bucket("bench")
            yield "s3://bench/registry", dict(server.storage_options)


class HttpCounter:
    """Counts what really goes over the wire, below s3fs."""

    def __init__(self, backend: Any) -> None:
        self.count = 0
        filesystem = getattr(getattr(backend, "_inner", None), "_fs", None)
        if filesystem is not None:
            filesystem.connect()
            filesystem.s3.meta.events.register("request-created.s3", self._note)

    def _note(self, **_: object) -> None:
        self.count += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--s3", action="store_true", help="on SeaweedFS instead of a local folder")
    arguments = parser.parse_args()
    source = prepare_model()
    with store(s3=arguments.s3) as (url, options), tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        plain = open_backend(url, options)
        http = HttpCounter(plain)
        backend = CountingBackend(plain)
        settings = Settings(author="bench", cache_folder=work / "cache")
        create_registry(backend, time_ms=settings.now_ms, who="bench")
        versions: list[Path] = []

        def step(name: str, action: Callable[[Any], Any]) -> Any:
            backend.reset()
            http.count, started = 0, time.perf_counter()
            result = action(registry_over(backend, settings).model("minilm"))
            seconds = time.perf_counter() - started
            packs = sum(1 for method, key in backend.keys if key.startswith("packs/") and method == "create")
            requests = sum(backend.requests.values())
            wire = f", {http.count} on the wire" if http.count else ""
            print(
                f"{name:42} {seconds:6.2f} s  {requests:3} requests ({packs} packs, {requests - packs} others{wire})  "
                f"sent {backend.bytes_out / 1e6:7.2f} MB  received {backend.bytes_in / 1e6:7.2f} MB"
            )
            return result

        def version(name: str) -> Path:
            folder = work / name
            shutil.copytree(versions[-1] if versions else source, folder)
            versions.append(folder)
            return folder

        live = work / "live"
        shutil.copytree(version("v1"), live)
        time.sleep(0.1)
        print(step("commit, first", lambda model: model.commit(live)))
        report = step("commit, unchanged", lambda model: model.commit(live))
        assert not report.created
        assert report.files_read == 0
        assert report.packs == 0
        step("tag prod", lambda model: model.tag("prod", "main"))
        for name, path, edit in (
            ("config.json", "config.json", b'{"changed": 1}'),
            ("1_Pooling/config.json", "1_Pooling/config.json", b'{"pooling": 2}'),
            ("100 bytes in model.safetensors", "model.safetensors", None),
        ):
            folder = version(f"v{len(versions) + 1}")
            for place in (folder, live):
                data = (place / path).read_bytes()
                (place / path).write_bytes(edit if edit is not None else data[:50_000_000] + b"x" * 100 + data[50_000_100:])
            time.sleep(0.1)
            step(f"commit, {name} changed", lambda model: model.commit(live))
            step("tag prod moved", lambda model: model.tag("prod", "main", reason="better"))
        target = work / "out"
        for number, folder in enumerate(versions):
            revision = f"main~{len(versions) - 1 - number}"
            step(
                f"checkout of version {number + 1}",
                lambda model, revision=revision: model.checkout(revision, target, cache=False),
            )
            assert same(folder, target), f"version {number + 1} differs"
        step("resolve prod", lambda model: model.resolve("prod"))
        print("every version equal byte for byte")


if __name__ == "__main__":
    main()
