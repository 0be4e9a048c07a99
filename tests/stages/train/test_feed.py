from pathlib import Path

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from diffusionad.training.trainer import TrainingConfig
from stages.params import read_section
from stages.synthesize.stage import SyntheticSetsConfig
from stages.train.feed import Pool, batches

ROOT = Path(__file__).parents[3]
SIZE = (16, 16)


@pytest.fixture
def settings(tmp_path):
    file = tmp_path / "params.yaml"
    params = YAML(typ="safe").load(ROOT / "params.yaml")
    params["synthesis"]["anomalies"]["textures"]["count"] = 3
    params["training"] |= {"steps": 4, "batch_size": 4, "flip_horizontal": False, "flip_vertical": False}
    YAML().dump(params, file)
    return read_section(SyntheticSetsConfig, "synthesis", file).anomalies, read_section(
        TrainingConfig, "training", file
    )


@pytest.fixture
def pool():
    images = np.random.default_rng(0).random((5, *SIZE, 3), dtype=np.float32)
    foreground = np.zeros((5, *SIZE), bool)
    foreground[:, 4:, :] = True
    return Pool(images, foreground, tuple(f"{index:064x}" for index in range(5)))


def test_half_of_a_batch_is_normal_and_the_rest_differs_only_inside_its_mask(pool, settings):
    for batch in batches(pool, *settings, SIZE, 0):
        assert batch.is_normal.tolist() == [True, True, False, False]
        assert not batch.mask[:2].any()
        assert batch.mask[2:].flatten(1).any(dim=1).all()
        assert not batch.mask[:, :, :4].any(), "an anomaly left the foreground"
        for image, mask in zip(batch.images, batch.mask, strict=True):
            normals = torch.from_numpy(pool.images).permute(0, 3, 1, 2)
            outside = (mask == 0).expand_as(image)
            assert any(torch.equal(normal[outside], image[outside]) for normal in normals)


def test_a_batch_of_a_phase_on_normal_images_holds_no_anomaly(pool, settings):
    normals = torch.from_numpy(pool.images).permute(0, 3, 1, 2)

    for batch in batches(pool, *settings, SIZE, 0, mixed=False):
        assert batch.is_normal.tolist() == [True] * 4
        assert not batch.mask.any()
        assert all(any(torch.equal(normal, image) for normal in normals) for image in batch.images)


def test_a_batch_depends_on_its_step_and_not_on_where_training_began(pool, settings):
    whole, resumed = list(batches(pool, *settings, SIZE, 0)), list(batches(pool, *settings, SIZE, 2))

    assert len(whole) == 4
    for expected, batch in zip(whole[2:], resumed, strict=True):
        assert torch.equal(expected.images, batch.images)
        assert torch.equal(expected.mask, batch.mask)
    assert not torch.equal(whole[0].images, whole[1].images)


def test_flips_move_image_and_foreground_together(pool, settings):
    synthesis, training = settings
    flipped = training.model_copy(update={"flip_vertical": True})

    for batch in batches(pool, synthesis, flipped, SIZE, 0):
        for image, mask in zip(batch.images[2:], batch.mask[2:], strict=True):
            top, bottom = mask[0, :4].any(), mask[0, -4:].any()
            assert not (top and bottom)
            upright = pool.images[:, None, :, :, :]
            outside = (mask[0] == 0).numpy()
            pixels = image.permute(1, 2, 0).numpy()[outside]
            assert any(np.array_equal(source[0][::turn][outside], pixels) for source in upright for turn in (1, -1))
