"""The README and the guides are true: their programs run and print what stands below them, their commands and links exist."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from configparser import ConfigParser

import pytest
from examples.flights import run as flights

from tests.guides import (
    GUIDES,
    README,
    ROOT,
    blocks,
    commands,
    messages,
    name,
    programs,
    run_in_turn,
    says,
    texts,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FAILURES = ROOT / "examples" / "failures"
HPC = ROOT / "examples" / "hpc" / "README.md"
MESSAGES = messages()
VALUE = r"""(?x)
    \d[\d.]* | (?:tcp|http)://\S+ | \.\.\. | \w+Error | GPU
    | one\ of\ \d+\ workers | worker(?=\ (?:tcp|\.)) | node\ (?:train\ failed|'fit') | (?<=node\ )\w+ | riverbed
    | [A-Z]{5,} | \(\w+\) | \(sbatch:\ error | job\ (?=\d) | "fit"
"""

# The one for users of Kedro is run where Kedro is installed: `tests/kedro/test_differences.py`.
WITH_PROGRAMS = [guide for guide in GUIDES if programs(guide) and guide.parent.name != "kedro_project"]

each_guide = pytest.mark.parametrize("guide", GUIDES, ids=name)


# Programs


@pytest.mark.cluster
@pytest.mark.parametrize("guide", WITH_PROGRAMS, ids=name)
def test_the_programs_of_a_guide_run_and_print_what_stands_below_them(guide, cluster, tmp_path):
    """One after the other in one interpreter, as a reader pastes them."""
    found = programs(guide)
    if any("ParquetDataset" in program.code for program in found):
        pytest.importorskip("pandas")

    printed = run_in_turn(
        [program.code.replace("tcp://scheduler:8786", cluster.scheduler_address) for program in found],
        tmp_path,
    )

    for program, text in zip(found, printed, strict=True):
        assert says(program.output, text), f"{program.code}\n*** printed ***\n{text}"


def test_guides_with_programs_are_found():
    assert {name(guide) for guide in WITH_PROGRAMS} >= {
        "README.md",
        "examples/failures/README.md",
        "examples/flights/README.md",
        "examples/hpc/README.md",
    }


@pytest.mark.parametrize(
    ("written", "printed", "is_said"),
    [
        ("fit took 0.00 s\n", "fit took 1.25 s\n", True),
        ("fit took 0.00 s\n", "score took 1.25 s\n", False),
        ("a\n...\nd\n", "a\nb\nc\nd\n", True),
        ("a\n...\nd\n", "a\nb\nc\n", False),
        ("it died (...); sorry", "it died (killed); sorry", True),
        ("it died (...); sorry", "it died\n(killed); sorry", False),
        ("3 rows", "3 rows\n4 rows", False),
        ("on process 12.", "on process 345.", True),
        ("", "", True),
        ("", "3 rows", False),
    ],
)
def test_a_text_is_compared_without_its_times(written, printed, is_said):
    assert says(written, printed) == is_said


def test_the_script_of_failures_prints_what_its_guide_shows(tmp_path):
    done = subprocess.run(
        [sys.executable, FAILURES / "run.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )

    # Python 3.10 does not show the notes of an error, so they are logged as well.
    printed = re.sub(r"^ERROR Raised in .*\n", "", done.stdout, flags=re.MULTILINE)
    assert says(texts(FAILURES / "README.md", "text")[0], printed), done.stdout
    assert done.stderr == ""


def quoted_messages():
    """What the guides quote of errors and logs: in their tables, and in the log of a run on Slurm."""
    for guide in (FAILURES / "README.md", HPC):
        for line in guide.read_text(encoding="utf-8").splitlines():
            quotes = line.split("`")[1::2] if line.startswith("|") else []
            yield from (each for each in quotes if each.count(" ") > 1 and not each.startswith("pip "))
    yield from texts(FAILURES / "README.md", "text")[2].splitlines()
    for line in texts(HPC, "text")[0].splitlines():
        # The last two are of the script.
        if line != "..." and not line.startswith(("pi is", "thrown on")):
            yield line


@pytest.mark.parametrize("quote", sorted(set(quoted_messages())))
def test_messages_in_guides_are_those_of_the_library(quote):
    """Without what changes from run to run: VALUE."""
    pieces = [piece.strip(" ():;,=") for piece in re.split(VALUE, quote)]
    words = [piece for piece in pieces if " " in piece]

    assert [piece for piece in words if piece not in MESSAGES] == []


# Commands


@each_guide
def test_every_command_of_a_guide_exists(guide):
    """What they do is tested elsewhere: here, that their options, environments and extras are there."""
    for line in commands(guide):
        for command in line.split(" && "):
            word = command.split()[0]
            assert word in COMMANDS, command
            COMMANDS[word](command, guide)


def check_pip(command, guide):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [extra for group in re.findall(r"\.\[([\w,]+)\]", command) for extra in group.split(",")]

    assert command.startswith("pip install ")
    assert set(extras) <= set(project["optional-dependencies"])
    # It is not on an index.
    assert "install penstock" not in command


def check_python(command, guide):
    if "-m" in command.split():
        module = re.search(r"-m (\S+)", command)[1]
        assert importlib.util.find_spec(module) is not None
        return
    script, *options = command.split()[1:]
    assert any((folder / script).exists() for folder in (ROOT, guide.parent)), command
    if "flights" in script:
        flights.parse_arguments(options)
    else:
        assert options == []


def check_tox(command, guide):
    environments = ConfigParser()
    environments.read(ROOT / "tox.ini")
    if "-e" in command:
        assert f"testenv:{command.split()[-1]}" in environments
    else:
        assert command == "tox run-parallel"


def check_pytest(command, guide):
    assert command == "pytest -m smoke"
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]
    assert any(marker.startswith("smoke:") for marker in settings["markers"])


def check_kedro(command, guide):
    """That they run is tested in `tests/kedro`."""
    assert guide.parent.name == "kedro_project"


def check_folder(command, guide):
    assert (ROOT / command.split()[1]).is_dir()


def check_nothing(command, guide):
    """A command of the shell."""


COMMANDS = {
    "pip": check_pip,
    "python": check_python,
    "python3": check_nothing,
    "tox": check_tox,
    "pytest": check_pytest,
    "kedro": check_kedro,
    "cd": check_folder,
    "mkdir": check_nothing,
    "cp": check_nothing,
    "$EDITOR": check_nothing,
    "source": check_nothing,
}


def test_the_continuous_integration_runs_the_test_command_of_the_readme():
    (command,) = (line for line in commands(README) if "tox" in line)
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").replace("install --quiet", "install")

    assert command == "pip install tox && tox run-parallel"
    assert command in script


# Links


@each_guide
def test_every_link_within_the_project_leads_somewhere(guide):
    links = re.findall(r'\]\(([^)\s]+)\)|src="([^"]+)"', without_code(guide))
    assert guide.parent.name == "benchmarks" or links
    for link in map("".join, links):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = guide.parent / path if path else guide
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def without_code(guide):
    return re.sub(r"^```.*?^```$", "", guide.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(guide):
    """What the headings of a guide are called in links."""
    headings = re.findall(r"^#+ (.*)$", without_code(guide), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_leads_to_each_guide():
    text = README.read_text(encoding="utf-8")

    assert all(f"]({name(guide)})" in text for guide in GUIDES if guide != README)


# The README


def test_the_readme_is_short():
    """Two screens, not ten: what is longer is in a guide."""
    assert len(README.read_bytes()) <= 10_000


def test_figures_of_the_readme_are_those_of_the_benchmarks():
    measured = (ROOT / "tests" / "benchmarks" / "README.md").read_text(encoding="utf-8")
    why = README.read_text(encoding="utf-8").partition("## Why")[2].partition("\n## ")[0]
    figures = re.findall(r"\d[\d.,]* (?:µs|ms|x)\b", why)

    assert len(figures) >= 4
    assert [figure for figure in figures if figure not in measured] == []


def test_each_block_has_a_language_that_a_test_reads():
    languages = {block.language for guide in GUIDES for block in blocks(guide)}

    assert languages <= {"python", "text", "console", "yaml"}
