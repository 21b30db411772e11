"""Several processes train one run: like one process with the whole batch, and with one end."""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from helpers.discs import draw_discs
from helpers.recorded_training import record
from posewright.annotations.coco_write import write
from posewright.cli import main
from posewright.errors import PosewrightError
from posewright.training import batch_norm
from posewright.training.batch_norm import AverageBatchNorms, SharedBatchNorm, share_batch_norms
from posewright.training.dataset import EpochSampler, ShareSampler
from posewright.training.ranks import Place, find_place

SCRIPT = Path(__file__).resolve().parents[1] / "helpers" / "recorded_training.py"
SETTINGS = [
    "--model", "hourglass_s1_nano", "--net", "channels=16", "poolings=1", "--input-size", "32", "--init", "none",
    "--epochs", "2", "--batch-size", "8", "--lr", "0.01", "--precision", "fp32", "--device", "cpu", "--threads", "1",
    "--threshold", "0.5", "--augment.negative", "0",
]  # fmt: skip


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """Labels of which some are missing, so that two halves of a batch hold different numbers of them."""
    folder = tmp_path_factory.mktemp("labels")
    discs = draw_discs(folder, 26)
    missing = np.random.default_rng(0).random(discs.keypoints.shape[:2]) < 0.3
    missing[:, 2] = False
    keypoints = np.where(missing[..., None], 0.0, discs.keypoints)
    return write(replace(discs, keypoints=keypoints), folder / "labels.json")[0]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a training process that writes its record to ``folder``, and reaches itself by loopback only."""
    folder.mkdir(exist_ok=True)
    launchers = ("MASTER_", "SLURM_", "TORCHELASTIC_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(launchers)}
    path = os.pathsep.join([str(SCRIPT.parents[1]), *filter(None, [kept.get("PYTHONPATH")])])
    return kept | {"POSEWRIGHT_RECORD": str(folder), "PYTHONPATH": path, "GLOO_SOCKET_IFNAME": "lo"} | more


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def train(labels: Path, folder: Path, *args: str, env: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, str(SCRIPT), "--data", str(labels), "-o", str(folder / "run"), *SETTINGS, *args]
    return subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Exit code and what was written, of each; none is left running."""
    found = []
    try:
        for process in processes:
            out, err = process.communicate(timeout=240)
            found.append((process.returncode, out, err))
    finally:
        for process in processes:
            process.kill()
    return found


def history(folder: Path) -> list[dict[str, float]]:
    with (folder / "run" / "metrics.csv").open() as file:
        return [{k: float(v) for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def records(folder: Path, ranks: int) -> tuple[list[dict[str, list[list[int]]]], list[dict[str, torch.Tensor]]]:
    batches = [json.loads((folder / f"{r}.json").read_text()) for r in range(ranks)]
    return batches, [torch.load(folder / f"{r}.pt") for r in range(ranks)]


@pytest.fixture(scope="module")
def alone(labels, tmp_path_factory):
    """The run of one process, which sees each batch whole."""
    folder = tmp_path_factory.mktemp("alone")
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        record(folder, patch.setattr)
        assert main(["train", "--data", str(labels), "-o", str(folder / "run"), *SETTINGS]) == 0
    torch.set_num_threads(threads)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "--devices 2", "two machines"])
def test_two_processes_train_as_one_does(labels, alone, tmp_path, launcher):
    """The same gradients, losses and figures as with the whole batch in one process, and no object twice."""
    port = str(free_port())
    if launcher == "--devices 2":
        processes = [train(labels, tmp_path, "--sync-batch-norm", "--devices", "2", env=environment(tmp_path))]
    else:
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        world = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_WORLD_SIZE": "1", "TORCHELASTIC_RUN_ID": "none"}
        processes = []
        for rank in ("0", "1"):
            here = {"RANK": rank, "LOCAL_RANK": rank, **world} if launcher == "torchrun" else {"NODE_RANK": rank}
            args = () if launcher == "torchrun" else ("--nodes", "2")
            processes.append(
                train(labels, tmp_path, "--sync-batch-norm", *args, env=environment(tmp_path, **address, **here))
            )
    found = ended(processes)
    assert [code for code, _, _ in found] == [0] * len(found), found[0][2][-2000:] + found[-1][2][-2000:]
    assert "PCK@0.5" in found[0][1]
    assert not any(out or err for _, out, err in found[1:])  # only the first process speaks

    (whole,), (expected,) = records(alone, 1)
    parts, gradients = records(tmp_path, 2)
    largest = max(float(g.abs().max()) for g in expected.values())
    for own in gradients:
        assert own.keys() == expected.keys()
        apart = {k: float((own[k] - expected[k]).abs().max()) / largest for k in expected}
        assert max(apart.values()) < 1e-5, max(apart.items(), key=lambda item: item[1])
    for step, batch in enumerate(whole["train"]):
        assert len(batch) == 8
        assert sorted(batch) == sorted(parts[0]["train"][step] + parts[1]["train"][step])
        assert len(parts[0]["train"][step]) == len(parts[1]["train"][step])
    assert len(whole["train"]) == len(parts[0]["train"]) == len(parts[1]["train"])
    for kind, batches in (("val", len(whole["val"])), ("train", len(whole["train"]))):
        for epoch in range(2):
            one = [i for b in whole[kind][epoch * batches // 2 : (epoch + 1) * batches // 2] for i in b]
            both = [
                i
                for p in parts
                for b in p[kind][epoch * len(p[kind]) // 2 : (epoch + 1) * len(p[kind]) // 2]
                for i in b
            ]
            assert len(set(both)) == len(both)
            assert sorted(both) == sorted(one)

    rows, other = history(alone), history(tmp_path)
    assert len(rows) == len(other) == 2
    for x, y in zip(rows, other, strict=True):
        assert y == pytest.approx(x, rel=1e-5)
    assert any(0 < row["val_pck"] < 1 for row in rows)
    assert {p.name for p in (tmp_path / "run").iterdir()} == {p.name for p in (alone / "run").iterdir()}


@pytest.mark.slow
def test_an_error_ends_all_processes_with_one_line_and_another_number_of_them_goes_on(
    labels, alone, tmp_path, monkeypatch
):
    env = environment(tmp_path, POSEWRIGHT_TROUBLE="1 2 error")
    ((code, _, err),) = ended([train(labels, tmp_path, "--devices", "2", "--sync-batch-norm", env=env)])
    assert code == 2
    assert err.splitlines() == ["posewright: torn.png: the third picture is torn"]
    assert not (tmp_path / "run" / "model.safetensors").exists()
    record(tmp_path, monkeypatch.setattr)
    assert main(["train", "-o", str(tmp_path / "run"), "--resume", "--device", "cpu"]) == 0
    for x, y in zip(history(alone), history(tmp_path), strict=True):
        assert y == pytest.approx(x, rel=1e-5)


# -- the order of samples ----------------------------------------------------------------------------------------------


@given(
    count=st.integers(8, 60),
    part=st.integers(1, 3),
    ranks=st.integers(1, 4),
    start=st.integers(0, 9),
    weighted=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_ranks_take_equal_separate_parts_of_the_batches_of_one(count, part, ranks, start, weighted):
    batch = part * ranks
    weights = np.random.default_rng(count).uniform(0.5, 2, count) + 1 if weighted else None
    if batch > count:
        return
    one = EpochSampler(count, 5, batch, start, weights=weights)
    several = [EpochSampler(count, 5, batch, start, rank, ranks, weights) for rank in range(ranks)]
    for epoch in (start // one.steps, start // one.steps + 1):
        for sampler in (one, *several):
            sampler.set_epoch(epoch)
        whole = list(one)
        parts = [list(s) for s in several]
        assert all(len(p) == len(whole) // ranks for p in parts)
        for step in range(len(whole) // batch):
            together = [k for p in parts for k in p[step * part : (step + 1) * part]]
            assert together == whole[step * batch : (step + 1) * batch]
        assert len(set(whole)) == len(whole)
    assert all(len(s) == s.steps * part for s in several)


def test_weights_say_how_often_an_item_is_seen():
    weights = np.array([0, 1, 2, 0.5, 2.25, 1, 1, 0.25] * 5)
    sampler = EpochSampler(len(weights), 3, 1, weights=weights)
    assert sampler.samples == 40
    counts = np.zeros((200, len(weights)), int)
    for epoch in range(200):
        sampler.set_epoch(epoch)
        keys = list(sampler)
        assert len(set(keys)) == 40  # every repetition is augmented anew
        np.add.at(counts[epoch], [key[1] for key in keys], 1)
    assert (counts >= np.floor(weights)).all()
    assert (counts <= np.ceil(weights)).all()
    assert np.abs(counts.mean(0) - weights).max() < 0.15
    again = EpochSampler(len(weights), 3, 1, weights=weights)
    again.set_epoch(199)
    assert list(again) == keys
    together = np.corrcoef(counts[:, 3], counts[:, 11])[0, 1]
    assert abs(together) < 0.25  # items of like weight are drawn independently of their places


def test_equal_weights_leave_the_order_as_it_is():
    plain, weighted = EpochSampler(23, 4, 5), EpochSampler(23, 4, 5, weights=np.ones(23))
    tenths = EpochSampler(30, 4, 1, weights=np.full(30, 0.1))
    assert list(plain) == list(weighted)
    assert len(plain) == 20
    assert tenths.samples == 3


@pytest.mark.parametrize("weights", [np.ones(4), np.full(5, -1.0), np.full(5, np.nan), np.full(5, 0.1)])
def test_weights_are_checked(weights):
    with pytest.raises(ValueError, match="weights"):
        EpochSampler(5, 0, 1, weights=weights)


@given(count=st.integers(0, 40), ranks=st.integers(1, 7))
def test_shares_hold_each_item_once(count, ranks):
    shares = [list(ShareSampler(count, rank, ranks)) for rank in range(ranks)]
    assert sorted(i for share in shares for i in share) == list(range(count))
    assert [len(ShareSampler(count, rank, ranks)) for rank in range(ranks)] == [len(s) for s in shares]


# -- who is who --------------------------------------------------------------------------------------------------------

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "7", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4",
    "GROUP_WORLD_SIZE": "2",
}  # fmt: skip
SLURM = {
    "SLURM_NTASKS": "8", "SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_NTASKS_PER_NODE": "4", "SLURM_NNODES": "2",
    "SLURM_JOB_NAME": "hands",
}  # fmt: skip
ADDRESS = {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("devices", "nodes", "env", "place"),
    [
        (0, 0, {}, Place()),
        (1, 1, {"LOCAL_RANK": "3"}, Place()),
        (2, 0, {}, Place(0, 2, 0, 2)),
        (2, 0, {"LOCAL_RANK": "1", "NODE_RANK": "0"}, Place(1, 2, 1, 2)),
        (4, 2, ADDRESS | {"NODE_RANK": "1", "LOCAL_RANK": "2"}, Place(6, 8, 2, 4)),
        (0, 0, TORCHRUN, Place(5, 8, 1, 4, "torchrun")),
        (4, 2, TORCHRUN | SLURM, Place(5, 8, 1, 4, "torchrun")),
        (0, 0, SLURM, Place(5, 8, 1, 4, "slurm")),
        (0, 0, SLURM | {"SLURM_JOB_NAME": "bash"}, Place()),
        (2, 0, {"SLURM_NTASKS": "1"}, Place(0, 2, 0, 2)),
    ],
)
def test_a_process_finds_its_place(devices, nodes, env, place):
    assert find_place(devices, nodes, env) == place


@pytest.mark.parametrize(
    ("devices", "nodes", "env", "message"),
    [
        (2, 0, TORCHRUN, r"torchrun started 8 processes on 2 machines, --devices says 2\. Leave --devices out"),
        (0, 3, SLURM, r"slurm started 8 processes on 2 machines, --nodes says 3\. Leave --nodes out"),
        (0, 0, TORCHRUN | {"LOCAL_WORLD_SIZE": "3"}, "Start equally many on each"),
        (0, 0, {"SLURM_NTASKS": "2"}, "Add --ntasks-per-node"),
        (1, 2, {}, "MASTER_ADDR, MASTER_PORT and NODE_RANK"),
    ],
)
def test_contradictions_are_refused(devices, nodes, env, message):
    with pytest.raises(PosewrightError, match=message):
        find_place(devices, nodes, env)


def test_a_batch_that_does_not_divide_is_refused():
    assert Place(1, 4, 1, 4).share(32) == 8
    with pytest.raises(PosewrightError, match=r"32 does not divide evenly among 3 devices\. Use --batch-size 30 or 33"):
        Place(0, 3, 0, 3).share(32)
    with pytest.raises(PosewrightError, match=r"Use --batch-size 4$"):
        Place(0, 4, 0, 4).share(3)


# -- batch norm --------------------------------------------------------------------------------------------------------


def test_shared_batch_norms_keep_names_tensors_and_results():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.BatchNorm2d(4, eps=1e-3, momentum=0.01)), nn.ReLU())
    net[1][0].weight.requires_grad_(False)
    before, names = dict(net.named_parameters()), list(net.state_dict())
    share_batch_norms(net)
    assert isinstance(net[1][0], SharedBatchNorm)
    assert (net[1][0].eps, net[1][0].momentum) == (1e-3, 0.01)
    assert list(net.state_dict()) == names
    assert all(before[name] is p for name, p in net.named_parameters())
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(net(x), nn.functional.relu(nn.BatchNorm2d(4, eps=1e-3)(net[0](x))))  # alone it is a plain one


def test_without_shared_ones_running_figures_are_averaged(monkeypatch):
    """The other process's figures are 3 throughout; a frozen layer is left alone."""
    net = nn.Sequential(nn.BatchNorm2d(2), nn.BatchNorm2d(3), nn.BatchNorm2d(1))
    net[2].eval()
    monkeypatch.setattr(batch_norm, "joined", lambda: True)
    monkeypatch.setattr(batch_norm.dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(batch_norm.dist, "all_reduce", lambda t: t.add_(3))
    task = nn.Module()
    task.net = net
    AverageBatchNorms().on_train_batch_end(None, task)
    for layer, mean, var in ((net[0], 1.5, 2.0), (net[1], 1.5, 2.0), (net[2], 0.0, 1.0)):
        assert torch.equal(layer.running_mean, torch.full_like(layer.running_mean, mean))
        assert torch.equal(layer.running_var, torch.full_like(layer.running_var, var))
