"""Frozen dataclasses of settings to plain values and YAML files, and back, exactly."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from posewright.errors import PosewrightError, did_you_mean

Settings = TypeVar("Settings")

WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def settings_from(cls: type[Settings], values: Mapping[str, Any], within: str = "") -> Settings:
    """Settings from what ``dataclasses.asdict``, JSON or YAML made of them; what is missing takes its default.

    Lists become tuples, and groups of settings their own dataclass.

    Args:
        cls: a dataclass, whose annotations say what each setting must be.
        values: by name.
        within: name of the group they belong to, with a dot behind it; for messages.

    Raises:
        PosewrightError: where a setting is unknown, has the wrong type or is refused by ``cls``.
    """
    hints = get_type_hints(cls)
    known = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise PosewrightError(f"unknown setting '{within}{key}'", fix=did_you_mean(str(key), known))
    return cls(**{key: _typed(value, hints[key], within + key) for key, value in values.items()})


def _typed(value: Any, hint: Any, name: str) -> Any:
    """A plain value as the type that an annotation asks for."""
    if dataclasses.is_dataclass(hint):
        if isinstance(value, Mapping | None):
            return settings_from(hint, value or {}, f"{name}.")  # type: ignore[arg-type]
        wanted = "a group of settings"
    elif get_origin(hint) in (Union, types.UnionType):
        if value is None:
            return None
        return _typed(value, next(h for h in get_args(hint) if h is not type(None)), name)
    elif get_origin(hint) is tuple:
        items = get_args(hint)
        if isinstance(value, list | tuple) and (items[-1] is ... or len(items) == len(value)):
            each = items[:1] * len(value) if items[-1] is ... else items
            return tuple(_typed(v, h, name) for v, h in zip(value, each, strict=True))
        wanted = "a list" if items[-1] is ... else f"a list of {len(items)}"
    elif get_origin(hint) is Literal:
        if value in get_args(hint):
            return value
        raise PosewrightError(f"{name} is '{value}'", fix=did_you_mean(str(value), map(str, get_args(hint))))
    else:
        plain = _plain(value, hint)
        if plain is not None:
            return plain
        wanted = WORDS.get(hint, hint.__name__)
    raise PosewrightError(f"{name} must be {wanted}, not '{value}'")


def _plain(value: Any, kind: type) -> Any:
    """A value as bool, int, float or str, or None where it is not one.

    YAML reads 1e-3 as a text and 256 as a number; both are taken where the setting is of the other type.
    """
    if isinstance(value, bool) or kind is bool:
        return value if isinstance(value, bool) and kind is bool else None
    if kind is float and isinstance(value, int | float | str):
        try:
            return float(value)
        except ValueError:
            return None
    if kind is str and isinstance(value, int | float):
        return str(value)
    return value if isinstance(value, kind) else None


def write_settings(settings: Any, path: Path) -> None:
    """Write a dataclass of settings as YAML."""
    import yaml

    from posewright.files import write_text

    write_text(path, yaml.safe_dump(dataclasses.asdict(settings), sort_keys=False, allow_unicode=True))


def read_settings(cls: type[Settings], path: Path) -> Settings:
    """Read a YAML file of settings.

    Raises:
        PosewrightError: where it is missing, is not YAML, or holds settings that are unknown or cannot be used.
    """
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PosewrightError(error.strerror or "cannot be read", file=path) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PosewrightError(f"is not YAML: {str(error).splitlines()[0]}", file=path) from None
    if not isinstance(values, dict):
        raise PosewrightError("holds no settings", file=path)
    try:
        return settings_from(cls, values)
    except PosewrightError as error:
        raise PosewrightError(error.what, file=path, fix=error.fix) from None
