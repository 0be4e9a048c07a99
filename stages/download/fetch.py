"""Fetch one file over HTTP(S) or from a bucket, with resume, bounded retries and a checksum."""

import http.client
import logging
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pydantic import Field
from tqdm import tqdm

from diffusionad.section import Section
from stages.command import TemporaryError
from stages.download import bucket
from stages.download.transfer import Interrupted, Response
from stages.files import file_digest

log = logging.getLogger(__name__)

CHUNK = 1 << 20


class FetchConfig(Section):
    """Part `fetch` of section `download`."""

    timeout_s: float = Field(gt=0, description="longest wait without a byte from a server, s")
    attempts: int = Field(ge=1, description="connections per file before its source is given up")
    wait_s: float = Field(ge=0, description="wait before the second connection, s; doubled before each further one")
    max_unpacked_mib: int = Field(
        ge=1, description="largest unpacked size of an archive, or size of a folder of a bucket, MiB"
    )
    max_files: int = Field(ge=1, description="largest number of files in it")


def fetch_file(config: FetchConfig, url: str, target: Path, sha256: str | None) -> None:
    """Fetch `url` to `target`; a transfer that an earlier run left unfinished is resumed.

    Args:
        config: Timeouts and number of attempts.
        url: https://, http:// or s3:// address.
        target: The file; `target.part` holds what has arrived and `target.tag` its version until it is complete.
        sha256: Expected checksum; None if none is published.

    Raises:
        TemporaryError: If all attempts break off or get no answer.
        ValueError: If the server refuses, or the checksum differs.
        OSError: If the disk is full.
    """
    part = _Part(target.with_name(f"{target.name}.part"), target.with_name(f"{target.name}.tag"))
    target.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, config.attempts + 1):
        try:
            _resume(config, url, part)
            break
        except Interrupted as error:
            if attempt == config.attempts:
                raise TemporaryError(f"{url}: {error}, {attempt} times; run again to resume") from None
            log.info("%s: %s; trying again", url, error)
            time.sleep(config.wait_s * 2 ** (attempt - 1))
    if sha256 is not None and (got := file_digest(part.file)) != sha256:
        part.clear()
        raise ValueError(f"{url}: expected SHA-256 {sha256}, got {got}; what came was deleted")
    part.file.replace(target)
    part.clear()


class _Part(NamedTuple):
    file: Path
    tag: Path

    def clear(self) -> None:
        self.file.unlink(missing_ok=True)
        self.tag.unlink(missing_ok=True)


def _resume(config: FetchConfig, url: str, part: _Part) -> None:
    # Without a tag there is no telling whether the server still has the same file.
    tag = part.tag.read_text() if part.tag.exists() and part.file.exists() else None
    start = part.file.stat().st_size if tag else 0
    if url.startswith("s3://"):
        body = bucket.open_at(url, start, tag, config.timeout_s)
    else:
        body = _open_http(url, start, tag, config.timeout_s)
    part.file.touch()
    part.tag.unlink(missing_ok=True)
    if body.tag:
        part.tag.write_text(body.tag)
    with body.stream as stream, part.file.open("r+b") as file:
        file.truncate(body.start)
        file.seek(body.start)
        _pump(stream, file, body, url)


def _pump(stream: BinaryIO, file: BinaryIO, body: Response, url: str) -> None:
    done = body.start
    name = url.rsplit("/", 1)[-1]
    with tqdm(desc=name, initial=done, total=body.total, unit="B", unit_scale=True, disable=None) as bar:
        while True:
            try:
                chunk = stream.read(CHUNK)
            except bucket.BROKEN_STREAMS as error:
                raise Interrupted(f"the connection broke after {done} bytes ({type(error).__name__})") from None
            if not chunk:
                break
            file.write(chunk)
            done += len(chunk)
            bar.update(len(chunk))
    if body.total is not None and done != body.total:
        raise Interrupted(f"the connection broke after {done} of {body.total} bytes")


def _open_http(url: str, start: int, tag: str | None, timeout_s: float) -> Response:
    request = urllib.request.Request(url, headers={"User-Agent": "diffusionad-ops"})  # noqa: S310  # https or http, by DatasetConfig
    if start and tag:
        request.add_header("Range", f"bytes={start}-")
        request.add_header("If-Range", tag)
    try:
        answer = urllib.request.urlopen(request, timeout=timeout_s)  # noqa: S310
    except urllib.error.HTTPError as error:
        return _refused(url, error, start, tag, timeout_s)
    except (TimeoutError, urllib.error.URLError, http.client.HTTPException, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise Interrupted(f"no answer ({reason})") from None
    resumed = answer.status == http.client.PARTIAL_CONTENT
    length = answer.headers.get("Content-Length")
    total = None if length is None else int(length) + (start if resumed else 0)
    return Response(answer, start if resumed else 0, total, answer.headers.get("ETag"))


def _refused(url: str, error: urllib.error.HTTPError, start: int, tag: str | None, timeout_s: float) -> Response:
    error.close()
    if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and start and tag:
        return _open_http(url, 0, None, timeout_s)  # the part is at least as long as the file: start again
    if error.code >= http.client.INTERNAL_SERVER_ERROR or error.code == http.client.TOO_MANY_REQUESTS:
        raise Interrupted(f"the server answered {error.code} {error.reason}")
    raise ValueError(f"{url}: the server answered {error.code} {error.reason}")
