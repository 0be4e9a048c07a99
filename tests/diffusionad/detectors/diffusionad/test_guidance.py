import pytest
import torch

from diffusionad.detectors.diffusionad.guidance import LocalConfig, blend, blend_weight, local_weight, reconstruct
from diffusionad.diffusion.process import predict_x_0, q_sample

T_S, T_B = torch.tensor([200, 100]), torch.tensor([400, 500])


@pytest.fixture
def batch(draw):
    """Two images and the noise for both steps."""
    return draw(2, 4)


def predicts(epsilon_hat_s, epsilon_hat_b):
    """A denoiser whose two answers are known."""
    return lambda x_t, t: torch.cat([epsilon_hat_s, epsilon_hat_b])


def as_in_the_paper(schedule, scale, x_t_s, x_t_b, t_s, t_b, epsilon_hat_s, epsilon_hat_b):
    """Eqs. (7) and (8) to the letter: the guide n_t_s, and the reconstruction from the guided noise."""
    x_0_hat_b = predict_x_0(schedule, x_t_b, t_b, epsilon_hat_b).clamp(-1, 1)
    n_t_s = q_sample(schedule, x_0_hat_b, t_s, epsilon_hat_s)
    alpha_bar_s = schedule.alpha_bar(t_s, like=x_t_s)
    guided = epsilon_hat_s - (1 - alpha_bar_s).sqrt() * scale * (n_t_s - x_t_s)
    return n_t_s, predict_x_0(schedule, x_t_s, t_s, guided).clamp(-1, 1)


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_a_denoiser_that_knows_the_noise_returns_the_image(schedule, batch, scale):
    x_0, epsilon_s, epsilon_b = batch

    result = reconstruct(predicts(epsilon_s, epsilon_b), schedule, scale, x_0, T_S, T_B, epsilon_s, epsilon_b)

    torch.testing.assert_close(result.x_0_hat, x_0, atol=1e-5, rtol=0)


@pytest.mark.parametrize("error", [0.05, 3.0])
@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 3.0])
def test_the_blend_equals_the_equations_of_the_paper(schedule, batch, scale, error):
    """With an error of 3 the clamps of both reconstructions are at work."""
    x_0, epsilon_s, epsilon_b = (tensor.double() for tensor in batch)
    wrong_s, wrong_b = epsilon_s + error, epsilon_b - 2 * error * epsilon_s
    x_t_s, x_t_b = q_sample(schedule, x_0, T_S, epsilon_s), q_sample(schedule, x_0, T_B, epsilon_b)

    result = reconstruct(predicts(wrong_s, wrong_b), schedule, scale, x_0, T_S, T_B, epsilon_s, epsilon_b)

    _, expected = as_in_the_paper(schedule, scale, x_t_s, x_t_b, T_S, T_B, wrong_s, wrong_b)
    torch.testing.assert_close(result.x_0_hat, expected, atol=1e-11, rtol=0)


def test_the_blend_and_the_equations_are_those_of_the_authors(schedule, golden):
    keys = ("x0", "noise_s", "noise_b", "x_ts", "x_tb", "eps_s", "eps_b", "n_ts", "x0_guided")
    x_0, epsilon_s, epsilon_b, x_t_s, x_t_b, hat_s, hat_b, n_t_s, x_0_guided = (
        torch.from_numpy(golden[key]) for key in keys
    )
    t_s, t_b = (torch.from_numpy(golden[key]).repeat(2) for key in ("t_s", "t_b"))
    scale = float(golden["w"])

    guide, oracle = as_in_the_paper(schedule, scale, x_t_s, x_t_b, t_s, t_b, hat_s, hat_b)
    result = reconstruct(predicts(hat_s, hat_b), schedule, scale, x_0, t_s, t_b, epsilon_s, epsilon_b)

    torch.testing.assert_close(guide, n_t_s, atol=1e-5, rtol=0)
    torch.testing.assert_close(oracle, x_0_guided, atol=1e-5, rtol=0)
    torch.testing.assert_close(result.x_0_hat, x_0_guided, atol=1e-5, rtol=0)


def test_without_scale_only_the_small_step_counts(schedule, batch):
    x_0, epsilon_s, epsilon_b = batch
    wrong_s = epsilon_s + 0.05

    result = reconstruct(predicts(wrong_s, 9 * epsilon_b), schedule, 0.0, x_0, T_S, T_B, epsilon_s, epsilon_b)

    one_step = predict_x_0(schedule, q_sample(schedule, x_0, T_S, epsilon_s), T_S, wrong_s)
    torch.testing.assert_close(result.x_0_hat, one_step, atol=1e-6, rtol=0)


def test_a_weight_of_one_is_the_reconstruction_from_the_big_step(schedule, batch):
    x_0, epsilon_s, epsilon_b = batch
    t_s, wrong_b = torch.tensor([200, 200]), epsilon_b - 0.05
    scale = 1 / (1 - float(schedule.alphas_bar[200]))

    result = reconstruct(predicts(9 * epsilon_s, wrong_b), schedule, scale, x_0, t_s, T_B, epsilon_s, epsilon_b)

    big_step = predict_x_0(schedule, q_sample(schedule, x_0, T_B, epsilon_b), T_B, wrong_b)
    torch.testing.assert_close(result.x_0_hat, big_step, atol=1e-5, rtol=0)


def test_at_the_papers_settings_the_big_step_weighs_a_third(schedule):
    weight = blend_weight(schedule, 1.0, torch.tensor([200]), like=torch.zeros(1))

    assert float(weight) == pytest.approx(0.3437, abs=1e-4)


def test_the_predicted_noise_is_handed_on_in_its_order(schedule, batch):
    x_0, epsilon_s, epsilon_b = batch

    result = reconstruct(predicts(epsilon_s, epsilon_b), schedule, 1.0, x_0, T_S, T_B, epsilon_s, epsilon_b)

    assert torch.equal(result.epsilon_hat_s, epsilon_s)
    assert torch.equal(result.epsilon_hat_b, epsilon_b)


def test_the_denoiser_sees_each_image_with_its_own_timestep(schedule, batch):
    """The noise of a grey image is known from x_t and t alone."""
    _, epsilon_s, epsilon_b = batch
    x_0 = torch.full_like(epsilon_s, 0.5)

    def knows_that_images_are_grey(x_t, t):
        alpha_bar_t = schedule.alpha_bar(t, like=x_t)
        return (x_t - alpha_bar_t.sqrt() * 0.5) / (1 - alpha_bar_t).sqrt()

    result = reconstruct(knows_that_images_are_grey, schedule, 1.0, x_0, T_S, T_B, epsilon_s, epsilon_b)

    torch.testing.assert_close(result.epsilon_hat_s, epsilon_s, atol=1e-4, rtol=0)
    torch.testing.assert_close(result.epsilon_hat_b, epsilon_b, atol=1e-4, rtol=0)


def test_a_reconstruction_stays_between_minus_one_and_one(schedule, batch):
    x_0, epsilon_s, epsilon_b = batch

    result = reconstruct(predicts(-5 * epsilon_s, epsilon_b), schedule, 1.0, x_0, T_S, T_B, epsilon_s, epsilon_b)

    assert float(result.x_0_hat.abs().max()) == 1


def test_a_big_step_not_above_the_small_one_is_refused(schedule, batch):
    x_0, epsilon_s, epsilon_b = batch

    with pytest.raises(ValueError, match=r"every t_b must be above its t_s; got t_s=\[200, 100\], t_b=\[400, 100\]"):
        reconstruct(predicts(x_0, x_0), schedule, 1.0, x_0, T_S, torch.tensor([400, 100]), epsilon_s, epsilon_b)


def test_an_exponent_of_zero_is_the_papers_one_w(schedule, batch):
    x_0, epsilon_s, epsilon_b = batch
    wrong_s, wrong_b = epsilon_s + 0.05, epsilon_b - 0.3 * epsilon_s
    drawn = (x_0, T_S, T_B, epsilon_s, epsilon_b)

    plain = reconstruct(predicts(wrong_s, wrong_b), schedule, 0.7, *drawn)
    local = reconstruct(predicts(wrong_s, wrong_b), schedule, 0.7, *drawn, LocalConfig(exponent=0, window_fraction=0.5))

    assert torch.equal(local.x_0_hat, plain.x_0_hat)
    spread = local_weight(0.7, x_0, x_0 + epsilon_b, LocalConfig(exponent=0, window_fraction=0.5))
    assert torch.equal(spread, torch.full((2, 1, 4, 4), 0.7))


@pytest.mark.parametrize("exponent", [0.5, 1.0, 3.0])
def test_where_the_error_is_the_same_everywhere_the_weight_is_too(exponent):
    x_0 = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) / 2
    weight = torch.tensor([0.2, 0.4]).reshape(2, 1, 1, 1)

    spread = local_weight(weight, x_0, x_0 + 0.1, LocalConfig(exponent=exponent, window_fraction=0.3))

    torch.testing.assert_close(spread, weight.expand(2, 1, 16, 16), atol=1e-5, rtol=0)


def test_the_weight_follows_the_error_of_its_own_image_and_keeps_its_mean():
    """With exponent 1 and no smoothing, weight(p) = weight e(p) / mean e."""
    x_0 = torch.zeros(2, 3, 16, 16)
    x_0_hat_b = torch.full_like(x_0, 0.1)
    x_0_hat_b[0, :, 4:8, 4:8] = 0.3
    error = x_0_hat_b.mean(dim=1, keepdim=True)

    spread = local_weight(0.2, x_0, x_0_hat_b, LocalConfig(exponent=1.0, window_fraction=0.0))

    torch.testing.assert_close(spread, 0.2 * error / error.mean(dim=(2, 3), keepdim=True))
    torch.testing.assert_close(spread.mean(dim=(1, 2, 3)), torch.tensor([0.2, 0.2]))
    assert float(spread[1].std()) < 1e-6


def test_errors_are_averaged_over_a_square_that_the_rim_cuts_off():
    x_0, x_0_hat_b = torch.zeros(1, 1, 10, 10), torch.zeros(1, 1, 10, 10)
    x_0_hat_b[0, 0, 0, 0] = 1.0

    spread = local_weight(0.01, x_0, x_0_hat_b, LocalConfig(exponent=1.0, window_fraction=0.2))[0, 0]

    assert bool((spread[:2, :2] > 0).all())
    assert int((spread > 0).sum()) == 4
    assert float(spread[0, 0] / spread[1, 1]) == pytest.approx(9 / 4)


@pytest.mark.parametrize(("weight", "limit"), [(0.3, 1.0), (1.6, 1.6)])
def test_no_pixel_is_pushed_beyond_the_big_step_unless_all_are(weight, limit):
    x_0, x_0_hat_b = torch.zeros(1, 1, 20, 20), torch.full((1, 1, 20, 20), 0.01)
    x_0_hat_b[0, 0, 5, 5] = 0.9

    spread = local_weight(weight, x_0, x_0_hat_b, LocalConfig(exponent=2.0, window_fraction=0.0))

    assert float(spread.max()) == pytest.approx(limit)


def test_a_perfect_reconstruction_is_given_back():
    """No error anywhere: nothing is divided by zero."""
    x_0 = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    spread = local_weight(0.5, x_0, x_0, LocalConfig(exponent=1.0, window_fraction=0.1))

    assert torch.equal(blend(x_0, x_0, spread), x_0)


def test_no_gradient_passes_through_where_the_weight_lies():
    x_0 = torch.zeros(1, 1, 4, 4)
    x_0_hat_b = torch.full((1, 1, 4, 4), 0.5, requires_grad=True)

    assert not local_weight(0.5, x_0, x_0_hat_b, LocalConfig(exponent=0.5, window_fraction=0.0)).requires_grad
