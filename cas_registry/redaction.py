"""One filter for what must never be shown: keys, tokens, signatures, passwords in URLs."""

import re

_SECRETS = (
    re.compile(r"(?P<keep>[a-z][a-z0-9+.-]*://)[^/\s@]+@", re.IGNORECASE),  # userinfo
    re.compile(r"(?P<keep>(?:X-Amz-[A-Za-z-]+|Signature|AWSAccessKeyId|sig|token)=)[^&\s\"']+", re.IGNORECASE),
    re.compile(r"(?P<keep>Authorization['\"]?\s*[:=]\s*)[^\r\n]+", re.IGNORECASE),
    re.compile(
        r"(?P<keep>(?:secret|password|passwd|aws_secret_access_key|session_token)['\"]?\s*[:=]\s*)[^\s,;&]+", re.IGNORECASE
    ),
    re.compile(r"(?P<keep>\b)(?:AKIA|ASIA)[A-Z0-9]{12,}"),
)


def redact(text: str) -> str:
    """`text` with everything that looks like a credential replaced by `***`."""
    for pattern in _SECRETS:
        text = pattern.sub(lambda match: f"{match['keep']}***", text)
    return text
