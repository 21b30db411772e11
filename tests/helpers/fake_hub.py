"""A Hugging Face Hub in a folder, in the place of the real one: ``FOLDER/user/repo/...`` are its repositories."""

from __future__ import annotations

import fnmatch
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest


@dataclass
class FakeHub:
    """What stands for huggingface_hub's functions.

    Attributes:
        folder: of the repositories.
        cache: where fetched files go.
        refuses: raised by whatever asks the Hub; None where it answers.
        private: repositories that are private.
        asked: what was asked for, in order.
    """

    folder: Path
    cache: Path
    refuses: Exception | None = None
    private: set[str] = field(default_factory=set)
    asked: list[tuple] = field(default_factory=list)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
        hub = pytest.importorskip("huggingface_hub", reason="the Hub needs pip install 'posewright[hub]'")
        monkeypatch.setattr(hub, "HfApi", lambda: self)
        monkeypatch.setattr(hub, "hf_hub_download", self.hf_hub_download)
        monkeypatch.setattr(hub, "try_to_load_from_cache", self.try_to_load_from_cache)
        return self

    def _answer(self, *what) -> None:
        self.asked.append(what)
        if self.refuses is not None:
            raise self.refuses

    def model_info(self, repo, revision=None, timeout=None):
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

        self._answer("model_info", repo, revision)
        place = self.folder / repo
        if not place.is_dir():
            raise RepositoryNotFoundError("no", response=SimpleNamespace(status_code=404, headers={}, request=None))
        if revision not in (None, "main", "v1", "refs/pr/3"):
            raise RevisionNotFoundError("no", response=SimpleNamespace(status_code=404, headers={}, request=None))
        files = sorted(p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file())
        listed = [SimpleNamespace(rfilename=f) for f in files]
        return SimpleNamespace(siblings=listed, sha="0123abc", private=repo in self.private)

    def hf_hub_download(self, repo, filename, revision=None):
        self._answer("download", repo, filename, revision)
        target = self.cache / repo / filename
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.folder / repo / filename, target)
        return str(target)

    def try_to_load_from_cache(self, repo, filename, revision=None):
        target = self.cache / repo / filename
        return str(target) if target.is_file() else None

    def create_repo(self, repo, *, private=None, exist_ok=False, repo_type=None):
        self._answer("create", repo, private)
        assert exist_ok and repo_type == "model"
        if not (self.folder / repo).is_dir():
            (self.folder / repo).mkdir(parents=True)
            self.private |= {repo} if private else set()

    def upload_folder(self, *, repo_id, folder_path, repo_type, commit_message, allow_patterns):
        self._answer("upload", repo_id, commit_message)
        for path in Path(folder_path).iterdir():
            if any(fnmatch.fnmatch(path.name, pattern) for pattern in allow_patterns):
                shutil.copy(path, self.folder / repo_id / path.name)
