"""What an object store's refusal means, whichever library asked: HTTP status and error code to our errors."""

from cas_registry.errors import AccessError, AlreadyExistsError, BackendError, NotFoundError, RegistryError

_CONFLICT_STATUS = frozenset({409, 412})
_ACCESS_STATUS = frozenset({401, 403, 405})
_TRANSIENT_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 507, 509})
_TRANSIENT_CODES = frozenset(  # with status 400, or in the body of a 200
    {
        *("RequestTimeout", "Throttling", "RequestLimitExceeded", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch"),
        *("InternalError", "SlowDown"),
    }
)
_ACCESS_CODES = frozenset(
    {
        *(
            "AccessDenied",
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
            "ExpiredToken",
            "InvalidToken",
            "RequestTimeTooSkewed",
        ),
        "AuthenticationFailed",
    }
)
_BUCKET_CODES = frozenset({"NoSuchBucket", "ContainerNotFound"})
_BEING_WRITTEN = "ConditionalRequestConflict"  # S3: 409, and nobody has won yet


class BeyondEndError(RegistryError):
    """A range that starts at or beyond the end of the object."""


def explain_answer(  # noqa: PLR0911 - one line a meaning
    verb: str, key: str, url: str, *, status: int | None, code: str, detail: str, transient: bool
) -> RegistryError:
    """Our error for what a store answered to `verb` on `key`; `transient` decides where there was no answer at all.

    `detail` is shown, so it has to be redacted.
    """
    what = f"cannot {verb} {key} in {url}" if key else f"cannot {verb} {url}"
    if code in _BUCKET_CODES:
        bucket = url.partition("://")[2].partition("/")[0]
        return NotFoundError(f"{what}: there is no such bucket; create it first, or check the name", key=key, bucket=bucket)
    if verb == "create" and status in _CONFLICT_STATUS:
        if code == _BEING_WRITTEN:
            return BackendError(f"{what}: another writer is at it", key=key, status=status, transient=True)
        return AlreadyExistsError(f"{key} exists already in {url}", key=key)
    if status == 404:  # noqa: PLR2004 - HTTP
        return NotFoundError(f"{key} is not in {url}", key=key)
    if status == 416:  # noqa: PLR2004 - HTTP: range not satisfiable
        return BeyondEndError(f"{what}: beyond the end", key=key)
    if status in _ACCESS_STATUS or code in _ACCESS_CODES:
        return AccessError(f"{what}: {detail}. Check the credentials and the bucket's policy", key=key, status=status)
    if status is not None or code:
        transient = code in _TRANSIENT_CODES or status in _TRANSIENT_STATUS
    return BackendError(f"{what}: {detail}. Check the network and the endpoint", key=key, status=status, transient=transient)
