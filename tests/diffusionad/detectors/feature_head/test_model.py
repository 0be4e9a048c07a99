import pytest
import torch

from diffusionad.detector import Detector
from diffusionad.detectors.feature_head.head import HeadConfig
from diffusionad.detectors.feature_head.model import FeatureHead, FeatureHeadConfig, GridConfig
from diffusionad.detectors.feature_head.positions import gather
from diffusionad.detectors.shared.frozen import fill_cache
from toys.detectors import describe_detector
from toys.images import ToyImages
from toys.stripes import stripes, with_square

SIZE = (64, 64)
HEAD = HeadConfig(
    hidden=16,
    noise_deviation=0.5,
    synthetic_images=8,
    synthetic_megapixels=1,
    normal_positions=400,
    synthetic_positions=200,
    steps=60,
    positions_per_step=64,
    hardest_fraction=0.5,
    learning_rate=1e-2,
    weight_decay=1e-3,
)
COARSE = GridConfig(stride=8, levels=(2, 3), pooled=True, smoothing_fraction=0.0)
FINE = GridConfig(stride=4, levels=(1, 2), pooled=False, smoothing_fraction=0.0)


def model_of(grids=(COARSE, FINE), size=SIZE, **changes):
    config = FeatureHeadConfig(
        kind="feature_head", top_k_fraction=1e-4, grids=grids, head=HEAD.model_copy(update=changes)
    )
    return FeatureHead(config, size)


def fitted(images, **changes):
    model = model_of(**changes)
    (phase,) = model.phases
    phase.fit(ToyImages(images), torch.Generator().manual_seed(0))
    return model.eval()


def detector_of(model):
    return Detector(model, describe_detector(model.config, model.image_size))


@pytest.fixture(scope="module")
def model():
    return fitted(stripes(8))


def test_it_finds_the_anomaly_that_it_learned(model):
    detector, images = detector_of(model), stripes(4, seed=2)

    odd, plain = detector.predict(with_square(images)), detector.predict(images)

    assert (odd.image_score > plain.image_score.max()).all()
    inside = odd.mask_logits[:, 28:36, 20:28].mean()
    assert inside > odd.mask_logits[:, 48:, 48:].mean() + 1


def test_each_position_is_judged_by_itself():
    """Without pooling and resizing, a change of one position changes the logit of no other."""
    head = model_of(grids=(GridConfig(stride=8, levels=(2,), pooled=False, smoothing_fraction=0.0),)).judges["head_8"]
    head.eval()
    features = torch.randn(1, 40, 8, 8, generator=torch.Generator().manual_seed(0))
    changed = features.clone()
    changed[0, :, 3, 5] += 1

    difference = (head({2: changed}) - head({2: features}))[0, 0].detach()

    assert difference[3, 5] != 0
    difference[3, 5] = 0
    assert not difference.any()


def test_positions_are_drawn_inside_and_outside_anomalies_and_none_of_their_edge(model):
    cache = fill_cache(model.backbone, model.levels, ToyImages(stripes(4)), 4, torch.Generator().manual_seed(0))
    marked = cache._replace(anomalous={2: torch.nn.functional.adaptive_avg_pool2d(cache.masks.float(), 8)})

    sample = gather(lambda maps: maps[2], marked, (100, 1000), torch.Generator().manual_seed(0))

    assert (sample.inside.values > 0.5).all()
    assert (sample.outside.values == 0).all()
    assert len(sample.inside.values)


def test_images_are_left_out_by_the_copy_that_judges_them(model):
    """The copy has the mean of the other positions, not of all."""
    cache = fill_cache(model.backbone, model.levels, ToyImages(stripes(8)), 8, torch.Generator().manual_seed(0))
    head = model_of().judges["head_8"]
    head.learn(cache, torch.Generator().manual_seed(0))
    kept = head._kept.normal  # noqa: SLF001

    twin = head.without(torch.tensor([1, 3]), torch.Generator().manual_seed(0))

    others = kept.values[(kept.sources != 1) & (kept.sources != 3)]
    assert len(others) == len(kept.values) * 3 // 4
    torch.testing.assert_close(twin.mean, others.mean(dim=0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(head.mean, kept.values.mean(dim=0), rtol=1e-4, atol=1e-4)
    assert not torch.equal(twin.layers[0].weight, head.layers[0].weight)


def test_every_normal_image_has_a_score_by_a_copy_that_did_not_see_it(model):
    assert model.held_out_scores.shape == (8,)
    assert ((model.held_out_scores > 0) & (model.held_out_scores < 1)).all()


def test_large_images_have_fewer_anomalies():
    assert model_of(synthetic_images=300, synthetic_megapixels=0.01).anomalies == 2


def test_training_leaves_the_random_numbers_of_the_process_alone():
    (phase,) = model_of(steps=2).phases
    before = torch.get_rng_state()

    phase.fit(ToyImages(stripes(4)), torch.Generator().manual_seed(0))

    assert torch.equal(torch.get_rng_state(), before)


def test_the_same_seed_gives_the_same_head():
    first, second = (fitted(stripes(4), steps=3).state_dict() for _ in range(2))

    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_grid_without_a_level_of_its_stride_is_refused():
    with pytest.raises(ValueError, match=r"stride 4 needs a level of that stride; \(2, 3\) have \[8, 16\]"):
        model_of(grids=(GridConfig(stride=4, levels=(2, 3), pooled=True, smoothing_fraction=0.0),))
