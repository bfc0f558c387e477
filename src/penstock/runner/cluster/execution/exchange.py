"""What travels between the driver and a cluster: tasks, free inputs, and outputs that stay there until they are loaded.

Dask's scheduler unpickles a graph, and its workers each task, outside of any task: a worker that cannot do so ends, its nanny ends with
it, and the next worker gets the task. So tasks are sent as bytes that each task unpickles itself. What a user's class raises then is the
error of the task, and a scheduler needs none of the user's modules.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from dask.sizeof import sizeof
from dask.utils import format_bytes
from distributed import Client, Future, Variable, get_worker, worker_client

from penstock._pickling import SharedPickle, SharedPickles, reduce_dataclass, unpickled
from penstock.graph.taskspec import data_of, new_data, new_task, work_of
from penstock.hooks.calls import Hooks
from penstock.io.kedro_objects import data_in_memory
from penstock.io.memory import MemoryDataset
from penstock.runner.cluster.session import listening_to_topic
from penstock.runs.result import RunValue
from penstock.tasks.base import Work
from penstock.tasks.call_tasks import Call
from penstock.tasks.dataset_tasks import Confirm, Save
from penstock.tasks.exceptions import add_note, pack_error
from penstock.tasks.values import DatasetValue, SentValue, unwrap_value

if TYPE_CHECKING:
    from penstock._typing import Data
    from penstock.io.memory import Deferred

LARGE_INPUT_BYTES = 1_000_000
"""The driver sends a free input above this size to a worker; a smaller one travels inside the graph, through the scheduler."""

DESCRIBE_SECONDS = 2.0
"""How long the `repr` of an output waits for the scheduler."""

RESEND_SECONDS = 300.0
"""How long a worker waits for the driver to send an input again."""


# Outputs


def remote_values(stack: contextlib.ExitStack, futures: list[Future]) -> list[Deferred]:
    """Outputs that stay on the cluster until they are loaded.

    Args:
        stack: Closes the connection to the cluster. It is closed when the last output is fetched or garbage-collected.
        futures: The futures of the outputs.
    """
    connection = _SharedConnection()
    # At the end of the process Dask closes its clients itself.
    weakref.finalize(connection, _close_in_thread, stack).atexit = False
    return [RemoteValue(connection, future) for future in futures]


class _SharedConnection:
    """Refers to nothing: the connection is closed when no output refers to this object any more."""


def _close_in_thread(stack: contextlib.ExitStack) -> None:
    # The client's own loop may garbage-collect the last output, and closing waits for that loop.
    threading.Thread(target=stack.close, name="penstock-close").start()


class RemoteValue:
    """An output in a worker's memory.

    Args:
        connection: Keeps the client of the future open.
        future: The output.
    """

    def __init__(self, connection: _SharedConnection, future: Future) -> None:
        self.future = future
        self._connection: _SharedConnection | None = connection

    def describe(self) -> str:
        """Which worker has the value, and how large it is; less if the cluster does not answer."""
        client, key = self.future.client, self.future.key
        text = "on the cluster"
        if client.status != "running" or client.asynchronous:
            return text
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            ask = partial(client.sync, callback_timeout=DESCRIBE_SECONDS, keys=[key])
            workers, size = ask(client.scheduler.who_has), ask(client.scheduler.nbytes, summary=False)
            text += f": worker {', '.join(workers[key])}, {format_bytes(size[key])}"
        return text

    def fetch(self) -> Data:
        """Bring the value to this process, and release it on the cluster."""
        value = self.future.result()
        self.future.release()
        self._connection = None
        return value


# Free inputs


@contextlib.contextmanager
def sending(client: Client, graph: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the graph as it is sent. Inside the block large free inputs are kept on workers.

    Args:
        client: Connected to the cluster.
        graph: A Dask graph.
    """
    on_cluster, in_driver, in_graph = _find_inputs(client, graph)
    # A cluster forgets a value as soon as no client has a future of it.
    sent = client.scatter(dict(in_driver), hash=False) if in_driver else {}
    with _sending_lost_inputs(client, in_driver) as requests:
        others = {key: task for key, task in graph.items() if key not in on_cluster}
        yield with_sent_work({**others, **in_graph, **requests})
    del on_cluster, sent


def _find_inputs(
    client: Client, graph: Mapping[str, Any]
) -> tuple[dict[str, Future], dict[str, Data], dict[str, Any]]:
    """The free inputs: outputs of earlier runs that are on this cluster; large values of this process; others, which are in the graph as bytes."""
    on_cluster: dict[str, Future] = {}
    in_driver: dict[str, Data] = {}
    in_graph: dict[str, Any] = {}
    for key, value in data_of(graph).items():
        if not isinstance(value, DatasetValue):
            # In a graph of the user's own.
            continue
        dataset: Any = value.dataset
        deferred = getattr(dataset, "deferred", None)
        remote = deferred.source if isinstance(deferred, RunValue) else None
        if isinstance(remote, RemoteValue) and remote.future.client is client:
            on_cluster[key] = client.submit(_in_dataset, remote.future, dataset.copy_mode, key=key)
            continue
        if deferred is not None:
            # An output that is on another cluster, or belongs to another client: this brings it to this process.
            unwrap_value(value)
        sent = SentValue(value, kind=type(data_in_memory(dataset)).__name__)
        if sizeof(value) > LARGE_INPUT_BYTES:
            in_driver[key] = sent
        else:
            in_graph[key] = new_data(key, sent)
    return on_cluster, in_driver, in_graph


def _in_dataset(data: Data, copy_mode: str | None) -> DatasetValue:
    return DatasetValue(MemoryDataset(unwrap_value(data), copy_mode))


@contextlib.contextmanager
def _sending_lost_inputs(client: Client, inputs: Mapping[str, Data]) -> Iterator[dict[str, Any]]:
    """Send inputs again inside the block, when workers ask for them; gives the tasks that ask, one for each input."""
    if not inputs:
        yield {}
        return
    sender = _Sender(client, inputs)
    with listening_to_topic(client, sender.topic, sender.answer), contextlib.closing(sender):
        yield {key: new_task(key, _Request(sender.topic, key)) for key in inputs}


class _Sender:
    """The driver's side: sends inputs that died with their workers."""

    def __init__(self, client: Client, inputs: Mapping[str, Data]) -> None:
        self.topic = f"penstock-inputs-{secrets.token_hex(8)}"
        self._client = client
        self._inputs = inputs
        self._sent: dict[str, Future] = {}
        """The futures of what was sent, by the names of the variables through which workers get them."""
        self._lock = threading.Lock()
        self._is_closed = False

    def answer(self, request: tuple[str, str]) -> None:
        """Send the input that a worker asks for, in a thread: this is called on the client's own loop."""
        threading.Thread(target=self._send, args=request, name="penstock-send", daemon=True).start()

    def _send(self, key: str, variable: str) -> None:
        # If the run is over or the scheduler has ended, the run itself reports it.
        with contextlib.suppress(Exception):
            future = self._client.scatter(self._inputs[key], hash=False)
            with self._lock:
                if not self._is_closed:
                    self._sent[variable] = future
                    Variable(variable, self._client).set(future)

    def close(self) -> None:
        """Delete what was sent from the cluster."""
        with self._lock, contextlib.suppress(Exception):
            self._is_closed = True
            if self._client.status == "running":
                for variable in self._sent:
                    Variable(variable, self._client).delete()


@dataclass(frozen=True)
class _Request:
    """The worker's side: how Dask computes an input that died with its worker. It asks the driver."""

    topic: str
    key: str

    def __call__(self) -> Data:
        variable = f"{self.topic}-{secrets.token_hex(4)}"
        get_worker().log_event(self.topic, [self.key, variable])
        with worker_client() as client:
            return Variable(variable, client).get(timeout=RESEND_SECONDS).result()


# Tasks


@dataclass(eq=False, slots=True)
class SentWork:
    """The work of one task. Dask calls it in place of the work."""

    __reduce__ = reduce_dataclass
    work: SharedPickle
    node: str
    topic: str
    """Of the run's backend."""
    is_stored: bool = False
    """Whether all results are in stores when it is done, so that there is nothing to repeat if its worker dies."""
    without_saves: SentWork | None = None
    """What to repeat if the worker dies, if that is not all of it."""

    def __call__(self, *values: Any, hooks: SentHooks | None = None) -> Any:
        """Unpickle the work and do it, or raise the error of either."""
        error_for_driver = None
        try:
            work = unpickled(self.work)
            options = {} if hooks is None else {"hooks": hooks.open()}
        except BaseException as error:  # noqa: BLE001 - raised below, where it has no context; an exit would end the worker
            worker = get_worker()
            task = f"task {worker.get_current_task()!r} of node {self.node!r}"
            add_note(error, f"Raised while {task} was unpickled, on {worker.address}.")
            error_for_driver = pack_error(error, task, self.node)
        if error_for_driver is not None:
            raise error_for_driver
        return work(*values, **options)

    def __repr__(self) -> str:
        return f"<work of node {self.node!r}>"

    def __dask_tokenize__(self) -> tuple[bytes, bytes]:
        """Different from other work of its run, and short: Dask hashes each graph that it sends."""
        data, first, *_ = self.work
        return data, first


class SentHooks:
    """The hooks of a run as bytes, which the first task in a process unpickles for all others there.

    Args:
        data: The pickled hooks.
    """

    def __init__(self, data: SharedPickle) -> None:
        self._data = data
        self._lock = threading.Lock()
        self._hooks: Hooks | None = None

    def __reduce__(self) -> tuple[type[SentHooks], tuple[SharedPickle]]:
        return SentHooks, (self._data,)

    def open(self) -> Hooks:
        """The hooks, the same object each time."""
        with self._lock:
            if self._hooks is None:
                self._hooks = unpickled(self._data)
        return self._hooks


def with_sent_work(graph: Mapping[str, Any]) -> dict[str, Any]:
    """The graph with a `SentWork` in each task of a node, and `SentHooks`. What is in a user's own graph stays as it is.

    Args:
        graph: A Dask graph.
    """
    works = {key: work for key, task in graph.items() if isinstance(work := work_of(task), Work)}
    pickles = SharedPickles(_shared_parts(works.values()))
    sent = {key: _sent_task(graph[key], work, pickles) for key, work in works.items()}
    hooks = {key: each for key, each in data_of(graph).items() if isinstance(each, Hooks)}
    return {
        **graph,
        **sent,
        **{key: new_data(key, SentHooks(pickles.pickled(each))) for key, each in hooks.items()},
    }


def _shared_parts(works: Iterable[Work]) -> list[Any]:
    """What may be large and belong to several tasks: the functions of nodes, and free inputs that are sent in tasks."""
    calls = [work for work in works if isinstance(work, Call)]
    inputs = [each.dataset for call in calls for each in call.bindings.inputs if each.dataset is not None]
    return [*(call.node.func for call in calls), *inputs]


def _sent_task(task: Any, work: Work, pickles: SharedPickles) -> Any:
    """The task with a `SentWork`. References stay outside, where Dask finds them."""
    options = dict(task.kwargs)
    hooks = {"hooks": options.pop("hooks")} if "hooks" in options else {}
    return new_task(task.key, _sent_work(work, options, pickles), *task.args, **hooks)


def _sent_work(work: Work, options: Mapping[str, Any], pickles: SharedPickles) -> SentWork:
    to_repeat = _work_to_repeat(work)
    return SentWork(
        pickles.pickled(partial(work, **options) if options else work),
        work.node.name,
        getattr(work.context.backend, "topic", ""),
        to_repeat is None,
        None if to_repeat is None or to_repeat is work else _sent_work(to_repeat, options, pickles),
    )


def _work_to_repeat(work: Work) -> Work | None:
    """What to do again if the worker dies on which the work was done; None if all its results are stored."""
    if isinstance(work, Save | Confirm):
        return None
    if not isinstance(work, Call) or any(each.has_save_task for each in work.bindings.outputs):
        return work
    if not work.handed_on and not any(each.stays_in_graph for each in work.bindings.outputs):
        return None
    saves_inside = any(each.catalog for each in work.bindings.outputs)
    return _without_saves(work) if saves_inside else work


def _without_saves(call: Call) -> Call:
    outputs = tuple([replace(each, catalog=None) for each in call.bindings.outputs])
    return replace(call, bindings=replace(call.bindings, outputs=outputs))
