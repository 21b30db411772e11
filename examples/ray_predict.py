"""Bulk prediction as a Ray Data job: any number of pictures, on any number of machines, resumable.

    pip install 'ray[data]' posewright
    python examples/ray_predict.py body PICTURES OUT --workers 2
    python examples/ray_predict.py model.openvino list.txt /shared/out --part 2000      # on a cluster: RAY_ADDRESS=auto

PICTURES is a folder, or a text file with a path a line, or with a JSON object a line: ``{"path": ..., "boxes": [[x0, y0, x1,
y1], ...]}``; without boxes one object in the whole picture is looked for. The list is cut into parts, and a worker that has
predicted a part writes ``OUT/part-000017.parquet`` under a temporary name and renames it. So a part is there wholly or not at
all, whoever dies when; a part that Ray runs a second time is replaced by its equal; and a job started again does only
what is missing. A picture that cannot be read becomes a row that says why, and stops nothing.

Rows, one a pose: ``path``, ``pose`` (its number on the picture, -1 for a picture without any), ``width``, ``height``, ``box``
[4], ``presence``, ``keypoints`` [3 K] (x, y, score of each, pixels of the picture, (0, 0) at the first pixel's centre) and
``error``. The keypoints' names lie in each file's metadata under ``posewright``. docs/scale.md does the arithmetic.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BATCH = 16
RETRIES = 3
"""A part that has killed so many workers and one more ends the job; Ray's own choice is to try for ever."""
ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
Entry = dict[str, Any]


def entries(source: Path) -> Iterator[Entry]:
    """The pictures of a folder, sorted, or of a list, in its order."""
    if source.is_dir():
        for path in sorted(p for p in source.rglob("*") if p.suffix.lower() in ENDINGS):
            yield {"path": str(path)}
        return
    with source.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            text = line.strip()
            if not text:
                continue
            try:
                entry = json.loads(text) if text.startswith("{") else {"path": text}
                yield {"path": str(entry["path"]), "boxes": entry.get("boxes")}
            except (ValueError, KeyError):
                sys.exit(f"{source}, line {number}: neither a path nor a JSON object with one")


def write_parts(source: Path, out: Path, size: int) -> int:
    """Cut the list into ``out/parts/*.jsonl`` of ``size`` pictures each; those of an earlier start are kept.

    Returns:
        How many there are.
    """
    folder, stamp = out / "parts", out / "parts" / "list.json"
    folder.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        told = "\n".join(entry["path"] for entry in entries(source)).encode()
        digest = hashlib.sha256(told).hexdigest()
    else:
        with source.open("rb") as file:
            digest = (
                hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)
            )
    this = {"pictures": digest, "size": size}
    if stamp.exists():
        before = json.loads(stamp.read_text())
        if {k: before[k] for k in this} != this:
            sys.exit(f"{out} holds another list's parts, or of another --part: give another folder")
        return int(before["parts"])
    todo, count = entries(source), 0
    while chunk := list(itertools.islice(todo, size)):
        text = "".join(json.dumps(entry) + "\n" for entry in chunk)
        (folder / f"{count:06d}.jsonl").write_text(text, encoding="utf-8")
        count += 1
    stamp.write_text(json.dumps({**this, "parts": count}))
    return count


def _digest(file: Any) -> str:  # Python 3.10
    found = hashlib.sha256()
    while block := file.read(1 << 20):
        found.update(block)
    return found.hexdigest()


class Worker:
    """One process with its model, which takes part after part."""

    def __init__(self, model: str, out: str, threads: int) -> None:
        import posewright

        self.model, self.out = posewright.load(model, threads=threads), Path(out)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Predict the parts of a batch, ``{"part": [numbers]}``, and write each."""
        done = [self.part(int(number)) for number in batch["part"]]
        return {name: [row[name] for row in done] for name in ("part", "pictures", "poses", "failed", "seconds")}

    def part(self, number: int) -> dict[str, Any]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        start = time.perf_counter()
        lines = (self.out / "parts" / f"{number:06d}.jsonl").read_text(encoding="utf-8").splitlines()
        wanted = [json.loads(line) for line in lines]
        rows = [row for i in range(0, len(wanted), BATCH) for row in self.rows(wanted[i : i + BATCH])]
        kinds = {
            "path": pa.string(), "pose": pa.int32(), "width": pa.int32(), "height": pa.int32(),
            "box": pa.list_(pa.float32()), "presence": pa.float32(), "keypoints": pa.list_(pa.float32()), "error": pa.string(),
        }  # fmt: skip
        about = {"keypoints": list(self.model.skeleton.keypoints), "model": self.model.path.name}
        schema = pa.schema(list(kinds.items()), metadata={"posewright": json.dumps(about)})
        path = self.out / f"part-{number:06d}.parquet"
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            pq.write_table(pa.Table.from_pylist(rows, schema=schema), temporary, compression="zstd")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return {
            "part": number, "pictures": len(wanted), "poses": sum(row["pose"] >= 0 for row in rows),
            "failed": sum(row["error"] is not None for row in rows), "seconds": time.perf_counter() - start,
        }  # fmt: skip

    def rows(self, wanted: list[Entry]) -> list[dict[str, Any]]:
        """The rows of a few pictures, which share batches of the net unless one of them cannot be read."""
        from posewright import PosewrightError

        paths, boxes = [entry["path"] for entry in wanted], [entry.get("boxes") for entry in wanted]
        try:
            found = self.model.predict_batch(paths, boxes, batch_size=BATCH)
        except PosewrightError as error:
            if len(wanted) > 1:
                return [row for entry in wanted for row in self.rows([entry])]
            return [{"path": paths[0], "pose": -1, "error": str(error)}]
        rows: list[dict[str, Any]] = []
        for path, poses in zip(paths, found, strict=True):
            shared = {"path": path, "width": poses.width, "height": poses.height, "error": None}
            if not len(poses):
                rows.append({**shared, "pose": -1})
            for i in range(len(poses)):
                points = [v for (x, y), s in zip(poses.xy[i], poses.score[i], strict=True) for v in (x, y, s)]
                own = {
                    "pose": i,
                    "box": poses.boxes[i].tolist(),
                    "presence": float(poses.presence[i]),
                    "keypoints": points,
                }
                rows.append({**shared, **own})
        return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a model file or a shipped name; on a cluster a path that every machine has")
    parser.add_argument("pictures", type=Path, help="a folder, or a list")
    parser.add_argument("out", type=Path, help="folder for the parts, on a file system that every machine has")
    parser.add_argument("--part", type=int, default=1000, help="pictures a part: a minute's work or so")
    parser.add_argument("--workers", type=int, default=0, help="processes; 0 for one a core of the cluster")
    parser.add_argument("--threads", type=int, default=1, help="of each process's engine; so many cores are asked for")
    args = parser.parse_args()
    if args.part < 1 or args.threads < 1 or args.workers < 0:
        parser.error("--part and --threads are at least 1, --workers at least 0")
    if not args.pictures.exists():
        parser.error(f"{args.pictures} does not exist")
    try:
        import ray
    except ImportError:
        sys.exit("needs Ray: pip install 'ray[data]'")

    parts = write_parts(args.pictures.resolve(), args.out.resolve(), args.part)
    todo = [n for n in range(parts) if not (args.out / f"part-{n:06d}.parquet").exists()]
    print(f"{parts} parts, {parts - len(todo)} done before")
    if not todo:
        return
    ray.init(ignore_reinit_error=True, log_to_driver=False)
    cores = int(ray.cluster_resources().get("CPU", 1))
    workers = min(args.workers or max(1, cores // args.threads), len(todo))
    start = time.perf_counter()
    done = ray.data.from_items([{"part": n} for n in todo], override_num_blocks=len(todo)).map_batches(
        Worker,
        fn_constructor_args=(args.model, str(args.out.resolve()), args.threads),
        batch_size=1,
        num_cpus=args.threads,
        max_restarts=-1,  # machines come and go
        max_task_retries=RETRIES,
        compute=ray.data.ActorPoolStrategy(size=workers),
    )
    total = {"pictures": 0, "poses": 0, "failed": 0, "seconds": 0.0}
    for row in done.iter_rows():
        for name in total:
            total[name] += row[name]
    wall = time.perf_counter() - start
    print(
        f"{total['pictures']:,} pictures, {total['poses']:,} poses, {total['failed']} that could not be read, in {wall:.1f} s "
        f"with {workers} workers: {total['pictures'] / wall:.1f} a second, {total['seconds'] / total['pictures'] * 1e3:.1f} ms "
        "a picture within a worker"
    )


if __name__ == "__main__":
    main()
