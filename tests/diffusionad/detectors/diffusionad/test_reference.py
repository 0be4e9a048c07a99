import pytest
import torch

from diffusionad.detectors.diffusionad.reference import segmenter_state, unet_state
from diffusionad.networks.segmenter import Segmenter, SegmenterConfig
from diffusionad.networks.unet import UNet, UNetConfig

UNET = UNetConfig(
    base_channels=32,
    channel_multipliers=(1, 1, 2),
    num_res_blocks=2,
    attention_resolutions=(32, 16, 8),
    num_heads=4,
    norm_groups=32,
    dropout=0.0,
    stem=1,
)
SEGMENTER = SegmenterConfig(base_channels=8, channel_multipliers=(1, 2, 4, 8, 8, 8), stem=1)


@pytest.fixture(scope="module")
def arrays(golden):
    return {key: torch.from_numpy(golden[key]) for key in golden if golden[key].dtype.kind == "f" and golden[key].ndim}


def weights_of(golden_weights, network):
    return {key: torch.from_numpy(value) for key, value in golden_weights(network).items()}


@pytest.mark.parametrize("scale", ["s", "b"])
def test_the_authors_weights_predict_the_authors_noise(golden, golden_weights, arrays, scale):
    unet = UNet(UNET, 3, 32).eval()
    unet.load_state_dict(unet_state(weights_of(golden_weights, "unet")))

    with torch.no_grad():
        epsilon_hat = unet(arrays[f"x_t{scale}"], torch.from_numpy(golden[f"t_{scale}"]).repeat(2))

    torch.testing.assert_close(epsilon_hat, arrays[f"eps_{scale}"], atol=1e-4, rtol=0)


def test_the_authors_weights_mark_the_authors_pixels(golden_weights, arrays):
    segmenter = Segmenter(SEGMENTER, 6).eval()
    segmenter.load_state_dict(segmenter_state(weights_of(golden_weights, "seg")))

    with torch.no_grad():
        anomaly_map = torch.sigmoid(segmenter(torch.cat([arrays["x0"], arrays["x0_guided"]], dim=1)))

    torch.testing.assert_close(anomaly_map, arrays["anomaly_map"], atol=1e-4, rtol=0)
