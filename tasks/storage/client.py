"""The S3 client, with settings that every server accepts and retries that outlast a restart of the server.

boto3's defaults add checksum trailers that rclone, Ceph and Swift refuse. Instead each upload carries Content-MD5, the
one integrity header that all of them enforce. A transient failure is retried: six attempts within 9 to 18 seconds,
where botocore itself gives up within 2 seconds, and at once after a BadDigest.

botocore logs session tokens at DEBUG, so its loggers are kept at WARNING. TLS is verified; plain http to another
machine needs SPINNERET_ALLOW_HTTP=1.
"""

import base64
import contextlib
import hashlib
import ipaddress
import logging
import os
import random
from functools import lru_cache, partial
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError, SSLError
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.loaders import Loader

from tasks.errors import InputError
from tasks.storage.embedded_server import Endpoint
from tasks.storage.failures import error_code, explain_errors, http_status, is_missing
from tasks.storage.sending import add_scanned_md5

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ATTEMPTS = 6
_PAUSE_S = 0.2
"""Before the second attempt; tripled before each further one, up to _LONGEST_PAUSE_S."""
_LONGEST_PAUSE_S = 10
_TRANSIENT = {429, 500, 502, 503, 504}
_HASHED_OPERATIONS = ("PutObject", "UploadPart", "DeleteObjects")
_LEAKING_LOGGERS = ("botocore", "boto3", "s3transfer", "urllib3")


def connect_to_embedded(endpoint: Endpoint) -> "S3Client":
    """A client of an embedded server, independent of the user's AWS settings and proxies."""
    nothing = {
        "profile": (None, None, None, None),
        "config_file": (None, None, os.devnull, None),
        "credentials_file": (None, None, os.devnull, None),
    }
    session = boto3.Session(
        endpoint.access_key_id,
        endpoint.secret_access_key,
        region_name="us-east-1",
        botocore_session=_with_shared_loader(botocore.session.Session(nothing)),
    )
    return _client(session, endpoint.url)


def connect_to_remote(bucket: str, key: str) -> "S3Client":
    """A client with boto3's own credentials, after a quick GET of `key`, which need not exist, has reached `bucket`.

    The quick GET has two attempts, so that an endpoint that does not answer is noticed within 15 seconds; the returned
    client has six.

    Raises:
        InputError: no or wrong credentials, no such bucket, or an endpoint that may not be used.
        UnavailableError: the endpoint does not answer.
    """
    endpoint = configured_endpoint()
    with explain_errors(f"s3://{bucket}", endpoint or "AWS"):
        session = boto3.Session(botocore_session=_with_shared_loader(botocore.session.Session()))
        quick = _client(session, endpoint, attempts=2, connect_s=4, read_s=5)
        with contextlib.closing(quick):
            _refuse_plain_http(quick.meta.endpoint_url)
            _check_access(quick, bucket, key)
        return _client(session, endpoint)


def configured_endpoint() -> str | None:
    """AWS_ENDPOINT_URL_S3, or AWS_ENDPOINT_URL; if None, boto3 decides (the endpoint of the profile, or AWS)."""
    for variable in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        url = os.environ.get(variable)
        if url:
            if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
                raise InputError(f"{variable} is {url!r}: it must be a URL such as https://s3.example.org")
            return url
    return None


def _with_shared_loader(session: botocore.session.Session) -> botocore.session.Session:
    """Let sessions share one loader of botocore's data about S3, which takes 0.1 to 0.3 s to read."""
    session.register_component("data_loader", _loader())
    return session


@lru_cache
def _loader() -> Loader:
    return Loader()


def _client(
    session: boto3.Session, endpoint: str | None, *, attempts: int = ATTEMPTS, connect_s: float = 10, read_s: float = 60
) -> "S3Client":
    for name in _LEAKING_LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(max(logging.WARNING, logger.level))
    client = session.client(
        "s3",
        region_name=session.region_name or "us-east-1",
        endpoint_url=endpoint,
        config=_config(endpoint, attempts, connect_s, read_s),
    )
    for operation in _HASHED_OPERATIONS:
        client.meta.events.register(f"before-call.s3.{operation}", _add_content_md5)
    for operation in ("PutObject", "UploadPart"):
        client.meta.events.register(f"provide-client-params.s3.{operation}", add_scanned_md5)
    client.meta.events.register_first("needs-retry.s3", partial(_pause, limit=attempts))
    return client


def _config(endpoint: str | None, attempts: int, connect_s: float, read_s: float) -> Config:
    return Config(
        signature_version="s3v4",
        s3={"addressing_style": "path" if endpoint else "auto", "payload_signing_enabled": False},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=32,
        connect_timeout=connect_s,
        read_timeout=read_s,
        tcp_keepalive=True,
        proxies={} if endpoint and _is_loopback(endpoint) else None,
    )


def _check_access(client: "S3Client", bucket: str, key: str) -> None:
    """Raise the error of a GET about endpoint, credentials or bucket; `key` need not exist."""
    try:
        client.get_object(Bucket=bucket, Key=key)["Body"].close()
    except ClientError as error:
        # Without s3:ListBucket a missing key is AccessDenied too.
        if not is_missing(error) and (http_status(error), error_code(error)) != (403, "AccessDenied"):
            raise


def _refuse_plain_http(url: str) -> None:
    plain = urlsplit(url).scheme == "http" and not _is_loopback(url)
    if plain and os.environ.get("SPINNERET_ALLOW_HTTP") != "1":
        raise InputError(
            f"the endpoint {url} would send releases unencrypted over the network: use https, "
            "or set SPINNERET_ALLOW_HTTP=1 if that network is trusted"
        )


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _add_content_md5(params: dict[str, Any], **_: object) -> None:
    """Before a call: add the MD5 of the bytes to send, unless the caller has set it."""
    if "Content-MD5" in params["headers"]:
        return
    body: bytes | bytearray | IO[bytes] = params["body"] or b""
    digest = hashlib.md5(usedforsecurity=False)
    if isinstance(body, bytes | bytearray):
        digest.update(body)
    else:
        start = body.tell()
        while block := body.read(2**20):
            digest.update(block)
        body.seek(start)
    params["headers"]["Content-MD5"] = base64.b64encode(digest.digest()).decode()


def _pause(
    response: tuple[AWSResponse, dict[str, Any]] | None,
    attempts: int,
    caught_exception: Exception | None,
    *,
    limit: int,
    **_: object,
) -> Any:
    """After a call: seconds to wait before the retry of a transient failure; None leaves it to botocore."""
    if response is None:
        lost = isinstance(caught_exception, NoConnectionError | HTTPClientError)
        transient = lost and not isinstance(caught_exception, SSLError)
    else:
        transient = response[0].status_code in _TRANSIENT or response[1].get("Error", {}).get("Code") == "BadDigest"
    if not transient or attempts >= limit:
        return None
    return random.uniform(0.5, 1) * min(_PAUSE_S * 3 ** (attempts - 1), _LONGEST_PAUSE_S)  # noqa: S311 not for secrets
