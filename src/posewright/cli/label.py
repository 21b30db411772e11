"""``posewright label``."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from posewright.cli.reading import Reading
from posewright.errors import PosewrightError

if TYPE_CHECKING:
    from posewright.runtime import Predictor
    from posewright.skeleton import Skeleton
    from posewright.web.label_store import LabelStore


@dataclass(frozen=True)
class Command:
    """Label pictures by hand, or correct what a model proposes, on a page in the browser of this machine.

    DATA is a folder of pictures, or labels in any known format, which are gone on from. The labels are COCO JSON: DATA
    itself where posewright wrote that file, labels.json otherwise; where it exists, it is gone on from.

    Every change is on the disk the moment it is made (in labels.json.journal, until labels.json is written next, every
    few seconds), so that nothing is lost where the browser, this program or the machine dies: start the same command
    again. labels.json lists pictures with an object and those marked as done; the others are only noted in it.

    On the page, keypoints are placed in order by clicks, and dragged to where they belong. The most useful keys:

      Enter               done, and to the next picture        n, p          next and previous picture
      Tab, Shift-Tab      next and previous keypoint           arrows        move it by 1 px (Shift 10, Alt 0.1)
      v                   visible or hidden                    Delete        not labelled
      a                   accept the model's proposal          c             copy from the picture before
      w, j, k             new, next, previous object           Shift-Delete  delete the object
      Ctrl-Z, Ctrl-Y      undo, redo                           ?             all keys
      z                   zoom to the object                   Shift-Q       save and end; all is saved at once anyway

    examples:
      posewright label photos/ --skeleton hand-21
      posewright label photos/ --keypoints nose,left_ear,right_ear,tail
      posewright label photos/ --model runs/last --order uncertain
      posewright label labels.json -o corrected.json
    """

    data: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DATA")]
    """A folder of pictures, or labels: a file or folder in any known format."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """The labels, COCO JSON."""
    model: str | None = None
    """Proposes keypoints: a model file, a run's folder, or a shipped name. It looks at the boxes of the objects that a
    picture has, and at the whole picture where it has none."""
    order: Literal["given", "uncertain"] = "given"
    """Pictures as they are named, or those first whose mean score by the model is lowest."""
    threshold: float = 0.3
    """Keypoints proposed with a lower score are shown, but not taken over with the others."""
    keypoints: str | None = None
    """Names of the keypoints with commas between, instead of a skeleton: nose,left_ear,right_ear."""
    on_conflict: Literal["stop", "mine", "theirs"] = "stop"
    """Where another program changed labels.json while changes of yours were still in the journal: mine puts yours over
    it, picture by picture; theirs puts yours aside."""
    port: int = 0
    """Of the page; a free one unless given."""
    open: bool = False
    """Open the page in the browser at once."""
    reading: tyro.conf.OmitArgPrefixes[Reading] = field(default_factory=Reading)

    def run(self) -> int:
        from posewright.web.label import Labeller
        from posewright.web.label_source import open_set
        from posewright.web.label_store import LabelStore

        if not 0 <= self.threshold <= 1:
            raise PosewrightError(f"--threshold must be between 0 and 1, but is {self.threshold:g}")
        if self.order == "uncertain" and self.model is None:
            raise PosewrightError("--order uncertain needs a model to be uncertain", fix="Give one with --model")
        model = self._model()
        options = replace(self.reading.options(), skeleton=self._skeleton(model))
        labels, output = open_set(self.data, self.output, self.reading.format, options)
        for line in options.skipped:
            print(f"left out: {line}", file=sys.stderr)
        store = LabelStore(labels, output, on_conflict=self.on_conflict)
        page = None
        try:
            # After a crash the page comes back where it was: a tab still open there sends what it could not.
            found = store.found_place
            with suppress(PosewrightError):
                if found and self.port in (0, found.get("port")):
                    page = self._page(Labeller, store, model, **found)
            page = page or self._page(Labeller, store, model, port=self.port)
        except BaseException:
            store.close()
            raise
        store.stay_at({"port": page.port, "token": page.token})
        with page:
            self._greet(store, page.address)
            self._serve(page)
        return self._conclude(store)

    def _page(self, kind: Any, store: LabelStore, model: Predictor | None, **place: Any) -> Any:
        return kind(store, str(self.data), model, threshold=self.threshold, order=self.order, **place)

    def _model(self) -> Predictor | None:
        if self.model is None:
            return None
        import os

        from posewright.runtime import load

        # One core is left to the page.
        return load(self.model, threads=max(1, (os.cpu_count() or 2) - 1))

    def _skeleton(self, model: Predictor | None) -> Skeleton | None:
        from posewright.sides import swaps_from_names
        from posewright.skeleton import Skeleton
        from posewright.skeletons import load_skeleton

        if self.reading.skeleton and self.keypoints:
            raise PosewrightError("--skeleton and --keypoints say the same: leave one of them out")
        if self.reading.skeleton:
            return load_skeleton(self.reading.skeleton)
        if self.keypoints:
            names = tuple(name.strip() for name in self.keypoints.split(","))
            return Skeleton("object", names, swaps_from_names(names))
        return model.skeleton if model and self._is_pictures() else None

    def _is_pictures(self) -> bool:
        """Whether DATA is pictures without labels, so that the model says what to label."""
        from posewright.annotations import formats

        known = self.output or Path("labels.json")
        return self.data.is_dir() and not known.exists() and not any(f.detect(self.data) for f in formats().values())

    def _greet(self, store: LabelStore, address: str) -> None:
        many = len(store.labels)
        if store.recovered:
            print(f"{store.recovered} changes that a crash had left in the journal are back.")
        print(f"{many} picture{'' if many == 1 else 's'} at {address}", flush=True)
        print(f"Labels go to {store.output}. Ctrl-C here ends it; so does Shift-Q there.", flush=True)
        if self.open:
            import webbrowser

            webbrowser.open(address)

    def _serve(self, page: Any) -> None:
        """Until the page or somebody at the terminal ends it."""

        def end(*_: object) -> None:
            raise KeyboardInterrupt

        here = threading.current_thread() is threading.main_thread()
        ends = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]  # told to, terminal closed
        before = {number: signal.signal(number, end) for number in ends} if here else {}
        try:
            with suppress(KeyboardInterrupt):
                page.serve()
        finally:
            for number, was in before.items():
                signal.signal(number, was)

    def _conclude(self, store: LabelStore) -> int:
        from posewright.web.label_set import count_states

        output = shlex.quote(str(store.output))
        again = f"posewright label {self._words()} -o {output}"
        if store.problem:
            print(f"posewright: {store.problem}", file=sys.stderr)
            if store.overtaken:
                print("Next, to put your changes over it, or with theirs to put them aside:", file=sys.stderr)
                print(f"{again} --on-conflict mine", file=sys.stderr)
            else:
                print(f"All changes are kept in {store.journal_path}. Next, when that is mended:", file=sys.stderr)
                print(again, file=sys.stderr)
            return 1
        if not store.output.exists():
            print(f"Nothing was changed: {store.output} is not written.")
            print(f"Next: {again}")
            return 0
        counts = count_states(store.state(i)[1] for i in range(len(store.labels)))
        of = f"{counts['labelled']} of {len(store.labels)} pictures labelled"
        print(f"{store.output}: {of}, {counts['done']} done, {counts['flagged']} flagged.")
        if counts["labelled"]:
            print(f"Next: posewright inspect {output}")
            print(f"Then: posewright train --data {output}")
        else:
            print(f"Next: {again}")
        return 0

    def _words(self) -> str:
        """DATA with what is needed to open it in the same way."""
        words = [self.reading.words(self.data)]
        for option, value in (("--keypoints", self.keypoints), ("--model", self.model)):
            words += [f"{option} {shlex.quote(value)}"] if value else []
        return " ".join(words)
