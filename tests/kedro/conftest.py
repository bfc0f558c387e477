"""What the tests with Kedro share: a project made by `kedro new`, and its command line."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

HAS_KEDRO = all(map(importlib.util.find_spec, ("kedro", "kedro_datasets")))

TAKES_RUNNER_PARAMS = HAS_KEDRO and Version(importlib.metadata.version("kedro")) >= Version("1.6")
"""Whether `kedro run` has the option --runner-params."""

FILES = Path(__file__).parent / "door_project"

ENVIRONMENT = {
    **os.environ,
    "DO_NOT_TRACK": "1",
    "COLUMNS": "400",  # Kedro's log handler folds lines
    "PYTHONWARNINGS": "ignore",
}


class ModuleOfKedro(pytest.Module):
    """A test module that cannot be imported."""

    def collect(self):
        pytest.skip("Kedro is not installed: pip install --group kedro '.[kedro]'", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: Any):
    return None if HAS_KEDRO else ModuleOfKedro.from_parent(parent, path=module_path)


@dataclass
class Project:
    """A Kedro project in a folder, and its command line."""

    path: Path
    environment: dict[str, str] = field(default_factory=lambda: dict(ENVIRONMENT))

    def kedro(self, *arguments: str, fails: bool = False) -> str:
        """What `kedro` with these arguments prints."""
        return self.python("-m", "kedro", *arguments, fails=fails)

    def python(self, *arguments: str, fails: bool = False) -> str:
        """What Python with these arguments prints, from the project's folder."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, printed
        return printed

    def run(self, runner: str, *arguments: str, fails: bool = False) -> str:
        """What `kedro run` with one of our runners prints."""
        return self.kedro("run", f"--runner=penstock.kedro.{runner}", *arguments, fails=fails)

    def notes(self) -> list[str]:
        """What the project's hooks have written since the last time that a test asked, sorted."""
        file = self.path / "notes.txt"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return sorted(lines)

    def write(self, place: str, text: str) -> None:
        file = self.path / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def read(self, place: str) -> str:
        return (self.path / place).read_text(encoding="utf-8")

    def rename(self, name: str) -> None:
        """Give the package a name under which no worker has seen it."""
        for place in ("pyproject.toml", "src/door/pipelines/rain/__init__.py", "src/door/settings.py"):
            self.write(place, self.read(place).replace('"door"', f'"{name}"').replace("door.", f"{name}."))
        shutil.move(self.path / "src" / "door", self.path / "src" / name)


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Path:
    """A project as `kedro new` makes it, with our pipeline put in; it is not installed."""
    folder = tmp_path_factory.mktemp("kedro")
    new = ["new", "--name", "Door", "--tools", "none", "--example", "n", "--telemetry", "no"]
    Project(folder).kedro(*new)
    shutil.copytree(FILES, folder / "door", dirs_exist_ok=True)
    return folder / "door"


@pytest.fixture
def project(template, tmp_path) -> Project:
    """A project of the test's own."""
    return Project(shutil.copytree(template, tmp_path / "door"))


@pytest.fixture(scope="session")
def ran(template, tmp_path_factory) -> Path:
    """The project after a run by Kedro itself."""
    done = Project(shutil.copytree(template, tmp_path_factory.mktemp("ran") / "door"))
    done.kedro("run")
    return done.path


@pytest.fixture
def finished(ran, tmp_path) -> Project:
    """A project of the test's own, all of whose outputs are there."""
    return Project(shutil.copytree(ran, tmp_path / "finished"))


@pytest.fixture(scope="session")
def processes() -> Iterator[Any]:
    """A runner that is open: starting its processes takes longer than most runs."""
    from penstock.kedro import ParallelRunner  # noqa: PLC0415 - which imports Kedro

    with ParallelRunner(max_workers=2) as runner:
        yield runner


@pytest.fixture(scope="session")
def client() -> Iterator[Any]:
    """A client of two worker processes that find this test suite."""
    from distributed import Client  # noqa: PLC0415 - only the tests of clusters wait for this import

    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with Client(**options, set_as_default=False) as client:
        yield client


@dataclass
class Cluster:
    """A scheduler and a worker, processes of their own, started in a folder that has nothing to do with any project."""

    address: str
    scheduler_file: str

    def run(self, project: Project, *arguments: str, fails: bool = False) -> str:
        """What `kedro run` prints, with the cluster named as every release of Kedro and Dask takes it."""
        project.environment["DASK_SCHEDULER_ADDRESS"] = self.address
        return project.run("DaskRunner", *arguments, fails=fails)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    environment = {**ENVIRONMENT, "DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE": "false"}

    def start(*arguments: str, log: str) -> subprocess.Popen:
        with (folder / log).open("w") as file:
            return subprocess.Popen(
                [sys.executable, "-m", *arguments], cwd=folder, env=environment, stdout=file, stderr=file
            )

    scheduler_file = folder / "scheduler.json"
    given = ["--scheduler-file", str(scheduler_file)]
    quiet = ["--no-dashboard"]
    scheduler = start(
        "distributed.cli.dask_scheduler",
        *given,
        *quiet,
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        log="scheduler",
    )
    workers = [
        start(
            "distributed.cli.dask_worker",
            *given,
            *quiet,
            "--no-nanny",
            "--nthreads",
            "2",
            log=f"worker{number}",
        )
        for number in range(2)
    ]
    try:
        yield Cluster(_address(scheduler_file, folder / "scheduler"), str(scheduler_file))
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait()


def _address(scheduler_file: Path, log: Path) -> str:
    from distributed import Client  # noqa: PLC0415 - only the tests of clusters wait for this import

    with Client(scheduler_file=str(scheduler_file), timeout=60, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
        address = client.scheduler.address
    assert re.match(r"tcp://127\.0\.0\.1:\d+", address), log.read_text()
    return address
