"""Checkouts of the project without the room of the servers, which its pipeline does not need."""

import shutil

import pytest

from toys.checkout import Checkout
from toys.plates import draw_category


@pytest.fixture(scope="session")
def parts(tmp_path_factory):
    """A folder with the category `plate`."""
    root = tmp_path_factory.mktemp("parts")
    draw_category(root / "plate")
    return root


@pytest.fixture(scope="session")
def fresh(tmp_path_factory, parts):
    """Makes fresh checkouts of the project that train on the plates."""

    def make():
        checkout = Checkout(tmp_path_factory.mktemp("checkout"))
        checkout.lay_out(parts)
        shutil.rmtree(checkout.root / "pipelines")
        return checkout

    return make
