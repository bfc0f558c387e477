"""Compiles a pipeline into a `Plan`: the rules which tasks a node needs, and what they wait for. Nothing is loaded or run.

| task | when | waits for |
| --- | --- | --- |
| `load:<dataset>` | once for each node that reads a stored dataset | what the node itself waits for |
| `<node>` | each node | its loads, the nodes before it, and all saves of these |
| `save:<dataset>` | each stored output | its node |
| `pick:<dataset>` | each output in memory of a node with several outputs | its node |
| `confirm:<node>` | each node that confirms datasets | its saves |
| `data:<dataset>` | each large free input in memory, and the hooks, if tasks leave this process | nothing |

With `is_async` the node's own task loads and saves; a node whose function is a generator saves and confirms in its own task.

A dataset is *stored* if it keeps data outside the process: it is in the catalog and not `_EPHEMERAL`. Any other dataset is an edge
of the graph: a task hands its value to the next one. A `CachedDataset` is both: it is saved, and loaded once for all readers.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any, TypeAlias

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
    """Compile a pipeline into one Dask graph. Nothing is loaded, registered or run.

    Args:
        pipeline: A pipeline of Penstock or Kedro.
        catalog: Its datasets are loaded and saved; datasets that it does not have stay in memory.
        hooks: The node and dataset hooks that the tasks fire.
        run_id: The run id that hooks get; the keys of the graph have a random one of their own.
        is_async: Each node loads its inputs at the same time and saves its outputs at the same time, in threads of its task.
        backend: Where the tasks will run; by default in threads of this process.

    Returns:
        The graph, the keys to ask a scheduler for, and what each key is.

    Raises:
        MissingInputError: The catalog does not have all free inputs of the pipeline.
        InvalidNodeError: With `is_async`, the function of a node is a generator.

    Example:
        >>> import dask
        >>> from penstock import DataCatalog, compile_pipeline
        >>> from penstock.pipeline import node, pipeline
        >>> double = node(lambda x: 2 * x, "x", "y", name="double")
        >>> plan = compile_pipeline(pipeline([double]), DataCatalog({"x": 21}))
        >>> dask.get(plan.graph, plan.keys)
        (42,)
    """
    check_inputs(pipeline, catalog)
    if is_async:
        check_no_generators(pipeline.nodes)
    context = Context(backend or LocalBackend(), run_id, is_async)
    with _collector_paused():
        return _Compiler(pipeline, catalog, hooks, context).plan()


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause the garbage collector: all the small objects of a graph stay, and to check them again and again takes a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


Reference: TypeAlias = Any
"""The reference to a task or to data of the graph, which other tasks get as an argument; it has a `key`."""

HandedOver: TypeAlias = dict[str, tuple[InputBinding, Reference]]
"""For each dataset whose value a node of this run leaves in the graph: the binding of its readers, and its reference."""


class _Compiler:
    """Goes through the nodes, and adds the tasks of each to the graph."""

    def __init__(self, pipeline: PipelineLike, catalog: CatalogLike, hooks: Hooks, context: Context) -> None:
        leaves_process = context.backend.leaves_process
        self.pipeline, self.context = pipeline, context
        self.datasets = DatasetIndex(pipeline, catalog, leaves_process=leaves_process)
        self.graph = GraphBuilder(hooks, leaves_process=leaves_process)
        self.handed_over: HandedOver = {}
        self.inputs = _Inputs(context, self.datasets, self.graph, self.handed_over)
        self.outputs = _Outputs(context, self.datasets, self.graph, self.handed_over)
        self.bindings: Callable[..., Bindings] = cache(partial(Bindings, context))
        """Nodes with the same bindings share one object."""
        # By identity, since a callable need not be hashable; the pipeline keeps it alive.
        functions = {id(node.func): node.func for node in pipeline.nodes}
        self.generators = {key for key, each in functions.items() if inspect.isgeneratorfunction(each)}
        self.has_node_hooks = hooks.for_nodes
        self.last_tasks: dict[NodeLike, list[Reference]] = {}
        """For each node that saves or confirms datasets: the last tasks that do so."""

    def plan(self) -> Plan:
        """The plan of all nodes."""
        for node in self.pipeline.nodes:
            self._add(node, self._saves_before(node) if self.last_tasks else [])
        outputs = {
            name: self.handed_over[name][1].key
            for name in sorted(self.pipeline.outputs())
            if name in self.handed_over and self.datasets.by_name[name].place is Place.MEMORY
        }
        keys = list(dict.fromkeys([*outputs.values(), *self.graph.final_keys()]))
        return Plan(self.graph.graph, self.graph.tasks, keys, outputs, self.pipeline, self.datasets.stored)

    def _saves_before(self, node: NodeLike) -> list[Reference]:
        """The last tasks that save or confirm datasets of the nodes which this node depends on."""
        parents, last_tasks = self._parents[node], self.last_tasks
        return list(dict.fromkeys([task for parent in parents for task in last_tasks.get(parent, ())]))

    @cached_property
    def _parents(self) -> Mapping[Any, Iterable[Any]]:
        return self.pipeline.node_dependencies

    def _add(self, node: NodeLike, waits: list[Reference]) -> None:
        """Add the tasks of a node, which start after the tasks `waits`."""
        inputs, outputs = node.inputs, node.outputs
        call_type = self._call_type(node)
        input_bindings, arguments = self.inputs.bind(node, inputs, waits)
        output_bindings = self.outputs.bind(outputs, saves_inside=call_type is not Call)
        call = self.bindings(call_type, input_bindings, output_bindings)(node)
        if self.has_node_hooks:
            call.catalog = self.datasets.catalog_for_hooks(dict.fromkeys((*inputs, *outputs)))
        confirmed = node.confirms
        if confirmed and call_type is not Call:
            call.confirms = self.datasets.catalog_for_task(confirmed)
        task = self.graph.add_task(call, [*arguments, *waits] if waits else arguments)
        saves = self.outputs.add_tasks(node, outputs, output_bindings, task)
        if confirmed and call_type is Call:
            confirm = Confirm(self.context, node, self.datasets.catalog_for_task(confirmed))
            saves = [self.graph.add_task(confirm, saves or [task])]
        if saves:
            self.last_tasks[node] = saves

    def _call_type(self, node: NodeLike) -> type[Call]:
        """The class of the work that calls the node."""
        if self.context.is_async:
            return AsyncCall
        return StreamCall if id(node.func) in self.generators else Call


_Source: TypeAlias = tuple[InputBinding, Reference | None]
"""The binding of an input, and its reference if its value comes from the graph."""


class _Inputs:
    """How a node's task gets its inputs, and the tasks that load them."""

    def __init__(
        self, context: Context, datasets: DatasetIndex, graph: GraphBuilder, handed_over: HandedOver
    ) -> None:
        self._context, self._datasets, self._graph = context, datasets, graph
        self._handed_over = handed_over
        self._shared: dict[str, _Source] = {}
        """The binding and the reference of free inputs and cached datasets, which all readers share."""

    def bind(
        self, node: NodeLike, names: list[str], waits: list[Reference]
    ) -> tuple[tuple[InputBinding, ...], list[Reference]]:
        """The binding of each input, and the references that the node's task gets as arguments, in the same order."""
        unique = dict.fromkeys(names)
        bindings, arguments = [], []
        for name in unique:
            binding, argument = self._handed_over.get(name) or self._from_catalog(name, node, waits)
            if len(unique) < len(names):
                binding = replace(binding, times=names.count(name))
            bindings.append(binding)
            if argument is not None:
                arguments.append(argument)
        return tuple(bindings), arguments

    def _from_catalog(self, name: str, node: NodeLike, waits: list[Reference]) -> _Source:
        """The binding of an input that no node of this run hands over, and its reference if its value comes from the graph."""
        place = self._datasets.by_name[name].place
        if place is Place.STORED:
            return self._load(name, node, waits)
        if name not in self._shared:
            is_memory = place is Place.MEMORY
            self._shared[name] = self._free_input(name) if is_memory else self._shared_load(name, node, waits)
        return self._shared[name]

    def _free_input(self, name: str) -> _Source:
        """A free input in memory is a part of each task that reads it; a large one is sent once, as an entry of the graph."""
        found = self._datasets.by_name[name].dataset
        dataset = MemoryDataset() if found is None else found
        if self._datasets.is_sent_in_task(name):
            return InputBinding(dataset=dataset), None
        return input_binding(comes_from_graph=True), self._graph.add_data(name, DatasetValue(dataset))

    def _shared_load(self, name: str, node: NodeLike, waits: list[Reference]) -> _Source:
        load = SharedLoad(self._context, node, name, self._datasets.catalog_for_task([name]))
        copy_mode = self._datasets.by_name[name].copy_mode
        binding = input_binding(True, self._context.backend.copies, copy_mode)  # noqa: FBT003 - keywords take four times as long
        return binding, self._graph.add_task(load, self._before(node, waits))

    def _load(self, name: str, node: NodeLike, waits: list[Reference]) -> _Source:
        catalog = self._datasets.catalog_for_task([name])
        if self._context.is_async:
            return InputBinding(catalog=catalog), None
        load = Load(self._context, node, name, catalog, node.inputs.count(name))
        task = self._graph.add_task(load, self._before(node, waits))
        return input_binding(comes_from_graph=True, has_load_task=True), task

    def _before(self, node: NodeLike, waits: list[Reference]) -> list[Reference]:
        """The tasks that a load waits for: those that the node itself waits for."""
        inputs = dict.fromkeys(node.inputs)
        return [*(self._handed_over[name][1] for name in inputs if name in self._handed_over), *waits]


class _Outputs:
    """What a node's task does with its outputs, and the tasks that follow it."""

    def __init__(
        self, context: Context, datasets: DatasetIndex, graph: GraphBuilder, handed_over: HandedOver
    ) -> None:
        self.context, self._datasets, self._graph = context, datasets, graph
        self._handed_over = handed_over
        # Read once: they are properties of the backend, and each dataset needs them.
        self._copies, self._may_repeat = context.backend.copies, context.backend.may_repeat

    def bind(self, names: list[str], *, saves_inside: bool) -> tuple[OutputBinding, ...]:
        """The binding of each output. `saves_inside`: the node's own task saves them, and not `Save` tasks."""
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
        self, node: NodeLike, names: list[str], bindings: tuple[OutputBinding, ...], call: Reference
    ) -> list[Reference]:
        """Add the tasks that save or pick outputs, and note how readers get each output.

        Args:
            node: The node.
            names: The outputs of the node.
            bindings: The binding of each output.
            call: The node's task.

        Returns:
            The tasks that save outputs.
        """
        saves: dict[Reference, None] = {}
        for index, (name, binding) in enumerate(zip(names, bindings, strict=True)):
            position = index if len(names) > 1 else None
            if _is_saved_by_call(name, binding):
                saves[call] = None
            if binding.stays_in_graph:
                task = call if position is None else self._pick(node, name, position, call)
                self._handed_over[name] = self._reader_binding(name), task
            if binding.has_save_task:
                save = Save(self.context, node, name, self._datasets.catalog_for_task([name]), position)
                saves[self._graph.add_task(save, [call])] = None
        return list(saves)

    def _pick(self, node: NodeLike, name: str, index: int, call: Reference) -> Reference:
        return self._graph.add_task(PickOutput(self.context, node, name, index), [call])

    def _reader_binding(self, name: str) -> InputBinding:
        """The binding of the readers of an output that stays in the graph. Readers get copies if they would share one object."""
        _, place, copy_mode = self._datasets.by_name[name]
        is_shared = self._datasets.reader_counts[name] > 1 or place is Place.CACHED or self._may_repeat
        return input_binding(True, self._copies and is_shared, copy_mode)  # noqa: FBT003 - keywords take four times as long


def _is_saved_by_call(name: str, output: OutputBinding) -> bool:
    """Whether readers have to wait for the node's own task although they may not get its value.

    The task saves the output, or readers may load it in another format (`name@format`).
    """
    return output.catalog is not None or (output.stays_in_graph and "@" in name)
