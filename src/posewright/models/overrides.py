"""A net's settings as a person types them: ``name=value`` to the types of the family's dataclass, and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, get_args, get_type_hints

from posewright.errors import PosewrightError, did_you_mean
from posewright.models.presets import NetConfig


def net_overrides(config: type[NetConfig], texts: Sequence[str]) -> dict[str, Any]:
    """Settings typed as ``name=value``, in the types that a family's settings have.

    Args:
        config: the family's settings.
        texts: such as ``("channels=96", "background=true", "mean=0.5,0.5,0.5")``.

    Raises:
        PosewrightError: where a text is no ``name=value``, names no setting of the family or names one twice, or its value
            cannot be read.
    """
    types = get_type_hints(config)
    known = {f.name: types[f.name] for f in dataclasses.fields(config)}
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise PosewrightError(f"'{text}' is no setting of a net", fix="Write name=value, such as channels=96")
        if name not in known:
            raise PosewrightError(f"a {config.family} net has no setting '{name}'", fix=did_you_mean(name, known))
        if name in found:
            raise PosewrightError(f"the net's setting '{name}' is given twice")
        try:
            found[name] = _read(value, known[name])
        except ValueError:
            want = _SPELLED.get(known[name], "numbers with commas between them")
            raise PosewrightError(f"the net's setting '{name}' is {want}, not '{value}'") from None
    return found


def as_overrides(config: NetConfig, plain: NetConfig | None = None) -> tuple[str, ...]:
    """What :func:`net_overrides` would have to be given for ``plain``, the family's defaults where None, to become these
    settings."""
    plain = type(config)() if plain is None else plain

    def text(value: Any) -> str:
        return ",".join(map(text, value)) if isinstance(value, tuple) else str(value)

    values = ((f.name, getattr(config, f.name)) for f in dataclasses.fields(config))
    return tuple(f"{name}={text(value)}" for name, value in values if value != getattr(plain, name))


_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_SPELLED = {bool: "true or false", int: "a whole number", float: "a number"}


def _read(text: str, kind: Any) -> Any:
    if kind is bool:
        if text.lower() not in _TRUTH:
            raise ValueError(text)
        return _TRUTH[text.lower()]
    if parts := get_args(kind):
        return tuple(_read(part, of) for part, of in zip(text.split(","), parts, strict=True))
    value = kind(text)
    if kind is float and not math.isfinite(value):
        raise ValueError(text)
    return value
