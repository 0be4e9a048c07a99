"""Read from S3 and compatible object stores.

The endpoint and the credentials come from the environment: AWS_ENDPOINT_URL, AWS_PROFILE and so on.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import boto3
import urllib3.exceptions
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError
from tqdm import tqdm

from stages.command import TemporaryError
from stages.download.transfer import Interrupted, Response

WORKERS = 8
"""Objects copied at the same time: most are small, so the round trips dominate."""

CHUNK = 1 << 20
"""Bytes of an object that are in memory at a time."""

BROKEN_STREAMS = (OSError, HTTPClientError, BotoCoreError, urllib3.exceptions.HTTPError)
"""Errors that reading from a broken connection may raise."""

FAILURES = (ClientError, BotoCoreError)
"""Errors that a request may raise; `refuse` explains them."""

ADVICE = {
    "403": "access denied; check AWS_ACCESS_KEY_ID, AWS_PROFILE and the bucket's policy",
    "AccessDenied": "access denied; check AWS_ACCESS_KEY_ID, AWS_PROFILE and the bucket's policy",
    "404": "no such object",
    "NoSuchKey": "no such object",
    "NoSuchBucket": "no such bucket",
}


class StoredObject(NamedTuple):
    """One object of a listing."""

    name: str
    """What its key has after the listed prefix."""
    size: int
    """Size, bytes."""
    tag: str
    """ETag, which names this version of the object."""


def open_at(url: str, start: int, tag: str | None, timeout_s: float) -> Response:
    """Open an object at an offset; at 0 if it is no longer the version `tag`.

    Args:
        url: s3:// address of the object.
        start: Offset of the first byte wanted.
        tag: ETag of the version that the first `start` bytes are from; None to start at 0.
        timeout_s: Longest wait without a byte, s.

    Raises:
        ValueError: If the object does not exist or access is denied.
        Interrupted: If the store does not answer.
    """
    bucket, key = split_url(url)
    ranged = {"Range": f"bytes={start}-", "IfMatch": tag} if start and tag else {}
    try:
        answer = client(timeout_s).get_object(Bucket=bucket, Key=key, **ranged)
    except ClientError as error:
        if ranged and error.response["Error"]["Code"] in ("PreconditionFailed", "412", "InvalidRange", "416"):
            return open_at(url, 0, None, timeout_s)
        refuse(url, error)
    except BotoCoreError as error:
        refuse(url, error)
    first = start if ranged else 0
    return Response(answer["Body"], first, first + answer["ContentLength"], answer["ETag"])


def list_objects(url: str, timeout_s: float) -> Iterator[StoredObject]:
    """Yield the objects whose keys begin with the prefix `url`, in the order of the bucket.

    Args:
        url: Address s3://BUCKET/PREFIX; to list a folder, the prefix ends in a slash.
        timeout_s: How long to wait for an answer, s.

    Raises:
        ValueError: If the bucket does not exist or access is denied.
        Interrupted: If the store does not answer.
    """
    bucket, prefix = split_url(url)
    try:
        for page in client(timeout_s).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                yield StoredObject(entry["Key"].removeprefix(prefix), entry["Size"], entry["ETag"])
    except FAILURES as error:
        refuse(url, error)


def copy_objects(url: str, names: Sequence[str], folder: Path, *, timeout_s: float, attempts: int) -> None:
    """Copy objects below a prefix into a folder, under their names.

    Args:
        url: s3:// address of the prefix.
        names: Keys relative to the prefix.
        folder: The target folder.
        timeout_s: Longest wait without a byte, s.
        attempts: Largest number of attempts per object.

    Raises:
        TemporaryError: If all attempts get no answer.
        ValueError: If a name leads out of the folder, an object does not exist, or access is denied.
        OSError: If the disk is full.
    """
    bucket, prefix = split_url(url)
    s3 = client(timeout_s)

    def copy(name: str) -> None:
        target = folder / name
        if not target.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{url}/{name}: leads out of the folder it is copied to; refused")
        target.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(attempts):
            try:
                with target.open("wb") as file:
                    file.writelines(_chunks(s3, bucket, f"{prefix.rstrip('/')}/{name}"))
            except Interrupted as error:
                if attempt == attempts - 1:
                    raise TemporaryError(f"{url}/{name}: {error}, {attempts} times") from None
            else:
                return

    with ThreadPoolExecutor(WORKERS) as pool:
        copies = pool.map(copy, (name for name in names if not name.endswith("/")))
        for _ in tqdm(copies, desc=url, total=len(names), disable=None):
            pass


def read_object(s3: Any, bucket: str, key: str) -> bytes:  # noqa: ANN401  # boto3 has no types
    """Return the bytes of an object.

    Raises:
        ValueError: If the object does not exist or access is denied.
        Interrupted: If the store does not answer or the connection breaks.
    """
    return b"".join(_chunks(s3, bucket, key))


def client(timeout_s: float) -> Any:  # noqa: ANN401  # boto3 has no types
    """Return a client that gives up after `timeout_s` without an answer and never retries; its callers do."""
    config = Config(
        connect_timeout=timeout_s,
        read_timeout=timeout_s,
        retries={"total_max_attempts": 1},
        # Stores other than AWS do not know the newer checksums.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    # A new session: the default one keeps the credentials that it saw first.
    return boto3.session.Session().client("s3", config=config)


def split_url(url: str) -> tuple[str, str]:
    """Return (bucket, key) of an s3:// address."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key


def refuse(url: str, error: Exception) -> NoReturn:
    """Raise an error of one line for a failed request.

    Raises:
        ValueError: If another attempt would not help.
        Interrupted: Otherwise.
    """
    if isinstance(error, NoCredentialsError):
        advice = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        raise ValueError(f"{url}: no credentials; {advice}")  # noqa: TRY004  # the user's, not a wrong type
    if isinstance(error, ClientError):
        code = str(error.response["Error"]["Code"])
        if code in ADVICE:
            raise ValueError(f"{url}: {ADVICE[code]}")
        raise Interrupted(f"the store answered {code}")
    raise Interrupted(f"no answer ({type(error).__name__})")


def _chunks(s3: Any, bucket: str, key: str) -> Iterator[bytes]:  # noqa: ANN401  # boto3 has no types
    # boto3's own `download_file` asks for an object's size first: a second request for each of many small ones.
    try:
        stream = s3.get_object(Bucket=bucket, Key=key)["Body"]
        while chunk := stream.read(CHUNK):
            yield chunk
    except (ClientError, *BROKEN_STREAMS) as error:
        refuse(f"s3://{bucket}/{key}", error)
