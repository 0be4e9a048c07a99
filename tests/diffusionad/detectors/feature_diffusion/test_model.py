import itertools

import pytest
import torch

from diffusionad.detector import Detector
from diffusionad.detectors.feature_diffusion.memory import Memory, MemoryConfig, squared_distances
from diffusionad.detectors.feature_diffusion.model import FeatureDiffusion, FeatureDiffusionConfig
from diffusionad.detectors.patchcore.model import PatchCore, PatchCoreConfig
from toys.detectors import describe_detector
from toys.images import ToyImages
from toys.stripes import stripes, with_square

SIZE = (64, 64)
MEMORY = MemoryConfig(
    levels=(2, 4),
    coreset_fraction=0.2,
    max_patches=1000,
    candidates=2,
    projection_dims=32,
    sigma_s=0.0,
    sigma_b=0.0,
    scale=0.0,
    residual="raw",
    smoothing_fraction=0.0,
)


def fitted(images, size=SIZE, **changes):
    memory = MEMORY.model_copy(update=changes)
    config = FeatureDiffusionConfig(kind="feature_diffusion", top_k_fraction=1e-4, memory=memory)
    model = FeatureDiffusion(config, size)
    (phase,) = model.phases
    phase.fit(ToyImages(images), torch.Generator().manual_seed(0))
    return model.eval()


def detector_of(model):
    return Detector(model, describe_detector(model.config, model.image_size))


def memory_of(**changes):
    """A memory of twelve patches, with its patches and its unit of noise drawn."""
    memory = Memory(MEMORY.model_copy(update=changes), 0.0)
    generator = torch.Generator().manual_seed(0)
    memory.bank = torch.randn(12, memory.bank.shape[1], generator=generator)
    memory.unit.fill_(2.0)
    return memory, torch.randn(50, memory.bank.shape[1], generator=generator)


@torch.no_grad()
def test_without_noise_it_is_patchcore():
    """The limit t -> 0: over the same patches, its distance is PatchCore's map."""
    images = stripes(6)
    model = fitted(images)
    config = PatchCoreConfig(
        kind="patchcore",
        backbone_levels=(2, 4),
        coreset_fraction=0.2,
        candidates=2,
        projection_dims=32,
        smoothing_fraction=0.0,
        top_k_fraction=1e-4,
    )
    other = PatchCore(config, SIZE)
    other.backbone.load_pretrained()
    memory = model.judges["memory"]
    other.bank = memory.bank
    odd = with_square(stripes(2, seed=5))

    (raw,) = [model._maps([memory], dict(zip(model.levels, model.backbone(odd), strict=True)))[:, 0]]  # noqa: SLF001

    torch.testing.assert_close(raw, other.distances(odd), rtol=1e-3, atol=1e-3)


def test_a_vanishing_noise_gives_the_nearest_patch_and_a_large_one_the_mean():
    memory, x_0 = memory_of()
    squares = squared_distances(x_0, memory.bank)
    nearest = memory.bank[squares.argmin(dim=1)]

    torch.testing.assert_close(memory.denoise(squares, 0.0), nearest)
    torch.testing.assert_close(memory.denoise(squares, 1e-3), nearest)
    mean = memory.bank.mean(dim=0).expand_as(x_0)
    torch.testing.assert_close(memory.denoise(squares, 1e4), mean, rtol=1e-3, atol=1e-3)


def test_the_denoiser_is_the_posterior_mean_of_the_patches():
    """E[x_0 | x_t] of eq. (1) with x_t = sqrt(alpha_bar) x_0, written out for one patch."""
    memory, x_0 = memory_of()
    sigma, unit = 0.7, 2.0
    alpha_bar = 1 / (1 + (sigma * unit) ** 2)
    x_t = alpha_bar**0.5 * x_0[0]

    likely = [float((x_t - alpha_bar**0.5 * patch).square().sum()) / (2 * (1 - alpha_bar)) for patch in memory.bank]
    weights = torch.softmax(-torch.tensor(likely), dim=0)

    denoised = memory.denoise(squared_distances(x_0[:1], memory.bank), sigma)[0]
    torch.testing.assert_close(denoised, weights @ memory.bank, rtol=1e-4, atol=1e-4)


def test_guidance_of_weight_one_lies_between_its_two_steps():
    small, big = 1.5, 6.0
    memory, x_0 = memory_of(sigma_s=small, sigma_b=big, scale=1.0)
    squares = squared_distances(x_0, memory.bank)
    x_0_s, x_0_b = memory.denoise(squares, small), memory.denoise(squares, big)
    share = small**2 / (1 + small**2)

    distance = memory.distance(x_0)

    expected = (x_0 - ((1 - share) * x_0_s + share * x_0_b)).norm(dim=1)
    torch.testing.assert_close(distance, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(distance, (x_0 - x_0_s).norm(dim=1), rtol=1e-3)


@pytest.mark.parametrize("changes", [{}, {"sigma_s": 0.1, "sigma_b": 0.4, "scale": 1.0}, {"residual": "whitened"}])
def test_a_square_that_was_never_seen_is_found_where_it_is(changes):
    detector = detector_of(fitted(stripes(10), **changes))
    images = stripes(3, seed=2)

    odd, plain = detector.predict(with_square(images)), detector.predict(images)

    assert (odd.image_score > plain.image_score.max()).all()
    for logits in odd.mask_logits:
        row, column = divmod(int(logits.argmax()), 64)
        assert 20 <= row < 44
        assert 12 <= column < 36


def test_the_scale_says_zero_for_the_highest_pixel_of_a_typical_normal_image():
    model = fitted(stripes(24))
    scores = detector_of(model).predict(stripes(24, seed=7)).image_score

    held_out = float(model.held_out_scores.median())
    assert held_out == pytest.approx(0.5, abs=0.02)
    assert abs(float(scores.median()) - held_out) < 0.25  # the whole memory knows a little more than a part of it


def test_normal_images_are_judged_by_patches_of_other_images():
    """Copies of one image would all be at no distance; two halves with other stripes are strange to each other."""
    model = fitted(stripes(8), coreset_fraction=1.0, candidates=1)

    seen = detector_of(model).predict(stripes(8)).image_score
    assert model.held_out_scores.shape == (8,)
    assert float(model.held_out_scores.median()) > float(seen.max())


def test_more_patches_than_allowed_are_refused():
    with pytest.raises(ValueError, match=r"coreset_fraction 0\.2 of 384 patches are 77, more than max_patches \(50\)"):
        fitted(stripes(6), max_patches=50)


def test_one_normal_image_sets_no_scale():
    with pytest.raises(ValueError, match="needs at least 2 normal images to train on, got 1"):
        fitted(stripes(1))


def test_an_image_below_the_coarsest_position_is_refused():
    with pytest.raises(ValueError, match=r"16 pixels wide; \(64, 8\) is smaller"):
        fitted(stripes(4), size=(64, 8))


@pytest.mark.parametrize("residual", ["raw", "whitened"])
def test_constant_images_give_finite_figures(residual):
    model = fitted(torch.full((6, 3, 64, 64), 0.5), residual=residual, sigma_s=0.1, sigma_b=0.4, scale=1.0)

    prediction = detector_of(model).predict(torch.cat([torch.full((1, 3, 64, 64), 0.5), stripes(1)]))

    assert prediction.mask_logits.isfinite().all()
    assert float(prediction.image_score[1]) > float(prediction.image_score[0])


def test_a_saved_memory_of_another_length_is_read_back(tmp_path):
    model = fitted(stripes(6))
    detector_of(model).save(tmp_path)

    again = Detector.load(tmp_path)

    images = stripes(2, seed=4)
    assert torch.equal(again.predict(images).mask_logits, detector_of(model).predict(images).mask_logits)


def test_the_same_seed_remembers_the_same_patches():
    first, second = (fitted(stripes(5)).state_dict() for _ in range(2))

    for (name, one), two in zip(first.items(), itertools.islice(second.values(), len(first)), strict=True):
        assert torch.equal(one, two), name
