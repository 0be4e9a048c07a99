"""What a module loads when it is imported, checked in one process of its own: in this one, much is loaded already."""

import subprocess
import sys

LIGHT = ("diffusionad", "stages.params", *(f"stages.{name}.stage" for name in ("download", "foreground", "synthesize")))
HEAVY = ("mlflow", "prefect", "torch")
PROGRAM = f"""
import importlib, sys
for name in {LIGHT}:
    importlib.import_module(name)
    loaded = sorted(set({HEAVY}) & set(sys.modules))
    if loaded:
        sys.exit(f"importing {{name}} loads {{loaded}}")
"""


def test_light_modules_load_neither_torch_nor_a_tracker_nor_an_orchestrator():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)

    assert done.stderr == ""
    assert done.returncode == 0
