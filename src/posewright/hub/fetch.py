"""Fetching a model from the Hub: one file, of a kind that cannot run code, into huggingface_hub's own cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from posewright.errors import PosewrightError
from posewright.hub.address import Address, inside, is_unreachable, one_line, package, parse_address

FETCHED = {".onnx": "model file", ".safetensors": "checkpoint"}
"""Endings of what is fetched. Neither holds code, and neither is ever unpickled."""
USUAL = "model"
"""Stem of the file that is meant where a repository has several."""
PATIENCE = 10.0
"""Seconds in which the Hub has to answer."""


def fetch(spec: str | Path, ending: str) -> Path:
    """The file that an address means, fetched unless it is in the cache already.

    Without a network, what was fetched before is found in the cache, if the address names its file or that is called
    ``model.onnx`` or ``model.safetensors``.

    Args:
        spec: ``hf://user/repo[@revision][/file]``.
        ending: ".onnx" for the model file, ".safetensors" for the checkpoint. Of an address that names the other one, the
            one beside it is taken.

    Raises:
        PosewrightError: where there is no such repository, revision or file, it is gated or private, holds no such file or
            several, the Hub cannot be reached, or huggingface_hub is not installed.
    """
    address = parse_address(spec)
    hub = package()
    wanted = None
    if address.file is not None:
        path = PurePosixPath(address.file)
        if path.suffix not in FETCHED:
            known = " and ".join(f"*{e}" for e in FETCHED)
            raise PosewrightError(f"only {known} are fetched from the Hub", file=str(address))
        wanted = str(path.with_suffix(ending))
    with one_line(address):
        try:
            found = hub.HfApi().model_info(address.repo, revision=address.revision, timeout=PATIENCE)
        except Exception as error:
            kept = hub.try_to_load_from_cache(address.repo, wanted or USUAL + ending, revision=address.revision)
            if is_unreachable(error) and isinstance(kept, str):
                return Path(kept)
            raise
        files = [each.rfilename for each in found.siblings or ()]
        name = _only(files, ending, wanted, address)
        # The commit that was listed, so that a push in between mixes nothing.
        return Path(hub.hf_hub_download(address.repo, name, revision=found.sha or address.revision))


def _only(files: Sequence[str], ending: str, wanted: str | None, address: Address) -> str:
    """The one file of a repository that is meant."""
    candidates = sorted(f for f in files if f.endswith(ending) and inside(f))
    what = FETCHED[ending]
    if wanted is not None:
        if wanted in candidates:
            return wanted
        raise PosewrightError(f"holds no {wanted}", file=str(address), fix=_list(candidates, what))
    if f"{USUAL}{ending}" in candidates:
        return f"{USUAL}{ending}"
    if not candidates:
        raise PosewrightError(f"holds no {what} (*{ending})", file=str(address))
    if len(candidates) > 1:
        fix = f"Name one, such as {Address(address.repo, address.revision, candidates[0])}"
        raise PosewrightError(f"holds {len(candidates)} {what}s", file=str(address), fix=fix)
    return candidates[0]


def _list(candidates: Sequence[str], what: str) -> str:
    if not candidates:
        return f"It holds no {what} at all"
    return f"Its {what}s: {', '.join(candidates[:5])}{', ...' if len(candidates) > 5 else ''}"
