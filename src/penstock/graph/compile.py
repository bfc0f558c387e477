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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from penstock.graph.builder import GraphBuilder
from penstock.graph.datasets import DatasetIndex, Place, check_inputs
from penstock.graph.plan import Plan
from penstock.hooks.calls import NO_HOOKS, Hooks
from penstock.io.kedro_objects import is_plain_memory
from penstock.io.memory import MemoryDataset
from penstock.tasks.backend import Backend, Context, LocalBackend
from penstock.tasks.bindings import InputBinding, OutputBinding, input_binding, output_binding
from penstock.tasks.call_tasks import AsyncCall, Bindings, Call, StreamCall
from penstock.tasks.dataset_tasks import Confirm, Load, PickOutput, Save, SharedLoad
from penstock.tasks.node_steps import check_no_generators
from penstock.tasks.values import DatasetValue

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, NodeLike, PipelineLike


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
        check_no_generators(pipeline.nodes)
    context = Context(backend or LocalBackend(), run_id, is_async)
    with _collector_paused():
        return _Compiler(pipeline, catalog, hooks, context).plan()


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


Handed = dict[str, tuple[InputBinding, str]]
"""For each dataset whose value is in the graph: how a reader gets it, and the key of the task that gives it."""


class _Compiler:
    """Goes through the nodes, and adds the tasks of each to the graph."""

    def __init__(self, pipeline: PipelineLike, catalog: CatalogLike, hooks: Hooks, context: Context) -> None:
        leaves_process = context.backend.leaves_process
        self.pipeline = pipeline
        self.datasets = DatasetIndex(pipeline, catalog, leaves_process=leaves_process)
        self.graph = GraphBuilder(hooks, leaves_process=leaves_process)
        self.handed_over: Handed = {}
        self.inputs = _Inputs(context, self.datasets, self.graph, self.handed_over)
        self.outputs = _Outputs(context, self.datasets, self.graph, self.handed_over)
        self.calls = _Calls(context)
        self.has_node_hooks = hooks.for_nodes
        self.last_keys: dict[NodeLike, list[str]] = {}
        """For each node that saves or confirms: the keys of the tasks that do it last."""

    def plan(self) -> Plan:
        """The plan of all nodes."""
        parents, last_keys = self.pipeline.node_dependencies, self.last_keys
        for node in self.pipeline.nodes:
            self._add(node, self._saves_of(parents[node]) if last_keys else [])
        outputs = {
            name: self.handed_over[name][1]
            for name in sorted(self.pipeline.outputs())
            if name in self.handed_over and self.datasets.by_name[name].place is Place.MEMORY
        }
        keys = list(dict.fromkeys([*outputs.values(), *self.graph.final_keys()]))
        return Plan(self.graph.graph, self.graph.tasks, keys, outputs, self.pipeline, self.datasets.stored)

    def _saves_of(self, nodes: Iterable[NodeLike]) -> list[str]:
        """The keys of the tasks after which all that these nodes save is saved."""
        last_keys = self.last_keys
        return list(dict.fromkeys([key for node in nodes for key in last_keys.get(node, ())]))

    def _add(self, node: NodeLike, waits: list[str]) -> None:
        """Add the tasks of a node, which start after the keys `waits`."""
        inputs, outputs = node.inputs, node.outputs
        call_type = self.calls.type_for(node.func)
        input_bindings, keys = self.inputs.bind(node, inputs, waits)
        output_bindings = self.outputs.bind(outputs, saves_inside=call_type is not Call)
        call = self.calls.bindings(call_type, input_bindings, output_bindings)(node)
        if self.has_node_hooks:
            call.catalog = self.datasets.catalog_for_hooks(dict.fromkeys((*inputs, *outputs)))
        confirmed = node.confirms
        if confirmed and call_type is not Call:
            call.confirms = self.datasets.catalog_for_task(confirmed)
        key = self.graph.add_task(call, [*keys, *waits] if waits else keys)
        saves = self.outputs.add_tasks(node, outputs, output_bindings, key)
        if confirmed and call_type is Call:
            confirm = Confirm(self.outputs.context, node, self.datasets.catalog_for_task(confirmed))
            saves = [self.graph.add_task(confirm, saves or [key])]
        if saves:
            self.last_keys[node] = saves


class _Calls:
    """Makes what the calls of nodes have in common; nodes that are bound alike share it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._bindings: dict[tuple[Any, ...], Bindings] = {}
        self._types: dict[int, type[Call]] = {}

    def type_for(self, function: Callable[..., Any]) -> type[Call]:
        """The kind of task that calls a node of this function."""
        if self._context.is_async:
            return AsyncCall
        # By identity, since a callable need not be hashable; the pipeline keeps it alive.
        found = self._types.get(id(function))
        if found is None:
            found = StreamCall if inspect.isgeneratorfunction(function) else Call
            self._types[id(function)] = found
        return found

    def bindings(
        self, call_type: type[Call], inputs: tuple[InputBinding, ...], outputs: tuple[OutputBinding, ...]
    ) -> Bindings:
        """The same object for the same arguments."""
        key = call_type, inputs, outputs
        bindings = self._bindings.get(key)
        if bindings is None:
            bindings = self._bindings[key] = Bindings(call_type, self._context, inputs, outputs)
        return bindings


class _Inputs:
    """How a node's task gets its inputs, and the tasks that load them."""

    def __init__(
        self, context: Context, datasets: DatasetIndex, graph: GraphBuilder, handed_over: Handed
    ) -> None:
        self._context, self._datasets, self._graph = context, datasets, graph
        self._handed_over = handed_over
        self._shared: dict[str, tuple[InputBinding, str | None]] = {}
        """How every reader gets a dataset that no node of this run hands over and that all readers share."""

    def bind(
        self, node: NodeLike, names: list[str], waits: list[str]
    ) -> tuple[tuple[InputBinding, ...], list[str]]:
        """How the node's task gets each input, and the keys whose values it is called with, in the same order."""
        unique = dict.fromkeys(names)
        bindings, keys = [], []
        for name in unique:
            binding, key = self._handed_over.get(name) or self._from_catalog(name, node, unique, waits)
            if len(unique) < len(names):
                binding = replace(binding, times=names.count(name))
            bindings.append(binding)
            if key is not None:
                keys.append(key)
        return tuple(bindings), keys

    def _from_catalog(
        self, name: str, node: NodeLike, inputs: Iterable[str], waits: list[str]
    ) -> tuple[InputBinding, str | None]:
        """How the node's task gets an input that no node of this run hands over, and the key of it, if it has one."""
        place = self._datasets.by_name[name].place
        if place is Place.STORED:
            return self._load(name, node, inputs, waits)
        if name not in self._shared:
            if place is Place.MEMORY:
                self._shared[name] = self._free_input(name)
            else:
                self._shared[name] = self._shared_load(name, node, inputs, waits)
        return self._shared[name]

    def _free_input(self, name: str) -> tuple[InputBinding, str | None]:
        """It travels inside the tasks, or if it is large and tasks leave this process, once as a part of the graph."""
        found = self._datasets.by_name[name].dataset
        dataset = MemoryDataset() if found is None else found
        if self._datasets.travels_in_task(name):
            return InputBinding(dataset=dataset), None
        return input_binding(comes_from_graph=True), self._graph.add_data(name, DatasetValue(dataset))

    def _shared_load(
        self, name: str, node: NodeLike, inputs: Iterable[str], waits: list[str]
    ) -> tuple[InputBinding, str]:
        load = SharedLoad(self._context, node, name, self._datasets.catalog_for_task([name]))
        copy_mode = self._datasets.by_name[name].copy_mode
        binding = input_binding(True, self._context.backend.copies, copy_mode)  # noqa: FBT003 - keywords take four times as long
        return binding, self._graph.add_task(load, self._before(inputs, waits))

    def _load(
        self, name: str, node: NodeLike, inputs: Iterable[str], waits: list[str]
    ) -> tuple[InputBinding, str | None]:
        catalog = self._datasets.catalog_for_task([name])
        if self._context.is_async:
            return InputBinding(catalog=catalog), None
        load = Load(self._context, node, name, catalog, node.inputs.count(name))
        key = self._graph.add_task(load, self._before(inputs, waits))
        return input_binding(comes_from_graph=True, has_load_task=True), key

    def _before(self, inputs: Iterable[str], waits: list[str]) -> list[str]:
        """What a load waits for: all that the node itself waits for."""
        return [*(self._handed_over[name][1] for name in inputs if name in self._handed_over), *waits]


class _Outputs:
    """What a node's task does with its outputs, and the tasks that follow it."""

    def __init__(
        self, context: Context, datasets: DatasetIndex, graph: GraphBuilder, handed_over: Handed
    ) -> None:
        self.context, self._datasets, self._graph = context, datasets, graph
        self._handed_over = handed_over
        # Asked for every dataset, and properties of the backend.
        self._copies, self._may_repeat = context.backend.copies, context.backend.may_repeat

    def bind(self, names: list[str], *, saves_inside: bool) -> tuple[OutputBinding, ...]:
        """What the node's task does with each output; `saves_inside` if no tasks of their own save them."""
        return tuple([self._binding(name, saves_inside) for name in names])

    def _binding(self, name: str, saves_inside: bool) -> OutputBinding:  # noqa: FBT001 - called once, above
        dataset, place, copy_mode = self._datasets.by_name[name]
        stays, copies = place is not Place.STORED, self._copies
        if place is Place.MEMORY and not is_plain_memory(dataset):
            return OutputBinding(stays, copies, copy_mode, dataset=dataset)
        if place is not Place.MEMORY and saves_inside:
            catalog = self._datasets.catalog_for_task([name])
            return OutputBinding(stays, copies, copy_mode, catalog=catalog)
        return output_binding(stays, copies, copy_mode, place is not Place.MEMORY)

    def add_tasks(
        self, node: NodeLike, names: list[str], bindings: tuple[OutputBinding, ...], call: str
    ) -> list[str]:
        """Add the tasks that save the outputs, or pick one of several, and note how readers get each.

        Args:
            node: The node.
            names: Its outputs.
            bindings: What its task does with each.
            call: The key of its task.

        Returns:
            The keys after which all outputs are saved; none if nothing is.
        """
        saves: dict[str, None] = {}
        for index, (name, binding) in enumerate(zip(names, bindings, strict=True)):
            position = index if len(names) > 1 else None
            if _ends_with_call(name, binding):
                saves[call] = None
            if binding.stays_in_graph:
                key = call if position is None else self._pick(node, name, position, call)
                self._handed_over[name] = self._reader_binding(name), key
            if binding.has_save_task:
                save = Save(self.context, node, name, self._datasets.catalog_for_task([name]), position)
                saves[self._graph.add_task(save, [call])] = None
        return list(saves)

    def _pick(self, node: NodeLike, name: str, index: int, call: str) -> str:
        return self._graph.add_task(PickOutput(self.context, node, name, index), [call])

    def _reader_binding(self, name: str) -> InputBinding:
        """How a reader gets an output that stays in the graph: copied if another reader may have the same object."""
        _, place, copy_mode = self._datasets.by_name[name]
        is_shared = self._datasets.reader_counts[name] > 1 or place is Place.CACHED or self._may_repeat
        return input_binding(True, self._copies and is_shared, copy_mode)  # noqa: FBT003 - keywords take four times as long


def _ends_with_call(name: str, output: OutputBinding) -> bool:
    """Whether a reader of an output has to wait for the node although it does not take the node's value.

    It was saved inside the node's task, or is read in another format, which the value is not.
    """
    return output.catalog is not None or (output.stays_in_graph and "@" in name)
