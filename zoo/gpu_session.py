"""Train nets on a graphics card that is lent for half an hour, is bare at the start and takes 64 MiB a call.

On the machine with the data, once; it fills ``.pack`` beside the code, which git ignores, with pictures no larger than the
crops need, packed, in parts that fit into a call, and with the pure-Python packages that the other machine lacks:

    python zoo/gpu_session.py prepare --body ../shared/data/lspet --face ../shared/data/faces300w --hand ../shared/data/hands21

It prints which parts to send with which call. There, as often as the lease allows, always the same command:

    python zoo/gpu_session.py train --nets body:hourglass_s2_mobile_tiny@256 face:hourglass_s1_tiny@128 --minutes 9 --out "$OUT"

The nets are trained one after the other, each for as many passes as fit into its share of ``--minutes`` at the pace that is
measured first, until the time is up. A net that is not done goes on in the next call, where the machine is still the same; where
it is a new one, from what came back of it: unpack that with ``collect`` and send ``.pack/back`` along. Everything comes back as
pieces of one archive, rewritten after every net, so that a call that is cut off loses one net's work at most.

Back here:

    python zoo/gpu_session.py collect FOLDER_WITH_THE_PIECES -o runs/gpu

joins the pieces and measures each net on its held-out pictures, plain and averaged with the mirrored one. The weights are fp16.
``--minutes`` should leave a minute of a call's limit for what comes before and after.
"""

from __future__ import annotations

import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
PACK = CHECKOUT / ".pack"
SITE = PACK / "site"
for _path in (CHECKOUT / "src", CHECKOUT / "benchmarks", CHECKOUT / "zoo"):
    sys.path.insert(0, str(_path))
sys.path.append(str(SITE))  # last: what the machine has goes before what was carried

import json  # noqa: E402
import lzma  # noqa: E402
import math  # noqa: E402
import shutil  # noqa: E402
import signal  # noqa: E402
import subprocess  # noqa: E402
import tarfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Sequence  # noqa: E402
from dataclasses import dataclass, field, replace  # noqa: E402
from functools import partial  # noqa: E402
from typing import Annotated, Any  # noqa: E402

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import tyro  # noqa: E402

from posewright.annotations import Annotations, read_annotations  # noqa: E402
from posewright.annotations.duplicates import without_duplicates_of  # noqa: E402
from posewright.errors import PosewrightError  # noqa: E402
from posewright.files import whole_file, write_text  # noqa: E402
from posewright.geometry import CropRule  # noqa: E402
from posewright.media.labelled import picture_of  # noqa: E402
from posewright.training.augment_config import AugmentConfig  # noqa: E402

SETS = ("body", "face", "hand")
WHEELS = ("tyro", "typeguard", "docstring_parser")
"""Pure Python; what tyro needs and such a machine lacks."""
PIECE, MOST = 15 * 2**20, 4
"""Bytes of a piece of what comes back, and how many pieces there may be: 64 MiB together, no file above 16."""
STATE = "session.json"
OF_TRAINING = 0.85
"""Of a net's time; the rest is for starting, bringing pictures over, and measuring."""
AUGMENT = {
    "body": AugmentConfig(negative=0.08),
    "face": AugmentConfig(rotation=25, scale=0.15, cutout=0.1),
    "hand": AugmentConfig(rotation=30),
}
SIGMA = {"face": 1.0}
"""As the recipes of the shipped models have them."""
TERMS = {
    "body": "Leeds Sports Pose Extended: no licence stated, research only; cite Johnson and Everingham, CVPR 2011.",
    "face": "300-W: research only; cite Sagonas et al., ICCV Workshops 2013.",
    "hand": "Real hands of Ge et al., CVPR 2019 (non-commercial research) and generated ones.",
}


@dataclass(frozen=True)
class Prepare:
    """Pack the data for the journey."""

    body: Path | None = None
    """Folder of Leeds Sports Pose Extended."""
    face: Path | None = None
    """Folder of the 300-W training faces."""
    hand: Path | None = None
    """Folder of real hands in COCO's format."""
    synthetic: int = 4000
    """Generated hands beside the real ones."""
    pixels: int = 128
    """Pictures are reduced until an unvaried crop has so many; larger crops can be trained on, but show no more."""
    quality: int = 70
    """JPEG quality of pictures that are reduced."""
    objects: int = 0
    """Pack so many pictures of each set only, evenly spread; 0 for all."""
    part_mb: float = 42.0
    """Megabytes of a part; a call takes 64 MiB with the code."""
    wheels: bool = True
    """Carry the missing packages, too."""


@dataclass(frozen=True)
class Train:
    """Train on the machine that is lent."""

    nets: tuple[str, ...]
    """SET:PRESET@SIZE, with settings of the net after commas: body:hourglass_s1_nano@128,channels=48."""
    minutes: float = 9.0
    """Time for this call."""
    each: float | None = None
    """Minutes of training of each net; the call's, divided evenly, unless given. Counts where the net is begun."""
    out: Path = Path("out/gpu")
    """Folder for what is to come back."""
    work: Path = CHECKOUT / "runs" / "gpu_session"
    """Folder that stays on the machine from call to call."""
    batch_size: int = 64
    """Objects a step."""
    lr: float = 3e-3
    """Highest learning rate."""
    epochs: int = 0
    """Passes of every net, in place of those that fit into its time."""
    teacher: tuple[str, ...] = ()
    """SET:CHECKPOINT, a file that is carried along: nets of the set learn from it as well."""
    workers: int = -1
    """Loader processes."""
    device: str = "auto"
    """Where to train."""
    seed: int = 0
    """Of all nets."""


@dataclass(frozen=True)
class Collect:
    """Join what came back, and measure it."""

    folder: tyro.conf.Positional[Path]
    """Where the pieces lie."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("runs/gpu")
    """Folder for nets and figures."""
    measure: bool = True
    """Measure the nets on the packed sets' held-out pictures."""


# -- here: packing -------------------------------------------------------------------------------------------------------


def real_and_drawn_hands(folder: Path, count: int, drawn: Path) -> Annotations:
    """Real hands, every fifth block of 43 neighbouring frames held out, and generated ones, all to train on."""
    from posewright.annotations.merge import merge
    from posewright.synthetic import make_hand_set

    real = read_annotations(folder)
    blocks = [i * 10 // max(len(real.images), 1) for i in range(len(real.images))]
    parted = [
        replace(im, split="val" if b % 5 == 2 else "train", group=f"block {b}")
        for im, b in zip(real.images, blocks, strict=True)
    ]
    real, dropped = without_duplicates_of(replace(real, images=parted))
    print(f"{len(dropped)} near-duplicates of held-out hands left out")
    if not count:
        return real
    if not (drawn / "annotations.json").is_file():
        make_hand_set(drawn, count, seed=1, val_share=0.0)
    generated = read_annotations(drawn)
    generated = replace(generated, images=[replace(im, split="train") for im in generated.images])
    return merge([real, generated], ["real", "generated"], real.skeleton).annotations


def reduced(labels: Annotations, folder: Path, pixels: int, quality: int) -> Annotations:
    """The set with pictures no larger than crops of so many pixels need, written into a folder; labels moved along.

    A picture's own file is taken where it is the smaller one and its size stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images, factor = [], np.ones(len(labels.images))
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    for i, im in enumerate(labels.images):
        boxes = labels.boxes[labels.image == i]
        side = (boxes[:, 2:] - boxes[:, :2]).max(1).min() if len(boxes) else math.inf
        factor[i] = min(1.0, pixels / (1.25 * side)) if math.isfinite(side) else 1.0
        picture = picture_of(labels, i)
        height, width = (max(1, round(side * factor[i])) for side in picture.shape[:2])
        if factor[i] < 1:
            picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        data = cv2.imencode(".jpg", picture[..., ::-1], options)[1].tobytes()
        own = labels.image_path(i)
        if factor[i] == 1 and im.frame is None and own.suffix == ".jpg" and own.stat().st_size < len(data):
            data = own.read_bytes()
        name = f"{i:06d}.jpg"
        (folder / name).write_bytes(data)
        images.append(replace(im, path=name, frame=None, width=width, height=height, group=im.group or name))
    by = factor[labels.image][:, None]

    def moved(values: Any) -> Any:
        # To a hundredth of a pixel: more digits are a third of what travels.
        return np.round((values + 0.5) * by - 0.5, 2)

    keypoints = labels.keypoints.copy()
    for axis in (0, 1):
        keypoints[..., axis] = np.where(labels.labelled, moved(keypoints[..., axis]), keypoints[..., axis])
    return replace(
        labels,
        root=folder,
        images=images,
        keypoints=keypoints,
        boxes=moved(labels.boxes),
        area=np.round(labels.area * by[:, 0] ** 2, 1),
        head_size=np.round(labels.head_size * by[:, 0], 2),
        polygons=[[] for _ in labels.polygons],
    )


def prepare(args: Prepare) -> None:
    from recipes import faces, lspet_parted

    from comparing import thinned
    from posewright.training.packing import PackConfig, pack

    reads: dict[str, Callable[[], Annotations]] = {}
    if args.body:
        reads["body"] = lambda: lspet_parted(args.body)  # type: ignore[arg-type]
    if args.face:
        reads["face"] = lambda: faces(args.face)  # type: ignore[arg-type]
    if args.hand:
        reads["hand"] = lambda: real_and_drawn_hands(args.hand, args.synthetic, PACK / "scratch" / "drawn")  # type: ignore[arg-type]
    if not reads:
        raise PosewrightError("nothing to pack", fix="Give --body, --face or --hand with its folder")
    for name, read in reads.items():
        shards, scratch = PACK / "sets" / name, PACK / "scratch" / name
        shutil.rmtree(shards, ignore_errors=True)
        labels = thinned(read(), args.objects, args.objects // 4) if args.objects else read()
        rule = CropRule((args.pixels, args.pixels))
        done = pack(
            reduced(labels, scratch, args.pixels, args.quality),
            shards,
            PackConfig(
                rule, AUGMENT[name], args.quality, shard_mb=args.part_mb / 4, backgrounds=0.0, terms=TERMS[name]
            ),
        )
        shutil.rmtree(scratch, ignore_errors=True)
        print(f"{name}: {done.objects} objects, {done.bytes / 1e6:.1f} MB in {done.shards} shards")
    if args.wheels:
        carry_packages()
    names = into_parts(PACK / "sets", PACK, args.part_mb * 1e6)
    sizes = ", ".join(f"{n} {sum(f.stat().st_size for f in (PACK / n).iterdir()) / 1e6:.1f} MB" for n in names)
    print(f"parts to carry: {sizes}")
    print("Send .pack/site with every call, and each part once; the machine keeps them while it is held. Next:")
    print("  python3 zoo/gpu_session.py train --nets body:hourglass_s1_tiny@128 --minutes 8.5 --out $OUT")


def carry_packages() -> None:
    """Unpack the packages' wheels, which run on any Python, into the folder that travels."""
    shutil.rmtree(SITE, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--only-binary=:all:", "--no-compile"]
    subprocess.run([*command, "--target", str(SITE), *WHEELS], check=True)


def into_parts(sets: Path, target: Path, limit: float) -> list[str]:
    """Compress all files of the packed sets, whole ones, into folders ``part1`` and so on, each up to the limit in bytes.

    Pictures are compressed already; their labels and the archive's padding, about a fifth of a set of small pictures, are not.
    """
    for old in target.glob("part*"):
        shutil.rmtree(old)
    number, held = 1, 0
    for file in sorted(p for p in sets.rglob("*") if p.is_file()):
        data = lzma.compress(file.read_bytes(), preset=1)
        if held and held + len(data) > limit:
            number, held = number + 1, 0
        held += len(data)
        place = target / f"part{number}" / ("__".join(file.relative_to(sets).parts) + ".xz")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return [f"part{n}" for n in range(1, number + 1)]


def from_parts(source: Path, target: Path) -> None:
    """Unpack all parts that are there, files that are not there yet."""
    for file in sorted(source.glob("part*/*.xz")):
        place = target.joinpath(*file.name.removesuffix(".xz").split("__"))
        if not place.is_file():
            with whole_file(place) as temporary:
                Path(temporary).write_bytes(lzma.decompress(file.read_bytes()))


def packed_set(folder: Path) -> Annotations:
    """A set that was carried.

    Raises:
        PosewrightError: where a part of it has not arrived.
    """
    try:
        return read_annotations(folder)
    except PosewrightError as error:
        fix = "Carry its .pack/part folders, in this call or earlier ones of the same machine"
        raise PosewrightError(f"is not all there: {error}", file=folder, fix=fix) from None


# -- there: training -----------------------------------------------------------------------------------------------------


class TimeIsUp(KeyboardInterrupt):
    """Ends a run as Ctrl-C does: everything to go on with is saved."""


@dataclass
class Clock:
    """The call's time."""

    minutes: float
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds."""
        return 60 * self.minutes - (time.monotonic() - self.started)

    def ring(self) -> None:
        """Interrupt what runs once the time is up."""

        def stop(*_: Any) -> None:
            raise TimeIsUp

        signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, max(self.left, 0.01))


@dataclass(frozen=True)
class Job:
    """One net of a set."""

    text: str
    set: str
    net: Any

    @classmethod
    def parse(cls, text: str) -> Job:
        from pareto import Net

        name, colon, net = text.partition(":")
        if name not in SETS or not colon:
            raise PosewrightError(
                f"'{text}' is no net of a set", fix="Write body:hourglass_s1_nano@128, or face: or hand:"
            )
        return cls(text, name, Net.parse(net.replace(",", " ")))

    @property
    def folder(self) -> str:
        return f"{self.set}_{self.net.folder}"


def config_of(args: Train, job: Job, folder: Path, epochs: int) -> Any:
    from posewright.training.config import TrainConfig

    teachers = dict(t.partition(":")[::2] for t in args.teacher)
    return job.net.onto(
        TrainConfig(
            output=str(folder),
            init="none",
            epochs=epochs,
            batch_size=args.batch_size,
            lr=args.lr,
            sigma=SIGMA.get(job.set, 1.5),
            augment=AUGMENT[job.set],
            teacher=teachers.get(job.set),
            device=args.device,
            workers=args.workers,
            seed=args.seed,
            checkpoint_minutes=60.0,
        )
    )


def train(args: Train) -> None:
    """All nets that the time is enough for; what is done is in ``--out`` after each."""
    clock = Clock(args.minutes)
    jobs = [Job.parse(text) for text in args.nets]
    args.work.mkdir(parents=True, exist_ok=True)
    args.out.mkdir(parents=True, exist_ok=True)
    take_back(PACK / "back", args.work)
    from_parts(PACK, args.work / "sets")
    sets = {name: packed_set(args.work / "sets" / name) for name in dict.fromkeys(j.set for j in jobs)}
    for name, labels in sets.items():
        print(f"{name}: {len(labels.of_split('train'))} to train on, {len(labels.of_split('val'))} held out")
    each = args.each if args.each is not None else args.minutes / len(jobs)
    clock.ring()
    try:
        for job in jobs:
            run(args, job, sets[job.set], each)
            hand_out(args)
    except KeyboardInterrupt:
        print("the time is up; the same command goes on")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        hand_out(args)
    report = state(args.work)
    for job in jobs:
        print(f"{job.text}: {report.get(job.folder, {}).get('status', 'not begun')}", flush=True)


def run(args: Train, job: Job, labels: Annotations, minutes: float) -> None:
    """Train one net, unless that has been done, and note how far it came."""
    import comparing
    from posewright.models.devices import choose_device

    folder = args.work / job.folder
    known = state(args.work).get(job.folder, {})
    if known.get("status") == "done":
        return
    if "epochs" not in known:
        epochs = args.epochs
        if not epochs:
            config = config_of(args, job, folder, 1)
            pace = comparing.paces({job.folder: (config, comparing.OWN)}, labels, args.work, rounds=1)
            epochs = comparing.epochs_in(OF_TRAINING * minutes, pace[job.folder], len(labels.of_split("train")))
            known["ms a picture"] = round(1e3 * pace[job.folder], 4)
        known |= {"epochs": epochs, "net": job.text, "terms": TERMS[job.set]}
        note(args.work, job.folder, known | {"status": "begun"})
    print(f"\n{job.text}: {known['epochs']} passes", flush=True)
    config = config_of(args, job, folder, known["epochs"])
    seconds = comparing.train(config, labels)
    truth = labels.of_split("val")
    found = {}
    for how, flip in (("plain", False), ("flip", True)):
        where = comparing.OWN.rule(config), choose_device(args.device)
        found[how] = comparing.measured(
            folder, how, truth, partial(comparing.find, comparing.net_of(folder), truth, *where, flip=flip)
        ).metrics
    note(args.work, job.folder, known | {"status": "done", "seconds": round(seconds, 1), "figures": found})
    print(json.dumps(found), flush=True)


def state(work: Path) -> dict[str, Any]:
    """What is known of each net by its folder."""
    kept = work / STATE
    return dict(json.loads(kept.read_text())) if kept.is_file() else {}


def note(work: Path, name: str, known: dict[str, Any]) -> None:
    write_text(work / STATE, json.dumps(state(work) | {name: known}, indent=1) + "\n")


def hand_out(args: Train) -> None:
    """Write what is to come back: weights (fp16) and logs of every net, then of unfinished ones what they go on from."""
    from posewright.models.checkpoint import load_checkpoint, save_checkpoint

    files: list[tuple[Path, str]] = [(args.work / STATE, STATE)] if (args.work / STATE).is_file() else []
    unfinished: list[list[tuple[Path, str]]] = []
    for name, known in state(args.work).items():
        folder = args.work / name
        for log in ("metrics.csv", "config.yaml"):
            if (folder / log).is_file():
                files.append((folder / log, f"{name}/{log}"))
        if known["status"] == "done":
            half = folder / "half.safetensors"
            if not half.is_file():
                save_checkpoint(load_checkpoint(folder / "model.safetensors"), half, half=True)
            files.append((half, f"{name}/model.safetensors"))
        else:
            unfinished.append([(f, f"{name}/checkpoints/{f.name}") for f in sorted(folder.glob("checkpoints/*.ckpt"))])
    if not files:
        return
    left_out = write_pieces(files, unfinished, args.out)
    if left_out:
        print(f"too large to come back: {', '.join(left_out)}")


def write_pieces(
    files: Sequence[tuple[Path, str]], groups: Sequence[Sequence[tuple[Path, str]]], out: Path, most: int = PIECE * MOST
) -> list[str]:
    """One archive of files in pieces that may travel.

    Args:
        files: what comes back first, each with its name.
        groups: what comes back as far as there is room, each group whole or not at all.
        out: the folder of the pieces.
        most: bytes.

    Returns:
        Names that found no room.
    """
    left_out, archive, held = [], out / "archive.tmp", 20480
    with tarfile.open(archive, "w") as tar:
        for group in (*([one] for one in files), *groups):
            size = sum(file.stat().st_size + 1024 for file, _ in group)
            if held + size > most:
                left_out += [name for _, name in group]
                continue
            held += size
            for file, name in group:
                tar.add(file, name)
    with archive.open("rb") as stream:
        pieces = 0
        while data := stream.read(PIECE):
            with whole_file(out / f"session.tar.{pieces}") as temporary:
                Path(temporary).write_bytes(data)
            pieces += 1
    archive.unlink()
    for old in out.glob("session.tar.*"):
        if int(old.suffix[1:]) >= pieces:
            old.unlink()
    return left_out


def take_back(source: Path, work: Path) -> None:
    """Where a machine knows nothing of the session: go on from what came back from the one before."""
    if (work / STATE).is_file() or not (source / STATE).is_file():
        return
    shutil.copytree(source, work, dirs_exist_ok=True)
    for name, known in state(work).items():
        done = work / name / "model.safetensors"
        if known["status"] == "done" and done.is_file():
            shutil.copyfile(done, work / name / "half.safetensors")


# -- here again ----------------------------------------------------------------------------------------------------------


def join(folder: Path, target: Path) -> None:
    """Join the pieces and unpack the archive; a name that leads outside is refused.

    Raises:
        PosewrightError: where pieces are missing, or the archive holds anything but plain files of its own.
    """
    pieces = sorted(folder.glob("session.tar.*"), key=lambda p: int(p.suffix[1:]))
    if not pieces or [int(p.suffix[1:]) for p in pieces] != list(range(len(pieces))):
        raise PosewrightError(
            "does not hold all pieces of a session", file=folder, fix="Give the folder with session.tar.0"
        )
    target.mkdir(parents=True, exist_ok=True)
    with whole_file(target / "session.tar") as temporary:
        Path(temporary).write_bytes(b"".join(p.read_bytes() for p in pieces))
    with tarfile.open(target / "session.tar") as tar:
        for member in tar:
            inside = (target / member.name).resolve().is_relative_to(target.resolve())
            if not member.isfile() or not inside:
                raise PosewrightError(f"holds '{member.name}', which is no file of a session", file=folder)
            with whole_file(target / member.name) as temporary:
                source = tar.extractfile(member)
                assert source is not None
                Path(temporary).write_bytes(source.read())
    (target / "session.tar").unlink()


def collect(args: Collect) -> None:
    from posewright.models.checkpoint import load_checkpoint
    from posewright.reports.tables import print_table

    join(args.folder, args.output)
    rows = []
    for name, known in state(args.output).items():
        row: dict[str, Any] = {"net": known["net"], "passes": known["epochs"], "": known["status"]}
        weights = args.output / name / "model.safetensors"
        if known["status"] == "done" and weights.is_file():
            row["said there"] = f"{known['figures']['plain']['PCK@0.1']:.4f}"
            if args.measure and (PACK / "sets" / known["net"].partition(":")[0]).is_dir():
                import comparing

                checkpoint = load_checkpoint(weights)
                truth = packed_set(PACK / "sets" / known["net"].partition(":")[0]).of_split("val")
                for how, flip in (("plain", False), ("flip", True)):
                    found = comparing.measured(
                        weights.parent,
                        how,
                        truth,
                        partial(comparing.find, checkpoint.net, truth, checkpoint.rule, "cpu", flip=flip),
                    )
                    for threshold in ("PCK@0.1", "PCK@0.2"):
                        row[f"{threshold}{', flip' if flip else ''}"] = f"{found.metrics[threshold]:.4f}"
        rows.append(row)
    print_table(rows, "on the held-out pictures of the packed sets")
    unfinished = [n for n, k in state(args.output).items() if k["status"] != "done"]
    shutil.rmtree(PACK / "back", ignore_errors=True)
    if unfinished:
        shutil.copytree(args.output, PACK / "back")
        print(f"not done: {', '.join(unfinished)}. Carry .pack/back as well if the next call gets another machine")
    print(f"{args.output}: a folder each. Next: posewright evaluate NET/model.safetensors, or posewright export")


if __name__ == "__main__":
    try:
        commands = {"prepare": Prepare, "train": Train, "collect": Collect}
        chosen = tyro.extras.subcommand_cli_from_dict(commands, description=__doc__)
        {Prepare: prepare, Train: train, Collect: collect}[type(chosen)](chosen)  # type: ignore[operator]
    except PosewrightError as error:
        sys.exit(f"gpu_session: {error}")
