import json

import pytest
import torch
from diffusionad.model import DiffusionAD, ModelConfig

from diffusionad.detector import Detector, DetectorConfig

SIZE = (16, 24)


@pytest.fixture
def build(tiny_model):
    """Makes a detector with random weights and statistics, of a paradigm and a prediction."""

    def build(**changes):
        model = ModelConfig.model_validate_json(json.dumps(tiny_model | changes))
        config = DetectorConfig(
            dataset="toys",
            category="noise",
            manifest="0" * 64,
            image_size=SIZE,
            seed=0,
            threshold=0.5,
            model=model,
        )
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            network = DiffusionAD(model, SIZE)
            for module in network.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
                    torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            for parameter in network.reconstructor.parameters():
                if not parameter.any():
                    torch.nn.init.normal_(parameter, std=0.05)
        return network, Detector(network, config)

    return build


@pytest.fixture
def images():
    return torch.rand(3, 3, *SIZE, generator=torch.Generator().manual_seed(0))
