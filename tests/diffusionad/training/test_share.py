"""Two real processes of torchrun against one, on the same batches."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from diffusionad.training.share import WHOLE, Share
from diffusionad.training.trainer import Batch, Trainer, TrainingConfig
from toys.detectors import describe_detector, read_config

ROOT = Path(__file__).parents[3]
TRAINING = {
    "seed": 0,
    "steps": 30,
    "batch_size": 8,
    "accumulate": 1,
    "flip_horizontal": False,
    "flip_vertical": False,
    "warmup_fraction": 0.1,
    "final_learning_rate_fraction": 0.1,
    "ema_decay": 0.9,
    "gradient_clip": 1.0,
    "precision": "fp32",
    "validate_every": 10,
}


def gradients_of(model):
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def batches():
    """Four batches of eight images of unlike brightness, the last four with a white square."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(8, 1, 32, 32)
    mask[4:, :, 8:20, 8:20] = 1
    brightness = torch.linspace(0.1, 0.8, 8).reshape(8, 1, 1, 1)
    normal = [brightness * torch.rand(8, 3, 32, 32, generator=generator) for _ in range(4)]
    return [(torch.where(mask.bool(), 1.0, images), mask, torch.arange(8) < 4) for images in normal]


@pytest.fixture(params=["pixels", "features"])
def section(request, tiny_model):
    """Settings of a detector; what sees features has batch normalisation that is frozen, and some that is not."""
    changes = {"segmenter_input": request.param, "learning_rates": {"reconstructor": 1e-3, "segmenter": 1e-3}}
    return tiny_model | changes | {"loss": tiny_model["loss"] | {"snr_limit": 5.0}}


@pytest.fixture
def one(section):
    """The trainer of a single process after the batches, its losses, and the gradients of its first step."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = describe_detector(read_config(section), (32, 32)).build()
    trainer = Trainer(model, model.phases[0], TrainingConfig.model_validate_json(json.dumps(TRAINING)))
    losses, gradients = [], {}
    for batch in batches():
        losses.append(torch.stack(list(trainer.train_step(Batch(*batch)).values())))
        gradients = gradients or gradients_of(model)
    return trainer, losses, gradients


@pytest.fixture
def two(section, tmp_path):
    """What two processes left that trained together on the same."""
    given = {"model": json.dumps(section), "training": json.dumps(TRAINING), "batches": batches()}
    torch.save(given, tmp_path / "given.pt")
    program = Path(__file__).with_name("shared_steps.py")
    command = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(program), str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *command], env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.slow
def test_two_processes_train_as_one_does_on_the_whole_batch(one, two):
    trainer, losses, gradients = one
    first, second = two

    torch.testing.assert_close(first["gradients"], gradients, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(torch.stack(first["losses"]), torch.stack(losses), rtol=1e-4, atol=1e-6)
    statistics = {name: value for name, value in trainer.model.state_dict().items() if "running_var" in name}
    assert statistics
    shared = {name: first["state"]["model"][name] for name in statistics}
    torch.testing.assert_close(shared, statistics, rtol=1e-3, atol=1e-6)
    assert first["state"]["step"] == second["state"]["step"] == 4
    for name, value in first["state"]["model"].items():
        assert torch.equal(value, second["state"]["model"][name]), name
    assert torch.equal(torch.stack(first["losses"]), torch.stack(second["losses"]))


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_every_slot_of_a_batch_is_taken_once_and_each_share_is_half_normal(processes):
    slots = [list(range(8))[Share(rank, processes).slots] for rank in range(processes)]

    assert sorted(slot for share in slots for slot in share) == list(range(8))
    assert all(sum(slot < 4 for slot in share) * 2 == len(share) == 8 // processes for share in slots)
    assert WHOLE.slots == slice(0, None, 1)


@pytest.mark.parametrize(("processes", "accumulate"), [(4, 1), (2, 2), (1, 4)])
def test_a_batch_that_cannot_be_shared_evenly_is_refused(processes, accumulate):
    share = Share(0, processes)
    share.check(8, accumulate)

    with pytest.raises(ValueError, match=r"`training.batch_size` is 12; expected a multiple of 8, so that each of 4"):
        share.check(12, accumulate)
