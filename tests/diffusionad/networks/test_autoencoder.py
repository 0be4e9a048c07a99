import pytest
import torch

from diffusionad.networks.autoencoder import Autoencoder, AutoencoderConfig


@pytest.mark.parametrize("multipliers", [(1, 2), (1, 2, 4)])
def test_a_reconstruction_has_the_shape_of_the_image(multipliers):
    autoencoder = Autoencoder(AutoencoderConfig(base_channels=4, channel_multipliers=multipliers), 3)

    assert autoencoder(torch.rand(2, 3, 16, 24)).shape == (2, 3, 16, 24)


def test_nothing_of_the_image_passes_beside_the_bottleneck():
    """Without skip connections, an emptied bottleneck gives one picture for every image."""
    autoencoder = Autoencoder(AutoencoderConfig(base_channels=4, channel_multipliers=(1, 2, 4)), 3)
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        full = autoencoder(images)
        autoencoder.encoder[-1].register_forward_hook(lambda _module, _inputs, features: torch.zeros_like(features))
        emptied = autoencoder(images)

    assert float((full[0] - full[1]).abs().max()) > 0.01
    assert torch.equal(emptied[0], emptied[1])
