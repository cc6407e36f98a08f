"""fsspec's storage options in obstore's words, so that one set of options opens a registry through either.

What has no translation is refused by name, never dropped: `backends.opening` then takes fsspec. Whatever the options do not
say, obstore and botocore look for in the environment themselves.
"""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cas_registry.errors import AccessError
from cas_registry.redaction import redact

CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
MAX_CONNECTIONS = 64
_CREDENTIALS_LIFE = timedelta(minutes=10)  # half of it remains when they are asked for again
_WITHOUT_EFFECT = frozenset(  # fsspec's caches and buffers, which a registry does not use
    {
        *("use_listings_cache", "listings_expiry_time", "max_paths", "skip_instance_cache", "cache_regions"),
        *("default_block_size", "default_fill_cache", "default_cache_type", "max_concurrency", "project"),
    }
)


class UntranslatableError(ValueError):
    """What obstore has no word for: the argument names the storage option, never its value."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What opens a store of obstore: its configuration, its HTTP client's, and where its credentials come from."""

    config: Mapping[str, Any] = field(repr=False)
    client: Mapping[str, Any] = field(repr=False)
    credentials: Callable[[], Any] | None = field(default=None, repr=False)


def translate(protocol: str, bucket: str, storage_options: Mapping[str, Any]) -> StoreOptions:
    """The options of s3fs, gcsfs or adlfs for obstore. UntranslatableError names what obstore cannot do."""
    return {"s3": _translate_s3, "gs": _translate_gcs, "az": _translate_azure}[protocol](bucket, _Options(storage_options))


class _Options:
    """Options that are taken one by one; whatever is left at the end was not understood."""

    def __init__(self, given: Mapping[str, Any], within: str = "") -> None:
        self._left = {name: value for name, value in given.items() if value is not None and name not in _WITHOUT_EFFECT}
        self._within = within

    def take(self, name: str, *kinds: type) -> Any:
        """The value, or None. UntranslatableError where it is of no kind of `kinds`."""
        value = self._left.pop(name, None)
        if value is not None and not isinstance(value, kinds):
            raise UntranslatableError(f"the storage option {self._within}{name}")
        return value

    def take_text(self, name: str) -> str | None:
        return self.take(name, str) or None

    def take_options(self, name: str) -> "_Options":
        return _Options(self.take(name, Mapping) or {}, f"{self._within}{name}.")

    def finish(self) -> None:
        for name in sorted(self._left):
            raise UntranslatableError(f"the storage option {self._within}{name}")


def _translate_s3(bucket: str, options: _Options) -> StoreOptions:
    client_kwargs, config_kwargs = options.take_options("client_kwargs"), options.take_options("config_kwargs")
    endpoint = _take_first((options, "endpoint_url"), (client_kwargs, "endpoint_url"))
    region = client_kwargs.take_text("region_name")
    anonymous = bool(options.take("anon", bool))
    botocore = _Botocore(options.take_text("profile"))
    credentials = _take_s3_credentials(options, client_kwargs) or botocore.credentials
    if False in {options.take("use_ssl", bool), client_kwargs.take("use_ssl", bool)} and endpoint is None:
        raise UntranslatableError("the storage option use_ssl")  # where an endpoint is named, its scheme decides
    config: dict[str, Any] = {
        "bucket": bucket,
        "conditional_put": "etag",
        "disable_bulk_delete": True,  # one DELETE is a request that every store knows
        "unsigned_payload": False,
        "skip_signature": anonymous,
        "request_payer": bool(options.take("requester_pays", bool)),
        "virtual_hosted_style_request": _take_virtual_hosts(config_kwargs, bucket, endpoint),
        **({"aws_endpoint_url_s3": endpoint} if endpoint else {}),
        **({"region": region} if region else {"region": "us-east-1"} if endpoint else {}),
        **_take_s3_encryption(options),
    }
    client = _client_options(config_kwargs) | _take_verification(client_kwargs, endpoint, botocore)
    if config_kwargs.take_text("signature_version") not in {None, "s3v4"}:
        raise UntranslatableError("the storage option config_kwargs.signature_version")
    for group in (client_kwargs, config_kwargs, options):
        group.finish()
    return StoreOptions(config, client, None if anonymous else credentials)


def _take_first(*places: tuple[_Options, str]) -> str | None:
    """Of several names for one thing, as s3fs prefers them; all are taken."""
    return next((value for value in [options.take_text(name) for options, name in places] if value), None)


def _take_s3_credentials(options: _Options, client_kwargs: _Options) -> Callable[[], Any] | None:
    """Those that are given, and they alone: obstore itself would add a session token of the environment."""
    key = _take_first((options, "key"), (options, "username"), (client_kwargs, "aws_access_key_id"))
    secret = _take_first((options, "secret"), (options, "password"), (client_kwargs, "aws_secret_access_key"))
    token = _take_first((options, "token"), (client_kwargs, "aws_session_token"))
    if key and secret:
        given = {"access_key_id": key, "secret_access_key": secret, "token": token, "expires_at": None}
        return lambda: given
    if key or secret or token:
        raise UntranslatableError(f"the storage option {'key' if key else 'secret' if secret else 'token'} alone")
    return None


class _Botocore:
    """What s3fs would find in environment, profiles, single sign-on, roles and the machine's own metadata."""

    def __init__(self, profile: str | None) -> None:
        self._profile = profile
        self._lock = threading.Lock()
        self._session: Any = None
        self._found: Any = None

    def credentials(self) -> dict[str, Any]:
        with self._lock:
            if self._found is None:
                self._found = self._open().get_credentials()
            if self._found is None:
                raise AccessError("NoCredentialsError")
            frozen = self._found.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + _CREDENTIALS_LIFE,
        }

    def certificates(self) -> str | None:
        """The file with the authorities to trust, where AWS_CA_BUNDLE or a profile names one."""
        with self._lock:
            try:
                found = self._open().get_config_variable("ca_bundle")
            except Exception as error:  # noqa: BLE001 - the seam: no such profile, or a broken file
                raise AccessError(f"cannot open s3://: {redact(str(error))[:300]}. Check the profile") from error
        return found if isinstance(found, str) else None

    def _open(self) -> Any:
        if self._session is None:
            from botocore.session import Session  # noqa: PLC0415 - 160 ms that given keys need not pay

            self._session = Session(profile=self._profile)
        return self._session


def _take_virtual_hosts(config_kwargs: _Options, bucket: str, endpoint: str | None) -> bool:
    """Whether the bucket is part of the host's name, as botocore decides it."""
    s3 = config_kwargs.take_options("s3")
    style = s3.take_text("addressing_style") or "auto"
    s3.finish()
    if style not in {"auto", "path"} and endpoint is not None:
        raise UntranslatableError("the storage option config_kwargs.s3.addressing_style")
    return endpoint is None and style != "path" and "." not in bucket


def _take_s3_encryption(options: _Options) -> dict[str, str]:
    additional = options.take_options("s3_additional_kwargs")
    names = {"ServerSideEncryption": "server_side_encryption", "SSEKMSKeyId": "sse_kms_key_id"}
    found = {ours: additional.take_text(theirs) for theirs, ours in names.items()}
    additional.finish()
    return {name: value for name, value in found.items() if value}


def _take_verification(client_kwargs: _Options, endpoint: str | None, botocore: _Botocore) -> dict[str, Any]:
    verify = client_kwargs.take("verify", bool, str)
    if verify is False:
        return {"allow_invalid_certificates": True}
    if endpoint is not None and endpoint.startswith("http://"):
        return {}
    path = verify if isinstance(verify, str) else botocore.certificates()
    if path is None:
        return {}
    try:
        return {"root_certificate": Path(path).read_bytes()}
    except OSError as error:
        raise AccessError(f"cannot read the certificates to trust: {error}") from error


def _translate_gcs(bucket: str, options: _Options) -> StoreOptions:
    endpoint = options.take_text("endpoint_url")
    token = options.take("token", str, Mapping)
    options.finish()
    config: dict[str, Any] = {"bucket": bucket, **({"google_base_url": endpoint} if endpoint else {})}
    credentials = None
    if token == "anon":  # noqa: S105 - gcsfs's word for none
        config["skip_signature"] = True
        credentials = lambda: {"token": "", "expires_at": None}  # noqa: E731 - writes ask for credentials all the same
    elif isinstance(token, Mapping):
        config["service_account_key"] = json.dumps(dict(token))
    elif token and Path(token).is_file():
        config["service_account"] = token
    elif token not in {None, "google_default"}:
        raise UntranslatableError("the storage option token")
    return StoreOptions(config, _client_options(_Options({})), credentials)


def _translate_azure(bucket: str, options: _Options) -> StoreOptions:
    said = _parse_connection_string(options.take_text("connection_string") or "")
    endpoint = said.get("BlobEndpoint")
    names = {"account_name": "AccountName", "account_key": "AccountKey", "sas_token": "SharedAccessSignature"}
    found = {name: options.take_text(name) or said.get(theirs) for name, theirs in names.items()}
    identity = {name: options.take_text(name) for name in ("client_id", "client_secret", "tenant_id")}
    anonymous = bool(options.take("anon", bool))
    options.finish()
    said_to_obstore = {"sas_key": found.pop("sas_token"), "endpoint": endpoint, **found, **identity}
    config: dict[str, Any] = {"container_name": bucket, **{name: value for name, value in said_to_obstore.items() if value}}
    if anonymous:
        config["skip_signature"] = True
    return StoreOptions(config, _client_options(_Options({})))


def _parse_connection_string(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(";") if part]
    known = {"AccountName", "AccountKey", "BlobEndpoint", "SharedAccessSignature", "DefaultEndpointsProtocol", "EndpointSuffix"}
    said = {name: value for name, _, value in pairs}
    if not said.keys() <= known or said.get("EndpointSuffix", "core.windows.net") != "core.windows.net":
        raise UntranslatableError("the storage option connection_string")
    return said


def _client_options(config_kwargs: _Options) -> dict[str, Any]:
    connect_s = config_kwargs.take("connect_timeout", int, float) or CONNECT_TIMEOUT_S
    read_s = config_kwargs.take("read_timeout", int, float) or READ_TIMEOUT_S
    connections = config_kwargs.take("max_pool_connections", int) or MAX_CONNECTIONS
    return {
        "allow_http": True,  # the endpoint's scheme decides
        "connect_timeout": timedelta(seconds=connect_s),
        "read_timeout": timedelta(seconds=read_s),
        "pool_max_idle_per_host": str(connections),
    }
