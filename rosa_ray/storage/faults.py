"""What went wrong with a file or bucket, as one line that says what to do."""

import os

import fsspec

from rosa_ray.storage.s3 import bucket_of, is_s3

_CREDENTIALS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or a role"
_NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "CredentialRetrievalError")
_REFUSED = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired")
_UNREACHABLE = (
    "EndpointConnectionError",
    "ConnectTimeoutError",
    "ConnectionClosedError",
    "ReadTimeoutError",
    "ProxyConnectionError",
    "SSLError",
)
_ACTIONS = "s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload"


def storage_errors(path: str) -> tuple[type[Exception], ...]:
    """Exceptions that a file system raises for a path: OSError, and what botocore adds for S3."""
    if not is_s3(path):
        return (OSError,)
    from botocore.exceptions import BotoCoreError, ClientError

    return OSError, BotoCoreError, ClientError


def explain(path: str, error: BaseException) -> str | None:
    """Return what to do about an S3 error as one line, None when it says nothing about reaching S3.

    Args:
        path: URL that was read or written.
        error: as s3fs or botocore raised it.
    """
    if not is_s3(path):
        return None
    kind, code = type(error).__name__, _code(error)
    if kind in _NO_CREDENTIALS:
        return f"{path}: S3 wants credentials and there are none: {_line(error)}; set AWS credentials ({_CREDENTIALS})"
    if code in _REFUSED:
        return f"{path}: S3 refuses these credentials: {code}: {_line(error)}; set AWS credentials ({_CREDENTIALS})"
    if isinstance(error, PermissionError) or code in ("AccessDenied", "403"):
        return (
            f"{path}: S3 denies access: {_line(error)}; let these credentials do {_ACTIONS} on bucket "
            f"'{bucket_of(path)}', or set others ({_CREDENTIALS})"
        )
    if isinstance(error, FileNotFoundError) or code in ("NoSuchBucket", "404"):
        return _missing_bucket(path, code)
    if kind in _UNREACHABLE or isinstance(error, ConnectionError | TimeoutError):
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        where = f"AWS_ENDPOINT_URL, now '{endpoint}'," if endpoint else "AWS_DEFAULT_REGION, AWS_ENDPOINT_URL"
        return f"{path}: no S3 server answers: {_line(error)}; check {where} and the network"
    return f"{path}: S3 failed: {code}: {_line(error)}" if code else None


def _missing_bucket(path: str, code: str) -> str | None:
    bucket = bucket_of(path)
    if code != "NoSuchBucket" and _bucket_is_there(path):
        return None
    return f"{path}: does not exist: there is no bucket '{bucket}'; correct the name, or aws s3 mb s3://{bucket}"


def _bucket_is_there(path: str) -> bool:
    try:
        fs, _ = fsspec.core.url_to_fs(path)
        return bool(fs.exists(bucket_of(path)))
    except storage_errors(path):
        return True


def _code(error: BaseException) -> str:
    """S3's error code, of the error or of the one it was translated from."""
    for candidate in (error, error.__cause__):
        response = getattr(candidate, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return ""


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
