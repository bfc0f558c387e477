"""Compiles a pipeline into a `Plan`: the rules which tasks a node needs, and what they wait for. Nothing is loaded or run.

| task | when | waits for |
| --- | --- | --- |
| `load:<dataset>` | once for each node that reads a stored dataset | what the node itself waits for |
| `<node>` | each node | its loads, the nodes before it, and all saves of these |
| `save:<dataset>` | each stored output | its node |
| `pick:<dataset>` | each output in memory of a node with several outputs, and each dataset that is confirmed | its node |
| `confirm:<node>` | each node that confirms datasets | its saves |
| `data:<dataset>` | each large free input in memory, and the hooks, if tasks leave this process | nothing |

With `is_async` the node's own task loads and saves; a node whose function is a generator saves in its own task.

A dataset that is confirmed goes from its load through its reader to the confirmation, if these may be in different processes: what it
knows after the load, for instance which files it has seen, is what is confirmed.

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
from penstock.graph.datasets import DatasetIndex, Place, as_catalog, check_inputs
from penstock.graph.keys import MAX_PREFIXES, count_prefixes, prefix_by_function
from penstock.graph.plan import Plan
from penstock.hooks.calls import NO_HOOKS, Hooks
from penstock.io.kedro_objects import is_plain_memory, is_saved_by_call
from penstock.io.memory import MemoryDataset
from penstock.tasks.backend import Backend, Context, LocalBackend
from penstock.tasks.bindings import InputBinding, OutputBinding, input_binding, output_binding
from penstock.tasks.call_tasks import AsyncCall, Bindings, Call, StreamCall
from penstock.tasks.dataset_tasks import Confirm, ConfirmLoaded, PickOutput, Save
from penstock.tasks.load_tasks import Load, LoadToConfirm, SharedLoad
from penstock.tasks.node_steps import check_no_generators
from penstock.tasks.values import DatasetValue

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, NodeLike, PipelineLike


def compile_pipeline(
    pipeline: PipelineLike,
    catalog: CatalogLike | Mapping[str, Any],
    *,
    hooks: Hooks = NO_HOOKS,
    run_id: str | None = None,
    is_async: bool = False,
    backend: Backend | None = None,
) -> Plan:
    """Compile a pipeline into one Dask graph. Nothing is loaded, registered or run.

    Args:
        pipeline: A pipeline of Penstock or Kedro.
        catalog: A catalog, or datasets and data by name. They are loaded and saved; what it does not have stays in memory.
        hooks: The node and dataset hooks that the tasks fire.
        run_id: The run id that hooks get; the keys of the graph have a random one of their own.
        is_async: Each node loads its inputs at the same time and saves its outputs at the same time, in threads of its task.
        backend: Where the tasks will run; by default in threads of this process.

    Returns:
        The graph, the keys to ask a scheduler for, and what each key is.

    Raises:
        MissingInputError: The catalog does not have all free inputs of the pipeline.
        InvalidNodeError: With `is_async`, the function of a node is a generator.
        TypeError: The catalog is neither a catalog nor a dict.

    Example:
        >>> import dask
        >>> from penstock import DataCatalog, compile_pipeline
        >>> from penstock.pipeline import node, pipeline
        >>> double = node(lambda x: 2 * x, "x", "y", name="double")
        >>> plan = compile_pipeline(pipeline([double]), DataCatalog({"x": 21}))
        >>> dask.get(plan.graph, plan.keys)
        (42,)
    """
    catalog = as_catalog(catalog)
    check_inputs(pipeline, catalog)
    if is_async:
        check_no_generators(pipeline.nodes)
    context = Context(backend or LocalBackend(), run_id, is_async)
    with _collector_paused():
        if len(pipeline.nodes) <= MAX_PREFIXES:
            plan = _Compiler(pipeline, catalog, hooks, context).plan()
            if count_prefixes(plan.graph) <= MAX_PREFIXES:
                return plan
        # A second time for few nodes with many datasets, which takes some milliseconds: only the graph tells its prefixes.
        return _Compiler(pipeline, catalog, hooks, context, prefix_by_function(pipeline.nodes)).plan()


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

Source: TypeAlias = tuple[InputBinding, Reference]
"""Where a node gets an input from: its binding, and its reference; None if its value does not come from the graph."""


class _Compiler:
    """The rules: goes through the nodes, and adds the tasks of each to the graph."""

    def __init__(
        self,
        pipeline: PipelineLike,
        catalog: CatalogLike,
        hooks: Hooks,
        context: Context,
        prefixes: Mapping[int, str] | None = None,
    ) -> None:
        backend = context.backend
        self.pipeline, self.context = pipeline, context
        self.datasets = DatasetIndex(pipeline, catalog, leaves_process=backend.leaves_process)
        self.graph = GraphBuilder(hooks, leaves_process=backend.leaves_process, prefixes=prefixes)
        self.has_node_hooks = hooks.for_nodes
        # Read once: they are properties of the backend, and each dataset needs them.
        self.copies, self.may_repeat = backend.copies, backend.may_repeat
        self.bindings: Callable[..., Bindings] = cache(partial(Bindings, context))
        """Nodes with the same bindings share one object."""
        # By identity, since a callable need not be hashable; the pipeline keeps it alive.
        functions = {id(node.func): node.func for node in pipeline.nodes}
        self.generators = {key for key, each in functions.items() if inspect.isgeneratorfunction(each)}
        self.made: dict[str, Source] = {}
        """Where readers get the outputs from that nodes of this run leave in the graph, by dataset."""
        self.shared: dict[str, Source] = {}
        """The same for free inputs in memory and cached datasets."""
        self.to_confirm: frozenset[str] = self.datasets.confirmed if backend.leaves_process else frozenset()
        """The datasets that are confirmed in another process than the one that has loaded them."""
        self.loaded: dict[str, Reference] = {}
        """These datasets, as they were after the load."""
        self.last_tasks: dict[NodeLike, list[Reference]] = {}
        """For each node that saves or confirms datasets: the last tasks that do so."""

    def plan(self) -> Plan:
        """The plan of all nodes."""
        for node, inputs in zip(self.pipeline.nodes, self.datasets.inputs, strict=True):
            self._add(node, inputs, self._saves_before(node) if self.last_tasks else [])
        outputs = {
            name: self.made[name][1].key
            for name in sorted(self.pipeline.outputs())
            if name in self.made and self.datasets.by_name[name].place is Place.MEMORY
        }
        keys = list(dict.fromkeys([*outputs.values(), *self.graph.final_keys()]))
        return Plan(self.graph.graph, self.graph.tasks, keys, outputs, self.pipeline, self.datasets.stored)

    def _saves_before(self, node: NodeLike) -> list[Reference]:
        """The last tasks that save or confirm datasets of the nodes which this node depends on."""
        parents, last_tasks = self._parents[node], self.last_tasks
        return list(dict.fromkeys([task for parent in parents for task in last_tasks.get(parent, ())]))

    @cached_property
    def _parents(self) -> Mapping[Any, Iterable[Any]]:
        parents: Mapping[Any, Iterable[Any]] = self.pipeline.node_dependencies
        return parents

    def _add(self, node: NodeLike, inputs: Iterable[str], waits: list[Reference]) -> None:
        """Add the tasks of a node that reads these datasets; they start after the tasks `waits`."""
        outputs = node.outputs
        call_type = self._call_type(node)
        sources = self._sources(node, inputs, waits)
        read = tuple([binding for binding, _ in sources])
        written = tuple([self._output_binding(name, call_type) for name in outputs])
        call = self.bindings(call_type, read, written)(node)
        if self.has_node_hooks:
            call.catalog = self.datasets.catalog_for_hooks(dict.fromkeys((*inputs, *outputs)))
        loaded = [name for name in inputs if name in self.to_confirm]
        call.handed_on = len(loaded)
        arguments = [each for _, each in sources if each is not None]
        task = self.graph.add_task(call, arguments + [self.loaded[name] for name in loaded] + waits)
        saves = self._add_outputs(node, outputs, written, task, also=loaded)
        if node.confirms:
            saves = [self._add_confirm(node, saves or [task])]
        if saves:
            self.last_tasks[node] = saves

    def _call_type(self, node: NodeLike) -> type[Call]:
        """The class of the work that calls the node. Only `Call` leaves saves and confirmations to tasks of their own."""
        if self.context.is_async:
            return AsyncCall
        return StreamCall if id(node.func) in self.generators else Call

    # Inputs

    def _sources(self, node: NodeLike, inputs: Iterable[str], waits: list[Reference]) -> list[Source]:
        """Where the node gets each of its datasets from."""
        sources = [self.made.get(name) or self._from_catalog(name, node, waits) for name in inputs]
        names = node.inputs
        if len(sources) == len(names):
            return sources
        counts = map(names.count, inputs)
        return [
            (replace(binding, times=count), each)
            for (binding, each), count in zip(sources, counts, strict=True)
        ]

    def _from_catalog(self, name: str, node: NodeLike, waits: list[Reference]) -> Source:
        """Where the node gets a dataset from that no node of this run leaves in the graph."""
        place = self.datasets.by_name[name].place
        if place is Place.STORED:
            return self._load(name, node, waits)
        if name not in self.shared:
            is_memory = place is Place.MEMORY
            self.shared[name] = self._free_input(name) if is_memory else self._shared_load(name, node, waits)
        return self.shared[name]

    def _free_input(self, name: str) -> Source:
        """A free input in memory is a part of each task that reads it; a large one is sent once, as an entry of the graph."""
        found = self.datasets.by_name[name].dataset
        dataset = MemoryDataset() if found is None else found
        if self.datasets.is_sent_in_task(name):
            return InputBinding(dataset=dataset), None
        return input_binding(comes_from_graph=True), self.graph.add_data(name, DatasetValue(dataset))

    def _shared_load(self, name: str, node: NodeLike, waits: list[Reference]) -> Source:
        load = SharedLoad(self.context, node, name, self.datasets.catalog_for_task([name]))
        binding = input_binding(True, self.copies, self.datasets.by_name[name].copy_mode)  # noqa: FBT003 - keywords take four times as long
        return binding, self.graph.add_task(load, self._before(node, waits))

    def _load(self, name: str, node: NodeLike, waits: list[Reference]) -> Source:
        catalog = self.datasets.catalog_for_task([name])
        is_confirmed = name in self.to_confirm
        if self.context.is_async and not is_confirmed:
            return InputBinding(catalog=catalog), None
        load_type = LoadToConfirm if is_confirmed else Load
        load = load_type(self.context, node, name, catalog, node.inputs.count(name))
        task = self.graph.add_task(load, self._before(node, waits))
        if is_confirmed:
            self.loaded[name] = self._pick(node, name, 1, task)
            task = self._pick(node, name, 0, task)
        return input_binding(comes_from_graph=True, has_load_task=True), task

    def _before(self, node: NodeLike, waits: list[Reference]) -> list[Reference]:
        """The tasks that a load waits for: those that the node itself waits for."""
        return [self.made[name][1] for name in dict.fromkeys(node.inputs) if name in self.made] + waits

    # Outputs

    def _output_binding(self, name: str, call_type: type[Call]) -> OutputBinding:
        """What the node's own task does with an output."""
        dataset, place, copy_mode = self.datasets.by_name[name]
        stays = place is not Place.STORED
        if place is Place.MEMORY:
            if is_plain_memory(dataset):
                return output_binding(stays, self.copies, copy_mode)
            return OutputBinding(stays, self.copies, copy_mode, dataset=dataset)
        if call_type is Call and not is_saved_by_call(dataset):
            return output_binding(stays, self.copies, copy_mode, has_save_task=True)
        return OutputBinding(stays, self.copies, copy_mode, catalog=self.datasets.catalog_for_task([name]))

    def _add_outputs(
        self,
        node: NodeLike,
        names: list[str],
        bindings: tuple[OutputBinding, ...],
        call: Reference,
        also: list[str],
    ) -> list[Reference]:
        """Add the tasks that save or pick outputs, note how readers get each output, and give the tasks that save.

        The call also hands on the datasets `also` that it has read.
        """
        saves: dict[Reference, None] = {}
        is_one = len(names) + len(also) == 1
        self.loaded |= {
            name: call if is_one else self._pick(node, name, index, call)
            for index, name in enumerate(also, len(names))
        }
        for index, name in enumerate(names):
            binding = bindings[index]
            position = None if is_one else index
            # The call saves the output, or readers may load it in another format: they wait for the call without its value.
            if binding.catalog is not None or (binding.stays_in_graph and "@" in name):
                saves[call] = None
            if binding.stays_in_graph:
                value = call if position is None else self._pick(node, name, position, call)
                self.made[name] = self._reader_binding(name), value
            if binding.has_save_task:
                save = Save(self.context, node, name, self.datasets.catalog_for_task([name]), position)
                saves[self.graph.add_task(save, [call])] = None
        return list(saves)

    def _add_confirm(self, node: NodeLike, after: list[Reference]) -> Reference:
        """Add the task that confirms the node's datasets: as they were after the load, if a node before has loaded them."""
        names = node.confirms
        catalog, loaded = (
            self.datasets.catalog_for_task(names),
            [name for name in names if name in self.loaded],
        )
        if not loaded:
            return self.graph.add_task(Confirm(self.context, node, catalog), after)
        confirm = ConfirmLoaded(self.context, node, catalog, tuple(loaded))
        return self.graph.add_task(confirm, after + [self.loaded[name] for name in loaded])

    def _pick(self, node: NodeLike, name: str, index: int, call: Reference) -> Reference:
        return self.graph.add_task(PickOutput(self.context, node, name, index), [call])

    def _reader_binding(self, name: str) -> InputBinding:
        """The binding of the readers of an output that stays in the graph. Readers get copies if they would share one object."""
        _, place, copy_mode = self.datasets.by_name[name]
        is_shared = self.may_repeat or self.datasets.reader_counts[name] > 1 or place is Place.CACHED
        return input_binding(True, self.copies and is_shared, copy_mode)  # noqa: FBT003 - keywords take four times as long
