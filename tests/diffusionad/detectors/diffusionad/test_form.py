import pytest
import torch
from diffusionad.runtime.pipeline import Pipeline


@pytest.mark.parametrize("paradigm", ["norm_guided", "one_step", "autoencoder"])
@pytest.mark.parametrize("prediction", ["epsilon", "x_0"])
@pytest.mark.parametrize(("value_range", "sees"), [("unit", "pixels"), ("symmetric", "features")])
def test_what_is_worked_out_before_changes_nothing(build, images, paradigm, prediction, value_range, sees):
    """Closed-form guidance, constant shifts and folded normalisation against the model as it was trained."""
    network, detector = build(paradigm=paradigm, prediction=prediction, value_range=value_range, segmenter_sees=sees)
    pipeline = detector.pipeline()
    noise = detector.noise(images, pipeline.timesteps)
    levels = dict(zip(pipeline.timesteps, noise, strict=True))

    with torch.no_grad():
        logits, reconstruction = pipeline(images, noise)
        x_0 = network.to_range(images)
        x_0_hat = network.reconstruct(x_0, levels.__getitem__)

        torch.testing.assert_close(reconstruction, network.from_range(x_0_hat), atol=1e-5, rtol=0)
        torch.testing.assert_close(logits, network.segment(x_0, x_0_hat)[:, 0], atol=1e-4, rtol=0)
    assert float(logits.std()) > 1e-3


def test_guidance_by_pixel_is_worked_out_as_in_the_model(build, images, tiny_model):
    guidance = tiny_model["guidance"] | {"local": {"exponent": 1.0, "window_fraction": 0.2}}
    network, detector = build(guidance=guidance)
    pipeline = detector.pipeline()
    noise = detector.noise(images, pipeline.timesteps)

    with torch.no_grad():
        reconstruction = pipeline(images, noise).reconstruction
        plain = build()[1].pipeline()(images, noise).reconstruction
        x_0_hat = network.reconstruct(images, dict(zip(pipeline.timesteps, noise, strict=True)).__getitem__)

    torch.testing.assert_close(reconstruction, network.from_range(x_0_hat), atol=1e-5, rtol=0)
    assert not torch.allclose(reconstruction, plain)


def test_folding_leaves_the_model_as_it_was_and_shares_what_it_can(build):
    network, detector = build()
    before = {name: value.clone() for name, value in network.state_dict().items()}

    pipeline = Pipeline(network, "norm_guided")

    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in pipeline.modules())
    assert pipeline.model.reconstructor.first.weight.data_ptr() == network.reconstructor.first.weight.data_ptr()
    assert detector.parameters["segmenter"] == sum(weight.numel() for weight in network.segmenter.parameters())


def test_steps_chosen_by_image_are_not_one_function(build, images, tiny_model):
    _, detector = build(guidance=tiny_model["guidance"] | {"t_s_range": [5, 35]})

    with pytest.raises(ValueError, match=r"guidance.t_s_range chooses t_s when it sees the image, which only torch"):
        detector.pipeline()
    assert detector.predict(images).image_score.shape == (3,)


@pytest.mark.parametrize("paradigm", ["ddim", "iterative"])
def test_a_walk_is_not_one_function(build, paradigm):
    _, detector = build(paradigm=paradigm)

    with pytest.raises(ValueError, match=f"a model of paradigm {paradigm} walks in [0-9]+ passes, which only torch"):
        detector.pipeline()
