import boto3
import pytest
from moto.server import ThreadedMotoServer

from stages.common.dataset import DatasetConfig
from stages.download.contract import ContractConfig
from stages.download.fetch import FetchConfig
from stages.download.stage import DownloadConfig
from toys.datasets import describe_dataset
from toys.pictures import mark, paint
from toys.web import Web

FETCH = {"timeout_s": 0.5, "attempts": 2, "wait_s": 0, "max_unpacked_mib": 4, "max_files": 30}
CONTRACT = {
    "min_side_px": 16,
    "max_megapixels": 1,
    "modes": ["L", "RGB"],
    "min_train": 8,
    "min_val": 1,
    "anomalous_share": [0.05, 0.95],
    "max_mask_area": 0.5,
    "max_soft_mask": 0.2,
    "max_same_masks": 0.5,
    "max_brightness_drift": 0.1,
    "max_size_drift": 0.5,
}
DOWNLOAD = {
    "seed": 0,
    "val_fraction": 0.1,
    "test_fraction": 0.25,
    "mirror": None,
    "max_megapixels_decoded": 100,
    "line_width_px": 3,
    "near_duplicate_bits": 8,
    "fetch": FETCH,
    "contract": CONTRACT,
}
DATASET = describe_dataset("mine")


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
def nut(tmp_path_factory):
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


@pytest.fixture
def web():
    with Web() as server:
        yield server


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
