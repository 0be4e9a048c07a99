"""Detectors of a few thousand weights, untrained."""

import json
from pathlib import Path

import torch

from diffusionad.detector import Detector, DetectorConfig
from diffusionad.detectors import load

TINY = json.loads(Path(__file__).with_name("tiny_detector.json").read_text())
"""Settings of a small diffusion detector, as plain data."""
_SHARED = {
    name: TINY[name]
    for name in ("value_range", "image_channels", "segmenter_input", "segmenter", "feature_segmenter", "top_k_fraction")
}
_LOSS = {"focal_weight": 5.0, "focal_balance": 0.5, "focal_exponent": 4.0}
TINY_AUTOENCODER = _SHARED | {
    "kind": "autoencoder",
    "autoencoder": {"base_channels": 4, "channel_multipliers": [1, 2]},
    "reconstruction_dropout": 0.0,
    "learning_rates": TINY["learning_rates"],
    "loss": _LOSS | {"reconstruction_weight": 1.0},
}
TINY_SEGMENTATION = _SHARED | {"kind": "segmentation", "learning_rates": {"segmenter": 2e-3}, "loss": _LOSS}


def read_config(settings):
    """Read settings, plain data with their `kind`, by the class of that kind."""
    return load(settings["kind"]).config.model_validate_json(json.dumps(settings))


def describe_detector(model, size, **changes):
    """Make the config of a detector of noise."""
    facts = {
        "dataset": "toys",
        "category": "noise",
        "manifest": "0" * 64,
        "image_size": size,
        "seed": 0,
        "threshold": 0.5,
        "model": model,
    }
    return DetectorConfig(**facts | changes)


def build_detector(size, settings=TINY, weights_seed=0, spread=None, **changes):
    """Build an untrained detector whose weights are all random; the last layer of a fresh U-Net would be zero.

    Args:
        size: Height and width, px.
        settings: Settings of the model, as plain data.
        weights_seed: Another seed, other weights; the caller's generator is left as it was.
        spread: Standard deviation of the segmenter's last weights, for scores that differ; theirs without it.
        changes: Values of the config that replace the defaults.
    """
    config = describe_detector(read_config(settings), size, **changes)
    with torch.random.fork_rng([]):
        torch.manual_seed(weights_seed)
        network = config.build()
        for parameter in network.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.05)
        if spread is not None:
            torch.nn.init.normal_(network.segmenter.last.weight, std=spread)
    return Detector(network, config)
