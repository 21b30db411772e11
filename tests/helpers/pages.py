"""What the pages of documentation tell a reader to type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))
SHELL = ("sh", "bash", "shell", "console", "")
"""Languages of blocks that are typed into a shell; "" is a block without one, and one that is only indented."""


@dataclass(frozen=True)
class Block:
    """A block of code on a page.

    Attributes:
        line: of the page, from 1, that its first line stands on.
        language: the word behind the fence; "" where there is none.
        mark: what the comment right before the fence says, such as "run"; "" where there is none.
    """

    page: Path
    line: int
    language: str
    mark: str
    text: str

    def holds(self, line: int) -> bool:
        """Whether a line of the page is one of the block's."""
        return self.line <= line < self.line + self.text.count("\n")


@dataclass(frozen=True)
class Typed:
    """One command line on a page.

    Attributes:
        words: the program and what it is given, as a shell hands them on.
        block: the block it stands in; None in running text, which may name a command without saying what to type.
    """

    page: Path
    line: int
    words: tuple[str, ...]
    block: Block | None

    @property
    def name(self) -> str:
        """For the test's id."""
        return f"{self.page.stem}:{self.line} {' '.join(self.words[:3])}"


def blocks(page: Path) -> Iterator[Block]:
    """All blocks of code on a page, fenced ones and indented ones."""
    lines = page.read_text(encoding="utf-8").splitlines()
    i, before = 0, ""
    while i < len(lines):
        fence = re.match(r"( *)```(\S*)", lines[i])
        if fence:
            start = i = i + 1
            while i < len(lines) and not lines[i].lstrip().startswith("```"):
                i += 1
            mark = re.fullmatch(r"<!-- (.*) -->", before.strip())
            text = "\n".join(line[len(fence[1]) :] for line in lines[start:i]) + "\n"
            yield Block(page, start + 1, fence[2], mark[1] if mark else "", text)
        elif lines[i].startswith("    ") and not before.strip():
            start = i
            while i < len(lines) and (lines[i].startswith("    ") or not lines[i].strip()):
                i += 1
            yield Block(page, start + 1, "", "", "\n".join(line[4:] for line in lines[start:i]) + "\n")
            i -= 1
        before = lines[i] if i < len(lines) else ""
        i += 1


def _calls(line: str, *programs: str) -> Iterator[tuple[str, ...]]:
    """The calls of some programs in a line of shell, whatever stands before, between and behind them.

    ``posewright`` also stands for ``.venv/bin/posewright`` and ``python -m posewright``, under whatever launcher.
    """
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split, lexer.commenters = True, "#"
    try:
        words = [*lexer, ";"]
    except ValueError as error:
        raise ValueError(f"no line of shell: {line!r} ({error})") from None
    part: list[str] = []
    for word in words:
        if not set(word) <= set("();<>|&"):
            part.append(word)
            continue
        found = next((i for i, w in enumerate(part) if w.rpartition("/")[2] in programs), None)
        if found is not None:
            yield (part[found].rpartition("/")[2], *part[found + 1 :])
        part = []


def typed(page: Path, *programs: str) -> Iterator[Typed]:
    """Every call of some programs that a page shows: in blocks that are typed into a shell, and in running text."""
    for block in blocks(page):
        if block.language in SHELL:
            number, whole = block.line, ""
            for i, line in enumerate(block.text.splitlines()):
                whole += line.removesuffix("\\")
                if not line.endswith("\\"):
                    if any(program in whole for program in programs):
                        for words in _calls(whole.removeprefix("$ "), *programs):
                            yield Typed(page, number, words, block)
                    number, whole = block.line + i + 1, ""
    inside = [*blocks(page)]
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if not any(block.holds(number) for block in inside):
            for span in re.findall(r"`([^`]+)`", line):
                if span.strip() and span.split()[0].rpartition("/")[2] in programs:
                    for words in _calls(span, *programs):
                        yield Typed(page, number, words, None)
