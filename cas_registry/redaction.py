"""One filter for what must never be shown: keys, tokens, signatures, passwords in URLs."""

import re

# Every repetition that a long text could make quadratic has a bound.
_SECRETS = (
    # Userinfo of a URL. A secret may contain slashes, but host:port/ begins no userinfo.
    re.compile(
        r"(?P<keep>\b[a-z][a-z0-9+.-]{0,15}://)(?:[^/\s@]{1,512}|[^/\s@:]{0,128}:(?!\d+/)[^\s@]{1,512})@", re.IGNORECASE
    ),
    # Elements of an answer in XML, such as S3's of an expired token; what was signed has its token in it.
    re.compile(
        r"(?P<keep><(?:[A-Za-z]{0,40}(?:Token|Secret|Signature|Password)[A-Za-z]{0,40}(?:-\d)?|SecretAccessKey|AWSAccessKeyId"
        r"|StringToSign(?:Bytes)?|CanonicalRequest(?:Bytes)?)>)[^<]+",
        re.IGNORECASE,
    ),
    # Parameters of a signed URL, as they stand, percent-encoded in another URL, or in a dict.
    re.compile(
        r"(?P<keep>(?:X-(?:Amz|Goog)-[A-Za-z-]{1,40}|\b(?:Signature|AWSAccessKeyId|GoogleAccessId|sig|token))(?:=|%3D|['\"]: ?['\"]))"
        r"(?:(?!%26)[^&\s\"'])+",
        re.IGNORECASE,
    ),
    re.compile(r"(?P<keep>\b(?:Bearer|SharedKey(?:Lite)?)\s{1,9})(?!\*\*\*)[A-Za-z0-9._~+/=:-]{8,}", re.IGNORECASE),
    re.compile(r"(?P<keep>Authorization['\"]?\s{0,9}[:=]\s*)[^\r\n]+", re.IGNORECASE),
    re.compile(
        r"(?P<keep>(?:secret|secret_?access_?key|client_secret|passwd|password|passphrase|token|account_?key|private_?key|api_?key|credential)['\"]?\s{0,9}[:=]\s*)"
        r"(?:'[^'\r\n]*'|\"[^\"\r\n]*\"|[^\s,;&]+)",
        re.IGNORECASE,
    ),
    re.compile(r"(?P<keep>\b)(?:AKIA|ASIA)[A-Z0-9]{12,}"),
    # Tokens that say what they are: GitHub's, GitLab's, Hugging Face's, Slack's, and those of several makers of models.
    re.compile(
        r"(?P<keep>\b)(?:gh[opsur]_|github_pat_|glpat-|hf_|xox[abeprs]-|sk-(?=[A-Za-z_-]{0,100}[0-9]))[A-Za-z0-9_-]{16,}"
    ),
    re.compile(r"(?P<keep>-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----)(?:[^-]|-(?!----)){1,20000}"),
)


def redact(text: str) -> str:
    """`text` with everything that looks like a credential replaced by `***`."""
    for pattern in _SECRETS:
        text = pattern.sub(lambda match: f"{match['keep']}***", text)
    return text
