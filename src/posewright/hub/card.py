"""The model card: a README for the Hub, written from what a model file says of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from posewright import __version__
from posewright.runtime.modelfile import ModelInfo
from posewright.score import curve_meaning

NOT_STATED = "Whoever made this model has not stated the terms of its training data."


def model_card(
    info: ModelInfo, repo: str, *, license: str | None = None, checkpoint: bool = False, picture: str | None = None
) -> str:
    """Markdown with the front matter that the Hub reads.

    Args:
        info: the model file's description.
        repo: "user/name".
        license: an identifier of the Hub's list ("apache-2.0", "cc-by-nc-4.0"); the terms in words where None.
        checkpoint: whether ``model.safetensors`` lies beside the card, for training to go on.
        picture: name of an example picture beside the card.
    """
    parts = [_front_matter(info, repo, license), f"# {repo.split('/')[1]}", _what(info)]
    if picture:
        parts.append(f"![an example]({picture})")
    parts += ["## How to use it", _use(info, repo), "## What it was trained on", _data(info)]
    parts += ["## Terms", info.terms or NOT_STATED, "## How good it is", _metrics(info)]
    parts += ["## Limits", _limits(info, repo), "## How to train it further", _further(info, repo, checkpoint)]
    return "\n\n".join(parts) + "\n"


def _front_matter(info: ModelInfo, repo: str, license: str | None) -> str:
    task = "keypoint-detection" if info.kind == "keypoints" else "object-detection"
    front: dict[str, Any] = {"library_name": "posewright", "pipeline_tag": task, "license": license or "other"}
    if license is None:
        front |= {"license_name": "terms-of-the-training-data", "license_link": f"https://huggingface.co/{repo}#terms"}
    words = (info.skeleton.name, info.preset)
    front["tags"] = list(dict.fromkeys(["posewright", "onnx", "pose-estimation", *(w for w in words if w)]))
    results = [_result(info, task, name, figures) for name, figures in info.metrics.items()]
    results = [r for r in results if r is not None]
    if results:
        front["model-index"] = [{"name": repo.split("/")[1], "results": results}]
    # JSON is YAML, whatever a name holds.
    return "\n".join(["---", *(f"{k}: {json.dumps(v, ensure_ascii=False)}" for k, v in front.items()), "---"])


def _result(info: ModelInfo, task: str, name: str, figures: Mapping[str, Any]) -> dict[str, Any] | None:
    value = figures["value"]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    data = str(figures.get("data") or "not stated")
    return {
        "task": {"type": task},
        "dataset": {"type": info.skeleton.name or "keypoints", "name": data},
        "metrics": [{"type": name, "name": ", ".join([name, *_conventions(figures, "data")]), "value": value}],
    }


def _conventions(figures: Mapping[str, Any], *without: str) -> list[str]:
    return [f"{k}: {v}" for k, v in figures.items() if k not in ("value", *without) and v not in (None, "")]


def _what(info: ModelInfo) -> str:
    width, height = info.input_size
    net = f"a {info.preset} net, " if info.preset else ""
    made = f"made with posewright {info.tool_version}".rstrip()
    if info.kind == "locator":
        return f"Finds where the objects `{_plain(info.skeleton.name)}` are on a picture: {net}input {width} x {height}, {made}."
    names = ", ".join(f"`{_plain(name)}`" for name in info.skeleton.keypoints)
    count = len(info.skeleton)
    return (
        f"Finds the {count} keypoints of `{_plain(info.skeleton.name)}`: {net}input {width} x {height} pixels, weights in "
        f"{info.precision}, {made}.\n\nThe keypoints, in this order: {names}."
    )


def _use(info: ModelInfo, repo: str) -> str:
    if info.kind == "locator":
        return f"```sh\npip install 'posewright[hub]'\nposewright predict MODEL photo.jpg --locator hf://{repo} -o out\n```"
    return (
        "```sh\n"
        "pip install 'posewright[hub]'\n"
        f"posewright predict hf://{repo} photo.jpg -o out\n"
        "```\n\n"
        "```python\n"
        "import posewright\n\n"
        f'model = posewright.load("hf://{repo}")\n'
        'poses = model("photo.jpg")          # or model(array, boxes), uint8 RGB and (x0, y0, x1, y1) in pixels\n'
        f'x, y, score = poses.keypoint("{_plain(info.skeleton.keypoints[0])}")\n'
        "```\n\n"
        "`model.onnx` is self-contained: it takes `image`, uint8 [B, "
        f"{info.input_size[1]}, {info.input_size[0]}, 3] RGB, and does normalisation and decoding inside. Its metadata entry "
        "`posewright`, which is also `posewright.json` here, says how a picture becomes that crop."
    )


def _data(info: ModelInfo) -> str:
    if not info.training_data:
        return "Whoever made this model has not said."
    return "\n".join(f"- {_plain(line)}" for line in info.training_data)


def _metrics(info: ModelInfo) -> str:
    if not info.metrics:
        return "Nothing was measured."
    rows = ["| metric | value | measured how |", "|---|---|---|"]
    for name, figures in info.metrics.items():
        cells = (name, figures["value"], "; ".join(_conventions(figures)))
        rows.append("| " + " | ".join(_plain(str(cell)).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(
        [*rows, "", "The figures are those that the model file carries; nobody has repeated them for this page."]
    )


def _limits(info: ModelInfo, repo: str) -> str:
    lines = []
    if info.kind == "keypoints":
        lines += [
            "It looks at one object at a time: on a picture with several, give it a box for each, or a locator.",
            curve_meaning(info.score_curve),
        ]
        if "presence" not in info.outputs:
            lines.append("It does not tell whether an object is there at all; `presence` is only the mean score.")
    data = "the data above" if info.training_data else "data that nobody has named"
    what = f"MODEL LABELS --locator hf://{repo}" if info.kind == "locator" else f"hf://{repo} LABELS"
    lines += [
        f"It knows {data}. On other objects, places, cameras and light expect it to be worse, and measure it on labelled "
        f"pictures of your own: `posewright evaluate {what}`."
    ]
    return "\n".join(f"- {line}" for line in lines)


def _further(info: ModelInfo, repo: str, checkpoint: bool) -> str:
    if not checkpoint:
        return "The checkpoint is not in this repository, so that training cannot go on from these weights."
    command = "train-locator" if info.kind == "locator" else "train"
    return (
        "`model.safetensors` holds the weights that training goes on from:\n\n"
        f"```sh\npip install 'posewright[train,hub]'\nposewright {command} --data LABELS --init hf://{repo} -o runs/mine\n```"
    )


def _plain(text: str) -> str:
    """A text from a model file on one line, without markup of its own."""
    return " ".join(text.split()).replace("<", "&lt;").replace("`", "'")


def card_made_by() -> str:
    """What the commit says."""
    return f"Pushed with posewright {__version__}"
