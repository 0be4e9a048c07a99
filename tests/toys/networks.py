"""Networks with random weights and statistics, as fixtures that conftests import."""

import pytest
import torch

from diffusionad.detector import Detector
from toys.detectors import describe_detector, read_config

SIZE = (16, 24)


@pytest.fixture
def build(tiny_model):
    """Makes a network with random weights and statistics, and a detector that holds it, from changed settings."""

    def build(**changes):
        config = describe_detector(read_config(tiny_model | changes), SIZE)
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            network = config.build()
            for module in network.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
                    torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            for parameter in network.parameters():
                if not parameter.any():
                    torch.nn.init.normal_(parameter, std=0.05)
        return network, Detector(network, config)

    return build


@pytest.fixture
def images():
    return torch.rand(3, 3, *SIZE, generator=torch.Generator().manual_seed(0))
