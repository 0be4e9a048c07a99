import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from diffusionad.detector import Detector
from diffusionad.detectors.patchcore.model import PatchCore, PatchCoreConfig
from toys.detectors import describe_detector
from toys.images import ToyImages
from toys.stripes import stripes, with_square

SIZE = (64, 64)
CONFIG = PatchCoreConfig(
    kind="patchcore",
    backbone_levels=(2, 4),
    coreset_fraction=0.5,
    candidates=2,
    projection_dims=32,
    smoothing_fraction=0.0,
    top_k_fraction=0.01,
)


def fitted(images, **changes):
    model = PatchCore(CONFIG.model_copy(update=changes), SIZE)
    (phase,) = model.phases
    phase.fit(ToyImages(images), torch.Generator().manual_seed(0))
    return model


def detector_of(model):
    return Detector(model, describe_detector(model.config, SIZE))


@pytest.fixture(scope="module")
def model():
    made = fitted(stripes(8))
    detector_of(made).calibrate(stripes(4, seed=1))
    return made


def test_patches_that_are_all_remembered_are_no_distance_away():
    images = stripes(6)

    all_of_them, few = (fitted(images, coreset_fraction=share, candidates=1).distances(images) for share in (1.0, 0.05))

    assert float(all_of_them.max()) < 0.05 * float(few.max())  # not 0: a difference of large squares in float32


def test_a_square_that_was_never_seen_is_found_where_it_is(model):
    images = stripes(3, seed=2)

    odd = detector_of(model).predict(with_square(images))
    plain = detector_of(model).predict(images)

    assert (odd.image_score > plain.image_score.max()).all()
    for logits in odd.mask_logits:
        row, column = divmod(int(logits.argmax()), 64)
        assert 24 <= row < 40
        assert 16 <= column < 32


def test_a_rare_patch_is_remembered_before_one_more_of_the_common_ones():
    """The coreset covers; a random one of this size would leave the square out more often than not."""
    images = torch.cat([stripes(7), with_square(stripes(1, seed=3))])

    covering = fitted(images, coreset_fraction=0.04, candidates=25)

    distance = covering.distances(images[7:])
    assert (
        float(distance[0, 24:40, 16:32].mean())
        < float(fitted(images[:7]).distances(images[7:])[0, 24:40, 16:32].mean()) / 2
    )


def test_an_ordinary_normal_image_reaches_the_middle_of_the_scale(model):
    logits = detector_of(model).predict(stripes(4, seed=1)).mask_logits

    tops = logits.flatten(1).amax(dim=1)
    assert float(tops.min()) <= 0 <= float(tops.max())
    assert float(logits.median()) < 0


def test_blurring_spreads_a_distance_and_keeps_its_mean_nearly():
    images = stripes(6)
    sharp, smooth = (
        fitted(images, smoothing_fraction=part).distances(with_square(stripes(1, seed=2))) for part in (0.0, 0.05)
    )

    assert float(smooth.max()) < float(sharp.max())
    assert float(smooth.mean()) == pytest.approx(float(sharp.mean()), rel=0.02)


def test_a_saved_model_says_the_same(model, tmp_path):
    images = with_square(stripes(2))
    detector_of(model).save(tmp_path)

    again = Detector.load(tmp_path)

    assert torch.equal(again.predict(images).mask_logits, detector_of(model).predict(images).mask_logits)
    assert again.parameters == {"backbone": model.parts["backbone"], "bank": model.bank.numel()}


def test_the_score_of_an_image_depends_on_no_other(model):
    images = with_square(stripes(5))

    together, alone = detector_of(model).predict(images), detector_of(model).predict(images[2:3])

    torch.testing.assert_close(alone.image_score[0], together.image_score[2])


def test_it_makes_no_reconstruction_and_has_no_other_mode(model):
    detector = detector_of(model)

    assert detector.predict(stripes(1)).reconstruction is None
    with pytest.raises(ValueError, match="this model infers as patchcore; it cannot infer as one_step"):
        detector.predict(stripes(1), mode="one_step")


def test_a_memory_of_another_width_is_refused_in_one_line(model, tmp_path):
    detector_of(model).save(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file(weights | {"bank": weights["bank"][:, :50].contiguous()}, tmp_path / "model.safetensors")

    with pytest.raises(ValueError, match=r"model\.safetensors: not the weights of .*bank") as caught:
        Detector.load(tmp_path)

    assert "\n" not in str(caught.value)


def test_a_wrong_setting_is_named_as_one_of_patchcore(model, tmp_path):
    detector_of(model).save(tmp_path)
    settings = json.loads((tmp_path / "model.json").read_text())
    settings["model"]["coreset_fraction"] = 2
    (tmp_path / "model.json").write_text(json.dumps(settings))

    with pytest.raises(
        ValueError, match=r"model\.json: not a config of this version: `model`: Value error, `coreset_fr"
    ):
        Detector.load(tmp_path)
