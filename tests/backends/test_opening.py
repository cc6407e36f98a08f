import contextlib
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.backends.local import LocalBackend
from cas_registry.backends.memory import MemoryBackend
from cas_registry.backends.objectstore import ObjectStoreBackend
from cas_registry.backends.opening import open_backend
from cas_registry.backends.remote import RemoteBackend
from cas_registry.backends.wrappers import RetryingBackend
from cas_registry.errors import BackendError, InvalidInputError, RegistryError

OPTIONS = {"key": "AKIATESTSUITEONLY001", "secret": "tops3cret/+", "client_kwargs": {"region_name": "us-east-1"}}


@pytest.mark.parametrize(
    "name", ["registry", "./registry", "nested/registry", "with space", "per%20cent", "a@b", "a?b#c", "C:x"]
)
def test_a_path_is_a_folder_below_the_working_folder(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    backend = open_backend(name)
    assert isinstance(backend, LocalBackend)
    backend.create("k", b"x")
    assert (tmp_path / name / "k").read_bytes() == b"x"
    assert Path(backend.url) == tmp_path / name


@pytest.mark.parametrize("host", ["", "localhost"])
def test_a_file_url_is_a_folder_and_its_percents_are_decoded(tmp_path, host):
    backend = open_backend(f"file://{host}{tmp_path}/with%20space")
    backend.create("k", b"x")
    assert (tmp_path / "with space" / "k").read_bytes() == b"x"


def test_a_file_url_with_two_slashes_is_refused():
    with pytest.raises(InvalidInputError, match="three slashes"):
        open_backend("file://folder/below")


def test_opening_neither_reads_nor_writes(tmp_path):
    open_backend(str(tmp_path / "registry"))
    open_backend("s3://bucket/prefix", {**OPTIONS, "client_kwargs": {"endpoint_url": "http://127.0.0.1:1"}})
    assert list(tmp_path.iterdir()) == []


def test_a_memory_url_names_one_store_in_this_process():
    first, second, other = (
        open_backend("memory://opening/a"),
        open_backend("memory://opening/a"),
        open_backend("memory://opening/b"),
    )
    assert isinstance(first, MemoryBackend)
    first.create("k", b"x")
    assert second.get("k", length=1) == b"x"
    assert list(other.list("")) == []
    assert first.url == "memory://opening/a"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/some/prefix/", "s3://bucket/some/prefix"),
        ("S3://Bucket/Prefix", "s3://Bucket/Prefix"),
        ("s3a://bucket/prefix", "s3a://bucket/prefix"),
        ("s3://bucket/prefix@v1", "s3://bucket/prefix@v1"),
    ],
)
def test_an_s3_url_is_a_remote_store_that_retries(url, shown):
    backend = open_backend(url, OPTIONS)
    assert isinstance(backend, RetryingBackend)
    assert backend.url == shown
    for text in (repr(backend), str(backend)):
        assert "tops3cret" not in text


ENDPOINT = {"endpoint_url": "http://127.0.0.1:1"}


@pytest.mark.parametrize(
    ("options", "library"),
    [
        ({}, RemoteBackend),
        ({"backend": "auto"}, RemoteBackend),
        (ENDPOINT, ObjectStoreBackend),
        ({"client_kwargs": ENDPOINT}, ObjectStoreBackend),
        ({**ENDPOINT, "backend": None}, ObjectStoreBackend),
        ({**ENDPOINT, "backend": "auto"}, ObjectStoreBackend),
        ({**ENDPOINT, "backend": "fsspec"}, RemoteBackend),
        ({**ENDPOINT, "version_aware": True}, RemoteBackend),
        ({"backend": "obstore"}, ObjectStoreBackend),
    ],
)
def test_obstore_serves_an_s3_endpoint_that_is_named_and_options_that_it_can_do(options, library):
    backend = open_backend("s3://bucket/prefix", {**OPTIONS, **options})
    assert isinstance(backend, RetryingBackend)
    assert type(backend._inner) is library


def test_without_obstore_fsspec_serves_and_obstore_asked_for_is_an_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    assert type(open_backend("s3://bucket/prefix", {**OPTIONS, **ENDPOINT})._inner) is RemoteBackend
    with pytest.raises(BackendError, match=r"pip install 'cas-registry\[obstore\]'"):
        open_backend("s3://bucket/prefix", {**OPTIONS, "backend": "obstore"})


def test_obstore_asked_for_refuses_an_option_that_it_cannot_do():
    with pytest.raises(InvalidInputError, match="version_aware"):
        open_backend("s3://bucket/prefix", {**OPTIONS, "version_aware": True, "backend": "obstore"})


@pytest.mark.parametrize("url", ["s3://bucket/a//b", "s3://bucket/a/../b", "s3://bucket/./a"])
def test_a_prefix_that_obstore_refuses_goes_to_fsspec(url):
    backend = open_backend(url, {**OPTIONS, **ENDPOINT})
    assert type(backend._inner) is RemoteBackend
    assert backend.url == url
    with pytest.raises(InvalidInputError, match="cannot do the path"):
        open_backend(url, {**OPTIONS, "backend": "obstore"})


@pytest.mark.parametrize("name", ["boto3", "", "OBSTORE", 1])
def test_a_library_nobody_knows_is_refused(name):
    with pytest.raises(InvalidInputError, match="auto, fsspec, obstore"):
        open_backend("s3://bucket/prefix", {**OPTIONS, "backend": name})


@pytest.mark.parametrize(
    ("url", "options"),
    [("gs://b/p", {"token": "anon"}), ("az://c/p", {"account_name": "a", "account_key": "a2V5"})],
)
def test_google_and_azure_go_to_obstore_when_asked(url, options):
    assert type(open_backend(url, {**options, "backend": "obstore"})._inner) is ObjectStoreBackend


SECRET = "wJalrXUtnFEMI/K7MDENG"


@pytest.mark.parametrize(
    "url",
    [
        f"s3://AKIDEXAMPLE:{SECRET}@bucket/prefix",
        f"s3://:{SECRET}@bucket/prefix",
        "s3://12:34/wJalrXUtnFEMI@bucket/prefix",
        "s3://token-wJalrXUtnFEMI@bucket/prefix",
        f"s3://bucket/prefix?secret={SECRET}",
        f"s3://bucket/prefix?X-Amz-Signature={SECRET}",
        f"s3://bucket/prefix#{SECRET}",
        f"gs://me:{SECRET}@bucket/prefix",
        f"az://me:{SECRET}@container/prefix",
        f"file://me:{SECRET}@host/folder",
        f"memory://me:{SECRET}@store",
        f"https://me:{SECRET}@host/x",
    ],
)
def test_credentials_and_queries_in_a_url_are_refused_and_not_shown(url):
    with pytest.raises(InvalidInputError) as caught:
        open_backend(url, OPTIONS)
    assert "wJalrXUtnFEMI" not in f"{caught.value} {dict(caught.value.fields)}"
    assert "storage options" in str(caught.value)


@pytest.mark.parametrize("url", ["http://host/x", "ftp://host/x", "nonsense://x", "s3://", "s3:///prefix", "gs://", "reg://x"])
def test_a_scheme_nobody_knows_is_refused_with_what_would_do(url):
    with pytest.raises(InvalidInputError, match="s3://bucket/prefix"):
        open_backend(url)


@pytest.mark.parametrize("url", ["", "nul\0byte", "s3://nul\0byte"])
def test_no_url_is_refused(url):
    with pytest.raises(InvalidInputError):
        open_backend(url)


@pytest.mark.parametrize("url", ["s3://[bucket", "s3://]/x", "s3://[::g]/x"])
def test_a_broken_url_is_refused(url):
    with pytest.raises(InvalidInputError):
        open_backend(url)


@pytest.mark.parametrize(
    ("url", "protocol"), [("gs://b/p", "gs"), ("gcs://b/p", "gs"), ("az://c/p", "az"), ("abfs://c/p", "az")]
)
def test_google_and_azure_go_to_their_driver_and_a_missing_one_is_named(monkeypatch, url, protocol):
    import fsspec

    def missing(asked, **options):
        raise ImportError(f"Install the driver of {asked}")

    monkeypatch.setattr(fsspec, "filesystem", missing)
    with pytest.raises(BackendError, match=f"Install the driver of {protocol}$") as caught:
        open_backend(url)
    assert not caught.value.transient


@given(st.sampled_from(["file", "memory", "nonsense", "", "1"]), st.text(max_size=30))
def test_any_text_opens_or_is_refused_with_our_error(scheme, rest):
    try:
        backend = open_backend(f"{scheme}://{rest}")
    except RegistryError:
        return
    assert isinstance(backend, (LocalBackend, MemoryBackend))


@pytest.mark.parametrize(
    "url",
    ["s3:/me:hidden@bucket/x", "S3:bucket/hidden", "https:/me:hidden@host/x", "gs:/bucket?sig=hidden", "file:/hidden"],
)
def test_a_url_without_its_two_slashes_is_no_folder(url):
    with pytest.raises(InvalidInputError, match="two slashes") as caught:
        open_backend(url)
    assert "hidden" not in caught.value.message


@pytest.mark.parametrize("path", ["a\ud800b", "file:///a%00b", "file:///a\ud800"])
def test_a_path_that_no_system_can_hold_is_refused(path):
    with pytest.raises(InvalidInputError, match="path"):
        open_backend(path)


def test_a_loop_of_links_is_refused_or_leads_to_nothing(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with contextlib.suppress(InvalidInputError):
        assert open_backend(str(tmp_path / "loop/registry")).get_many(["format"], length=1) == [None]
