import pytest


@pytest.fixture
def rows():
    """Return what a test writes by hand: (path, split, label, defect, mask) of each item."""

    def of(listing):
        return [(i.path, i.split, i.label, i.defect, i.mask) for i in listing.items]

    return of
