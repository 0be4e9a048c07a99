import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffusionad.diffusion.process import predict_x_0, q_sample
from diffusionad.diffusion.samplers import ancestral, ddim, ddim_timesteps, posterior


@pytest.fixture
def pair():
    """Two images in [-0.5, 0.5], and noise."""
    generator = torch.Generator().manual_seed(0)
    x_0 = torch.rand(2, 1, 4, 4, generator=generator) - 0.5
    return x_0, torch.randn(x_0.shape, generator=generator)


def knows(schedule, x_0):
    """A denoiser that knows the image, and so the noise of any x_t."""

    def denoiser(x_t, t):
        alpha_bar_t = schedule.alpha_bar(t, like=x_t)
        return (x_t - alpha_bar_t.sqrt() * x_0) / (1 - alpha_bar_t).sqrt()

    return denoiser


def steps(t):
    return torch.tensor([t, t])


def test_the_mean_of_a_step_down_is_that_of_the_authors(schedule, golden):
    x_0, x_t, mean = (torch.from_numpy(golden[key]) for key in ("x0_s", "x_ts", "posterior_mean"))

    result = posterior(schedule, x_0, x_t, torch.from_numpy(golden["t_s"]).repeat(2))

    torch.testing.assert_close(result.mean, mean, atol=1e-5, rtol=0)


def test_the_variance_of_a_step_down_is_just_below_that_of_the_authors(schedule, golden):
    """They take the upper of the two bounds of Ho et al., section 3.2, which is beta_t; we take the lower."""
    theirs = float(golden["posterior_var"].max())

    ours = float(posterior(schedule, torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), torch.tensor([200])).variance)

    assert theirs == pytest.approx(float(schedule.betas[200]), abs=1e-9)
    ratio = float((1 - schedule.alphas_bar[199]) / (1 - schedule.alphas_bar[200]))
    assert ours == pytest.approx(theirs * ratio, abs=1e-9)


@pytest.mark.parametrize("t", [1, 200, 999])
def test_a_step_down_ends_in_the_distribution_of_the_step_before(schedule, t):
    """Over all x_t that an image can have, x_{t-1} is what noising the image to t - 1 would give."""
    before, at = schedule.alphas_bar[t - 1], schedule.alphas_bar[t]
    ones = torch.ones(1, 1, 1, 1, dtype=torch.float64)

    at_mean = posterior(schedule, ones, at.sqrt() * ones, torch.tensor([t]))
    above = posterior(schedule, ones, at.sqrt() * ones + 1, torch.tensor([t]))

    assert float(at_mean.mean) == pytest.approx(float(before.sqrt()), abs=1e-12)
    spread = float(above.mean - at_mean.mean) ** 2 * float(1 - at) + float(at_mean.variance)
    assert spread == pytest.approx(float(1 - before), abs=1e-12)


def test_the_last_step_down_gives_the_image_itself(schedule, pair):
    x_0, x_t = pair

    mean, variance = posterior(schedule, x_0, x_t, steps(0))

    torch.testing.assert_close(mean, x_0, atol=1e-6, rtol=0)
    assert float(variance.max()) == 0


@pytest.mark.parametrize("t", [0, 1, 30])
def test_a_random_walk_with_a_denoiser_that_knows_the_image_returns_it(schedule, pair, t):
    x_0, epsilon = pair
    generator = torch.Generator().manual_seed(1)
    x_t = q_sample(schedule, x_0, steps(t), epsilon)

    result = ancestral(knows(schedule, x_0), schedule, x_t, t, lambda _: torch.randn(x_0.shape, generator=generator))

    torch.testing.assert_close(result, x_0, atol=1e-4, rtol=0)


def test_a_random_walk_from_the_first_step_is_one_step(schedule, pair):
    x_0, epsilon = pair
    x_t = q_sample(schedule, x_0, steps(0), epsilon)

    result = ancestral(lambda x_t, t: 0.5 * epsilon, schedule, x_t, 0, lambda _: epsilon)

    torch.testing.assert_close(result, predict_x_0(schedule, x_t, steps(0), 0.5 * epsilon), atol=1e-6, rtol=0)


def test_a_random_walk_draws_noise_for_every_step_but_the_last(schedule, pair):
    x_0, epsilon = pair
    asked = []

    def noise(step):
        asked.append(step)
        return epsilon

    ancestral(knows(schedule, x_0), schedule, epsilon, 3, noise)

    assert asked == [3, 2, 1]


@pytest.mark.parametrize("timesteps", [[400], [400, 200], [999, 400, 200, 1, 0]])
def test_a_ddim_walk_with_a_denoiser_that_knows_the_image_returns_it(schedule, pair, timesteps):
    x_0, epsilon = pair
    x_t = q_sample(schedule, x_0, steps(timesteps[0]), epsilon)

    result = ddim(knows(schedule, x_0), schedule, x_t, timesteps)

    torch.testing.assert_close(result, x_0, atol=1e-4, rtol=0)


def test_a_ddim_walk_keeps_the_noise_and_lessens_it(schedule, pair):
    """At each timestep the denoiser meets the image noised to it with the noise of the start."""
    x_0, epsilon = (tensor.double() for tensor in pair)
    denoiser, met = knows(schedule, x_0), {}

    def watched(x_t, t):
        met[int(t[0])] = x_t
        return denoiser(x_t, t)

    ddim(watched, schedule, q_sample(schedule, x_0, steps(400), epsilon), [400, 250, 100])

    for t, x_t in met.items():
        torch.testing.assert_close(x_t, q_sample(schedule, x_0, steps(t), epsilon), atol=1e-9, rtol=0)
    assert list(met) == [400, 250, 100]


def test_a_ddim_walk_of_one_step_is_one_step(schedule, pair):
    x_0, epsilon = pair
    x_t = q_sample(schedule, x_0, steps(200), epsilon)

    result = ddim(lambda x_t, t: 0.9 * epsilon, schedule, x_t, [200])

    torch.testing.assert_close(result, predict_x_0(schedule, x_t, steps(200), 0.9 * epsilon), atol=1e-6, rtol=0)


def test_walks_stay_between_minus_one_and_one(schedule, pair):
    x_0, epsilon = pair
    x_t = q_sample(schedule, x_0, steps(30), epsilon)

    for result in (
        ancestral(lambda x_t, t: -x_t, schedule, x_t, 30, lambda _: epsilon),
        ddim(lambda x_t, t: -x_t, schedule, 9 * x_t, [30, 20, 10]),
    ):
        assert float(result.abs().max()) == 1


@given(st.integers(0, 999), st.integers(1, 200))
def test_ddim_timesteps_fall_evenly_from_the_start(t_start, num_steps):
    timesteps = ddim_timesteps(t_start, num_steps)

    assert timesteps[0] == t_start
    assert len(timesteps) == max(1, min(t_start, num_steps))
    gaps = [above - below for above, below in zip(timesteps, [*timesteps[1:], 0], strict=True)]
    assert min(gaps) > 0 or t_start == 0
    assert max(gaps) - min(gaps) <= 1 or num_steps > t_start
