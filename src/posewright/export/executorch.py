"""The ExecuTorch program: torch's own runtime for phones and boards, here lowered to XNNPACK."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import torch

from posewright.console import hushed
from posewright.export.job import Job
from posewright.runtime.entries import attach_entry

NOISY = ("torch.export", "executorch", "root")


def write(job: Job, path: Path) -> None:
    """Write the program of a job; it takes one batch size."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    width, height = job.size
    example = torch.zeros(job.batch or 1, height, width, 3, dtype=torch.uint8)
    with hushed(*NOISY), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        exported = torch.export.export(job.net, (example,))
        program = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()]).to_executorch()
    path.write_bytes(program.buffer)
    attach_entry(path, job.info.to_json())
