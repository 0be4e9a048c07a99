"""A checkout of the project in a temporary folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil

from stages.tools.settings import lay_over
from toys.datasets import describe_dataset
from toys.params import set_values

ROOT = Path(__file__).parents[2]
CODE = ("diffusionad", "stages", "pipelines", "infra", "dvc.yaml", "params", "params.yaml", ".dvcignore", ".gitignore")
SERVERS = ("MLFLOW_TRACKING_URI", "DATA_MIRROR", "PREFECT_API_URL", "PREFECT_HOME")
"""Variables that are not those of whoever runs the tests."""
PATIENCE_S = 3600
"""For one command. Quiet cores need a minute; this only ends what hangs."""


class Checkout:
    """A repository in which commands run as a user would type them.

    Attributes:
        root: Its folder.
        environment: Variables of its commands, which may be changed.
    """

    def __init__(self, root):
        self.root = root
        self.environment = {name: value for name, value in os.environ.items() if name not in SERVERS}
        self.environment |= {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(root),
            "STAGE_PYTHON": sys.executable,
            "DVC_NO_ANALYTICS": "1",
        }
        # As on a machine where nobody has told git a name.
        self.environment |= {
            f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }

    def start(self, *command, output=None):
        """Start a command in a session of its own, and do not wait for it."""
        return subprocess.Popen(
            command, cwd=self.root, env=self.environment, start_new_session=True, stdout=output, stderr=output
        )

    def run(self, *command, folder=None, check=True):
        """Run a command to its end, here or in another folder; unless told not to, make sure that it succeeds."""
        done = subprocess.run(
            command,
            cwd=folder or self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def git(self, *arguments):
        """Run git, and return what it says."""
        return self.run("git", *arguments).stdout.strip()

    def commit(self):
        """Commit all that is there."""
        self.git("add", "-A")
        self.git("commit", "-qm", "a change")

    def change(self, **values):
        """Set values of params.yaml; a double underscore steps into a section."""
        set_values(self.root / "params.yaml", **values)

    def lay_out(self, source):
        """Fill the folder with the project, with the test profile and plates to train on.

        Args:
            source: Folder with the category `plate`.
        """
        self.root.mkdir(exist_ok=True)
        for name in CODE:
            place = ROOT / name
            if place.is_dir():
                shutil.copytree(place, self.root / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(place, self.root / name)
        (self.root / ".dvc").mkdir()
        for name in ("config", ".gitignore"):
            shutil.copy(ROOT / ".dvc" / name, self.root / ".dvc" / name)
        lay_over(ROOT / "params" / "test.yaml", self.root / "params.yaml")
        set_values(
            self.root / "params.yaml",
            datasets__plates=describe_dataset("plates", source),
            categories={"plates-plate": {"dataset": "plates", "category": "plate", "detector": "diffusionad"}},
        )
        self.git("init", "-q", "-b", "main")

    def twin(self, root):
        """Copy the checkout, in the state it is in, to a folder that does not exist yet."""
        return Checkout(shutil.copytree(self.root, root))

    def processes(self):
        """What still works inside the checkout, as command lines."""
        return list(self._processes().values())

    def pids(self, text):
        """The numbers of those that have a text on their command line."""
        return {pid for pid, line in self._processes().items() if text in line}

    def _processes(self):
        found = {}
        for process in psutil.process_iter():
            try:
                if Path(process.cwd()).is_relative_to(self.root) and process.status() != psutil.STATUS_ZOMBIE:
                    found[process.pid] = " ".join(process.cmdline())
            except (psutil.Error, OSError):
                continue
        return found
