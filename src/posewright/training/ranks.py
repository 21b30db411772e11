"""Which process of a run this is, and what its processes count together.

Each device has a process of its own. ``torchrun`` and SLURM start them and say so in the environment; without those,
Lightning starts the others from the first one (``--devices N``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor

from posewright.errors import PosewrightError
from posewright.machine import cores


@dataclass(frozen=True)
class Place:
    """One process among those of a run.

    Attributes:
        rank: its number, 0 for the one that speaks and writes.
        ranks: how many there are, over all machines.
        local_rank: its number on its machine, which is also its device's.
        local_ranks: how many there are on each machine.
        launcher: who starts the processes.
    """

    rank: int = 0
    ranks: int = 1
    local_rank: int = 0
    local_ranks: int = 1
    launcher: Literal["torchrun", "slurm", "lightning"] = "lightning"

    @property
    def first(self) -> bool:
        return self.rank == 0

    @property
    def nodes(self) -> int:
        return self.ranks // self.local_ranks

    def share(self, batch_size: int) -> int:
        """This process's part of a batch.

        Raises:
            PosewrightError: where the batch does not divide evenly.
        """
        if batch_size % self.ranks:
            below = batch_size // self.ranks * self.ranks
            near = " or ".join(str(n) for n in (below, below + self.ranks) if n)
            raise PosewrightError(
                f"a batch of {batch_size} does not divide evenly among {self.ranks} devices",
                fix=f"Use --batch-size {near}",
            )
        return batch_size // self.ranks


ALONE = Place()


def find_place(devices: int = 0, nodes: int = 0, env: Mapping[str, str] = os.environ) -> Place:
    """This process's place, from the environment and what the settings ask for.

    Args:
        devices: on each machine; 0 for what the environment says.
        nodes: machines; 0 for what the environment says.
        env: the environment.

    Raises:
        PosewrightError: where the two contradict one another, or machines were not told of the first one.
    """
    if "TORCHELASTIC_RUN_ID" in env:
        place = _started(env, "torchrun", ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE"))
    elif int(env.get("SLURM_NTASKS", 1)) > 1 and env.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        if "SLURM_NTASKS_PER_NODE" not in env:
            raise PosewrightError("SLURM does not say how many tasks a machine has", fix="Add --ntasks-per-node")
        names = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE", "SLURM_NNODES")
        place = _started(env, "slurm", names)
    else:
        devices, nodes = max(devices, 1), max(nodes, 1)
        if nodes > 1 and not {"MASTER_ADDR", "MASTER_PORT", "NODE_RANK"} <= env.keys():
            raise PosewrightError(
                "several machines need MASTER_ADDR, MASTER_PORT and NODE_RANK in the environment of each",
                fix="Set them, or start with torchrun or srun",
            )
        if devices * nodes == 1:
            return ALONE
        local_rank = int(env.get("LOCAL_RANK", 0))
        return Place(int(env.get("NODE_RANK", 0)) * devices + local_rank, devices * nodes, local_rank, devices)
    for asked, there, what in ((devices, place.local_ranks, "devices"), (nodes, place.nodes, "nodes")):
        if asked and asked != there:
            raise PosewrightError(
                f"{place.launcher} started {place.ranks} processes on {place.nodes} machines, --{what} says {asked}",
                fix=f"Leave --{what} out",
            )
    return place


def _started(env: Mapping[str, str], launcher: Literal["torchrun", "slurm"], names: tuple[str, ...]) -> Place:
    rank, ranks, local_rank, local_ranks, nodes = (int(env[name]) for name in names)
    if local_ranks * nodes != ranks:
        raise PosewrightError(
            f"{launcher} started {ranks} processes on {nodes} machines, {local_ranks} of them on this one",
            fix="Start equally many on each",
        )
    return Place(rank, ranks, local_rank, local_ranks, launcher)


def check_devices(place: Place, device: str) -> None:
    """Raise a PosewrightError where this machine has too few devices of the kind."""
    if place.ranks == 1 or device == "cpu":
        return
    there = torch.cuda.device_count() if device == "cuda" else 1
    if place.local_ranks > there:
        raise PosewrightError(
            f"{place.local_ranks} devices asked for, this machine has {there} of the kind '{device}'",
            fix=f"Use --devices {there}",
        )


def divide_threads(place: Place, threads: int = 0) -> None:
    """Share this machine's cores among its processes, for training on processors.

    Args:
        threads: of this process; 0 for an equal share, unless OMP_NUM_THREADS says otherwise. (torchrun sets it to 1 where
            nobody did, which is taken for no answer.)
    """
    if place.local_ranks == 1:
        if threads:
            torch.set_num_threads(threads)
        return
    import cv2

    said = int(os.environ.get("OMP_NUM_THREADS", "0").split(",")[0] or 0)
    if place.launcher == "torchrun" and said == 1:
        said = 0
    threads = threads or said or max(1, cores() // place.local_ranks)
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    # Lightning would set its own number where this is missing.
    os.environ["OMP_NUM_THREADS"] = str(threads)


def joined() -> bool:
    """Whether this process is connected to others."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def sum_over_ranks(value: Tensor) -> Tensor:
    """The sum over all processes, on every one of them: a new tensor on the CPU. All must call it, with equal shapes."""
    total = value.detach().cpu().clone()
    if not joined():
        return total
    if dist.get_backend() == "nccl":
        total = total.cuda()
    dist.all_reduce(total)
    return total.cpu()


def largest_over_ranks(value: Tensor) -> Tensor:
    """The largest of all processes, detached, where ``value`` is. All must call it, with equal shapes."""
    largest = value.detach().clone()
    if joined():
        dist.all_reduce(largest, dist.ReduceOp.MAX)
    return largest


def mean_over_ranks(value: Tensor) -> Tensor:
    """The mean over all processes, detached, where ``value`` is. All must call it, with equal shapes."""
    mean = value.detach().clone()
    if joined():
        dist.all_reduce(mean)
        mean /= dist.get_world_size()
    return mean


def mean_count(count: Tensor) -> Tensor:
    """What a loss summed over this process's part of a batch is divided by: the mean count over all processes.

    The mean over processes, which is what becomes of gradients, then equals the loss of the whole batch in one process,
    however unequally its labels are spread. Every process must compute the same losses in the same order. Where no
    gradient is recorded (validation, whose parts are weighed when they are gathered) it is the process's own count.

    Args:
        count: how many terms were summed here, or the sum of their weights; any shape.

    Returns:
        float32 of the same shape, 1 where there is nothing anywhere.
    """
    mean = count.detach().float()
    if torch.is_grad_enabled():
        mean = mean_over_ranks(mean)
    return torch.where(mean > 0, mean, torch.ones_like(mean))
