import pytest
import torch

from diffusionad.detectors.diffusionad.form import GuidedForm
from stages.tools.plain_implementations import guided


@pytest.mark.parametrize("mode", ["norm_guided", "one_step"])
@pytest.mark.parametrize("prediction", ["epsilon", "x_0"])
@pytest.mark.parametrize(("value_range", "sees"), [("unit", "pixels"), ("symmetric", "features")])
def test_what_is_worked_out_before_changes_nothing(build, images, mode, prediction, value_range, sees):
    """Closed-form guidance, constant shifts and folded normalisation against the model as it was trained."""
    changes = {"prediction": prediction, "value_range": value_range, "segmenter_input": sees}
    network, detector = build(mode=mode, **changes)
    form = detector.form()
    noise = detector.noise(images, form.noise_keys)

    with torch.no_grad():
        output = form(images, noise)
        x_0 = network.to_range(images)
        draws = {"t_s": torch.full((3,), 20), "t_b": torch.full((3,), 40), "dropout_mask": torch.zeros(3).bool()}
        draws |= {"epsilon_s": noise[0], "epsilon_b": noise[-1]}
        trained = network(images, draws, torch.ones(3).bool())

        torch.testing.assert_close(output.reconstruction, network.from_range(trained.x_0_hat), atol=1e-5, rtol=0)
        torch.testing.assert_close(output.mask_logits, network.segment(x_0, trained.x_0_hat)[:, 0], atol=1e-4, rtol=0)
    assert float(output.mask_logits.std()) > 1e-3


def test_guidance_by_pixel_is_worked_out_as_in_the_model(build, images, tiny_model):
    guidance = tiny_model["guidance"] | {"local": {"exponent": 1.0, "window_fraction": 0.2}}
    network, detector = build(guidance=guidance)
    form = detector.form()
    noise = detector.noise(images, form.noise_keys)

    with torch.no_grad():
        reconstruction = form(images, noise).reconstruction
        plain = build()[1].form()(images, noise).reconstruction
        x_0_hat = guided(network, images, *noise)

    torch.testing.assert_close(reconstruction, network.from_range(x_0_hat), atol=1e-5, rtol=0)
    assert not torch.allclose(reconstruction, plain)


def test_folding_leaves_the_model_as_it_was_and_shares_what_it_can(build):
    network, detector = build()
    before = {name: value.clone() for name, value in network.state_dict().items()}

    form = GuidedForm(network, (20, 40))

    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in form.modules())
    assert form.model.reconstructor.first.weight.data_ptr() == network.reconstructor.first.weight.data_ptr()
    assert detector.parameters["segmenter"] == sum(weight.numel() for weight in network.segmenter.parameters())


def test_steps_chosen_by_image_are_not_one_function(build, images, tiny_model):
    _, detector = build(guidance=tiny_model["guidance"] | {"t_s_range": [5, 35]})

    with pytest.raises(
        ValueError, match=r"`norm_guided` \(2 passes\) chooses its noise when it sees the image, so only"
    ):
        detector.form()
    assert detector.predict(images).image_score.shape == (3,)


@pytest.mark.parametrize(("mode", "passes"), [("ddim", 5), ("iterative", 41)])
def test_a_walk_is_not_one_function(build, mode, passes):
    _, detector = build(mode=mode)

    with pytest.raises(
        ValueError, match=rf"mode `{mode}` \({passes} passes\) chooses its noise .* only torch runs this"
    ):
        detector.form()
