"""The example of docs/plugin.md, installed and run as a user would: from `dvc repro` to a served champion."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from toys.checkout import ROOT, Checkout
from toys.plates import draw_category

KIND = "pixels"
FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)
GATE = {
    "floors": {"image_auroc": {"mean": 0.5, "worst": 0.5}, "pixel_pro": None, "pixel_ap": None},
    "max_regression": {"pixel_pro": None, "pixel_ap": None},
    "read_as": "estimate",
}


@pytest.fixture
def packages(tmp_path):
    """A folder with the package of the page, installed by pip as anybody's would be."""
    page = (ROOT / "docs" / "plugin.md").read_text()
    for name, content in FILE.findall(page):
        file = tmp_path / "package" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    target = tmp_path / "packages"
    install = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", *install, str(tmp_path / "package")], check=True)
    return target


@pytest.fixture
def checkout(tmp_path, packages):
    draw_category(tmp_path / "parts" / "plate")
    checkout = Checkout(tmp_path / "checkout")
    checkout.lay_out(tmp_path / "parts")
    checkout.change(promotion__overrides={"plates": GATE})
    checkout.environment["PYTHONPATH"] += f"{os.pathsep}{packages}"
    return checkout


@pytest.mark.slow
def test_the_detector_of_the_page_goes_from_dvc_repro_to_a_served_champion(checkout, packages):
    def command(*arguments, check=True):
        return checkout.run("python", "-m", "pipelines.cli", *arguments, check=check)

    added = command("plugin", "add", KIND).stdout
    assert f"diffusionad/detectors/{KIND}/plugin.json" in added
    assert f"params/detectors/{KIND}.yaml" in added
    checkout.change(categories={"plates-plate": {"dataset": "plates", "category": "plate", "detector": KIND}})
    checkout.commit()

    checkout.run("python", "-m", "dvc", "repro")
    checkout.commit()
    changed = json.loads(checkout.run("python", "-m", "dvc", "status", "--json").stdout)
    assert changed == {"watch@plates-plate": ["always changed"]}
    command("register", "--dataset", "plates")
    promoted = command("promote", "--dataset", "plates", check=False)
    assert promoted.returncode == 0, promoted.stdout + promoted.stderr

    # Whoever serves has not installed the package: its code came with the version.
    checkout.environment["PYTHONPATH"] = str(checkout.root)
    folder = checkout.root.parent / "parts" / "plate" / "test"
    command("predict", "--model", "models:/plates-plate@champion", str(folder), "--out", "out")
    table = pd.read_csv(checkout.root / "out" / "predictions.csv").set_index("path")
    scores = pd.read_parquet(checkout.root / "reports" / "plates" / "plate" / "scores.parquet")
    names = [Path(name).relative_to("test").as_posix() for name in scores["path"]]
    np.testing.assert_allclose(table.loc[names, "score"], scores["score"], atol=1e-6)

    refused = checkout.run("python", "-m", "stages.train", "plates-plate", check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"error: detector `{KIND}`: package diffusionad-pixels 0.1.0 is not installed")


@pytest.mark.slow
def test_code_that_changed_is_refused_until_it_is_added_again(checkout, packages):
    checkout.run("python", "-m", "pipelines.cli", "plugin", "add", KIND)
    checkout.change(categories={"plates-plate": {"dataset": "plates", "category": "plate", "detector": KIND}})
    code = packages / "diffusionad_pixels" / "model.py"
    code.write_text(f"{code.read_text()}# another version\n")

    refused = checkout.run("python", "-m", "stages.tools.check", check=False)

    assert refused.returncode == 1
    assert "has other code than the version that was added" in refused.stderr
    checkout.run("python", "-m", "pipelines.cli", "plugin", "add", KIND)
    checkout.run("python", "-m", "stages.tools.check")
