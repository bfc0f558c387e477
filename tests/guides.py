"""The README and the guides as tests read them: their code blocks, and whether a program prints what a guide says."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
GUIDES = [README, *sorted(ROOT.glob("examples/*/README.md")), ROOT / "tests" / "benchmarks" / "README.md"]

BREAK = "\n--- next block ---\n"


@dataclass(frozen=True)
class Block:
    """A fenced code block, also one in a comment, which readers do not see."""

    language: str
    text: str


@dataclass(frozen=True)
class Program:
    """A block of Python, with what stands below it as its output."""

    code: str
    output: str


def name(guide: Path) -> str:
    """The guide's path in the project, for the names of tests."""
    return guide.relative_to(ROOT).as_posix()


def blocks(guide: Path) -> list[Block]:
    """The code blocks of a guide, in their order."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", guide.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [Block(*each) for each in found]


def texts(guide: Path, language: str) -> list[str]:
    """The blocks of one language."""
    return [block.text for block in blocks(guide) if block.language == language]


def programs(guide: Path) -> list[Program]:
    """The blocks of Python. A text right after one is what it prints; without such a text it prints nothing."""
    # One that is no block of Python, so that each block has a next one.
    found = [*blocks(guide), Block("", "")]
    return [
        Program(block.text, after.text if after.language == "text" else "")
        for block, after in itertools.pairwise(found)
        if block.language == "python"
    ]


def commands(guide: Path) -> list[str]:
    """What stands after the prompts of its shells, without comments."""
    lines = "".join(texts(guide, "console")).splitlines()
    return [re.sub(r"\s+#.*", "", line).removeprefix("$ ") for line in lines if line.startswith("$ ")]


def run_in_turn(codes: list[str], folder: Path) -> list[str]:
    """What each piece of one program prints: to the standard error, then to the standard output.

    Which of the two streams is seen first is up to their buffers.
    """
    next_block = (
        f"\nimport sys\nfor stream in (sys.stdout, sys.stderr): print({BREAK!r}, end='', file=stream)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", next_block.join(codes)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    streams = zip(done.stderr.split(BREAK), done.stdout.split(BREAK), strict=True)
    return [errors + output for errors, output in streams]


def says(written: str, printed: str) -> bool:
    """Whether a guide's text is what was printed, whatever times, processes and ports the text has.

    A line `...` stands for any lines, and `...` in a line for any words.
    """
    lines = [_pattern(line) for line in written.strip("\n").splitlines()]
    return (
        re.fullmatch("".join(lines), "".join(f"{line}\n" for line in printed.strip("\n").splitlines()))
        is not None
    )


def _pattern(line: str) -> str:
    if line == "...":
        return r"(?:.*\n)*"
    changing = {
        r"\\\.\\\.\\\.": ".*",
        r"\d+\\\.(\d+)\\ s\b": r"\\d+\\.\\d+ s",
        r"\bprocess\\ \d+": r"process \\d+",
    }
    pattern = re.escape(line)
    for found, replacement in changing.items():
        pattern = re.sub(found, replacement, pattern)
    return pattern + r"\n"


def messages() -> str:
    """All the source of the library; strings that are written in several lines are one."""
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    return re.sub(r'"\s*\n\s*f?"', "", source)
