"""Digests of files, folders and what lies elsewhere."""

import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import blake3
import pytest

from cas_registry.errors import BackendError, InvalidInputError, NotFoundError
from cas_registry.operations.hashing import Hashing, hash_place
from cas_registry.operations.progress import NoProgress
from cas_registry.worktree.stat_cache import StatCache
from tests.support.folders import File, write_folder
from tests.support.simulated import Clock, OpenedFiles


@pytest.fixture
def hashing(tmp_path: Path) -> Hashing:
    return Hashing(lambda path: StatCache(tmp_path / f"{path.name}.cache"), Clock(), NoProgress())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A web server over a folder with one file."""
    folder = write_folder(tmp_path / "site", {"t.csv": File(b"1,2\n" * 1000)})

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_files_by_every_algorithm(tmp_path: Path, hashing: Hashing) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(b"1,2\n")
    assert hash_place(file, None, hashing) == f"blake3:{blake3.blake3(b'1,2' + bytes([10])).hexdigest()}"
    for algorithm in ("sha256", "sha512", "sha1", "md5"):
        assert hash_place(file, algorithm, hashing) == f"{algorithm}:{hashlib.new(algorithm, b'1,2' + bytes([10])).hexdigest()}"


def test_a_folder_that_was_not_touched_is_not_read_again(tmp_path: Path, hashing: Hashing) -> None:
    folder = write_folder(tmp_path / "data", {"a": File(b"a"), "b/c": File(b"c")})
    first = hash_place(folder, None, hashing)
    with OpenedFiles(folder) as opened:
        assert hash_place(folder, "tree", hashing) == first
    assert opened.paths == []
    (folder / "b" / "c").write_bytes(b"changed")
    assert hash_place(folder, None, hashing) != first


def test_what_is_not_there(tmp_path: Path, hashing: Hashing) -> None:
    for algorithm in (None, "tree", "sha256"):
        with pytest.raises(NotFoundError, match="does not exist"):
            hash_place(tmp_path / "none", algorithm, hashing)


@pytest.mark.parametrize("algorithm", [None, "blake3", "sha256"])
def test_a_device_is_not_read(hashing: Hashing, algorithm: str | None) -> None:
    with pytest.raises(InvalidInputError, match="neither a file nor a folder"):
        hash_place(Path("/dev/zero"), algorithm, hashing)


def test_what_lies_at_a_url(site: str, hashing: Hashing) -> None:
    data = b"1,2\n" * 1000
    assert hash_place(f"{site}/t.csv", "sha256", hashing) == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert hash_place(f"{site}/t.csv", "blake3", hashing) == f"blake3:{blake3.blake3(data).hexdigest()}"
    with pytest.raises(NotFoundError, match="there is nothing at"):
        hash_place(f"{site}/none.csv", "sha256", hashing)
    with pytest.raises(InvalidInputError, match="of local ones only"):
        hash_place(f"{site}/", "tree", hashing)
    with pytest.raises(BackendError, match="cannot read"):
        hash_place("http://127.0.0.1:9/t.csv", "sha256", hashing)


@pytest.mark.parametrize("uri", ["simplecache::http://h/x", "zip://a::s3://b/k", "memory://x", "github://o:r@main/x", "file:///etc/passwd", "ssh://h/x", "reference://x"])  # fmt: skip
def test_a_strangers_url_opens_no_other_protocol(uri: str, hashing: Hashing) -> None:
    with pytest.raises(InvalidInputError, match="is not read"):
        hash_place(uri, "sha256", hashing)
