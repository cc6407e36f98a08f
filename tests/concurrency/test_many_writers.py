"""Many processes commit to one branch at once: every acknowledged commit is in the history, once."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cas_registry.backends import Data
from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.opening import open_backend
from cas_registry.backends.probe import probe_create
from cas_registry.errors import AlreadyExistsError, NotFoundError
from cas_registry.model.entry import Ref
from cas_registry.operations.transfer import worker_pool
from cas_registry.registry import Registry, init_registry, open_registry, registry_over
from cas_registry.settings import Settings
from cas_registry.store.stores import open_stores
from tests.support.servers import S3Server

WRITER = """
import json, os, pathlib, sys, tempfile
import cas_registry as reg
url, who, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
options = json.loads(os.environ["OPTIONS"])
model = reg.open(url, storage_options=options, author=who).model("fraud")
folder = pathlib.Path(tempfile.mkdtemp(dir=os.environ["REG_CACHE"]))
for number in range(count):
    (folder / "weights.bin").write_bytes(f"{who} {number}".encode() * 100)
    (folder / f"{who}.txt").write_text(str(number))
    print(model.commit(folder, message=f"{who} {number}").commit.hex, flush=True)
"""


def _race(url: str, options: Mapping[str, Any], cache: Path, *, writers: int, commits: int) -> list[str]:
    """The ids that the writers' processes acknowledged."""
    cache.mkdir(exist_ok=True)
    environment = {**os.environ, "OPTIONS": json.dumps(dict(options)), "REG_CACHE": str(cache)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, url, f"w{number}", str(commits)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number in range(writers)
    ]  # fmt: skip
    acknowledged: list[str] = []
    for process in processes:
        output, errors = process.communicate(timeout=500)
        assert process.returncode == 0, errors
        acknowledged += output.split()
    return acknowledged


def _check(registry: Registry, url: str, options: Mapping[str, Any], acknowledged: list[str], expected: int) -> None:
    assert len(acknowledged) == len(set(acknowledged)) == expected
    history = registry.model("fraud").log("main")
    assert sorted(record.id.hex for record in history) == sorted(acknowledged)
    assert [record.number for record in history] == list(range(expected, 0, -1))
    log = open_stores(open_backend(url, options)).log("fraud")
    head = log.head()
    assert head is not None
    chain = [
        recorded for start in range(1, head.n + 1, 32) for recorded in log.read_many(range(start, min(start + 32, head.n + 1)))
    ]
    assert all(after.entry.prev == before.id for before, after in pairwise(chain))
    assert registry.fsck(read_data=True).exit_code == 0


def test_sixteen_processes_on_s3_lose_nothing(tmp_path: Path, ministack_server: S3Server) -> None:
    url = f"s3://{ministack_server.make_bucket('writers')}/{tmp_path.name}"
    options = ministack_server.storage_options
    registry = init_registry(url, Settings(author="ana", cache_folder=None), storage_options=options)
    acknowledged = _race(url, options, tmp_path / "cache", writers=16, commits=2)
    _check(registry, url, options, acknowledged, 32)


def test_three_processes_on_a_second_s3_server_lose_nothing(tmp_path: Path, s3_url: str, s3_options: dict[str, Any]) -> None:
    registry = init_registry(s3_url, Settings(author="ana", cache_folder=None), storage_options=s3_options)
    acknowledged = _race(s3_url, s3_options, tmp_path / "cache", writers=3, commits=3)
    _check(registry, s3_url, s3_options, acknowledged, 9)


def test_a_tag_that_moves_all_the_while_disturbs_nobody(tmp_path: Path) -> None:
    url = str(tmp_path / "registry")
    init_registry(url, Settings(author="ana", cache_folder=None))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "a").write_text("first")
    model = open_registry(url, Settings(author="ana", cache_folder=None)).model("m")
    model.commit(folder)
    stop, moves = threading.Event(), 0

    def move_tags() -> None:
        nonlocal moves
        other = open_registry(url, Settings(author="bob", cache_folder=None)).model("m")
        while not stop.is_set():
            other.tag(f"t{moves % 3}", "main", reason=str(moves))
            moves += 1

    thread = threading.Thread(target=move_tags)
    thread.start()
    try:
        for number in range(40):
            (folder / "a").write_text(f"{number} " * 10)
            assert model.commit(folder, message=str(number)).created
    finally:
        stop.set()
        thread.join()
    assert [record.commit.message for record in model.log("main", limit=40)] == [str(number) for number in range(39, -1, -1)]
    assert moves > 10
    assert {ref.name for ref in model.tags()} == {"t0", "t1", "t2"}


class CheckThenWrite(MemoryBackend):
    """A store whose create looks first and then writes: what shared writing cannot stand on."""

    def create(self, key: str, data: Data) -> None:
        try:
            self.stat(key)
        except NotFoundError:
            time.sleep(0.002)
            self.put(key, data)
            return
        raise AlreadyExistsError(f"{key} exists already", key=key)


def test_the_probe_finds_the_store_on_which_this_would_fail() -> None:
    with worker_pool(threads=16) as pool:
        assert not probe_create(CheckThenWrite(), executor=pool).safe_for_shared_writing


def test_on_such_a_store_commits_are_lost_so_the_tests_above_can_fail(tmp_path: Path) -> None:
    backend = CheckThenWrite()
    from cas_registry.model.registry_format import RegistryFormat, chunking_around
    from cas_registry.store.stores import create_stores

    create_stores(backend, RegistryFormat("0" * 32, 1, chunking_around(65536)), who="ana")
    acknowledged: list[str] = []

    def write(who: str) -> None:
        folder = tmp_path / who
        folder.mkdir()
        for number in range(10):
            (folder / "a").write_text(f"{who} {number}")
            try:
                acknowledged.append(
                    registry_over(backend, Settings(author=who, cache_folder=None)).model("m").commit(folder).commit.hex
                )
            except Exception:
                return  # the damage shows as an error at the latest here

    threads = [threading.Thread(target=write, args=(f"w{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        history = {
            record.id.hex for record in registry_over(backend, Settings(author="x", cache_folder=None)).model("m").log("main")
        }
    except Exception:
        history = set()
    assert set(acknowledged) - history or len(acknowledged) < 80


@pytest.mark.parametrize("writers", [2, 6])
def test_first_commits_of_one_new_model_at_once_all_land(tmp_path: Path, writers: int) -> None:
    url = str(tmp_path / "registry")
    registry = init_registry(url, Settings(author="ana", cache_folder=None))
    acknowledged = _race(url, {}, tmp_path / "cache", writers=writers, commits=1)
    _check(registry, url, {}, acknowledged, writers)
    refs = open_stores(open_backend(url)).refs("fraud").head()
    assert refs is not None
    assert isinstance(refs[1].branches["main"], Ref)
