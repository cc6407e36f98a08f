"""One filter for what must never be shown: keys, tokens, signatures, passwords in URLs."""

import re

# Every repetition that a long text could make quadratic has a bound.
_SECRETS = (
    # Userinfo of a URL. A secret may contain slashes, but host:port/ begins no userinfo.
    re.compile(
        r"(?P<keep>\b[a-z][a-z0-9+.-]{0,15}://)(?:[^/\s@]{1,512}|[^/\s@:]{0,128}:(?!\d+/)[^\s@]{1,512})@", re.IGNORECASE
    ),
    re.compile(r"(?P<keep>(?:X-Amz-[A-Za-z-]{1,40}|Signature|AWSAccessKeyId|sig|token)=)[^&\s\"']+", re.IGNORECASE),
    re.compile(r"(?P<keep>Authorization['\"]?\s{0,9}[:=]\s*)[^\r\n]+", re.IGNORECASE),
    re.compile(
        r"(?P<keep>(?:secret|secret_?access_?key|client_secret|passwd|password|token|account_?key|private_key)['\"]?\s{0,9}[:=]\s*)"
        r"(?:'[^'\r\n]*'|\"[^\"\r\n]*\"|[^\s,;&]+)",
        re.IGNORECASE,
    ),
    re.compile(r"(?P<keep>\b)(?:AKIA|ASIA)[A-Z0-9]{12,}"),
)


def redact(text: str) -> str:
    """`text` with everything that looks like a credential replaced by `***`."""
    for pattern in _SECRETS:
        text = pattern.sub(lambda match: f"{match['keep']}***", text)
    return text
