"""Which kind of object is read, where labels hold several: categories of COCO, skeletons of CVAT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from posewright.annotations.registry import ReadOptions
from posewright.errors import PosewrightError, did_you_mean
from posewright.skeleton import ALIASES


def chosen(
    kinds: Mapping[str, Sequence[str]], counts: Mapping[str, int], options: ReadOptions, source: Path
) -> list[str]:
    """The kinds to read as one, of which the first to be listed gives the keypoints' order.

    The one that ``options.category`` names; else of those that have all keypoints of ``options.skeleton`` the ones that
    are used, where they have the same keypoints. Where none is used, all count as if they were.

    Args:
        kinds: the keypoints of each.
        counts: how many objects of each there are.
        source: the labels, for messages.

    Raises:
        PosewrightError: where nothing says which of several to take, or what was said is not there.
    """
    if options.category is not None:
        if options.category not in kinds:
            fix = did_you_mean(options.category, kinds)
            raise PosewrightError(f"has no category '{options.category}' with keypoints", file=source, fix=fix)
        kinds = {options.category: kinds[options.category]}
    plain = {kind: frozenset(ALIASES.get(name, name) for name in names) for kind, names in kinds.items()}
    wanted = options.skeleton
    if wanted is not None:
        fitting = [kind for kind, names in plain.items() if names.issuperset(wanted.keypoints)]
        if not fitting:
            first = next(iter(plain))
            unknown = next(name for name in wanted.keypoints if name not in plain[first])
            what = f"has no keypoint '{unknown}', which skeleton '{wanted.name}' asks for"
            fix = "The labels name their own keypoints: leave --skeleton out, or give a choice of them"
            raise PosewrightError(what, file=source, record=f"category '{first}'", fix=fix)
        return [kind for kind in fitting if counts.get(kind)] or fitting
    used = [kind for kind in kinds if counts.get(kind)] or list(kinds)
    if len({plain[kind] for kind in used}) > 1:
        listed = ", ".join(f"'{kind}' ({len(kinds[kind])} keypoints, {counts.get(kind, 0)} objects)" for kind in used)
        fix = "Choose one with --category NAME, or its keypoints with --skeleton"
        raise PosewrightError(f"holds categories with different keypoints: {listed}", file=source, fix=fix)
    return used
