import pytest
import torch

from diffusionad.detector import Detector
from diffusionad.detectors.line_filter.model import LineFilter, LineFilterConfig
from toys.detectors import describe_detector
from toys.images import ToyImages

CONFIG = LineFilterConfig(
    kind="line_filter", width_px=1.5, length_px=4.0, smoothing_fraction=0.0078125, top_k_fraction=1e-4
)


def surfaces(count, seed=0, contrast=0.1):
    noise = torch.randn(count, 1, 16, 16, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(noise, size=(64, 64), mode="bicubic").expand(-1, 3, -1, -1)
    return (0.5 + contrast * smooth).clamp(0, 1)


def cracked(images):
    images = images.clone()
    images[:, :, 30:32, 10:50] -= 0.3
    return images.clamp(0, 1)


@pytest.fixture(scope="module")
def model():
    model = LineFilter(CONFIG, (64, 64))
    (phase,) = model.phases
    phase.fit(ToyImages(surfaces(12)), torch.Generator().manual_seed(0))
    return model.eval()


@pytest.fixture
def detector(model):
    return Detector(model, describe_detector(model.config, model.image_size))


def test_a_crack_is_found_where_it_is(detector):
    images = surfaces(3, seed=5)

    odd, plain = detector.predict(cracked(images)), detector.predict(images)

    assert (odd.image_score > plain.image_score).all()
    for logits in odd.mask_logits:
        row, column = divmod(int(logits.argmax()), 64)
        assert 26 <= row < 36
        assert 6 <= column < 54


def test_normal_images_set_the_scale_and_every_one_of_them_is_held_out(model, detector):
    """The filter learns nothing, so that an image is judged as if it had not been among those trained on."""
    scores = detector.predict(surfaces(12)).image_score

    torch.testing.assert_close(model.held_out_scores, scores.to(model.held_out_scores), atol=2e-3, rtol=1e-3)
    assert float(scores.median()) == pytest.approx(0.5, abs=0.02)


def test_where_normal_parts_have_lines_it_says_little():
    lined = cracked(surfaces(12))
    model = LineFilter(CONFIG, (64, 64))
    model.phases[0].fit(ToyImages(lined), torch.Generator().manual_seed(0))
    detector = Detector(model.eval(), describe_detector(model.config, model.image_size))

    assert float(detector.predict(cracked(surfaces(3, seed=5))).image_score.median()) < 0.65


def test_a_saved_filter_scores_as_before(detector, tmp_path):
    detector.save(tmp_path)
    images = surfaces(2, seed=3)

    assert torch.equal(Detector.load(tmp_path).predict(images).mask_logits, detector.predict(images).mask_logits)
