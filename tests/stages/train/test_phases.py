"""Detectors that learn in several phases: what each sees, what is kept, and how a killed training goes on."""

import json
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from diffusionad import detector as detector_module
from diffusionad.base import Group, Mode, Model, ModelConfig, Once, Output, Stepwise
from diffusionad.detectors import Kind
from stages.train import stage as train_module


class ToyConfig(ModelConfig):
    kind: Literal["toy"]


class Toy(Model):
    """Marks pixels that are far from the mean colour, which it learns first."""

    def __init__(self, config, image_size):
        super().__init__(config, image_size)
        self.colour = nn.Parameter(torch.zeros(3, 1, 1))
        self.line = nn.Parameter(torch.tensor([1.0, 0.0]))
        self.register_buffer("images_seen", torch.tensor(0))

    @property
    def phases(self):
        return (Colour(self), Line(self))

    @property
    def modes(self):
        return {"toy": Mode(1, ())}

    def infer(self, images, _noise, _mode):
        slope, offset = self.line
        return Output(slope * (images - self.colour).abs().mean(dim=1) + offset)


class Colour(Stepwise):
    name = "colour"
    batch = "normal"

    def __init__(self, model):
        self.model = model

    def groups(self):
        return {"colour": Group([self.model.colour], 0.1)}

    def draw(self, batch, generator):
        return {}

    def loss(self, images, mask, is_normal, draws):
        assert is_normal.all()
        assert not mask.any()
        return {"total": (images - self.model.colour).square().mean()}


class Line(Stepwise):
    name = "line"
    batch = "mixed"

    def __init__(self, model):
        self.model = model

    def groups(self):
        return {"line": Group([self.model.line], 0.1)}

    def draw(self, batch, generator):
        return {"jitter": torch.rand(batch, generator=generator)}

    def loss(self, images, mask, is_normal, draws):
        assert is_normal.tolist() == [True, True, False, False]
        assert mask.any()
        logits = self.model.infer(images, None, "toy").mask_logits + draws["jitter"][:, None, None]
        return {"total": nn.functional.binary_cross_entropy_with_logits(logits, mask[:, 0])}


class Count(Once):
    name = "count"

    def __init__(self, model):
        self.model = model

    def fit(self, images, generator):
        self.model.images_seen += sum(len(batch) for batch in images.normal())


class Bank(Once):
    name = "bank"

    def __init__(self, model):
        self.model = model

    def fit(self, images, generator):
        self.model.bank = torch.cat(list(images.normal())).mean(dim=(2, 3))


class BankThenLine(Toy):
    """Its memory has a size only once it is filled."""

    def __init__(self, config, image_size):
        super().__init__(config, image_size)
        self.register_buffer("bank", torch.empty(0, 3))
        self.register_load_state_dict_pre_hook(self._make_room)

    @staticmethod
    def _make_room(model, state, *_):
        model.bank = torch.empty_like(state["bank"])

    @property
    def phases(self):
        return (Bank(self), Line(self))

    def infer(self, images, _noise, _mode):
        slope, offset = self.line
        return Output(slope * (images - self.bank.mean(dim=0)[:, None, None]).abs().mean(dim=1) + offset)


class ColourThenCount(Toy):
    @property
    def phases(self):
        return (Colour(self), Count(self))


@pytest.fixture
def train_toy(train_on, monkeypatch):
    """Trains a toy."""

    def train_toy(model=Toy, state="state"):
        monkeypatch.setattr(detector_module, "load", lambda _: Kind(ToyConfig, model))
        train_on(ToyConfig(kind="toy", top_k_fraction=0.1), state)

    return train_toy


@pytest.fixture
def judged(monkeypatch):
    """Weights of the models that were validated, in order; each is given a lower figure than the one before."""
    seen = []

    def validate(detector, _):
        seen.append({name: value.clone() for name, value in detector.weights.items()})
        return dict.fromkeys(("val_image_auroc", "val_pixel_ap", "val_pixel_pro"), 1 / len(seen))

    monkeypatch.setattr(train_module, "validate", validate)
    return seen


def kept(paths):
    return load_file(paths.model / "model.safetensors")


def steps(paths):
    return [json.loads(line)["step"] for line in paths.history.read_text().splitlines()]


def test_all_phases_are_learned_and_the_best_of_the_last_one_is_kept(paths, train_toy, judged):
    train_toy()

    first, last = judged
    assert first["colour"].all()
    assert torch.equal(first["colour"], last["colour"]), "a phase changed what another one learns"
    assert not torch.equal(first["line"], last["line"])
    assert all(torch.equal(value, first[name]) for name, value in kept(paths).items())
    assert steps(paths) == [2, 4, 6, 8]


@pytest.mark.parametrize("model", [Toy, BankThenLine])
def test_a_training_killed_in_its_second_phase_ends_in_the_same_bytes(paths, train_toy, model):
    class Killed(Line):
        def loss(self, images, mask, is_normal, draws):
            if next(left) == 0:
                raise KeyboardInterrupt
            return super().loss(images, mask, is_normal, draws)

    class Broken(model):
        @property
        def phases(self):
            return (super().phases[0], Killed(self))

    left = iter([3, 2, 1, 0])
    with pytest.raises(KeyboardInterrupt):
        train_toy(Broken, "broken")
    (state,) = Path("broken").glob("*.pt")
    progress = torch.load(state, weights_only=True)
    train_toy(model, "broken")
    mended, history = (paths.model / "model.safetensors").read_bytes(), paths.history.read_bytes()

    train_toy(model, "whole")

    assert (progress["phase"], progress["trainer"]["step"]) == (1, 2)
    assert mended == (paths.model / "model.safetensors").read_bytes()
    assert history == paths.history.read_bytes()


def test_a_phase_without_steps_after_one_with_steps_is_published(paths, train_toy, judged):
    train_toy(ColourThenCount)

    (validated,) = judged
    assert int(validated["images_seen"]) == 6
    assert all(torch.equal(value, validated[name]) for name, value in kept(paths).items())
    assert steps(paths) == [2, 4, 5]
