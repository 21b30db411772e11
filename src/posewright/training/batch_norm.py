"""Batch norm where a batch is spread over several processes.

Either every layer normalises by the mean and variance of the whole batch (:func:`share_batch_norms`), or each process by
those of its own part, and the running figures, which validation and the finished model use, are averaged after each step
(:class:`AverageBatchNorms`). Left alone they would be those of the first process's pictures only.
"""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
import torch.distributed as dist
import torch.distributed.nn.functional as differentiable
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from posewright.training.ranks import joined


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm over the parts of a batch that all processes hold, which must be equally large.

    Written in plain torch, and not ``nn.SyncBatchNorm``, since that one works on GPUs only, and leaves layers behind that
    do not fold into convolutions.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not joined():
            return super().forward(x)
        mean, var = self._moments(x.float())
        with torch.no_grad():
            self._remember(mean, var, x.numel() // x.shape[1] * dist.get_world_size())
        scale = torch.rsqrt(var + self.eps)
        if self.affine:
            scale = scale * self.weight
        shift = -mean * scale
        if self.affine:
            shift = shift + self.bias
        return torch.addcmul(shift[:, None, None], x, scale[:, None, None]).to(x.dtype)

    def _moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and biased variance ``[C]`` of the whole batch, from each part's own.

        Every part's figures are made known to all and then combined: the difference of mean square and squared mean would
        lose digits where the mean is large.
        """
        var, mean = torch.var_mean(x, (0, 2, 3), correction=0)
        own = torch.stack([mean, var])
        known = own.new_zeros(dist.get_world_size(), *own.shape)
        known[dist.get_rank()] = own
        means, variances = differentiable.all_reduce(known).unbind(1)
        mean = means.mean(0)
        return mean, variances.mean(0) + (means - mean).square().mean(0)

    def _remember(self, mean: Tensor, var: Tensor, count: int) -> None:
        """As torch's batch norm keeps its running figures."""
        if not self.track_running_stats:
            return
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        rate = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), rate)
        self.running_var.lerp_((var * count / max(count - 1, 1)).to(self.running_var.dtype), rate)


def share_batch_norms(module: nn.Module) -> None:
    """Put a :class:`SharedBatchNorm` with the same tensors in the place of every two-dimensional batch norm, in place."""
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm2d:
            shared = SharedBatchNorm(
                child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats
            )
            shared._parameters, shared._buffers = child._parameters, child._buffers
            setattr(module, name, shared.train(child.training))
        else:
            share_batch_norms(child)


class AverageBatchNorms(pl.Callback):
    """After each step, gives all processes the mean of their batch norms' running figures."""

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any, **kwargs: Any) -> None:
        figures = [
            figure
            for layer in pl_module.net.modules()
            if isinstance(layer, _BatchNorm) and layer.training
            for figure in (layer.running_mean, layer.running_var)
            if figure is not None
        ]
        if not figures or not joined():
            return
        flat = torch.cat([f.flatten() for f in figures])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        for figure, mean in zip(figures, flat.split([f.numel() for f in figures])):
            figure.copy_(mean.view_as(figure))
