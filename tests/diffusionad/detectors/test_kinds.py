"""How kinds are found, ours and those of other packages."""

import sys

import pytest

from diffusionad.detectors import GROUP, entry_points, kinds, load


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Installs a package with an entry point; gives the folder of its code."""

    def package(code, kind="toy"):
        folder = tmp_path / "toys_of_others"
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        (folder / "model.py").write_text(code)
        facts = tmp_path / "toys_of_others-1.0.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: toys-of-others\nVersion: 1.0\n")
        (facts / "entry_points.txt").write_text(f"[{GROUP}]\n{kind} = toys_of_others.model\n")
        monkeypatch.syspath_prepend(tmp_path)
        for name in ("toys_of_others", "toys_of_others.model"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        return folder

    return package


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=rf"\Athere is no detector `patchcor`; expected one of {', '.join(kinds())}\Z"):
        load("patchcor")


@pytest.mark.parametrize("kind", ["", "..", "../detectors/patchcore", "__init__"])
def test_what_is_no_name_is_no_kind(kind):
    with pytest.raises(ValueError, match="there is no detector"):
        load(kind)


def test_an_installed_package_brings_a_kind(package):
    package("CONFIG, MODEL = int, str")

    assert "toy" in kinds()
    assert load("toy") == (int, str)


def test_a_kind_of_ours_is_not_replaced_by_one_of_that_name(package):
    package("CONFIG, MODEL = int, str", kind="patchcore")

    assert load("patchcore").model.__module__ == "diffusionad.detectors.patchcore.model"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("CONFIG = int", "AttributeError: .* has no attribute 'MODEL'; it needs the names CONFIG and MODEL"),
    ],
)
def test_a_package_that_cannot_be_used_is_one_line(package, code, text):
    package(code)

    with pytest.raises(ValueError, match=rf"\Adetector `toy` of package toys-of-others: .*{text}[^\n]*\Z"):
        load("toy")


def test_nothing_is_brought_where_nothing_is_installed():
    assert "toy" not in entry_points()
