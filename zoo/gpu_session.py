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

joins the pieces, measures each net on its held-out pictures, plain and averaged with the mirrored one, fits its presence and
covariance to them and writes its model file. The weights are fp16.
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
import shutil  # noqa: E402
import signal  # noqa: E402
import subprocess  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from dataclasses import dataclass, field, replace  # noqa: E402
from functools import partial  # noqa: E402
from typing import Annotated, Any  # noqa: E402

import tyro  # noqa: E402
from recipes import RECIPES, faces, lspet_parted, with_backgrounds  # noqa: E402
from travel import from_parts, into_parts, join, packed_set, reduced, write_pieces  # noqa: E402

from posewright.annotations import Annotations, read_annotations  # noqa: E402
from posewright.annotations.duplicates import without_duplicates_of  # noqa: E402
from posewright.errors import PosewrightError  # noqa: E402
from posewright.files import write_text  # noqa: E402
from posewright.geometry import CropRule  # noqa: E402
from posewright.training.config import TrainConfig  # noqa: E402

SETS = ("body", "face", "hand")
WHEELS = ("tyro", "typeguard", "docstring_parser")
"""Pure Python; what tyro needs and such a machine lacks."""
STATE = "session.json"
OF_TRAINING = 0.85
"""Of a net's time; the rest is for starting, bringing pictures over, and measuring."""
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
    clutter: int = 300
    """Generated pictures without any object, added to each set."""
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
    device_data: str = "auto"
    """Whether the pictures lie on the device, as for posewright train."""
    seed: int = 0
    """Of all nets."""


@dataclass(frozen=True)
class Collect:
    """Join what came back, and measure it."""

    folder: tyro.conf.Positional[Path]
    """Where the pieces lie."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("runs/gpu")
    """Folder for nets and figures."""
    finish: bool = True
    """Measure the nets on the packed sets' held-out pictures, fit their presence to those, and write model files."""


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


def prepare(args: Prepare) -> None:
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
        # Without them a net would hardly see a crop that it should stay silent on, nor its presence be fitted.
        labels = with_backgrounds(labels, PACK / "scratch" / "clutter", args.clutter)
        rule = CropRule((args.pixels, args.pixels))
        done = pack(
            reduced(labels, scratch, args.pixels, args.quality),
            shards,
            PackConfig(
                rule,
                RECIPES[name].config.augment,
                args.quality,
                shard_mb=args.part_mb / 4,
                backgrounds=0.05,
                terms=TERMS[name],
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


def config_of(args: Train, job: Job, folder: Path, epochs: int) -> TrainConfig:
    """The settings of the set's recipe, with this net and what a large machine allows."""
    teachers = dict(t.partition(":")[::2] for t in args.teacher)
    return job.net.onto(
        replace(
            RECIPES[job.set].config,
            output=str(folder),
            init="none",
            epochs=epochs,
            batch_size=args.batch_size,
            lr=args.lr,
            ema=TrainConfig.ema,
            teacher=teachers.get(job.set),
            device=args.device,
            device_data=args.device_data,
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


def collect(args: Collect) -> None:
    from posewright.reports.tables import print_table

    join(args.folder, args.output)
    rows = []
    for name, known in state(args.output).items():
        row: dict[str, Any] = {"net": known["net"], "passes": known["epochs"], "": known["status"]}
        shards = PACK / "sets" / known["net"].partition(":")[0]
        if known["status"] == "done":
            row["PCK@0.1, said there"] = f"{known['figures']['plain']['PCK@0.1']:.4f}"
            if args.finish and shards.is_dir():
                row |= finish(args.output / name, packed_set(shards).of_split("val"))
        rows.append(row)
    print_table(rows, "on the held-out pictures of the packed sets")
    unfinished = [n for n, k in state(args.output).items() if k["status"] != "done"]
    shutil.rmtree(PACK / "back", ignore_errors=True)
    if unfinished:
        shutil.copytree(args.output, PACK / "back")
        print(f"not done: {', '.join(unfinished)}. Carry .pack/back as well if the next call gets another machine")
    print(f"{args.output}: a folder each. Next: posewright evaluate {args.output}/NET/model.onnx DATA")


def finish(folder: Path, truth: Annotations) -> dict[str, str]:
    """Measure a net, fit its presence and covariance, and write its model file; what was done is not done again."""
    import comparing
    from posewright.export.exporting import export_onnx
    from posewright.models.checkpoint import load_checkpoint, save_checkpoint
    from posewright.training.heldout import calibrate

    weights, row = folder / "model.safetensors", {}
    checkpoint = load_checkpoint(weights)
    for how, flip in (("plain", False), ("flip", True)):
        run = partial(comparing.find, checkpoint.net, truth, checkpoint.rule, "cpu", flip=flip)
        found = comparing.measured(folder, how, truth, run).metrics
        for figure in ("PCK@0.1", "PCK@0.2", "NME"):
            row[f"{figure}{', flip' if flip else ''}"] = f"{found[figure]:.4f}"
    if not (folder / "model.onnx").is_file():
        for line in calibrate(checkpoint, truth):
            print(f"{folder.name}: {line}")
        save_checkpoint(checkpoint, weights, half=True)
        export_onnx(checkpoint, folder / "model.onnx")
    return row


if __name__ == "__main__":
    try:
        commands = {"prepare": Prepare, "train": Train, "collect": Collect}
        chosen = tyro.extras.subcommand_cli_from_dict(commands, description=__doc__)
        {Prepare: prepare, Train: train, Collect: collect}[type(chosen)](chosen)  # type: ignore[operator]
    except PosewrightError as error:
        sys.exit(f"gpu_session: {error}")
