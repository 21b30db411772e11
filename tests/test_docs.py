"""What README.md and docs/ tell a reader to type is taken by the command line, and the journeys they mark are really made.

Every call of ``posewright`` in a block of shell or in running text is read by the command's own parser, so that an option
that went away fails here. A block behind ``<!-- run -->`` is run as well, in a folder that ``READY`` makes ready for its
page; the blocks of one page follow one another there, as they do for a reader. ``LIGHTER`` is what is added to some commands
so that this takes seconds, ``PARSED_ONLY`` says which are not run, and why. Blocks of Python are compiled, and run where
marked.
"""

from __future__ import annotations

import ast
import importlib
import keyword
import re
import runpy
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from helpers.journeys import READY
from helpers.pages import PAGES, REPOSITORY, blocks, typed
from posewright.annotations import formats
from posewright.cli import COMMANDS, main

DOCS = REPOSITORY / "docs"
CALLS = [t for page in PAGES for t in typed(page, "posewright", "python")]
TYPED = [t for t in CALLS if t.words[0] == "posewright"]
SCRIPTS = [t for t in CALLS if t.words[0] == "python" and re.fullmatch(r"\w+/.*\.py", t.words[1])]
MARKED = {page: [b for b in blocks(page) if b.mark.split(":")[0] == "run"] for page in PAGES}
JOURNEYS = [page for page, marked in MARKED.items() if marked]

LIGHTER = {
    "train": "--model hourglass_s1_mobile_nano --input-size 64 --epochs 1 --batch-size 8 --workers 0 --threads 1",
}
"""Options that a run command gets besides those that the page shows; the last one given counts."""

PARSED_ONLY: dict[str, Callable[[tuple[str, ...]], bool]] = {
    "waits for somebody with a browser": lambda words: words[0] == "label" or "--page" in words,
    "answers until it is stopped": lambda words: words[0] == "serve",
    "asks the network": lambda words: words[0] == "push" or "--web" in words or any("://" in w for w in words),
    "needs a camera": lambda words: words[0] == "predict" and words[2:3] == ("0",),
    "reads what another program pipes in": lambda words: words[0] == "predict" and words[2:3] == ("-",),
    "prints a command's help": lambda words: "--help" in words,
}
"""Why a command in a block that is run is only parsed, and how such a command is told."""
if not find_spec("sleap_io"):
    PARSED_ONLY["reads SLEAP's files, for which sleap-io is not installed"] = lambda words: ".slp" in " ".join(words)


def _module(command: str):
    return importlib.import_module("posewright.cli." + command.replace("-", "_") + "_" * keyword.iskeyword(command))


def test_how_commands_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "Type `posewright models` or\n\n"
        "<!-- run -->\n```sh\n"
        "TOKEN=$(openssl rand) posewright serve hand  # posewright none\n"
        "cat a.mp4 | posewright predict hand - && posewright curves 'a b' > out\n"
        ".venv/bin/posewright models\n"
        "torchrun --nnodes 2 \\\n    -m posewright train --data x\n"
        "```\n```json\nposewright none\n```\n\n    srun posewright train -o y\n",
        encoding="utf-8",
    )
    found = [(t.line, t.words[1:], t.block.mark if t.block else None) for t in typed(page, "posewright")]
    assert found == [
        (5, ("serve", "hand"), "run"),
        (6, ("predict", "hand", "-"), "run"),
        (6, ("curves", "a b"), "run"),
        (7, ("models",), "run"),
        (8, ("train", "--data", "x"), "run"),
        (15, ("train", "-o", "y"), ""),
        (1, ("models",), None),
    ]


@pytest.mark.parametrize("call", [t for t in TYPED if len(t.words) > 1], ids=lambda t: t.name)
def test_the_command_line_takes_it(call, monkeypatch, capsys):
    command, *words = call.words[1:]
    if command in ("-h", "--help", "--version"):
        return
    assert command in COMMANDS, f"{call.page.name}:{call.line}: there is no command '{command}'"
    if not words and not call.block:
        return
    module = _module(command)
    taken = []
    monkeypatch.setattr(module.Command, "run", lambda self: taken.append(self) or 0)
    # --config names a file that is not here.
    monkeypatch.setattr(module, "defaults", lambda args: None, raising=False)
    try:
        code = main([command, *words])
    except SystemExit as stop:
        code = stop.code
    said = capsys.readouterr()
    assert code == 0, f"{call.page.name}:{call.line}: {' '.join(call.words)}\n{said.out}{said.err}"
    assert taken or "--help" in words


CONFIGS = sorted((REPOSITORY / "src" / "posewright" / "training").glob("*_config.py"))


@pytest.mark.parametrize("call", SCRIPTS, ids=lambda t: t.name)
def test_the_script_is_there_and_has_such_options(call):
    script = REPOSITORY / call.words[1]
    assert script.is_file(), f"{call.page.name}:{call.line}"
    text = script.read_text(encoding="utf-8")
    for word in call.words[2:]:
        if word.startswith("--"):
            option = word.split("=")[0]
            field = option[2:].replace("-", "_")
            known = option in text or re.search(rf"^    {field}: ", text, re.M)
            if "." in field:  # a setting of one of the script's own settings, such as distill.alpha
                of, inner = field.split(".")
                settings = "\n".join(p.read_text(encoding="utf-8") for p in CONFIGS)
                known = re.search(rf"^    {of}: ", text, re.M) and re.search(rf"^    {inner}: ", settings, re.M)
            assert known, f"{call.page.name}:{call.line}: {call.words[1]} has no {option}"


def test_make_has_such_targets():
    rules = re.findall(r"^([a-z][a-z -]*):", (REPOSITORY / "Makefile").read_text(), re.M)
    targets = {name for rule in rules for name in rule.split()}
    named = {t.words[1] for page in PAGES for t in typed(page, "make")}
    assert named and named <= targets


@pytest.mark.parametrize("page", JOURNEYS, ids=lambda page: page.stem)
def test_the_journey_is_made(page, tmp_path, monkeypatch, capsys):
    READY[page.name](tmp_path)
    monkeypatch.chdir(tmp_path)
    known, run = dict(formats()), 0
    for block in MARKED[page]:
        if block.language == "python":
            Path(block.mark.removeprefix("run:").strip()).write_text(block.text, encoding="utf-8")
            continue
        for call in (t for t in CALLS if t.page == page and block.holds(t.line)):
            if any(told(call.words[1:]) for told in PARSED_ONLY.values()):
                continue
            # As in a new process: what a script registered before is gone.
            monkeypatch.setattr("posewright.annotations.registry._FORMATS", dict(known))
            code = _run(call.words, monkeypatch)
            said = capsys.readouterr()
            assert code == 0, f"{page.name}:{call.line}: {' '.join(call.words)}\n{said.out}{said.err}"
            run += 1
    assert run
    _check_promised(page, tmp_path)


def _run(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> object:
    """The exit code of a command of posewright, or of a script that the page has shown before."""
    try:
        if words[0] == "python":
            monkeypatch.setattr(sys, "argv", list(words[1:]))
            runpy.run_path(words[1], run_name="__main__")
            return 0
        return main([*words[1:], *LIGHTER.get(words[1], "").split()])
    except SystemExit as stop:
        return stop.code


def _check_promised(page: Path, folder: Path) -> None:
    """Files that a page says are there after its journey: ``<!-- there: a, b -->``."""
    for names in re.findall(r"<!-- there: (.*?) -->", page.read_text(encoding="utf-8")):
        for name in names.split(","):
            assert (folder / name.strip()).exists(), f"{page.name}: {name.strip()}"


def test_every_reason_not_to_run_is_used():
    for reason, told in PARSED_ONLY.items():
        assert any(told(t.words[1:]) for t in TYPED if len(t.words) > 2), reason


def test_some_journeys_are_made_and_all_are_made_ready():
    assert len(JOURNEYS) >= 5
    assert {page.name for page in JOURNEYS} == set(READY)


CODE = [b for page in PAGES for b in blocks(page) if b.language == "python"]


@pytest.mark.parametrize("block", CODE, ids=lambda b: f"{b.page.stem}:{b.line}")
def test_its_python_is_python(block):
    compile(block.text, str(block.page), "exec")
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "posewright":
            module = importlib.import_module(node.module)
            for name in node.names:
                if not hasattr(module, name.name):
                    importlib.import_module(f"{node.module}.{name.name}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_its_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor and file.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.M)
            assert anchor in {_anchor(h) for h in headings}, f"{page.name}: {target}"


def _anchor(heading: str) -> str:
    """The name that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_index_links_every_page_once():
    links = re.findall(r"\]\(([^)#]+\.md)\)", (DOCS / "README.md").read_text(encoding="utf-8"))
    own = [link for link in links if "/" not in link]
    assert sorted(own) == sorted(p.name for p in DOCS.glob("*.md") if p.name != "README.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_command_is_passed_over(page):
    """What looks like a command is one of those that the tests above have found, or stands in Python's words."""
    text = page.read_text(encoding="utf-8").splitlines()
    for block in blocks(page):
        if block.language == "python":
            text[block.line - 1 : block.line - 1 + block.text.count("\n")] = [""] * block.text.count("\n")
    looks = re.findall(rf"\bposewright (?:{'|'.join(COMMANDS)})(?![\w-])", "\n".join(text))
    assert len(looks) == sum(t.page == page and t.words[1:2] != () and t.words[1] in COMMANDS for t in TYPED)


def test_every_command_is_on_some_page():
    shown = {t.words[1] for t in TYPED if len(t.words) > 1}
    assert set(COMMANDS) <= shown, sorted(set(COMMANDS) - shown)
