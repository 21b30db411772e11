"""``posewright push``."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from posewright.errors import PosewrightError

if TYPE_CHECKING:
    from posewright.hub.push import Parcel


@dataclass(frozen=True)
class Command:
    """Put a model on the Hugging Face Hub, with a model card written from what its file says of itself.

    Pushed are model.onnx, its description, the checkpoint where there is one, and the card (README.md): what the model
    finds, what it was trained on and by which terms, its measured figures with their conventions, its limits, and how to
    use it. Paths of this machine are shortened to their last parts. --dry-run writes the folder and pushes nothing; read
    the card before others do. Pushing needs pip install 'posewright[hub]' and hf auth login.

    examples:
      posewright push runs/mine user/hands --dry-run -o card
      posewright push runs/mine user/hands --private
      posewright push hand user/hands --license apache-2.0 --picture photo.jpg
      posewright predict hf://user/hands photo.jpg -o out
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """A model file, a run's folder, or a shipped name."""
    repo: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="USER/REPO")]
    """Where to on the Hub; made unless it is there."""
    private: bool = False
    """Only you, and whom you let, can see it."""
    license: str | None = None
    """An identifier of the Hub's list, such as apache-2.0 or cc-by-nc-4.0; unless given, the card says "other" and quotes
    the terms."""
    no_checkpoint: bool = False
    """Leave out the checkpoint, from which others could train on."""
    picture: Path | None = None
    """A picture for the card, with the model's poses drawn on it."""
    dry_run: bool = False
    """Write the folder that would be pushed, and push nothing."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """With --dry-run: the folder to write; out/REPO unless given."""

    def run(self) -> int:
        from posewright.hub.address import check_repo, package

        check_repo(self.repo)
        if self.output is not None and not self.dry_run:
            raise PosewrightError("-o is where --dry-run writes its folder", fix="Add --dry-run, or leave -o out")
        if self.dry_run:
            return self._dry(self.output or Path("out") / self.repo.split("/")[1])
        package()
        from posewright.hub.push import push

        with tempfile.TemporaryDirectory(prefix="posewright-") as folder:
            parcel = self._pack(Path(folder))
            page = push(parcel, self.repo, private=self.private)
        print(f"Pushed to {page}")
        print(f"Next: posewright predict hf://{self.repo} PICTURES -o out")
        return 0

    def _dry(self, folder: Path) -> int:
        from posewright.files import whole_folder

        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise PosewrightError("is there already and is not empty", file=folder, fix="Name a new folder with -o")
        with whole_folder(folder) as temporary:
            self._pack(temporary)
        print(f"{folder}: what would be pushed. Nothing was.")
        private = " --private" if self.private else ""
        print(f"Next: read {folder / 'README.md'}, then posewright push {self.model} {self.repo}{private}")
        return 0

    def _pack(self, folder: Path) -> Parcel:
        from posewright.hub.card import NOT_STATED
        from posewright.hub.push import pack
        from posewright.reports.tables import print_table

        parcel = pack(
            self.model,
            self.repo,
            folder,
            license=self.license,
            checkpoint=not self.no_checkpoint,
            picture=self.picture,
        )
        rows = [{"file": name, "kB": f"{size / 1e3:.1f}"} for name, size in parcel.files.items()]
        print_table(rows, f"For {self.repo}.")
        print(f"Terms: {parcel.info.terms or NOT_STATED}")
        return parcel
