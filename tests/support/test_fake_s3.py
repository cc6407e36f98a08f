"""The fake store does what S3 does where the registry relies on it, and fails as it is told."""

import pytest

from cas_registry.backends.remote import RemoteBackend, open_filesystem
from cas_registry.errors import AccessError, AlreadyExistsError, BackendError, NotFoundError
from tests.support.fake_s3 import BUCKET, FakeS3, HttpFault


def test_objects_ranges_listings_and_conditions() -> None:
    with FakeS3().serving() as store:
        backend = RemoteBackend(open_filesystem("s3", store.storage_options), f"{BUCKET}/r", f"s3://{BUCKET}/r")
        backend.create("a/b", b"0123456789")
        with pytest.raises(AlreadyExistsError):
            backend.create("a/b", b"other")
        assert store.objects == {"r/a/b": b"0123456789"}
        assert backend.get("a/b", start=3, length=4) == b"3456"
        assert backend.get("a/b", start=30, length=4) == b""
        assert backend.get_many(["a/b", "a/c"], length=2) == [b"01", None]
        backend.put("a/c", b"c")
        assert sorted((info.key, info.size_bytes) for info in backend.list("a/")) == [("a/b", 10), ("a/c", 1)]
        backend.delete("a/c")
        with pytest.raises(NotFoundError):
            backend.stat("a/c")


@pytest.mark.parametrize(
    ("fault", "error", "landed"),
    [
        (HttpFault.DROPPED, BackendError, False),
        (HttpFault.SLOW_DOWN, BackendError, False),
        (HttpFault.LOST_ANSWER, (BackendError, AlreadyExistsError), True),  # the driver may ask again by itself
        (HttpFault.OWN_WRITE, AlreadyExistsError, True),
        (HttpFault.DENIED, AccessError, False),
    ],
)
def test_faults(fault: HttpFault, error: type[Exception] | tuple[type[Exception], ...], landed: bool) -> None:
    with FakeS3(lambda *_: fault).serving() as store:
        backend = RemoteBackend(open_filesystem("s3", store.storage_options), f"{BUCKET}/r", f"s3://{BUCKET}/r")
        with pytest.raises(error):
            backend.create("k", b"data")
        assert ("r/k" in store.objects) is landed
