import pytest

from cas_registry.backends.objectstore_options import UntranslatableError, translate
from cas_registry.errors import AccessError
from tests.backends.test_remote import MARK

KEYS = {"key": "AKIATESTSUITEONLY001", "secret": MARK}
ENDPOINT = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"endpoint_url": ENDPOINT}, {"aws_endpoint_url_s3": ENDPOINT, "region": "us-east-1"}),
        ({"client_kwargs": {"endpoint_url": ENDPOINT}}, {"aws_endpoint_url_s3": ENDPOINT}),
        (
            {"endpoint_url": ENDPOINT, "client_kwargs": {"endpoint_url": "http://other", "region_name": "eu-1"}},
            {"aws_endpoint_url_s3": ENDPOINT, "region": "eu-1"},
        ),
        ({"endpoint_url": ENDPOINT, "use_ssl": False}, {"virtual_hosted_style_request": False}),
        ({"client_kwargs": {"verify": False}}, {"virtual_hosted_style_request": True}),
        ({"config_kwargs": {"s3": {"addressing_style": "path"}}}, {"virtual_hosted_style_request": False}),
        ({"anon": True}, {"skip_signature": True}),
        ({"anon": False}, {"skip_signature": False}),
        ({"requester_pays": True}, {"request_payer": True}),
        (
            {"s3_additional_kwargs": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "k"}},
            {"server_side_encryption": "aws:kms", "sse_kms_key_id": "k"},
        ),
        ({"use_listings_cache": True, "default_block_size": 7, "token": None}, {"conditional_put": "etag"}),
    ],
)
def test_what_s3fs_is_told_obstore_is_told(options, expected):
    found = translate("s3", "bucket", {**KEYS, **options})
    assert expected.items() <= found.config.items()
    assert found.config["bucket"] == "bucket"


def test_a_bucket_with_dots_is_no_part_of_the_host_s_name():
    assert translate("s3", "a.b", KEYS).config["virtual_hosted_style_request"] is False


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"version_aware": True}, "version_aware"),
        ({"nonsense": 1}, "nonsense"),
        ({"anon": "yes"}, "anon"),
        ({"endpoint_url": 7}, "endpoint_url"),
        ({"client_kwargs": "text"}, "client_kwargs"),
        ({"client_kwargs": {"api_version": "x"}}, "client_kwargs.api_version"),
        ({"config_kwargs": {"proxies": {}}}, "config_kwargs.proxies"),
        ({"config_kwargs": {"retries": {"max_attempts": 3}}}, "config_kwargs.retries"),
        ({"config_kwargs": {"signature_version": "s3"}}, "config_kwargs.signature_version"),
        ({"config_kwargs": {"s3": {"use_accelerate_endpoint": True}}}, "config_kwargs.s3.use_accelerate_endpoint"),
        (
            {"endpoint_url": ENDPOINT, "config_kwargs": {"s3": {"addressing_style": "virtual"}}},
            "config_kwargs.s3.addressing_style",
        ),
        ({"s3_additional_kwargs": {"ACL": "private"}}, "s3_additional_kwargs.ACL"),
        ({"use_ssl": False}, "use_ssl"),
        ({"secret": None}, "key alone"),
        ({"key": None}, "secret alone"),
        ({"key": None, "secret": None, "token": MARK}, "token alone"),
    ],
)
def test_what_obstore_cannot_do_is_named_and_never_dropped(options, name):
    with pytest.raises(UntranslatableError) as caught:
        translate("s3", "bucket", {**KEYS, **options})
    assert str(caught.value) == f"the storage option {name}"


def test_given_keys_are_the_credentials_and_are_not_shown():
    found = translate("s3", "bucket", {**KEYS, "token": "session"})
    assert found.credentials is not None
    assert found.credentials() == {
        "access_key_id": KEYS["key"],
        "secret_access_key": MARK,
        "token": "session",
        "expires_at": None,
    }
    assert MARK not in repr(found)
    assert MARK not in str(found.config)
    assert translate("s3", "bucket", {"client_kwargs": {"aws_access_key_id": "a", "aws_secret_access_key": "b"}}).credentials


def test_time_outs_are_taken_over():
    found = translate("s3", "bucket", {**KEYS, "config_kwargs": {"read_timeout": 7, "connect_timeout": 2.5}})
    assert [found.client[name].total_seconds() for name in ("read_timeout", "connect_timeout")] == [7, 2.5]


def test_authorities_to_trust_are_read_from_options_environment_or_profile(tmp_path, monkeypatch):
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(b"certificates")
    https = {**KEYS, "endpoint_url": "https://127.0.0.1:1"}
    assert "root_certificate" not in translate("s3", "bucket", https).client
    named = {**https, "client_kwargs": {"verify": str(bundle)}}
    assert translate("s3", "bucket", named).client["root_certificate"] == b"certificates"
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    assert translate("s3", "bucket", https).client["root_certificate"] == b"certificates"
    assert translate("s3", "bucket", {**https, "client_kwargs": {"verify": False}}).client["allow_invalid_certificates"]
    bundle.unlink()
    with pytest.raises(AccessError, match="certificates"):
        translate("s3", "bucket", https)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"account_name": "a", "account_key": "k"}, {"account_name": "a", "account_key": "k", "container_name": "bucket"}),
        ({"account_name": "a", "sas_token": "s"}, {"sas_key": "s"}),
        (
            {"connection_string": "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=k==;BlobEndpoint=http://h/a;"},
            {"account_name": "a", "account_key": "k==", "endpoint": "http://h/a"},
        ),
        (
            {"account_name": "a", "tenant_id": "t", "client_id": "c", "client_secret": "s"},
            {"tenant_id": "t", "client_id": "c", "client_secret": "s"},
        ),
        ({"account_name": "a", "anon": True}, {"skip_signature": True}),
    ],
)
def test_what_adlfs_is_told_obstore_is_told(options, expected):
    assert expected.items() <= translate("az", "bucket", options).config.items()


@pytest.mark.parametrize(
    ("protocol", "options", "name"),
    [
        ("az", {"credential": object()}, "credential"),
        ("az", {"connection_string": "AccountName=a;EndpointSuffix=core.chinacloudapi.cn"}, "connection_string"),
        ("gs", {"token": "browser"}, "token"),
        ("gs", {"requester_pays": True}, "requester_pays"),
    ],
)
def test_what_obstore_cannot_do_on_azure_and_google_is_named(protocol, options, name):
    with pytest.raises(UntranslatableError) as caught:
        translate(protocol, "bucket", options)
    assert str(caught.value) == f"the storage option {name}"


def test_a_service_account_of_google_is_a_file_or_a_mapping(tmp_path):
    key = tmp_path / "key.json"
    key.write_text("{}")
    assert translate("gs", "bucket", {"token": str(key)}).config["service_account"] == str(key)
    assert translate("gs", "bucket", {"token": {"private_key": "x"}}).config["service_account_key"] == '{"private_key": "x"}'
