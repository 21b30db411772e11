"""The command line: ``posewright COMMAND ...``. Each command is a module of this package, imported when it is called.

A command module defines ``@dataclass(frozen=True) class Command`` whose fields are the options (read by tyro), whose
docstring is the help text, and whose ``run(self) -> int | None`` does the work through the library. It may define
``defaults(args)``, which returns a Command to take the defaults from.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import keyword
import os
import sys
from collections.abc import Iterator, Sequence

from posewright.errors import PosewrightError, did_you_mean

COMMANDS = {
    "demo": "make a synthetic hand set, train on it, export, predict: the whole road in a few minutes",
    "inspect": "look at a labelled set: counts, sizes, what looks wrong, contact sheets",
    "label": "label pictures by hand, or correct a model's proposals, on a page in the browser",
    "audit": "rank the labels that are most likely wrong, and write a corrected copy",
    "train": "train a model on labelled pictures",
    "train-locator": "train a net that finds the objects in a picture",
    "evaluate": "measure a model, or any tool's COCO results, on labelled pictures",
    "bench": "set models side by side: accuracy, time, size and memory of every file",
    "compare": "say which of two results is better, keypoint by keypoint, and how sure that is",
    "sigmas": "estimate OKS sigmas from pictures that several people labelled",
    "similarity": "say how alike two poses are, and what to change",
    "coach": "compare a motion with one to learn from: which limb differs, how, and when",
    "mine": "rank training pictures by how hard a model finds them",
    "export": "make the model file of a run, a checkpoint or a shipped name",
    "import": "make a run of weights that an older system trained",
    "predict": "run a model on pictures, videos, cameras and streams",
    "serve": "answer requests for keypoints over HTTP",
    "push": "put a model on the Hugging Face Hub, with its model card",
    "convert": "read labels in one format and write them in another",
    "pack": "cut a set's objects out into a few large files that load fast",
    "curves": "draw the training curves of one or several runs",
    "frames": "choose frames of videos to label, the uncertain ones first where there is a model",
    "augment-preview": "draw what the augmentation does to your pictures",
    "describe": "say what a net is made of, and draw what its layers see",
    "models": "list shipped models and trainable presets",
    "synthesize": "write a synthetic hand data set or video",
}


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [
        "usage: posewright COMMAND [OPTIONS]",
        "",
        "Keypoint models: labelled pictures in, a working model file out.",
        "",
    ]
    lines += [f"  {name:<{width}}  {what}" for name, what in COMMANDS.items()]
    lines += [
        "",
        "examples:",
        "  posewright demo",
        "  posewright train --data labels.json -o runs/mine",
        "  posewright predict runs/mine photos/ -o out",
        "",
        "posewright COMMAND --help explains one command. posewright --version prints the version.",
    ]
    return "\n".join(lines)


def _complain(line: str) -> int:
    print(f"posewright: {line}", file=sys.stderr)
    return 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 1 the work itself failed, 2 bad input, 130 interrupted."""
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if args[0] in ("--version", "-V"):
        from posewright import __version__

        print(f"posewright {__version__}")
        return 0
    name, rest = args[0], args[1:]
    if name not in COMMANDS:
        return _complain(f"unknown command '{name}'. {did_you_mean(name, COMMANDS)}")
    try:
        return _run(name, rest)
    except PosewrightError as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123  what read our output has gone; end quietly
        return 0
    except OSError as error:
        if os.environ.get("POSEWRIGHT_TRACEBACK"):
            raise
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}")


@contextlib.contextmanager
def _one_line_for_refusals() -> Iterator[None]:
    """A setting that its dataclass refuses comes out as the error it raised, where tyro would print a box and exit."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            yield
    except SystemExit as stop:
        cause: BaseException | None = stop
        while cause is not None and not isinstance(cause, PosewrightError):
            cause = cause.__context__
        if cause is not None:
            raise cause from None
        sys.stderr.write(printed.getvalue())
        raise
    sys.stderr.write(printed.getvalue())


def _run(name: str, rest: list[str]) -> int:
    import tyro

    try:
        # "import" is no name a module may have; such a one ends in an underscore.
        stem = name.replace("-", "_") + ("_" if keyword.iskeyword(name) else "")
        module = importlib.import_module(f"posewright.cli.{stem}")
        given = module.defaults(rest) if hasattr(module, "defaults") else None
        more = {} if given is None else {"default": given}
        with _one_line_for_refusals():
            command = tyro.cli(
                module.Command, args=rest, prog=f"posewright {name}", config=(tyro.conf.FlagCreatePairsOff,), **more
            )
        return command.run() or 0
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package in ("torch", "lightning", "safetensors", "onnx", "onnxscript", "tensorboard", "yaml"):
            return _complain(f"'{name}' needs {package}, which is not installed. pip install 'posewright[train]'")
        if package in ("fastapi", "starlette", "pydantic", "uvicorn", "h11", "prometheus_client", "python_multipart"):
            return _complain(f"'{name}' needs {package}, which is not installed. pip install 'posewright[serve]'")
        raise


if __name__ == "__main__":
    sys.exit(main())
