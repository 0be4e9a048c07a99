"""The detectors with a segmenter and no diffusion: an autoencoder, and segmentation alone."""

import pytest
import torch

from toys.detectors import TINY_AUTOENCODER, TINY_SEGMENTATION, build_detector, describe_detector, read_config

SIZE = (16, 24)


@pytest.fixture
def images():
    return torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))


def test_an_autoencoder_is_held_against_the_normal_images(images):
    """Beyond the clamp, too, which only the segmenter sees."""
    model = describe_detector(read_config(TINY_AUTOENCODER), SIZE).build()
    torch.nn.init.constant_(model.reconstructor.last.bias, 3.0)
    (phase,) = model.phases
    mask, is_normal = torch.zeros(2, 1, *SIZE), torch.tensor([True, False])
    draws = phase.draw(2, torch.Generator().manual_seed(0))

    losses = phase.loss(images, mask, is_normal, draws)

    with torch.no_grad():
        output = model(images, draws["dropout_mask"])
    assert float(output.x_0_hat.max()) > 1
    error = torch.nn.functional.mse_loss(output.x_0_hat[0], output.x_0[0])
    assert float(losses["reconstruction"]) == pytest.approx(float(error), rel=0.05)  # batch statistics move between
    assert losses["total"].requires_grad


def test_training_an_autoencoder_sees_what_inference_will_see(images):
    model = describe_detector(read_config(TINY_AUTOENCODER), SIZE).build().eval()

    with torch.no_grad():
        trained = model(images, torch.tensor([False, False])).mask_logits[:, 0]
        inferred = model.infer(images, None, "autoencoder").mask_logits

    torch.testing.assert_close(trained, inferred)


def test_a_dropped_reconstruction_is_replaced_by_the_image(images):
    model = describe_detector(read_config(TINY_AUTOENCODER), SIZE).build().eval()

    with torch.no_grad():
        logits = model(images, torch.tensor([True, False])).mask_logits
        seen = torch.stack([images[0], model.reconstructor(images)[1].clamp(-1, 1)])

        torch.testing.assert_close(logits, model.segment(images, seen))


def test_segmentation_alone_has_no_reconstructor_and_makes_no_reconstruction(images):
    detector = build_detector(SIZE, TINY_SEGMENTATION)

    assert list(detector.parameters) == ["segmenter"]
    assert detector.predict(images).reconstruction is None


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (
            TINY_AUTOENCODER | {"autoencoder": {"base_channels": 4, "channel_multipliers": [1] * 5}},
            "`autoencoder` .* 1/16",
        ),
        (
            TINY_SEGMENTATION | {"segmenter": {"base_channels": 4, "channel_multipliers": [1] * 5, "stem": 1}},
            "`segmenter` .* 1/16",
        ),
    ],
    ids=["autoencoder", "segmentation"],
)
def test_a_size_that_a_network_cannot_halve_is_refused(settings, text):
    with pytest.raises(ValueError, match=text):
        describe_detector(read_config(settings), SIZE).build()
