"""The plugin that runs a failed test of a cluster once more, on tests that fail the first time."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

FAILS_FIRST = """
import pytest

tries = []

def fails_first(number=1):
    tries.append(None)
    assert len(tries) > number, f"try {len(tries)}"
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Runs pytest, with the plugin, on a test module of this text."""
    root = str(Path(__file__).parents[1])

    def result_of(text, *arguments, how=pytester.runpytest_inprocess):
        pytester.makeconftest("from tests.flaky import pytest_configure")
        pytester.makepyprojecttoml(
            f'[tool.pytest]\npythonpath = ["{root}"]\nmarkers = ["cluster: ", "slurm: ", "browser: "]'
        )
        pytester.makepyfile(FAILS_FIRST + text)
        return how("-p", "no:cacheprovider", *arguments)

    monkeypatch.delenv("PENSTOCK_FLAKY", raising=False)
    return result_of


@pytest.mark.parametrize("marker", ["cluster", "slurm", "browser"])
def test_a_test_that_passes_only_when_run_once_more_is_flaky(run, marker):
    result = run(f"@pytest.mark.{marker}\ndef test_it():\n    fails_first()")

    result.assert_outcomes(passed=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["=* flaky: passed only when run once more =*", "_* *::test_it (call) _*", "*AssertionError: try 1*", "=* 1 passed in *"],
        consecutive=False,
    )  # fmt: skip


def test_a_fixture_of_a_cluster_marks_its_tests(run):
    result = run("@pytest.fixture\ndef client(): ...\ndef test_it(client):\n    fails_first()")

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines("=* flaky: *")


def test_the_section_is_the_last_one(run):
    result = run(
        "@pytest.mark.cluster\ndef test_it():\n    fails_first()\ndef test_skipped():\n    pytest.skip()",
        "-ra",
    )

    titles = [line for line in result.outlines if line.startswith("==")]
    assert "short test summary" in titles[-3]
    assert "flaky" in titles[-2]


def test_a_test_that_fails_twice_has_failed(run):
    result = run("@pytest.mark.cluster\ndef test_it():\n    fails_first(2)")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines("*AssertionError: try 2*")
    result.stdout.no_fnmatch_line("*flaky*")


def test_any_other_test_runs_once(run):
    result = run("def test_it():\n    fails_first()")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines("*AssertionError: try 1*")


def test_a_test_that_passes_runs_once(run):
    result = run(
        "@pytest.mark.cluster\ndef test_it():\n    tries.append(1)\ndef test_count():\n    assert tries == [1]"
    )

    result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line("*flaky*")


@pytest.mark.parametrize("scope", ["function", "module", "session"])
def test_the_second_try_has_fixtures_of_its_own(run, scope):
    """A cluster that broke in the first try would break the second one."""
    result = run(f"""
begun, ended = [], []

@pytest.fixture(scope="{scope}")
def tool():
    begun.append(1)
    yield len(begun)
    ended.append(1)

@pytest.mark.cluster
def test_it(tool):
    fails_first()
    assert (tool, len(ended)) == (2, 1)

def test_next(tool):
    assert len(begun) == (3 if "{scope}" == "function" else 2)
""")

    result.assert_outcomes(passed=2)


@pytest.mark.parametrize(("scope", "when"), [("session", "setup"), ("function", "teardown")])
def test_a_fixture_may_be_what_fails(run, scope, when):
    before, after = ("fails_first()", "") if when == "setup" else ("", "fails_first()")
    result = run(f"""
@pytest.fixture(scope="{scope}")
def tool():
    {before}
    yield
    {after}

@pytest.mark.cluster
def test_it(tool): ...
""")

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(f"_* *::test_it ({when}) _*")


def test_a_fixture_of_the_session_that_fails_to_end_fails_the_test(run):
    """Such a fixture ends between the two tries, and its error is no less an error there."""
    result = run("""
@pytest.fixture(scope="session")
def tool():
    yield
    if len(tries) == 1:
        raise OSError("the cluster does not end")

@pytest.mark.cluster
def test_it(tool):
    fails_first()

def test_next(tool): ...
""")

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines("*OSError: the cluster does not end")


def test_the_second_try_has_a_timeout_of_its_own(run, pytester):
    result = run(
        """
import time

@pytest.mark.cluster
@pytest.mark.timeout(1)
def test_it():
    tries.append(1)
    time.sleep(0 if len(tries) > 2 else 30)
""",
        how=pytester.runpytest_subprocess,
    )

    result.assert_outcomes(failed=1)
    assert result.duration < 20


def test_the_section_is_appended_to_a_file(run, tmp_path, monkeypatch):
    """`.ci/run` shows it after all environments have ended."""
    file = tmp_path / "flaky.txt"
    file.write_text("of another environment\n")
    monkeypatch.setenv("PENSTOCK_FLAKY", str(file))
    monkeypatch.setenv("TOX_ENV_NAME", "oldest")

    run("@pytest.mark.cluster\ndef test_it():\n    fails_first()")

    first, second, *rest = file.read_text().splitlines()
    assert first == "of another environment"
    assert second.startswith("--- oldest: ")
    assert second.endswith("::test_it (call)")
    assert any("AssertionError: try 1" in line for line in rest)
