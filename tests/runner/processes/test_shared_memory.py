"""Values in files in memory: what is written is what is opened, and nothing is left behind."""

from __future__ import annotations

import gc
import operator
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import weakref
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import CannotSendError
from penstock.io import DataCatalog
from penstock.pipeline import node
from penstock.runner.processes import exchange, shared_memory
from penstock.runner.processes.backend import ProcessBackend
from penstock.runner.processes.exchange import DriverExchange
from penstock.runner.processes.logs import FileChannel, reading_logs, started_node
from penstock.runner.processes.shared_memory import INLINE_BYTES, Handle, new_run_folder
from penstock.tasks.backend import Context
from penstock.tasks.exceptions import PackedError
from penstock.tasks.load_tasks import Load

pytestmark = pytest.mark.pythons


np = pytest.importorskip("numpy", reason="large buffers are numpy's")

LARGE = np.arange(100_000, dtype="int64")

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
plain = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner)
)


@st.composite
def arrays(draw):
    """Arrays of every layout, from empty ones to some that do not go inline."""
    shape = draw(st.lists(st.integers(0, 300), min_size=1, max_size=2))
    kind = draw(
        st.sampled_from(["uint8", "int64", "float64", "complex128", "U3", "datetime64[ns]", "object"])
    )
    array = np.arange(np.prod(shape)).reshape(shape).astype(kind)
    return {"C": array, "F": np.asfortranarray(array), "strided": array[::2], "flipped": array[::-1]}[
        draw(st.sampled_from(["C", "F", "strided", "flipped"]))
    ]


def same(left, right):
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and left.shape == right.shape and (left == right).all()
    if isinstance(left, (list, tuple)):
        return type(left) is type(right) and all(map(same, left, right)) and len(left) == len(right)
    return type(left) is type(right) and left == right


# Sizes are drawn and not bytes: hypothesis gives up on examples that are made of thousands of choices.
long_bytes = st.integers(INLINE_BYTES, INLINE_BYTES + 70).map(
    lambda size: bytes(number % 251 for number in range(size))
)


@given(st.lists(plain | arrays() | long_bytes, max_size=4))
def test_what_is_written_is_what_is_opened(data):
    with new_run_folder() as folder:
        assert same(folder.write(data).open(), data)


@given(arrays())
def test_what_one_reader_writes_stays_its_own(array):
    """The file is mapped copy-on-write: no byte is copied before, and none is shared after."""
    data = [array.copy(), LARGE.copy()]
    with new_run_folder() as folder:
        handle = folder.write(data)
        first, second = handle.open(), handle.open()

        first[1][:] = -1
        first[0][...] = first[0][::-1].copy()

        assert same(second, data)
        assert same(handle.open(), data)


def test_small_values_go_inline_and_large_ones_to_a_file():
    with new_run_folder() as folder:
        small, large = folder.write(LARGE[:10]), folder.write(LARGE)

        assert (small.path, large.pickled) == ("", b"")
        assert Path(large.path).stat().st_size >= LARGE.nbytes
        assert large.open().ctypes.data % 8 == 0


def test_a_frame_comes_back_and_can_be_written_to():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"n": LARGE, "t": ["some text"] * len(LARGE), "d": pd.Timestamp("2020-01-01")})
    with new_run_folder() as folder:
        opened = folder.write(frame).open()

    pd.testing.assert_frame_equal(opened, frame)
    opened.loc[0, "n"] = 7
    assert opened["n"].iloc[0] == 7


def test_a_value_outlives_its_file():
    with new_run_folder() as folder:
        opened = folder.write(LARGE).open()

    assert (opened == LARGE).all()


def test_the_file_goes_with_the_last_handle():
    """The memory of a value is free as soon as its last reader is done, not when the run ends."""
    with new_run_folder() as folder:
        handle = DriverExchange(folder).tracked(folder.write(LARGE))
        path = Path(handle.path)
        assert path.exists()

        del handle
        gc.collect()

        assert not path.exists()


def test_the_run_folder_goes_with_the_run_even_if_it_fails():
    paths = []

    def fail():
        with new_run_folder() as folder:
            paths.append(Path(folder.write(LARGE).path))
            raise LookupError

    with pytest.raises(LookupError):
        fail()

    assert not paths[0].parent.exists()


def test_only_the_user_can_look_into_a_run_folder():
    with new_run_folder() as folder:
        path = Path(folder.write(LARGE).path).parent

        assert path.stat().st_mode & 0o777 == 0o700


def test_a_value_for_which_memory_has_no_space_goes_to_disk(monkeypatch):
    """`/dev/shm` has 64 MB in many containers."""
    monkeypatch.setattr(shared_memory, "_free", lambda folder: 1_000_000)

    with new_run_folder() as folder:
        handle = folder.write(LARGE)

        assert Path(handle.path).parent.parent == Path(tempfile.gettempdir())
        assert (handle.open() == LARGE).all()
    assert not Path(handle.path).parent.exists()


def test_memory_that_is_full_after_all_is_left_for_disk(monkeypatch, tmp_path):
    """Two workers that look at the same time both see the same free space."""
    (tmp_path / "shm").touch()
    monkeypatch.setattr(shared_memory, "_memory_folders", lambda: [tmp_path / "shm"])

    with new_run_folder() as folder:
        handle = folder.write(LARGE)

        assert Path(handle.path).parent.parent == Path(tempfile.gettempdir())


def test_run_folders_of_dead_drivers_are_removed_and_those_of_living_ones_kept():
    """A driver that is killed cannot clean up; its files would fill the memory until the machine restarts."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    living = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    prefix = f"penstock-{shared_memory._machine()}"
    folders = {
        pid: Path(tempfile.gettempdir(), f"{prefix}-{pid}-0123456789abcdef") for pid in (dead.pid, living.pid)
    }
    elsewhere = Path(tempfile.gettempdir(), f"penstock-00000000-{dead.pid}-0123456789abcdef")
    for folder in (*folders.values(), elsewhere):
        folder.mkdir()

    try:
        with new_run_folder():
            found = [folders[dead.pid].exists(), folders[living.pid].exists(), elsewhere.exists()]
    finally:
        living.communicate(b"\n")
        for folder in (*folders.values(), elsewhere):
            if folder.exists():
                folder.rmdir()

    assert found == [False, True, True]


def test_a_task_reaches_the_worker_and_its_result_the_driver():
    events = []
    with new_run_folder() as folder:
        driver = DriverExchange(folder, events.append)
        worker = exchange.WorkerExchange(folder)
        shared = driver.shared("large", LARGE)

        task, data = worker.loads(driver.dumps((len, {"x": folder.write([1]), "y": shared})))
        _, again = worker.loads(driver.dumps((len, {"y": shared})))
        handle, origin = driver.loads(worker.dumps((LARGE + 1, 4711)))

        assert (task, data["x"], origin) == (len, [1], 4711)
        assert again["y"] is data["y"]
        assert isinstance(handle, Handle)
        assert (handle.open() == LARGE + 1).all()


def read(worker, driver, *handles):
    """The inputs of a task that reads these."""
    _, data = worker.loads(driver.dumps((len, dict(enumerate(handles)))))
    return list(data.values())


def test_inputs_that_one_task_reads_are_opened_once_however_many():
    """Every node of a wide table reads the same dozen inputs, and each may take seconds to open."""
    with new_run_folder() as folder:
        driver, worker = DriverExchange(folder), exchange.WorkerExchange(folder)
        inputs = [driver.shared(str(number), [number]) for number in range(3 * exchange.KEPT_INPUTS)]

        first, again = read(worker, driver, *inputs), read(worker, driver, *inputs)

        assert all(map(operator.is_, first, again))


def test_an_input_that_each_task_reads_stays_open():
    """Hooks are such an input: what they remember of a run they remember in each worker."""
    with new_run_folder() as folder:
        driver, worker = DriverExchange(folder), exchange.WorkerExchange(folder)
        hooks = driver.shared("hooks", ["hooks"])
        others = [driver.shared(str(number), [number]) for number in range(3 * exchange.KEPT_INPUTS)]

        opened = [read(worker, driver, hooks, other)[0] for other in others]
        first, last = (read(worker, driver, hooks, each)[1] for each in (others[0], others[-1]))

        assert all(each is opened[0] for each in opened)
        assert (first, last) == ([0], [len(others) - 1])


def test_few_of_the_inputs_that_are_read_no_more_stay_open():
    """A worker would have all inputs in memory when the last node runs."""
    with new_run_folder() as folder:
        driver, worker = DriverExchange(folder), exchange.WorkerExchange(folder)
        opened = [
            weakref.ref(read(worker, driver, driver.shared(str(number), {number}))[0])
            for number in range(3 * exchange.KEPT_INPUTS)
        ]

        assert sum(each() is not None for each in opened) == exchange.KEPT_INPUTS


def test_what_was_opened_is_let_go_with_the_run():
    with new_run_folder() as folder:
        driver, worker = DriverExchange(folder), exchange.WorkerExchange(folder)
        inputs = [driver.shared("one", {1}), driver.shared("large", LARGE)]
        opened = weakref.ref(read(worker, driver, *inputs)[0])
        exchange.release_ended_runs()
        during = opened()

    exchange.release_ended_runs()

    assert during == {1}
    del during
    assert opened() is None


def test_what_was_opened_is_let_go_by_the_next_run():
    """Another run may begin before the worker has seen that the last one is over."""
    with new_run_folder() as folder:
        driver, worker = DriverExchange(folder), exchange.WorkerExchange(folder)
        opened = weakref.ref(read(worker, driver, driver.shared("one", {1}))[0])

    with new_run_folder() as next_folder:
        read(exchange.WorkerExchange(next_folder), DriverExchange(next_folder))

    assert opened() is None


def test_runs_at_once_keep_what_they_have_opened():
    """They share the workers of an open runner, which go from one run to the other with each task."""
    with new_run_folder() as first, new_run_folder() as second:
        drivers = [DriverExchange(folder) for folder in (first, second)]
        workers = [exchange.WorkerExchange(folder) for folder in (first, second)]
        handles = [driver.shared(str(number), [number]) for number, driver in enumerate(drivers)]

        before, after = (
            [read(*each)[0] for each in zip(workers, drivers, handles, strict=True)] for _ in "12"
        )

        assert before == [[0], [1]]
        assert all(map(operator.is_, before, after))


def test_a_load_does_not_open_the_values_that_it_waits_for():
    """Each would be read and unpickled for nothing, and they may be large."""
    context, reader = Context(ProcessBackend()), node(len, "stored", "length", name="reader")
    load = Load(context, reader, "stored", DataCatalog({"stored": [1]}))
    with new_run_folder() as folder:
        driver, worker = DriverExchange(folder), exchange.WorkerExchange(folder)

        _, data = worker.loads(driver.dumps((load, {"waited_for": folder.write([1])})))

    assert data == {"waited_for": None}


def test_a_task_of_a_stopped_run_does_not_begin():
    """It may have waited for a worker that another run kept busy."""
    task = SimpleNamespace(node=SimpleNamespace(name="late"))
    with new_run_folder() as folder, reading_logs(folder.log_folder) as logs:
        driver = DriverExchange(folder, logs=logs)
        worker = exchange.WorkerExchange(folder, str(logs.folder))
        before, _ = worker.loads(driver.dumps((task, {})))

        logs.mark_as_stopped()

        with pytest.raises(CancelledError):
            worker.loads(driver.dumps((task, {})))
        exchange.ended_node()
    exchange.release_ended_runs()

    assert before == task


def test_a_worker_of_a_failed_run_lets_go_of_its_logs():
    """An open runner's worker would keep an open file of each failed run, and not know the node of a thread any more."""
    stdout, stderr = sys.stdout, sys.stderr
    task = SimpleNamespace(node=SimpleNamespace(name="bad"))
    with new_run_folder() as folder, reading_logs(folder.log_folder) as logs:
        driver = DriverExchange(folder, logs=logs)
        worker = exchange.WorkerExchange(folder, str(logs.folder))
        worker.loads(driver.dumps((task, {})))
        during = sys.stdout
        worker.dumps((ValueError("turbines"), "its traceback"))

    exchange.release_ended_runs()

    assert during is not stdout
    assert (sys.stdout, sys.stderr) == (stdout, stderr)


def test_two_threads_may_let_go_of_the_logs_of_one_run(monkeypatch):
    """One watches the driver, the other begins the next run. A worker whose first thread fails does not notice the driver's end."""
    barrier = threading.Barrier(2)
    with new_run_folder() as folder, reading_logs(folder.log_folder) as logs:
        started_node(str(logs.folder), "train")
        exchange.ended_node()
    monkeypatch.setattr(FileChannel, "has_ended", lambda _: barrier.wait() >= 0)

    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(exchange.release_ended_runs) for _ in range(2)]

    assert [call.result() for call in calls] == [None, None]


def test_a_result_that_cannot_be_pickled_is_said_to_be_so():
    with new_run_folder() as folder:
        worker = exchange.WorkerExchange(folder)
        worker.loads(DriverExchange(folder).dumps((len, {})))

        with pytest.raises(PackedError, match="lock") as caught:
            worker.dumps((threading.Lock(), os.getpid()))

    assert CannotSendError.__name__ in str(caught.value)


def test_a_run_folder_goes_although_its_removal_is_interrupted(monkeypatch):
    remove, interrupts = shutil.rmtree, [KeyboardInterrupt]

    def interrupted(*arguments, **options):
        if interrupts:
            raise interrupts.pop()
        remove(*arguments, **options)

    opened = new_run_folder()
    folder = opened.__enter__().on_disk
    monkeypatch.setattr(shutil, "rmtree", interrupted)

    with pytest.raises(KeyboardInterrupt):
        opened.__exit__(None, None, None)

    assert not folder.exists()
