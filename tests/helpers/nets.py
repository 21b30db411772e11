"""Every preset of every family, small enough to be tested: what the tests of nets and of exports run over."""

from __future__ import annotations

from typing import Any

from posewright.models.presets import ORDERS, family_of, preset, preset_table

NARROW: dict[str, dict[str, Any]] = {
    "cpm": {"stages": 2, "width": 0.0625},
    "cpm_light": {"stages": 2, "channels": 16},
}
"""Settings that make a net of a family cheap and leave its shape as it is."""


def presets(number: int) -> list[tuple[str, dict[str, Any]]]:
    """Name and settings of every preset, with ``number`` for the N of its name; hourglasses in every order of layers."""
    found: list[tuple[str, dict[str, Any]]] = []
    for row in preset_table():
        name = row["name"].replace("{N}", str(number))
        family = family_of(name)[0].config.family
        if family == "hourglass":
            found += [(name, {"order": order}) for order in ORDERS]
        else:
            found.append((name, NARROW[family]))
    return found


def smallest(name: str, settings: dict[str, Any]) -> tuple[int, int]:
    """(width, height) of a small crop, not square, that the net takes."""
    stride, multiple = preset(name, **settings).stride, preset(name, **settings).multiple
    height = max(multiple, -(-5 * stride // multiple) * multiple)
    return 2 * height, height
