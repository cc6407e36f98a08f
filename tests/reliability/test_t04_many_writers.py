"""T4b: sixteen writers on one branch of a store over HTTP that loses answers and is overloaded: every commit in history, exactly once."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cas_registry.backends.remote import RemoteBackend, open_filesystem
from cas_registry.backends.wrappers import RetryingBackend
from cas_registry.registry import registry_over
from tests.reliability.matrix import Row
from tests.reliability.profile import scaled
from tests.support.fake_s3 import BUCKET, FakeS3, HttpFault
from tests.support.folders import File, write_folder
from tests.support.simulated import make_registry, make_world, memory_with

ROW = "T4b"
WRITERS = 16
LOST, REFUSED = 0.05, 0.02


def test_every_commit_is_in_history_once(matrix: Row, tmp_path: Path) -> None:
    chance = random.Random(4)

    def fate(_number: int, _method: str, _key: str) -> HttpFault | None:
        drawn = chance.random()
        return HttpFault.LOST_ANSWER if drawn < LOST else HttpFault.SLOW_DOWN if drawn < LOST + REFUSED else None

    store = FakeS3()
    commits = scaled(2)
    acknowledged: list[str] = []
    lock = threading.Lock()

    def write(writer: int) -> None:
        registry = registry_over(backend, make_world())
        for number in range(commits):
            work = write_folder(tmp_path / f"w{writer}", {f"{writer}.txt": File(f"{writer} {number}".encode())})
            report = registry.model("m").commit(work, message=f"{writer} {number}")
            assert report.created
            with lock:
                acknowledged.append(report.commit.hex)

    with store.serving():
        options = open_filesystem("s3", store.storage_options)
        backend = RetryingBackend(RemoteBackend(options, f"{BUCKET}/r", f"s3://{BUCKET}/r"))
        make_registry(backend)
        store.fate = fate
        with ThreadPoolExecutor(WRITERS) as pool:
            for done in [pool.submit(write, writer) for writer in range(WRITERS)]:
                done.result()
    objects = {key.removeprefix("r/"): data for key, data in store.objects.items()}
    registry = registry_over(memory_with(objects), make_world())
    history = [record.id.hex for record in registry.model("m").walk("main")]
    assert len(history) == len(set(history)) == WRITERS * commits
    assert sorted(history) == sorted(acknowledged)
    assert registry.fsck(read_data=True).exit_code == 0
    matrix.count(WRITERS * commits)
