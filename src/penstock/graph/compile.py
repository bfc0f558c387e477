"""Pipeline + catalog + hooks -> `Plan`: pure, it touches no scheduler and loads no data.

| task | when | waits for |
| --- | --- | --- |
| `load:<dataset>` | once for each node that reads a stored dataset | what the node itself waits for |
| `<node>` | every node | its loads, and the nodes before it with all that they save |
| `save:<dataset>` | every stored output | its node |
| `pick:<dataset>` | an output in memory of a node with several outputs | its node |
| `confirm:<node>` | a node that confirms datasets | its saves |
| `data:<dataset>` | a large free input in memory, and `data:hooks`, if tasks leave this process | nothing |

Loads and saves happen inside the node's own task with `is_async`; saves and confirmations do where its function is a generator.

A dataset is *stored* if it keeps data outside the process: it is in the catalog and not `_EPHEMERAL`. For all others the
edge of the graph is the dataset. A `CachedDataset` is both: it is loaded once for all its readers, and saved.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from dask.sizeof import sizeof

from penstock.graph.checks import check_inputs, refuse_generators
from penstock.graph.keys import new_run, task_key
from penstock.graph.plan import Plan
from penstock.graph.subcatalog import in_memory, subcatalog
from penstock.graph.taskspec import new_data, new_task, reference
from penstock.hooks import NO_HOOKS, Hooks
from penstock.io.kedro_objects import copy_mode_of, inner_dataset, is_cached, is_plain_memory
from penstock.io.memory import MemoryDataset
from penstock.tasks.backend import Backend, Context, LocalBackend
from penstock.tasks.bindings import InputBinding, OutputBinding, input_binding, output_binding
from penstock.tasks.call_tasks import AsyncCall, Bindings, Call, StreamCall
from penstock.tasks.dataset_tasks import Confirm, Load, Pick, Save, SharedLoad
from penstock.tasks.values import DatasetValue

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, DatasetLike, NodeLike, PipelineLike
    from penstock.tasks.base import Work

INLINE_BYTES = 10_000
"""A free input in memory up to this size travels inside each task that reads it; a larger one is a task of its own."""

PARAMETER_BYTES = 100_000
"""The same for parameters: hundreds of numbers and texts, which are counted at some 80 bytes each and travel in 10."""


def compile_pipeline(
    pipeline: PipelineLike,
    catalog: CatalogLike,
    *,
    hooks: Hooks = NO_HOOKS,
    run_id: str | None = None,
    is_async: bool = False,
    backend: Backend | None = None,
) -> Plan:
    """One Dask task graph that runs the pipeline.

    Args:
        pipeline: Ours or Kedro's.
        catalog: What it does not have is handed over in memory.
        hooks: The node and dataset hooks to fire.
        run_id: What hooks get to see; the keys of the graph carry a random one of their own.
        is_async: Each node loads its inputs at once and saves its outputs at once, in threads of its own task.
        backend: How values get from task to task; by default as the objects that they are.

    Raises:
        MissingInputError: Free inputs that the catalog does not have.
        InvalidNodeError: Generator functions with `is_async`.
    """
    check_inputs(pipeline, catalog)
    if is_async:
        refuse_generators(pipeline.nodes)
    compiler = _Compiler(pipeline, catalog, hooks, Context(backend or LocalBackend(), run_id, is_async))
    with _collector_paused():
        for node in pipeline.nodes:
            compiler.add(node)
        return compiler.plan()


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """A graph is many small objects, all of which stay: looking at them again and again takes a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Place(Enum):
    STORED = "stored"
    CACHED = "cached"
    MEMORY = "memory"


class _Entry(NamedTuple):
    """What the catalog knows of one name, looked up once."""

    dataset: DatasetLike | None
    place: _Place
    copy_mode: str | None


class _Compiler:
    """The graph of the nodes added so far."""

    def __init__(self, pipeline: PipelineLike, catalog: CatalogLike, hooks: Hooks, context: Context) -> None:
        self.catalog, self.hooks, self.context = catalog, hooks, context
        # Asked for every dataset, and a property of the backend.
        self.leaves, self.copies = context.backend.leaves_process, context.backend.copies
        self.may_repeat = context.backend.may_repeat
        self.run = new_run()
        self.graph: dict[str, Any] = {}
        self.data: dict[str, str] = {}
        self.pipeline = pipeline
        self.readers = Counter([name for node in pipeline.nodes for name in dict.fromkeys(node.inputs)])
        self.edges: dict[str, tuple[InputBinding, str]] = {}
        """How every reader comes by each dataset that a node of this run hands over, and the key whose value it is."""
        self.references: dict[str, Any] = {}
        """One for each key: on its way to a cluster, what is the same object is written once."""
        self.bindings: dict[tuple[Any, ...], Bindings] = {}
        self.shared_loads: dict[str, str] = {}
        self.free: dict[str, str] = {}
        """The key of each large free input in memory."""
        self.own: dict[str, InputBinding] = {}
        """Those that go with the task."""
        self.kinds: dict[int, type[Call]] = {}
        self.waited_for: set[str] = set()
        self.done: dict[NodeLike, list[str]] = {}
        """The keys that tell that a node has saved all, for each node that saves something."""
        self.entries: dict[str, _Entry] = {}
        self.common = {"hooks": self._hooks()} if hooks else {}

    def add(self, node: NodeLike) -> None:
        """Add the tasks of one node, after those of the nodes before it."""
        waits = self._waits(node)
        inputs, keys = self._inputs(node, waits)
        kind = self._kind(node.func)
        outputs = tuple([self._output(name, saves_inside=kind is not Call) for name in node.outputs])
        call = self._ports(kind, inputs, outputs)(node)
        call.catalog = self._hook_catalog(node)
        confirms = node.confirms
        if confirms and kind is not Call:
            call.confirms = self._catalog(confirms)
        key = self._task(node.name, call, [*keys, *waits])
        done = self._outputs(node, key, outputs)
        if confirms and kind is Call:
            confirm = Confirm(self.context, node, self._catalog(confirms))
            done = [self._task(node.name, confirm, done or [key], "confirm")]
        if done:
            self.done[node] = done

    def _waits(self, node: NodeLike) -> list[str]:
        """The keys that tell that the nodes before it have saved all, beyond those whose values it takes."""
        done = self.done
        return (
            list(dict.fromkeys([key for parent in self._parents[node] for key in done.get(parent, ())]))
            if done
            else []
        )

    @cached_property
    def _parents(self) -> Mapping[Any, Iterable[Any]]:
        return self.pipeline.node_dependencies

    def _kind(self, func: Callable[..., Any]) -> type[Call]:
        if self.context.is_async:
            return AsyncCall
        # By identity, since a callable need not be hashable; the pipeline keeps it alive.
        kind = self.kinds.get(id(func))
        if kind is None:
            kind = self.kinds[id(func)] = StreamCall if inspect.isgeneratorfunction(func) else Call
        return kind

    def plan(self) -> Plan:
        """All that was added."""
        outputs = {
            name: self.edges[name][1]
            for name in sorted(self.pipeline.outputs())
            if name in self.edges and self._entry(name).place is _Place.MEMORY
        }
        keys = dict.fromkeys(outputs.values())
        keys.update(dict.fromkeys(key for key in self.graph if key not in self.waited_for))
        stored = frozenset(name for name, entry in self.entries.items() if entry.place is not _Place.MEMORY)
        return Plan(self.graph, list(keys), outputs, self.data, self.pipeline, stored)

    def _task(self, name: str, work: Work, arguments: list[str], kind: str = "") -> str:
        key = task_key(name, self.run, len(self.graph), kind)
        self.waited_for.update(arguments)
        self.references[key] = reference(key)
        self.graph[key] = new_task(key, work, [self.references[each] for each in arguments], **self.common)
        return key

    def _data(self, name: str, value: Any) -> str:
        key = task_key(name, self.run, len(self.graph), "data")
        self.references[key] = reference(key)
        self.graph[key] = new_data(key, value)
        self.data[key] = name
        return key

    def _hooks(self) -> Any:
        """The hooks themselves, or where tasks leave this process one task that gives them, so that they travel once."""
        if not self.leaves:
            return self.hooks
        key = self._data("hooks", self.hooks)
        self.waited_for.add(key)
        return self.references[key]

    def _ports(
        self, kind: type[Call], inputs: tuple[InputBinding, ...], outputs: tuple[OutputBinding, ...]
    ) -> Bindings:
        """The same object for the same ports."""
        bindings = self.bindings.get((kind, inputs, outputs))
        if bindings is None:
            bindings = self.bindings[kind, inputs, outputs] = Bindings(kind, self.context, inputs, outputs)
        return bindings

    # How a node's task comes by its inputs

    def _inputs(self, node: NodeLike, waits: list[str]) -> tuple[tuple[InputBinding, ...], list[str]]:
        """The inputs, and the keys whose values the task is called with: those of the inputs that the graph gives, in order."""
        names = node.inputs
        unique = dict.fromkeys(names)
        inputs, keys = [], []
        for name in unique:
            each, key = self.edges.get(name) or self._fetched(name, node, [*self._before(unique), *waits])
            if len(unique) < len(names):
                each = replace(each, times=names.count(name))
            inputs.append(each)
            if key is not None:
                keys.append(key)
        return tuple(inputs), keys

    def _before(self, names: Iterable[str]) -> Iterator[str]:
        """The keys of what nodes of this run hand over."""
        return (self.edges[name][1] for name in names if name in self.edges)

    def _fetched(self, name: str, node: NodeLike, before: list[str]) -> tuple[InputBinding, str | None]:
        """How a node comes by what no node of this run hands over, and the key of the task that gives it, if one does."""
        dataset, place, copy_mode = self._entry(name)
        if place is _Place.MEMORY:
            return self._free(name, dataset)
        if place is _Place.CACHED:
            key = self._shared_load(name, node, before)
            return input_binding(is_given=True, copies=self.copies, copy_mode=copy_mode), key
        if self.context.is_async:
            return InputBinding(catalog=self._catalog([name])), None
        load = Load(self.context, node, name, self._catalog([name]), node.inputs.count(name))
        return input_binding(is_given=True, is_loaded=True), self._task(name, load, before, "load")

    def _handed_over(self, name: str) -> InputBinding:
        _, place, copy_mode = self._entry(name)
        is_shared = self.readers[name] > 1 or place is _Place.CACHED or self.may_repeat
        return input_binding(is_given=True, copies=self.copies and is_shared, copy_mode=copy_mode)

    def _free(self, name: str, dataset: DatasetLike | None) -> tuple[InputBinding, str | None]:
        """A free input in memory: it goes with the task, or once into the graph if it is large and has far to go."""
        dataset = MemoryDataset() if dataset is None else dataset
        limit = PARAMETER_BYTES if name == "parameters" or name.startswith("params:") else INLINE_BYTES
        if not self.leaves or _bytes(dataset) <= limit:
            return self.own.setdefault(name, InputBinding(dataset=dataset)), None
        if name not in self.free:
            self.free[name] = self._data(name, DatasetValue(dataset))
        return input_binding(is_given=True), self.free[name]

    def _shared_load(self, name: str, node: NodeLike, before: list[str]) -> str:
        if name not in self.shared_loads:
            load = SharedLoad(self.context, node, name, self._catalog([name]))
            self.shared_loads[name] = self._task(name, load, before, "load")
        return self.shared_loads[name]

    # What becomes of its outputs

    def _output(self, name: str, *, saves_inside: bool) -> OutputBinding:
        dataset, place, copy_mode = self._entry(name)
        stays, copies = place is not _Place.STORED, self.copies
        if place is _Place.MEMORY and not is_plain_memory(dataset):
            return OutputBinding(stays, copies, copy_mode, dataset=dataset)
        if place is not _Place.MEMORY and saves_inside:
            return OutputBinding(stays, copies, copy_mode, catalog=self._catalog([name]))
        return output_binding(stays, copies, copy_mode, is_saved_apart=place is not _Place.MEMORY)

    def _outputs(self, node: NodeLike, call: str, outputs: tuple[OutputBinding, ...]) -> list[str]:
        """Add the tasks that follow the node's own and note where its datasets are.

        Returns:
            The keys that tell that all is saved; none if nothing is.
        """
        done: dict[str, None] = {}
        for index, (name, output) in enumerate(zip(node.outputs, outputs, strict=True)):
            place = index if len(outputs) > 1 else None
            if _ends_with_call(name, output):
                done[call] = None
            if output.stays:
                key = call if place is None else self._pick(node, call, name, place)
                self.edges[name] = self._handed_over(name), key
            if output.is_saved_apart:
                save = Save(self.context, node, name, self._catalog([name]), place)
                done[self._task(name, save, [call], "save")] = None
        return list(done)

    def _pick(self, node: NodeLike, call: str, name: str, index: int) -> str:
        return self._task(name, Pick(self.context, node, name, index), [call], "pick")

    # Catalogs and datasets

    def _entry(self, name: str) -> _Entry:
        entry = self.entries.get(name)
        if entry is None:
            dataset = self.catalog.get(name)
            place, copy_mode = _place(dataset), copy_mode_of(dataset)
            if dataset is not None and place is _Place.MEMORY:
                dataset = in_memory(name, dataset, self.catalog, leaves_process=self.leaves)
            elif place is _Place.CACHED and self.leaves:
                # A cache elsewhere is of no use to anybody, and Kedro's comes out of a pickle with something in it.
                dataset = inner_dataset(dataset)
            entry = self.entries[name] = _Entry(dataset, place, copy_mode)
        return entry

    def _catalog(self, names: Iterable[str]) -> CatalogLike:
        """The catalog itself, or where tasks leave this process one that has these datasets only."""
        if not self.leaves:
            return self.catalog
        datasets = {name: self._entry(name).dataset for name in names}
        return subcatalog(self.catalog, datasets)

    def _hook_catalog(self, node: NodeLike) -> CatalogLike | None:
        """What hooks see as the catalog; where tasks leave this process, the node's own datasets without large data."""
        if not self.hooks.for_nodes:
            return None
        names = dict.fromkeys((*node.inputs, *node.outputs))
        return self._catalog([name for name in names if not self._is_large(self._entry(name))])

    def _is_large(self, entry: _Entry) -> bool:
        return self.leaves and entry.place is _Place.MEMORY and _bytes(entry.dataset) > INLINE_BYTES


def _ends_with_call(name: str, output: OutputBinding) -> bool:
    """Whether a reader of an output has to wait for the node although it does not take the node's value.

    It was saved inside the node's task, or is read in another format, which the value is not.
    """
    return output.catalog is not None or (output.stays and "@" in name)


def _place(dataset: DatasetLike | None) -> _Place:
    if dataset is None or type(dataset) is MemoryDataset:
        return _Place.MEMORY
    if is_cached(dataset):
        return _Place.CACHED
    return _Place.MEMORY if getattr(dataset, "_EPHEMERAL", False) else _Place.STORED


def _bytes(dataset: DatasetLike | None) -> int:
    """About how large the data is that a memory dataset holds; data that is not here yet is large."""
    if getattr(dataset, "deferred", None) is not None:
        return PARAMETER_BYTES + 1
    size: int = sizeof(getattr(dataset, "_data", dataset))
    return size
