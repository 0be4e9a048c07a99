"""Take a few training steps by several processes, for test_share: `torchrun shared_steps.py FOLDER`.

FOLDER holds `given.pt`; each process leaves `RANK.pt` there.
"""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from diffusionad.training.share import Share
from diffusionad.training.trainer import Batch, Trainer, TrainingConfig
from toys.detectors import describe_detector, read_config


def gradients_of(model):
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def main():
    folder = Path(sys.argv[1])
    given = torch.load(folder / "given.pt", weights_only=True)
    dist.init_process_group("gloo")
    share = Share(dist.get_rank(), dist.get_world_size())
    torch.manual_seed(0)
    model = describe_detector(read_config(json.loads(given["model"])), (32, 32)).build()
    trainer = Trainer(model, model.phases[0], TrainingConfig.model_validate_json(given["training"]), share)
    losses, gradients = [], {}
    for batch in given["batches"]:
        told = trainer.train_step(Batch(*(values[share.slots] for values in batch)))
        losses.append(torch.stack(list(told.values())))
        gradients = gradients or gradients_of(model)
    torch.save({"losses": losses, "gradients": gradients, "state": trainer.state_dict()}, folder / f"{share.rank}.pt")
    dist.destroy_process_group()


# Guarded: pytest imports every module of the tests, for doctests.
if __name__ == "__main__":
    main()
