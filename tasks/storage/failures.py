"""Explains a failed S3 call in one sentence.

It is an InputError when a retry gives the same result (credentials, permissions, bucket, TLS), and an UnavailableError
when it may not (network, server, throttling).
"""

import contextlib
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from botocore import exceptions as botocore
from botocore.compat import get_current_datetime

from tasks.errors import InputError, SpinneretError, UnavailableError

_NO_CREDENTIALS = (
    botocore.NoCredentialsError,
    botocore.PartialCredentialsError,
    botocore.CredentialRetrievalError,
    botocore.TokenRetrievalError,
    botocore.NoAuthTokenError,
    botocore.ProfileNotFound,
    botocore.SSOError,
    botocore.LoginError,
)
_CONFIGURATION = (
    botocore.ConfigParseError,
    botocore.ConfigNotFound,
    botocore.InvalidConfigError,
    botocore.InvalidProxiesConfigError,
    botocore.ParamValidationError,
)
_REFUSED_KEY = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"}
_TRANSIENT = {
    *("SlowDown", "RequestTimeout", "OperationAborted", "InternalError", "ServiceUnavailable"),
    *("BadDigest", "IncompleteBody", "MalformedXML", "InvalidPart"),  # damaged on the network
    "NoSuchUpload",  # rclone drops the whole upload after one damaged part
}
_MAX_SKEW_S = 900
_KEYS_HELP = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"


@contextlib.contextmanager
def explain_errors(location: str, endpoint: str) -> Iterator[None]:
    """Turn what botocore raises in the block into one sentence about `location` (s3://bucket/...) at `endpoint`.

    Raises:
        InputError: trying again gives the same answer.
        UnavailableError: trying again can help.
    """
    where = f"{location} at {endpoint}"
    try:
        yield
    except botocore.ClientError as error:
        raise _error(error, where) from error
    except _NO_CREDENTIALS as error:
        raise InputError(f"no credentials for {where} ({error}): {_KEYS_HELP}") from error
    except botocore.SSLError as error:
        message = f"the TLS certificate of {where} cannot be verified ({error}): name its authority in AWS_CA_BUNDLE"
        raise InputError(message) from error
    except _CONFIGURATION as error:
        raise InputError(f"the settings for {where} are wrong: {error}") from error
    except botocore.BotoCoreError as error:
        raise UnavailableError(
            f"the object store of {where} does not answer ({type(error).__name__}): check AWS_ENDPOINT_URL_S3 and the "
            "network, then try again"
        ) from error


def error_code(error: botocore.ClientError) -> str:
    """The S3 error code, such as NoSuchKey; a response without a body has its HTTP status as code."""
    return str(error.response.get("Error", {}).get("Code", ""))


def http_status(error: botocore.ClientError) -> int:
    """The HTTP status, 0 if unknown."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_missing(error: botocore.ClientError) -> bool:
    """Whether the key does not exist (as opposed to the bucket)."""
    return http_status(error) == 404 and error_code(error) != "NoSuchBucket"


def _error(error: botocore.ClientError, where: str) -> SpinneretError:
    code, status = error_code(error), http_status(error)
    if status >= 500 or status == 429 or code in _TRANSIENT:
        return UnavailableError(f"{where} could not do {error.operation_name} ({status} {code}): try again later")
    return InputError(_refusal(error, where))


def _refusal(error: botocore.ClientError, where: str) -> str:
    code, status, operation = error_code(error), http_status(error), error.operation_name
    if code == "NoSuchBucket":
        return f"the bucket of {where} does not exist: create it there, or correct the destination"
    if code == "RequestTimeTooSkewed" or (status in (400, 403) and _clock_is_wrong(error)):
        return f"{where} refused {operation}: the clock of this machine is wrong; correct it"
    if code in _REFUSED_KEY or status == 401:
        return f"{where} does not accept these credentials ({code}): {_KEYS_HELP}"
    if status == 403:
        needed = "s3:ListBucket, s3:GetObject and s3:PutObject"
        return f"{where} refused {operation} (403 {code}): these credentials need {needed} there"
    if status in (301, 307) or code in ("PermanentRedirect", "AuthorizationHeaderMalformed"):
        return f"the bucket of {where} is in another region ({code}): set AWS_REGION"
    return f"{where} refused {operation} ({status} {code}): {error}"


def _clock_is_wrong(error: botocore.ClientError) -> bool:
    """By the date of the response: stores use different codes for this, and none for a HEAD."""
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        ahead = get_current_datetime(remove_tzinfo=False) - parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError):
        return False
    return abs(ahead.total_seconds()) > _MAX_SKEW_S
