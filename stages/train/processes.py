"""Training by several processes, one per GPU, as `torchrun` starts them."""

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
"""How long a process waits for the others, who may be validating on slower machines."""


class Place(NamedTuple):
    """Where this process works, and on what."""

    share: Share
    device: torch.device


def alone() -> Place:
    """Give the place of a process that trains by itself."""
    return Place(WHOLE, best_device())


@contextmanager
def joined() -> Iterator[Place]:
    """Meet the other processes if `torchrun` started this one; part from them in the end.

    Raises:
        ValueError: If there are GPUs, but fewer than processes on this machine.
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
    """End with `torchrun`, even if that is killed: it gives this process a session of its own, and would leave it."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
