"""Checkouts of the project without the room of the servers, which its pipeline does not need."""

import itertools
import shutil

import pytest

from toys.checkout import Checkout
from toys.once import make_once
from toys.plates import draw_category


@pytest.fixture(scope="session")
def parts(tmp_path_factory):
    """A folder with the category `plate`."""
    return make_once(tmp_path_factory, "parts", lambda folder: draw_category(folder / "plate"))


@pytest.fixture(scope="session")
def lay_out(parts):
    """Makes a fresh checkout, which trains on the plates, of a folder that does not exist."""

    def lay_out(folder):
        checkout = Checkout(folder)
        checkout.lay_out(parts)
        shutil.rmtree(folder / "pipelines")
        return checkout

    return lay_out


@pytest.fixture
def fresh(lay_out, tmp_path):
    """A fresh checkout."""
    return lay_out(tmp_path / "fresh")


@pytest.fixture
def synthesized(tmp_path_factory, lay_out, tmp_path):
    """Makes checkouts in which all is ready for a training."""

    def make(folder):
        lay_out(folder).run("dvc", "repro", "synthesize@plates-plate")

    first, numbers = Checkout(make_once(tmp_path_factory, "synthesized", make)), itertools.count()
    return lambda: first.twin(tmp_path / f"synthesized-{next(numbers)}")


@pytest.fixture
def trained(tmp_path_factory, lay_out, tmp_path):
    """A checkout after `dvc repro`."""

    def make(folder):
        lay_out(folder).run("dvc", "repro")

    return Checkout(make_once(tmp_path_factory, "trained", make)).twin(tmp_path / "trained")
