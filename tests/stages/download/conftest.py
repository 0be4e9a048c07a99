import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer
from PIL import Image

from stages.common.dataset import DatasetConfig
from stages.download.contract import ContractConfig
from stages.download.fetch import FetchConfig
from stages.download.stage import DownloadConfig

FETCH = {"timeout_s": 0.5, "attempts": 2, "wait_s": 0, "max_unpacked_mib": 4, "max_files": 30}
CONTRACT = {
    "min_side_px": 16,
    "max_megapixels": 1,
    "modes": ["L", "RGB"],
    "min_train": 8,
    "min_val": 1,
    "anomalous_share": [0.05, 0.95],
    "max_brightness_drift": 0.1,
    "max_size_drift": 0.5,
}
DOWNLOAD = {
    "seed": 0,
    "val_fraction": 0.1,
    "test_fraction": 0.25,
    "mirror": None,
    "max_megapixels_decoded": 100,
    "near_duplicate_bits": 8,
    "fetch": FETCH,
    "contract": CONTRACT,
}
DATASET = {
    "layout": "folder",
    "sources": [],
    "mirror_names": ["mine"],
    "terms": None,
    "licence": "CC0",
    "licence_url": "",
    "non_commercial": False,
    "foreground": "full",
}


@pytest.fixture(scope="session")
def settings():
    """An entry of section `datasets`, and section `download`, as plain data."""
    return DATASET, DOWNLOAD


@pytest.fixture
def fetch_config():
    return FetchConfig.model_validate(FETCH)


@pytest.fixture
def contract_config():
    return ContractConfig.model_validate(CONTRACT, strict=False)


@pytest.fixture
def download_config():
    return DownloadConfig.model_validate(DOWNLOAD, strict=False)


@pytest.fixture
def dataset_config():
    def of(**changes):
        return DatasetConfig.model_validate(DATASET | changes, strict=False)

    return of


@pytest.fixture(scope="session")
def paint():
    """Write a photograph of smooth noise; another seed, another picture."""

    def write(path: Path, seed=0, size=(40, 48), mode="L"):
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).resize(size[::-1]).convert(mode).save(path)
        return path

    return write


@pytest.fixture(scope="session")
def mark():
    """Write a mask with a square of `value`; 0 leaves it empty."""

    def write(path: Path, value=255, size=(40, 48), box=(10, 20)):
        path.parent.mkdir(parents=True, exist_ok=True)
        mask = np.zeros(size, np.uint8)
        mask[slice(*box), slice(*box)] = value
        Image.fromarray(mask).save(path)
        return path

    return write


@pytest.fixture(scope="session")
def nut(tmp_path_factory, paint, mark):
    """A data set of ones own that keeps its contract; copy it before you break it."""
    root = tmp_path_factory.mktemp("mine")
    for i in range(12):
        paint(root / f"nut/train/good/{i:02d}.png", seed=i)
    for i in range(3):
        paint(root / f"nut/test/good/{i:02d}.png", seed=50 + i)
    for i in range(2):
        paint(root / f"nut/test/crack/{i:02d}.png", seed=90 + i)
        mark(root / f"nut/ground_truth/crack/{i:02d}_mask.png")
    return root


class Web:
    """A web server on this machine that serves bytes, and fails on demand."""

    def __init__(self):
        self.files, self.statuses, self.break_after, self.ignore_ranges = {}, {}, {}, False
        self.requests, self.silent = [], threading.Event()
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                web.answer(self)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def answer(self, request):
        path = request.path.split("?")[0].lstrip("/")
        self.requests.append((path, request.headers.get("Range")))
        if self.statuses.get(path) == "silent":
            self.silent.wait(5)
            return
        if path in self.statuses or path not in self.files:
            request.send_error(self.statuses.get(path, 404))
            return
        data, start = self.files[path], 0
        tag = f'"{hash(data) & 0xFFFF:x}"'
        wanted = request.headers.get("Range")
        if wanted and not self.ignore_ranges and request.headers.get("If-Range") in (None, tag):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                request.send_error(416)
                return
        request.send_response(206 if start else 200)
        request.send_header("ETag", tag)
        request.send_header("Content-Length", str(len(data) - start))
        request.end_headers()
        stop = self.break_after.get(path, len(data))
        request.wfile.write(data[start : max(start, stop)])
        request.close_connection = True


@pytest.fixture
def web():
    server = Web()
    yield server
    server.silent.set()
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture(scope="session")
def moto_url():
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(monkeypatch):
    """Settings that point boto3 at an endpoint of the test's choice, with credentials of no worth."""

    def point(url):
        settings = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)

    return point


@pytest.fixture
def s3(moto_url, aws):
    """A client of a store that is empty but for the bucket `factory`."""
    aws(moto_url)
    client = boto3.client("s3")
    client.create_bucket(Bucket="factory")
    yield client
    for entry in client.list_objects_v2(Bucket="factory").get("Contents", []):
        client.delete_object(Bucket="factory", Key=entry["Key"])
    client.delete_bucket(Bucket="factory")
    client.close()
