"""What nodes log and print on workers: what RunnerContract does not ask, since it is about processes, or about clusters."""

# ruff: noqa: T201 - nodes print

from __future__ import annotations

import io
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
import warnings

import pytest

import penstock
from penstock import DaskRunner, NodeError, ParallelRunner, SequentialRunner
from penstock.logs import current_node
from penstock.logs.capture import start_capture, stop_capture
from penstock.logs.channel import LONGEST_LINE, Channel
from penstock.logs.records import Levels, deliver
from penstock.pipeline import node, pipeline
from penstock.runner.cluster import backend, logs
from penstock.runner.cluster.backend import handling_in_thread
from penstock.runner.cluster.execution import save_once
from penstock.runner.processes import logs as log_files
from penstock.testing import add_one


def one(function, name="train"):
    return pipeline([node(function, "a", "b", name=name)])


def texts(caplog, name="turbines"):
    return [record.getMessage() for record in caplog.records if record.name == name]


@pytest.fixture(params=["processes", pytest.param("cluster", marks=pytest.mark.cluster)])
def runner(request):
    if request.param == "processes":
        return request.getfixturevalue("processes")
    return DaskRunner(request.getfixturevalue("client"))


# On every worker process

PROGRAM = """
import logging, sys
import penstock
from penstock.pipeline import node, pipeline

def train(a):
    print("printed")
    print("warned", file=sys.stderr)
    logging.getLogger("turbines").info("logged")
    logging.getLogger("turbines").warning("logged loudly")
    return a

if __name__ == "__main__":
    if len(sys.argv) > 1:
        logging.basicConfig(level=sys.argv[1], format="%(name)s %(message)s")
    penstock.run(pipeline([node(train, "a", "b", name="train")]), {"a": 1}, penstock.RUNNER)
"""

RUNNERS = {
    "processes": "ParallelRunner(1)",
    "a cluster": "DaskRunner(n_workers=1, threads_per_worker=1, dashboard_address='127.0.0.1:0')",
}


@pytest.mark.apart
@pytest.mark.parametrize(
    ("kind", "level"),
    [("processes", "INFO"), ("processes", ""), pytest.param("a cluster", "INFO", marks=pytest.mark.cluster)],
)
def test_a_script_shows_everything_once(script, kind, level):
    """Workers have inherited the streams of the script, and could say all of it once more."""
    process = script(PROGRAM.replace("RUNNER", RUNNERS[kind]), *filter(None, [level]))

    printed, errors = process.communicate(timeout=60)

    assert printed == "printed\n"
    lines = [line for line in errors.splitlines() if "logged" in line or "warned" in line]
    named = ["turbines train: logged", "turbines train: logged loudly"] if level else ["train: logged loudly"]
    assert sorted(lines) == [*sorted(named), "warned"]


def test_what_a_node_prints_and_warns_of_goes_to_the_stream_that_it_wrote_to(runner, capsys):
    def train(_):
        print("for the errors", file=sys.stderr)
        print("for the output")
        # Where warnings are errors, a setting that processes which are started from here inherit.
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.warn("careful", UserWarning, stacklevel=1)
        return 1

    runner.run(one(train), penstock.DataCatalog({"a": 1}))

    captured = capsys.readouterr()
    assert captured.out == "for the output\n"
    assert captured.err.startswith("for the errors\n")
    assert captured.err.count("UserWarning: careful") == 1


def test_a_flushed_line_arrives_before_it_ends(runner, diary, monkeypatch):
    """A progress bar goes back to the start of its line again and again."""

    class Note(io.StringIO):
        def write(self, text):
            diary.note(text)
            return len(text)

    def train(_):
        print("\r10 %", end="", flush=True)
        until = time.time() + 20
        while not diary.kinds() and time.time() < until:
            time.sleep(0.01)
        return diary.kinds()

    monkeypatch.setattr(sys, "stdout", Note())
    result = runner.run(one(train), penstock.DataCatalog({"a": 1}))

    assert result["b"].load() == ["\r10 %"]


def test_the_output_of_a_node_is_as_useful_as_any(runner):
    def train(_):
        sys.stdout.writelines(["", ""])
        return sys.stdout.isatty(), sys.stdout.encoding, sys.stdout.fileno(), sys.stdout.buffer.writable()

    isatty, encoding, fileno, is_writable = runner.run(one(train), penstock.DataCatalog({"a": 1}))["b"].load()

    assert (isatty, fileno, is_writable) == (False, 1, True)
    assert encoding.lower() == "utf-8"


def test_threads_that_a_node_starts_speak_for_it(runner, caplog, capsys):
    def train(_):
        def speak():
            logging.getLogger("turbines").warning("in a thread")
            print("printed there")

        thread = threading.Thread(target=speak)
        thread.start()
        thread.join()
        return 1

    runner.run(one(train), penstock.DataCatalog({"a": 1}))

    assert texts(caplog) == ["train: in a thread"]
    assert capsys.readouterr().out == "printed there\n"


@pytest.mark.parametrize("inner", [SequentialRunner(), ParallelRunner(1)], ids=["sequential", "processes"])
def test_a_run_inside_a_node_logs_through_that_node(runner, inner, caplog, capsys):
    if isinstance(runner, DaskRunner) and isinstance(inner, ParallelRunner):
        pytest.skip("the workers of a cluster may not start processes")

    def speak(a):
        logging.getLogger("turbines").warning("from inside")
        print("printed inside", end="")
        return a

    def train(_):
        inner.run(one(speak, "inner"), penstock.DataCatalog({"a": 1}))
        logging.getLogger("turbines").warning("from outside")
        return 1

    runner.run(one(train, "outer"), penstock.DataCatalog({"a": 1}))

    assert texts(caplog) == ["inner: from inside", "outer: from outside"]
    assert capsys.readouterr().out == "printed inside"


def test_a_node_may_quieten_a_logger_of_its_own(runner, caplog):
    def train(_):
        log = logging.getLogger("turbines.chatty")
        log.info("before")
        log.setLevel(logging.ERROR)
        log.warning("after")
        log.setLevel(logging.NOTSET)
        return 1

    with caplog.at_level(logging.INFO):
        runner.run(one(train), penstock.DataCatalog({"a": 1}))

    assert texts(caplog, "turbines.chatty") == ["train: before"]


def test_what_logging_has_disabled_does_not_arrive(runner, caplog):
    def train(_):
        logging.getLogger("turbines").error("disabled")
        logging.getLogger("turbines").critical("not disabled")
        return 1

    logging.disable(logging.ERROR)
    try:
        runner.run(one(train), penstock.DataCatalog({"a": 1}))
    finally:
        logging.disable(logging.NOTSET)

    assert texts(caplog) == ["train: not disabled"]


def test_arguments_that_do_not_fit_are_reported_as_logging_reports_them(runner, caplog, capsys):
    def train(_):
        logging.getLogger("turbines").warning("%d blades", "no number")
        return 1

    runner.run(one(train), penstock.DataCatalog({"a": 1}))

    assert texts(caplog) == []
    assert "--- Logging error ---" in capsys.readouterr().err


def test_handlers_of_the_workers_do_not_repeat_what_the_driver_gets(runner, caplog, tmp_path):
    """A module that adds a handler when it is imported does so in every process, for one file."""
    path = tmp_path / "turbines.log"

    def train(_):
        handler = logging.FileHandler(path)
        logging.getLogger("turbines").addHandler(handler)
        logging.getLogger("turbines").warning("to the driver")
        logging.getLogger("turbines").removeHandler(handler)
        handler.close()
        return 1

    runner.run(one(train), penstock.DataCatalog({"a": 1}))

    assert texts(caplog) == ["train: to the driver"]
    assert path.read_text() == ""


def test_dasks_own_records_stay_where_they_are(runner):
    """They tell of schedulers and workers, which have handlers of their own for them."""

    class Notes(logging.Handler):
        def emit(self, record):
            notes.append(record.getMessage())

    def speak(_):
        logging.getLogger("distributed.turbines").error("of the worker")
        return 1

    log, handler, notes = logging.getLogger("distributed.turbines"), Notes(), []
    log.addHandler(handler)
    try:
        runner.run(one(speak), penstock.DataCatalog({"a": 1}))
        on_workers = [*notes]
        SequentialRunner().run(one(speak), penstock.DataCatalog({"a": 1}))
    finally:
        log.removeHandler(handler)

    assert on_workers == []
    assert notes == ["of the worker"]


# In processes


def test_what_a_node_said_before_it_killed_its_process_arrives(caplog, capsys, monkeypatch):
    # Too late for a process that is gone at once: what it wrote is read when the run ends.
    monkeypatch.setattr(log_files, "READ_SECONDS", 100)

    def train(_):
        logging.getLogger("turbines").warning("about to die")
        print("good", "bye")
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(NodeError, match="train"):
        ParallelRunner(1).run(one(train), penstock.DataCatalog({"a": 1}))

    assert texts(caplog) == ["train: about to die"]
    assert capsys.readouterr().out == "good bye\n"


def test_an_application_may_make_records_of_its_own(monkeypatch, caplog):
    make = logging.getLogRecordFactory()

    def made(*args, **kwargs):
        record = make(*args, **kwargs)
        record.tenant = "north"
        return record

    monkeypatch.setattr(logging, "_logRecordFactory", made)

    ParallelRunner(1).run(
        one(lambda a: logging.getLogger("turbines").warning("warm") or a), penstock.DataCatalog({"a": 1})
    )

    assert [record.getMessage() for record in caplog.records if record.name == "turbines"] == ["train: warm"]


def test_what_is_put_round_the_making_of_records_during_a_run_may_stay(monkeypatch, caplog):
    def train(a):
        make = logging.Logger.makeRecord

        def counted(self, *args, **kwargs):
            made.append(make(self, *args, **kwargs))
            return made[-1]

        monkeypatch.setattr(logging.Logger, "makeRecord", counted)
        logging.getLogger("turbines").warning("warm")
        return a

    made = []
    for _ in range(3):
        SequentialRunner().run(one(train), penstock.DataCatalog({"a": 1}))

    assert texts(caplog) == ["train: warm"] * 3


def test_news_after_some_that_could_not_be_taken_is_taken(caplog):
    taken = []

    def take(message):
        taken.append(1 / message)

    with handling_in_thread(take) as put:
        for message in (1, 0, 2):
            put(message)

    assert taken == [1.0, 0.5]
    assert "ZeroDivisionError" in caplog.text


def test_a_run_outlives_its_folder_of_logs(monkeypatch, tmp_path):
    """Temporary folders are tidied up by machines, and by users in want of room."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def tidy(a):
        (room,) = [path for path in tmp_path.iterdir() if path.name.startswith("penstock-")]
        shutil.rmtree(room)
        print("not heard")
        return a

    nodes = pipeline([node(tidy, "a", "b", name="tidy"), node(add_one, "b", "c", name="next")])

    result = ParallelRunner(1).run(nodes, penstock.DataCatalog({"a": 1}))

    assert result["c"].load() == 2


def test_files_that_have_been_read_are_removed(tmp_path, capsys, monkeypatch):
    """A node that prints for days would fill the disk."""
    monkeypatch.setattr(log_files, "MAX_FILE_BYTES", 1_000)
    folder = tmp_path / "logs"

    with log_files.reading_logs(folder) as reader:
        channel = log_files.FileChannel(str(folder))
        for number in range(100):
            channel.write("stdout", "train", f"{number} {'x' * 100}\n")
            if number % 30 == 0:
                reader.read()
        reader.read()
        left = [path.name for path in folder.iterdir() if path.name != "levels"]
        channel.close()

    numbers = [int(line.split()[0]) for line in capsys.readouterr().out.splitlines()]
    assert numbers == list(range(100))
    assert len(left) == 1


def test_a_line_without_end_is_sent_at_last(capsys):
    class Here(Channel):
        def send(self, message):
            deliver([message])

    channel = Here(Levels())
    channel.write("stdout", "train", "x" * LONGEST_LINE)
    before = capsys.readouterr().out
    channel.write("stdout", "train", "x")

    assert before == ""
    assert len(capsys.readouterr().out) == LONGEST_LINE + 1


def test_catching_leaves_a_process_as_it_was():
    def state():
        return sys.stdout, sys.stderr, logging.Logger.isEnabledFor, logging.Logger.callHandlers

    before, channels = state(), [Channel(Levels()), Channel(Levels())]

    for channel in channels:
        start_capture(channel)
    during = state()
    for channel in channels:
        stop_capture(channel)

    assert all(one is not other for one, other in zip(before, during, strict=True))
    assert state() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_of_a_node_prints_although_another_thread_does_too():
    """It has the lock as it was taken, and not the thread that would let go of it."""

    def train(_):
        channel = current_node.CURRENT_NODE.get().channel
        is_taken, may_go = threading.Event(), threading.Event()

        def hold():
            with channel._lock:
                is_taken.set()
                may_go.wait(60)

        holder = threading.Thread(target=hold)
        holder.start()
        is_taken.wait(60)
        child = os.fork()
        if not child:
            print("from the fork")
            os._exit(0)
        until = time.monotonic() + 30
        ended = 0
        while not ended and time.monotonic() < until:
            ended, _ = os.waitpid(child, os.WNOHANG)
            time.sleep(0.01)
        if not ended:
            os.kill(child, signal.SIGKILL)
        may_go.set()
        holder.join()
        return bool(ended)

    assert ParallelRunner(1).run(one(train), penstock.DataCatalog({"a": 1}))["b"].load()


# On clusters


def test_what_waits_for_its_batch_stays_in_its_place(client, caplog):
    """A node inside a node is done in the moment in which the worker sends what it has said, and the outer one goes on."""

    def train(_):
        channel = current_node.CURRENT_NODE.get().channel
        log = logging.getLogger("turbines")
        with channel._lock:
            log.warning("first")
            # The worker's own thread comes to send it, and has to wait for us.
            time.sleep(2 * logs.LOG_BATCH_SECONDS)
            channel.finish("inner")
            log.warning("second")
        time.sleep(logs.LOG_BATCH_SECONDS)
        return 1

    DaskRunner(client).run(one(train), penstock.DataCatalog({"a": 1}))

    assert texts(caplog) == ["train: first", "train: second"]


def left_on(client):
    plugins = client.run_on_scheduler(lambda dask_scheduler: set(dask_scheduler.worker_plugins))
    workers = client.run(lambda: (type(sys.stdout).__name__, logging.Logger.callHandlers.__module__))
    return plugins, workers


def test_a_cluster_is_left_as_it_was(client):
    before = left_on(client)

    DaskRunner(client).run(one(add_one), penstock.DataCatalog({"a": 1}))

    assert left_on(client) == before
    assert set(before[1].values()) == {("TextIOWrapper", "logging")}


def test_a_failed_run_leaves_a_cluster_as_it_was(client):
    before = left_on(client)

    with pytest.raises(ZeroDivisionError):
        DaskRunner(client).run(one(lambda a: a / 0), penstock.DataCatalog({"a": 1}))

    assert left_on(client) == before


OTHER_DRIVER = """
import logging, sys, time
from pathlib import Path
import penstock
from penstock.pipeline import node, pipeline

def train(folder):
    log = logging.getLogger("turbines")
    log.debug("other begins")
    Path(folder, "began").touch()
    while not Path(folder, "end").exists():
        time.sleep(0.01)
    log.debug("other ends")
    return folder

logging.basicConfig(format="%(message)s")
logging.getLogger("turbines").setLevel("DEBUG")
address, folder = sys.argv[1:]
penstock.run(pipeline([node(train, "a", "b", name="other")]), {"a": folder}, penstock.DaskRunner(address))
"""


@pytest.mark.apart
def test_two_drivers_on_one_cluster_each_hear_their_own_nodes_at_their_own_level(
    client, script, tmp_path, caplog
):
    def train(_):
        logging.getLogger("turbines").debug("too quiet")
        logging.getLogger("turbines").warning("loud enough")
        return 1

    other = script(OTHER_DRIVER, client.scheduler.address, str(tmp_path))
    while not (tmp_path / "began").exists() and other.poll() is None:
        time.sleep(0.01)
    DaskRunner(client).run(one(train), penstock.DataCatalog({"a": 1}))
    (tmp_path / "end").touch()
    _, errors = other.communicate(timeout=60)

    assert texts(caplog) == ["train: loud enough"]
    # Dask may add that it closed its connection, with a traceback.
    heard = [line for line in errors.splitlines() if line.startswith(("train: ", "other: "))]
    assert heard == ["other: other begins", "other: other ends"]


def test_a_flood_is_cut_short_and_the_rest_counted(client, caplog):
    """A scheduler carries the news of all workers, and has other things to do."""

    def train(_):
        log = logging.getLogger("turbines")
        for number in range(5_000):
            log.warning("line %d%s", number, 1_000 * " ")
        return 1

    DaskRunner(client).run(one(train), penstock.DataCatalog({"a": 1}))

    arrived = texts(caplog)
    told_of = [record for record in caplog.records if record.name == logs.__name__]
    assert [line.rstrip() for line in arrived] == [f"train: line {number}" for number in range(len(arrived))]
    assert len(arrived) > 1_000
    assert {record.levelname for record in told_of} == {"WARNING"}
    # One each time that a worker may speak again: of more than one where the machine is slow.
    counts = [
        re.search(r": (\d+) records or prints were left out", record.getMessage())[1] for record in told_of
    ]
    assert sum(map(int, counts)) == 5_000 - len(arrived)


@pytest.mark.cluster
def test_a_worker_that_comes_late_sends_its_logs_as_well(caplog, tmp_path):
    """A worker that joins a run which goes on has heard nothing of its beginning."""
    from distributed import Client, LocalCluster  # noqa: PLC0415

    def wait(_):
        until = time.time() + 60
        while not (tmp_path / "late").exists() and time.time() < until:
            time.sleep(0.01)
        return 1

    def speak(_):
        (tmp_path / "late").touch()
        logging.getLogger("turbines").warning("late")
        return 1

    nodes = pipeline([node(wait, "a", "b", name="wait"), node(speak, "a", "c", name="speak")])
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        timer = threading.Timer(1, cluster.scale, [2])
        timer.start()
        policies = {"wait": {"priority": 1}}
        DaskRunner(client, policies=policies).run(nodes, penstock.DataCatalog({"a": 1}))
        timer.join()

    assert texts(caplog) == ["speak: late"]


@pytest.mark.parametrize(
    ("call", "function"),
    [
        ("run_on_scheduler", backend._add),
        ("run_on_scheduler", save_once._install),
        ("subscribe_topic", None),
    ],
)
def test_ctrl_c_at_the_begin_of_a_run_leaves_a_cluster_as_it_was(client, monkeypatch, call, function):
    """The scheduler has received the request, and carries it out."""
    before, real = left_on(client), getattr(client, call)

    def interrupted(*arguments, **options):
        result = real(*arguments, **options)
        if function in {None, arguments[0]}:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(client, call, interrupted)
    with pytest.raises(KeyboardInterrupt):
        DaskRunner(client).run(one(add_one), penstock.DataCatalog({"a": 1}))
    monkeypatch.undo()

    assert left_on(client) == before
    assert not [name for name in client.run_on_scheduler(plugins_there) if "penstock-" in name]


def plugins_there(dask_scheduler):
    return [*dask_scheduler.plugins, *dask_scheduler._broker._topics]


def test_what_is_too_long_to_be_sent_does_not_silence_the_rest(client, caplog):
    def train(_):
        logging.getLogger("turbines").warning(logs.LOG_WINDOW_BYTES * "x")
        logging.getLogger("turbines").warning("short")
        return 1

    DaskRunner(client).run(one(train), penstock.DataCatalog({"a": 1}))

    assert texts(caplog) == ["train: short"]
    assert ": 1 records or prints were left out" in texts(caplog, logs.__name__)[0]


FORKED = """
import os
from penstock import DaskRunner, DataCatalog
from penstock.pipeline import node, pipeline

def forks(x):
    child = os.fork()
    if not child:
        print("said by a fork", flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    return x

if __name__ == "__main__":
    runner = DaskRunner(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0")
    runner.run(pipeline([node(forks, "x", "y")]), DataCatalog({"x": 1}))
"""


@pytest.mark.apart
@pytest.mark.cluster
def test_what_a_fork_of_a_worker_says_is_on_the_workers_own_terminal(script):
    """It has no loop that could send it to the driver."""
    printed, _ = script(FORKED).communicate(timeout=60)

    assert printed == "said by a fork\n"
