"""A copy of the repository with the test profile and a small data set of drawn photographs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.tools.settings import lay_over

ROOT = Path(__file__).parents[2]
CODE = ("diffusionad", "stages", "infra", "dvc.yaml", "params.yaml", ".dvcignore", ".gitignore")


@pytest.fixture(scope="session")
def parts(tmp_path_factory):
    """Grey plates in MVTec's layout; the bad ones have a dark hole."""
    root = tmp_path_factory.mktemp("parts") / "plate"
    rng = np.random.default_rng(0)
    for split, defect, count in (("train", "good", 16), ("test", "good", 6), ("test", "hole", 6)):
        folder = root / split / defect
        folder.mkdir(parents=True)
        for index in range(count):
            pixels = rng.normal(150, 12, (48, 48)).clip(0, 255).astype(np.uint8)
            mask = np.zeros_like(pixels)
            if defect == "hole":
                top, left = rng.integers(4, 32, 2)
                mask[top : top + 12, left : left + 10] = 255
                pixels[mask > 0] //= 4
                truth = root / "ground_truth" / defect
                truth.mkdir(parents=True, exist_ok=True)
                Image.fromarray(mask).save(truth / f"{index:03}_mask.png")
            Image.fromarray(pixels).save(folder / f"{index:03}.png")
    return root.parent


class Copy:
    """A checkout of the project in which commands are run as a user would."""

    def __init__(self, root, set_values):
        self.root, self.set_values = root, set_values

    def run(self, *command, check=True):
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.root),
            "STAGE_PYTHON": sys.executable,
            "DVC_NO_ANALYTICS": "1",
        }
        done = subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True, check=False, timeout=600
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def twin(self, name):
        """Another checkout in the state of this one."""
        root = self.root.with_name(f"{self.root.name}-{name}")
        shutil.copytree(self.root, root)
        return Copy(root, self.set_values)

    def change(self, **values):
        """Set values of params.yaml; a double underscore steps into a section."""
        self.set_values(self.root / "params.yaml", **values)


@pytest.fixture(scope="session")
def fresh(tmp_path_factory, parts, set_values):
    """Makes fresh checkouts of the project that train on the plates."""

    def make():
        root = tmp_path_factory.mktemp("checkout")
        for name in CODE:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, root / name)
        (root / ".dvc").mkdir()
        shutil.copy(ROOT / ".dvc" / "config", root / ".dvc" / "config")
        lay_over(ROOT / "params" / "test.yaml", root / "params.yaml")
        copy = Copy(root, set_values)
        dataset = {
            "layout": "folder",
            "sources": [{"url": str(parts), "sha256": None}],
            "mirror_names": ["plates"],
            "terms": None,
            "licence": "CC0",
            "licence_url": "",
            "non_commercial": False,
            "foreground": "full",
        }
        copy.change(datasets__plates=dataset, categories={"plates-plate": {"dataset": "plates", "category": "plate"}})
        copy.run("git", "init", "-q")
        return copy

    return make
