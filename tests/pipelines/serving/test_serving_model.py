"""The served interface, by its class and through MLflow; in an environment that does not know this repository."""

import ast
import base64
import io
import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from PIL import Image

from diffusionad.detector import Detector
from pipelines.serving.packaging import REQUIREMENTS, artifact_digest, load_served, save_served
from pipelines.serving.serving_model import MAX_ENCODED_BYTES, decode

ARRAY = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


def encoded(array=ARRAY):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def imports(file):
    """Names of the packages that a file imports, without those of Python itself."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names} - sys.stdlib_module_names


@pytest.fixture
def served(repository, entry, tmp_path):
    """The folder that is logged, moved away from the repository."""
    with save_served(entry.paths) as folder:
        return Path(folder.rename(tmp_path / "served"))


@pytest.mark.parametrize(
    "value",
    [
        encoded(),
        bytearray(encoded()),
        base64.b64encode(encoded()).decode(),
        base64.urlsafe_b64encode(encoded()).decode(),
        base64.b64encode(encoded()).decode().rstrip("="),
        base64.encodebytes(encoded()).decode(),
        base64.encodebytes(encoded()).decode().replace("\n", "\r\n  "),
        "data:image/png;base64," + base64.b64encode(encoded()).decode(),
        "DATA:image/png;name=a.png;BASE64," + quote(base64.b64encode(encoded()).decode()),
        "data:;base64," + base64.urlsafe_b64encode(encoded()).decode().rstrip("="),
        ARRAY,
        ARRAY.astype(np.int64),
        ARRAY.tolist(),
    ],
    ids=[
        *("bytes", "bytearray", "base64", "url-safe", "unpadded", "in lines", "in indented lines"),
        *("data URI", "data URI in percents", "url-safe data URI", "array", "wide array", "lists"),
    ],
)
def test_an_image_may_come_in_any_of_these_forms(value):
    np.testing.assert_array_equal(np.asarray(decode(value, 0)), ARRAY)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (b"no image", "image 7: not an image"),
        (b"", "image 7: the file is empty"),
        ("not base64!", "image 7: text that is not base64"),
        (base64.b64encode(b"text").decode(), "image 7: not an image"),
        ("data:image/png,%89PNG", "image 7: a data: URI without `;base64`"),
        ("https://example.org/a.png", "image 7: text that is not base64"),
        (ARRAY / 255, "image 7: expected bytes, base64, or integers from 0 to 255"),
        (ARRAY.astype(np.int64) + 300, "image 7: expected bytes"),
        (ARRAY[..., :2], "image 7: expected bytes"),
        ([[1, 2], [3]], "image 7: rows of unequal length"),
        ([], "image 7: expected bytes"),
        (None, "image 7: expected bytes"),
        (3, "image 7: expected bytes"),
        ({"a": 1}, "image 7: expected bytes"),
        (bytes(200 * 2**20), f"image 7: 200 MiB, at most {MAX_ENCODED_BYTES // 2**20} are taken"),
        ("!" * (65 * 2**20 * 4 // 3 + 4), "image 7: 65 MiB, at most 64 are taken"),
    ],
    ids=lambda value: None if isinstance(value, str) and value.startswith("image") else type(value).__name__,
)
def test_what_is_no_image_is_refused_by_its_row(value, complaint):
    with pytest.raises(MlflowException, match=complaint) as refusal:
        decode(value, 7)
    assert refusal.value.get_http_status_code() == 400


def test_the_served_model_says_what_the_detector_says(served, entry):
    files = sorted((entry.paths.images / "test").rglob("*.png"))
    model = mlflow.pyfunc.load_model(str(served))

    table = model.predict(pd.DataFrame({"image": [file.read_bytes() for file in files]}), params={"anomaly_map": True})

    expected = Detector.load(entry.paths.model).predict(files)
    np.testing.assert_allclose(table["score"], expected.image_score.numpy(), atol=1e-9)
    assert table["label"].tolist() == expected.is_anomalous.int().tolist()
    assert set(table["threshold"]) == {0.5}
    assert (table["latency_ms"] > 0).all()
    maps = [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) / 255 for text in table["anomaly_map"]]
    np.testing.assert_allclose(maps, expected.anomaly_map.numpy(), atol=0.5 / 255 + 1e-6)
    assert model.predict(pd.DataFrame({"image": [encoded()]}))["anomaly_map"].isna().all()


def test_a_text_of_the_url_safe_alphabet_means_the_same_as_its_standard_twin():
    """The picture is one whose base64 has the two characters in which the alphabets differ."""
    data = next(d for i in range(200) if {"+", "/"} <= set(base64.b64encode(d := encoded(ARRAY + i)).decode()))

    twins = [np.asarray(decode(code(data).decode(), 0)) for code in (base64.b64encode, base64.urlsafe_b64encode)]

    np.testing.assert_array_equal(*twins)


def test_a_bad_image_in_a_batch_has_its_own_error_and_the_others_have_the_scores_they_have_alone(served, entry):
    """The bad ones lie on both sides of a border between batches, and each is bad in another way."""
    good = [file.read_bytes() for file in sorted((entry.paths.images / "test").rglob("*.png"))] * 2
    deep = io.BytesIO()
    Image.fromarray(np.full((40, 40), -1.0, np.float32)).save(deep, "TIFF")
    bad = {
        0: (b"no image", "image 0: not an image"),
        15: (good[0][:-200], "image 15: damaged or cut off"),
        16: (encoded(np.zeros((1, 1, 3), np.uint8)), "image 16: 1 x 1 px, too small to be judged"),
        17: (deep.getvalue(), "image 17: expected values in [0, 1] for mode F"),
        20: (None, "image 20: expected bytes, base64"),
    }
    batch = list(good)
    for row in sorted(bad):
        batch.insert(row, bad[row][0])
    model = mlflow.pyfunc.load_model(str(served))

    table = model.predict(pd.DataFrame({"image": pd.Series(batch, dtype=object)}), params={"anomaly_map": True})

    for row, (_, complaint) in bad.items():
        assert table.loc[row, "error"].startswith(complaint)
        assert table.loc[row, ["score", "label", "normals_above", "latency_ms", "anomaly_map"]].isna().all()
    kept = table.drop(index=list(bad))
    alone = model.predict(pd.DataFrame({"image": good}), params={"anomaly_map": True})
    assert kept["error"].isna().all()
    np.testing.assert_allclose(kept["score"].astype(float), alone["score"], atol=1e-9)
    assert kept[["label", "anomaly_map"]].to_numpy().tolist() == alone[["label", "anomaly_map"]].to_numpy().tolist()


def test_a_request_of_bad_images_alone_is_refused_with_all_their_errors(served):
    model = mlflow.pyfunc.load_model(str(served))

    with pytest.raises(MlflowException, match=r"image 0: not an image.*; image 1: text that is not base64") as refusal:
        model.predict(pd.DataFrame({"image": [b"text", "!"]}))
    assert refusal.value.get_http_status_code() == 400


def test_it_works_where_this_repository_is_not(served, tmp_path):
    """The interpreter's own path is used, without what leads to the checkout."""
    program = f"""
import sys, base64
root = {str(Path(__file__).parents[3])!r}
sys.path = [p for p in sys.path if "site-packages" in p or p and "__editable__" not in p and not p.startswith(root)]
sys.meta_path = [f for f in sys.meta_path if "editable" not in repr(f).lower()]
import importlib.util
assert importlib.util.find_spec("diffusionad") is None and importlib.util.find_spec("pipelines") is None
import mlflow.pyfunc, pandas
model = mlflow.pyfunc.load_model({str(served)!r})
answer = model.predict(pandas.DataFrame({{"image": [base64.b64decode({base64.b64encode(encoded()).decode()!r})]}}))
import diffusionad
ours = [m.__file__ for n, m in sys.modules.items() if n.startswith("diffusionad")]
import json; print(json.dumps([diffusionad.__path__[0], float(answer["score"][0]), ours]))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    place, score, files = json.loads(done.stdout.splitlines()[-1])
    assert place == str(served / "code" / "diffusionad")
    assert 0 <= score <= 1
    imported = set().union(*(imports(Path(file)) for file in [*files, served / "serving_model.py"]))
    assert {"PIL" if name == "pillow" else name for name in REQUIREMENTS} == imported - {"diffusionad", "mlflow"}


def test_it_runs_its_own_code_and_leaves_that_of_the_process_alone(served):
    before = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "diffusionad"}
    path = list(sys.path)

    detector = type(load_served(served).unwrap_python_model().detector)

    assert Path(detector.with_engine.__code__.co_filename) == served / "code" / "diffusionad" / "detector.py"
    assert {name: sys.modules.get(name) for name in before} == before
    assert Detector is sys.modules["diffusionad.detector"].Detector is not detector
    assert sys.path == path


@pytest.mark.parametrize(
    "file", ["artifacts/disc/model.safetensors", "code/diffusionad/detectors/diffusionad/model.py", "serving_model.py"]
)
def test_any_change_of_the_artifact_changes_its_digest(served, file):
    before = artifact_digest(served)

    (served / "registered_model_meta").write_text("what mlflow adds when it is fetched")
    assert artifact_digest(served) == before
    with (served / file).open("ab") as stream:
        stream.write(b"\n")
    assert artifact_digest(served) != before
