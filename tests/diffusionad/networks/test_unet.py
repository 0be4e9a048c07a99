import math

import pytest
import torch

from diffusionad.networks.unet import Attention, UNet, UNetConfig, time_embedding

SMALL = UNetConfig(
    base_channels=8,
    channel_multipliers=(1, 2),
    num_res_blocks=1,
    attention_resolutions=(),
    num_heads=2,
    norm_groups=4,
    dropout=0.0,
    stem=1,
)
PAPER = UNetConfig(
    base_channels=128,
    channel_multipliers=(1, 1, 2, 2, 4, 4),
    num_res_blocks=2,
    attention_resolutions=(32, 16, 8),
    num_heads=4,
    norm_groups=32,
    dropout=0.0,
    stem=1,
)


def random_unet(config, image_width=16):
    """A net whose zero layers have random weights too."""
    generator = torch.Generator().manual_seed(0)
    unet = UNet(config, 3, image_width).eval()
    for parameter in unet.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    return unet


def noise(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def test_the_papers_net_has_the_authors_number_of_weights():
    with torch.device("meta"):
        unet = UNet(PAPER, 3, 256)

    assert sum(parameter.numel() for parameter in unet.parameters()) == 131_654_403


@pytest.mark.parametrize("stem", [1, 2])
def test_a_fresh_net_predicts_exactly_zero(stem):
    unet = UNet(SMALL.model_copy(update={"stem": stem}), 3, 16)

    assert torch.equal(unet(noise(2, 3, 16, 16), torch.tensor([0, 99])), torch.zeros(2, 3, 16, 16))


@pytest.mark.parametrize("stem", [1, 2, 4])
def test_a_prediction_has_the_shape_of_the_image(stem):
    unet = random_unet(SMALL.model_copy(update={"stem": stem}))

    assert unet(noise(1, 3, 16, 24), torch.tensor([7])).shape == (1, 3, 16, 24)


def test_an_image_is_denoised_for_itself_alone():
    unet, x_t, t = random_unet(SMALL), noise(3, 3, 16, 16), torch.tensor([1, 20, 300])

    with torch.no_grad():
        together, alone = unet(x_t, t), unet(x_t[1:2], t[1:2])

    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=0)


def test_the_timestep_matters():
    unet, x_t = random_unet(SMALL), noise(1, 3, 16, 16)

    with torch.no_grad():
        early, late = unet(x_t, torch.tensor([1])), unet(x_t, torch.tensor([300]))

    assert float((early - late).abs().max()) > 0.001


@pytest.mark.parametrize(("widths", "blocks"), [((), 1), ((8,), 1 + 3), ((16, 8), 1 + 6)])
def test_attention_stands_where_the_map_has_a_named_width(widths, blocks):
    """One block in the middle; at a named width one behind each residual block, one on the way down and two up."""
    unet = UNet(SMALL.model_copy(update={"attention_resolutions": widths}), 3, 16)

    assert sum(isinstance(module, Attention) for module in unet.modules()) == blocks


def test_attention_sees_no_order_of_the_pixels():
    attention = Attention(8, num_heads=2, norm_groups=4)
    torch.nn.init.normal_(attention.out.weight, generator=torch.Generator().manual_seed(0))
    x, order = noise(1, 8, 1, 6), torch.tensor([3, 1, 0, 5, 4, 2])

    with torch.no_grad():
        shuffled_after = attention(x, x)[..., order]
        shuffled_before = attention(x[..., order], x)

    torch.testing.assert_close(shuffled_after, shuffled_before, atol=1e-5, rtol=0)
    assert float((shuffled_after - x[..., order]).abs().max()) > 0.01


def test_a_time_embedding_holds_sines_and_cosines_of_falling_frequency():
    embedding = time_embedding(torch.tensor([0, 1]), 128)

    assert embedding[0].tolist() == [0.0] * 64 + [1.0] * 64
    assert float(embedding[1, 0]) == pytest.approx(math.sin(1), abs=1e-6)
    assert float(embedding[1, 63]) == pytest.approx(math.sin(10_000 ** (-63 / 64)), abs=1e-6)
    torch.testing.assert_close(embedding.square().sum(dim=1), torch.tensor([64.0, 64.0]))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"norm_groups": 3}, "norm_groups = 3 does not divide the 8 channels"),
        ({"num_heads": 3}, "num_heads = 3 does not divide the 8 channels"),
        ({"norm_groups": 16, "channel_multipliers": (2,)}, "norm_groups = 16 does not divide the 8 channels"),
        ({"base_channels": 5}, "base_channels = 5 is odd"),
    ],
)
def test_channels_that_cannot_be_divided_are_refused(change, text):
    with pytest.raises(ValueError, match=text):
        UNet(SMALL.model_copy(update=change), 3, 16)
