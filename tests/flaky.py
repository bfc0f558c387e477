"""A pytest plugin: a test of a real cluster, of Slurm or of a browser that fails is run once more.

Such tests depend on processes that the machine schedules as it likes. A test that passes only when it is run once more is
*flaky*: it does not fail the run, and the last section of the report shows its first failure, so that it is mended and not
forgotten. All other tests run once: what fails there is a bug.

Where the variable PENSTOCK_FLAKY names a file, the section is appended to that file as well: tox runs several pytests at once.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# What `pytest_runtest_protocol` of pytest does itself; pytest offers no public name for it. If it goes, no test can be collected; if
# it changes, tests/test_flaky.py fails.
from _pytest.runner import runtestprotocol

MARKERS = {"cluster", "slurm", "browser"}
"""A test with one of these markers is repeated."""

FIXTURES = {"cluster", "client", "in_process_client", "mortal", "narrow", "uneven"}
"""So is a test that uses one of these fixtures: clusters that tests share."""

TITLE = "flaky: passed only when run once more"


def may_be_repeated(item):
    """Whether a test meets a real cluster, Slurm or a browser."""
    markers = {marker.name for marker in item.iter_markers()}
    return bool(markers & MARKERS or FIXTURES & set(getattr(item, "fixturenames", ())))


class SecondTries:
    """Runs failed tests once more where that is allowed, and reports those that passed then."""

    def __init__(self):
        self._second_try = None
        self._second_try_failed = False
        self._flaky = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item, nextitem):
        if item is self._second_try or not may_be_repeated(item):
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        failures = [report for report in reports if report.failed]
        if failures:
            self._run_once_more(item, nextitem, failures[0])
            return True
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def _run_once_more(self, item, nextitem, failure):
        """Run the whole protocol again, so that the second try has a timeout of its own.

        All fixtures are made again, those of the session too: a broken cluster would fail the second try as well.
        """
        # The hook for it takes a test's log along, which the first try has done. pytest offers no public name for the rest.
        ended = pytest.CallInfo.from_call(
            lambda: item.session._setupstate.teardown_exact(None), when="teardown"
        )
        self._second_try, self._second_try_failed = item, False
        if ended.excinfo is not None:
            report = item.ihook.pytest_runtest_makereport(item=item, call=ended)
            item.ihook.pytest_runtest_logreport(report=report)
        try:
            item.ihook.pytest_runtest_protocol(item=item, nextitem=nextitem)
        finally:
            self._second_try = None
        if not self._second_try_failed:
            self._flaky[item.nodeid] = failure

    def pytest_runtest_logreport(self, report):
        if self._second_try is not None and report.failed:
            self._second_try_failed = True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter):
        result = yield
        if self._flaky:
            terminalreporter.section(TITLE, yellow=True)
            for name, failure in self._flaky.items():
                terminalreporter.section(f"{name} ({failure.when})", sep="_")
                terminalreporter.write_line(failure.longreprtext)
            self._append_to_file()
        return result

    def _append_to_file(self):
        """Write all of it at once, since other environments append to the file too."""
        if file := os.environ.get("PENSTOCK_FLAKY"):
            where = os.environ.get("TOX_ENV_NAME", "pytest")
            texts = [
                f"--- {where}: {name} ({failure.when})\n{failure.longreprtext}\n"
                for name, failure in self._flaky.items()
            ]
            with Path(file).open("a", encoding="utf-8") as stream:
                stream.write("".join(texts))


def pytest_configure(config):
    config.pluginmanager.register(SecondTries(), "second tries")
