"""Detectors that an installed package brings: one whose code lies in a folder on sys.path, beside its dist-info."""

import importlib
import json
import sys

import pytest

from diffusionad import detectors
from diffusionad.detectors import Plugin, find_plugin, load
from stages.tools.plugins import add_plugin

CODE = """\
from typing import Literal

from diffusionad.base import Model, ModelConfig


class Config(ModelConfig):
    kind: Literal["{kind}"]


class Mine(Model):
    phases, modes = (), {{}}

    def infer(self, images, noise, mode): ...


CONFIG, MODEL = Config, Mine
"""
SETTINGS = "top_k_fraction: 0.5\n"


class Site:
    """A folder in which packages are installed."""

    def __init__(self, folder):
        self.folder = folder

    def install(self, kind, code=CODE, settings=SETTINGS):
        """Install a package of a kind: `PACKAGE_of_KIND`, whose detector stands in its part `inner`."""
        inner = self.folder / f"package_of_{kind}" / "inner"
        inner.mkdir(parents=True)
        for place in (inner, inner.parent):
            (place / "__init__.py").touch()
        (inner / "detector.py").write_text(code.format(kind=kind))
        if settings is not None:
            (inner / f"{kind}.yaml").write_text(settings)
        facts = self.folder / f"{kind}_package-1.2.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {kind}-package\nVersion: 1.2\n")
        (facts / "entry_points.txt").write_text(f"[{detectors.GROUP}]\n{kind} = package_of_{kind}.inner.detector\n")
        importlib.invalidate_caches()
        return inner / "detector.py"


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    yield Site(folder)
    for name in [name for name in sys.modules if name.startswith("package_of_")]:
        del sys.modules[name]


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A repository; kinds are looked for in it, beside those that packages bring."""
    root = tmp_path / "repository"
    ours = root / "diffusionad" / "detectors" / "ours" / "model.py"
    ours.parent.mkdir(parents=True)
    ours.touch()
    (root / "params" / "detectors").mkdir(parents=True)
    monkeypatch.setattr(detectors, "_folder", lambda: ours.parents[1])
    return root


def test_a_kind_is_added_with_the_digest_of_its_code_and_its_settings(site, root):
    site.install("mine")

    written = add_plugin("mine", root)

    described, settings = (file.relative_to(root).as_posix() for file in written)
    assert (described, settings) == ("diffusionad/detectors/mine/plugin.json", "params/detectors/mine.yaml")
    plugin = Plugin(**json.loads(written[0].read_text()))
    assert plugin[:3] == ("mine-package", "1.2", "package_of_mine.inner.detector")
    assert find_plugin("mine") == plugin
    assert written[1].read_text() == SETTINGS
    assert "package_of_mine.inner.detector" not in sys.modules, "its code ran before anybody asked for it"
    assert load("mine").config.model_fields.keys() == {"kind", "top_k_fraction"}
    assert detectors.kinds() == ["mine", "ours"]


def test_settings_that_are_there_stay(site, root):
    site.install("mine")
    settings = root / "params" / "detectors" / "mine.yaml"
    settings.write_text("top_k_fraction: 0.1\n")

    (written,) = add_plugin("mine", root)

    assert written.name == "plugin.json"
    assert settings.read_text() == "top_k_fraction: 0.1\n"


def test_code_that_has_changed_since_is_refused_until_it_is_added_again(site, root):
    code = site.install("mine")
    add_plugin("mine", root)
    code.write_text(code.read_text() + "\n# another version\n")

    with pytest.raises(ValueError, match=r"\Adetector `mine`: package mine-package 1.2 has other code than [^\n]*\Z"):
        find_plugin("mine")

    add_plugin("mine", root)
    assert find_plugin("mine") is not None


def test_a_package_that_is_gone_is_named(site, root):
    code = site.install("mine")
    add_plugin("mine", root)
    code.parents[1].rename(root / "elsewhere")
    importlib.invalidate_caches()

    with pytest.raises(ValueError, match=r"\Adetector `mine`: package mine-package 1.2 is not installed; [^\n]*\Z"):
        load("mine")


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("ours", SETTINGS, r"diffusionad/detectors/ours: a detector of this package; a plug-in needs another name\Z"),
        ("mine", None, r"params/detectors/mine.yaml: not found, and mine-package ships no mine.yaml; [^\n]*\Z"),
    ],
)
def test_what_cannot_be_added_is_one_line_and_writes_nothing(site, root, kind, settings, message):
    site.install(kind, settings=settings)
    before = sorted(root.rglob("*"))

    with pytest.raises(ValueError, match=message):
        add_plugin(kind, root)

    assert sorted(root.rglob("*")) == before


def test_a_kind_that_nobody_brings_is_refused_with_those_that_are_brought(site, root):
    site.install("mine")

    with pytest.raises(ValueError, match=r"no installed package brings a detector `other`; those .*: mine\Z"):
        add_plugin("other", root)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise RuntimeError('no\\nluck')", "RuntimeError: no luck"),
        ("import a_package_that_nobody_has", "ModuleNotFoundError: No module named 'a_package_that_nobody_has'"),
        ("CONFIG = None", "AttributeError: module 'package_of_mine.inner.detector' has no attribute 'MODEL'"),
    ],
)
def test_a_package_that_cannot_be_used_is_one_line(site, root, code, reason):
    site.install("mine", code)
    add_plugin("mine", root)

    with pytest.raises(ValueError, match=r"\Adetector `mine` of package mine-package: [^\n]*\Z") as error:
        load("mine")

    assert reason in str(error.value)
