"""Putting a model on the Hub: the folder that is pushed, and pushing it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from posewright.errors import PosewrightError
from posewright.hub.address import Address, check_repo, one_line, package
from posewright.hub.card import card_made_by, model_card
from posewright.hub.scrub import copy_checkpoint, copy_model, scrubbed
from posewright.runtime.entries import NAME, onnx_entry
from posewright.runtime.modelfile import ModelInfo, read_info
from posewright.runtime.names import RUN_CHECKPOINT, RUN_MODEL, find_model

PICTURE = "example.jpg"
PUSHED = (RUN_MODEL, RUN_CHECKPOINT, NAME, "README.md", PICTURE)
"""All that a pushed folder may hold."""


@dataclass(frozen=True)
class Parcel:
    """A folder that is ready to be pushed.

    Attributes:
        folder: it.
        info: the description of its model, as others will read it.
        files: its files and their sizes in bytes.
    """

    folder: Path
    info: ModelInfo
    files: dict[str, int]


def pack(
    model: str | Path,
    repo: str,
    folder: Path,
    *,
    license: str | None = None,
    checkpoint: bool = True,
    picture: Path | None = None,
) -> Parcel:
    """Write what would be pushed into an empty folder: the model file, its description, the checkpoint and the card.

    Paths of this machine are shortened to their last parts in all of them.

    Args:
        model: a model file, a run folder, a checkpoint beside its model file, or a shipped name.
        repo: "user/name".
        folder: where to; made unless it is there.
        license: an identifier of the Hub's list; the terms in words where None.
        checkpoint: take the checkpoint along, where there is one beside the model file.
        picture: an example, on which the model's poses are drawn for the card.

    Raises:
        PosewrightError: where there is no such model, it is no ONNX model file, or something cannot be written.
    """
    check_repo(repo)
    if license is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", license):
        fix = "Give an identifier of the Hub's list, such as apache-2.0 or cc-by-nc-4.0"
        raise PosewrightError(f"'{license}' is no licence identifier", fix=fix)
    source = find_model(model)
    if source.suffix != ".onnx":
        raise PosewrightError("only ONNX model files are pushed", file=source, fix="Name the .onnx file of this model")
    info = read_info(source)
    if picture is not None and info.kind != "keypoints":
        raise PosewrightError("is a locator; an example picture can be drawn for keypoint models only", file=source)
    folder.mkdir(parents=True, exist_ok=True)
    copy_model(source, folder / RUN_MODEL)
    beside = source.with_suffix(".safetensors")
    with_checkpoint = checkpoint and beside.is_file()
    if with_checkpoint:
        copy_checkpoint(beside, folder / RUN_CHECKPOINT)
    text = json.dumps(scrubbed(json.loads(onnx_entry(source) or "")), indent=1, ensure_ascii=False)
    clean = ModelInfo.from_json(text, source)
    (folder / NAME).write_text(text + "\n", encoding="utf-8")
    if picture is not None:
        _draw(folder / RUN_MODEL, picture, folder / PICTURE)
    card = model_card(
        clean, repo, license=license, checkpoint=with_checkpoint, picture=PICTURE if picture is not None else None
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    return Parcel(folder, clean, {p.name: p.stat().st_size for p in sorted(folder.iterdir())})


def _draw(model: Path, picture: Path, target: Path) -> None:
    from posewright.media.pictures import read_picture, write_picture
    from posewright.runtime import load

    image = read_picture(picture)
    write_picture(target, load(model)(image).draw(image, longest=1024))


def push(parcel: Parcel, repo: str, *, private: bool = False) -> str:
    """Push a folder made by :func:`pack`; the repository is made unless it is there.

    Args:
        repo: "user/name".
        private: make it a private one. One that is there already and is public is then left alone.

    Returns:
        The page on the Hub.

    Raises:
        PosewrightError: where nobody is logged in, the Hub refuses or cannot be reached, or huggingface_hub is not installed.
    """
    check_repo(repo)
    hub = package()
    api, address = hub.HfApi(), Address(repo)
    with one_line(address):
        api.create_repo(repo, private=private or None, exist_ok=True, repo_type="model")
        if private and not api.model_info(repo).private:
            fix = "Make it private in its settings first, or leave --private out"
            raise PosewrightError("is there already and is public", file=str(address), fix=fix)
        api.upload_folder(
            repo_id=repo,
            folder_path=str(parcel.folder),
            repo_type="model",
            commit_message=card_made_by(),
            allow_patterns=list(PUSHED),
        )
    return f"https://huggingface.co/{repo}"
