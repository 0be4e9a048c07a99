"""Training by several processes, one per GPU, started by `torchrun`."""

import ctypes
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import torch
import torch.distributed as dist

from diffusionad.networks.layout import best_device
from diffusionad.training.share import WHOLE, Share

PATIENCE = timedelta(hours=2)
"""How long a process waits for the others, which may be validating on slower machines."""


class Place(NamedTuple):
    """The share and the device of this process."""

    share: Share
    device: torch.device


def alone() -> Place:
    """Return the place of a process that trains alone."""
    return Place(WHOLE, best_device())


@contextmanager
def joined() -> Iterator[Place]:
    """Join the other processes if `torchrun` started this one, and leave them when the block ends.

    Raises:
        ValueError: If this machine has GPUs, but fewer than processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield alone()
        return
    cuda = torch.cuda.is_available()
    _die_with_parent()
    local, here = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    if cuda and here > torch.cuda.device_count():
        raise ValueError(f"{here} processes on a machine with {torch.cuda.device_count()} GPUs; start one per GPU")
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)
    share = Share(dist.get_rank(), dist.get_world_size())
    if not share.writes:
        logging.getLogger().setLevel(logging.WARNING)
    try:
        yield Place(share, device)
    finally:
        dist.destroy_process_group()


def _die_with_parent() -> None:
    """End with `torchrun` even if it is killed: this process has its own session and would otherwise live on."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
