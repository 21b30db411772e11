"""The torch package: ``torch.export`` compiled ahead of time by AOTInductor, for programs that have torch anyway.

It holds native code for the machine it was made on, so that loading it asks for trust.
"""

from __future__ import annotations

import contextlib
import io
import zipfile
from pathlib import Path

import torch

from posewright.console import hushed
from posewright.errors import PosewrightError
from posewright.export.job import Job
from posewright.runtime.engines.base import first_line
from posewright.runtime.entries import attach_entry

NOISY = ("torch.export", "torch._inductor", "torch._dynamo")
MOST = 64
"""Largest batch of the package."""


def write(job: Job, path: Path) -> None:
    """Write the package of a job; a C++ compiler is needed.

    Raises:
        PosewrightError: where it cannot be compiled here.
    """
    width, height = job.size
    example = torch.zeros(job.batch or 2, height, width, 3, dtype=torch.uint8)
    free = None if job.batch else ({0: torch.export.Dim("batch", min=1, max=MOST)},)
    with hushed(*NOISY), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        try:
            program = torch.export.export(job.net, (example,), dynamic_shapes=free)
            torch._inductor.aoti_compile_and_package(program, package_path=str(path))
        except Exception as error:  # the compiler's errors share no other base
            what = f"torch could not compile it here: {first_line(error)}"
            raise PosewrightError(what, file=path, fix="AOTInductor needs a C++ compiler such as g++") from None
    with zipfile.ZipFile(path) as archive:
        root = archive.namelist()[0].split("/")[0]
    attach_entry(path, job.info.to_json(), f"{root}/extra/")  # where such packages have what is not torch's
