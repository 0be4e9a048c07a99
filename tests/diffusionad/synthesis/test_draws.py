import pytest

from diffusionad.synthesis.draws import item_generator

IMAGE, OTHER = "0123456789abcdef" * 4, "1123456789abcdef" * 4


def test_an_item_always_gets_the_same_generator():
    assert item_generator(3, IMAGE, 5).random(4).tolist() == item_generator(3, IMAGE, 5).random(4).tolist()


@pytest.mark.parametrize("other", [(4, IMAGE, 5), (3, OTHER, 5), (3, IMAGE, 6)], ids=["seed", "image", "index"])
def test_seed_image_and_index_each_change_the_draw(other):
    assert item_generator(3, IMAGE, 5).random() != item_generator(*other).random()
