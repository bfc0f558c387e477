"""The hooks that plugins implement, and `Hooks`: what of a hook manager a run calls and ships.

The hook names, their arguments and the pluggy project name are Kedro's, so that a plugin written for Kedro works here
as it is (https://docs.kedro.org, "Hooks"). An implementation may take any subset of the arguments.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pluggy import HookCaller, HookimplMarker, HookspecMarker, PluginManager

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, Data, NodeLike, PipelineLike

_LOG = logging.getLogger(__name__)

PROJECT = "kedro"
"""pluggy finds implementations by this name: it is the mark that `hook_impl` leaves on a method."""

ALIKE = 0.85
"""From this share of equal letters on, an unknown hook is taken for a misspelt one; Kedro's command line has some of its own."""

hook_impl = HookimplMarker(PROJECT)
"""Marks a method of a plugin as the implementation of the hook of that name."""

hook_spec = HookspecMarker(PROJECT)
"""Marks the declaration of a hook."""


class NodeSpecs:
    """Hooks round the call of a node; they fire on the worker that runs it."""

    @hook_spec
    def before_node_run(
        self, node: NodeLike, catalog: CatalogLike, inputs: dict[str, Data], is_async: bool, run_id: str
    ) -> dict[str, Data] | None:
        """Fires when the inputs are loaded; a dict that it returns replaces those inputs by name."""

    @hook_spec
    def after_node_run(
        self,
        node: NodeLike,
        catalog: CatalogLike,
        inputs: dict[str, Data],
        outputs: dict[str, Data],
        is_async: bool,
        run_id: str,
    ) -> None:
        """Fires when the node has returned, before its outputs are saved."""

    @hook_spec
    def on_node_error(
        self,
        error: Exception,
        node: NodeLike,
        catalog: CatalogLike,
        inputs: dict[str, Data],
        is_async: bool,
        run_id: str,
    ) -> None:
        """Fires when the node has raised; the error goes on to the caller of the run afterwards."""


class DatasetSpecs:
    """Hooks round each load and save; they fire on the worker that loads or saves."""

    @hook_spec
    def before_dataset_loaded(self, dataset_name: str, node: NodeLike) -> None:
        """Fires before `node` loads the dataset."""

    @hook_spec
    def after_dataset_loaded(self, dataset_name: str, data: Data, node: NodeLike) -> None:
        """Fires when `node` has loaded the dataset."""

    @hook_spec
    def before_dataset_saved(self, dataset_name: str, data: Data, node: NodeLike) -> None:
        """Fires before what `node` made is saved."""

    @hook_spec
    def after_dataset_saved(self, dataset_name: str, data: Data, node: NodeLike) -> None:
        """Fires when what `node` made is saved."""


class PipelineSpecs:
    """Hooks round a whole run; `penstock.run` fires them in the driver, a runner never does."""

    @hook_spec
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: PipelineLike, catalog: CatalogLike
    ) -> None:
        """Fires before the run starts."""

    @hook_spec
    def after_pipeline_run(
        self,
        run_params: dict[str, Any],
        run_result: dict[str, Any],
        pipeline: PipelineLike,
        catalog: CatalogLike,
    ) -> None:
        """Fires when the run has succeeded."""

    @hook_spec
    def on_pipeline_error(
        self, error: Exception, run_params: dict[str, Any], pipeline: PipelineLike, catalog: CatalogLike
    ) -> None:
        """Fires when the run has failed; the error goes on to the caller afterwards."""

    @hook_spec
    def after_catalog_created(
        self,
        catalog: CatalogLike,
        conf_catalog: dict[str, Any],
        conf_creds: dict[str, Any],
        parameters: dict[str, Any],
        save_version: str,
        load_versions: dict[str, str],
    ) -> None:
        """Declared for Kedro's sessions, which fire it; Penstock never does."""

    @hook_spec
    def after_context_created(self, context: Any) -> None:
        """Declared for Kedro's sessions, which fire it; Penstock never does."""


def create_hook_manager(plugins: Iterable[object] = ()) -> PluginManager:
    """A hook manager that knows every hook, with `plugins` registered in their order.

    Args:
        plugins: Instances with methods marked by `hook_impl`.

    Raises:
        TypeError: A class was given where an instance is wanted, or a single plugin where several are.
    """
    if not isinstance(plugins, Iterable):
        raise TypeError(f"Hooks are several plugins, not one: write [{type(plugins).__name__}(...)]")
    manager = PluginManager(PROJECT)
    for specs in (NodeSpecs, DatasetSpecs, PipelineSpecs):
        manager.add_hookspecs(specs)
    for plugin in plugins:
        register(manager, plugin)
    return manager


def register(manager: PluginManager, plugin: object) -> None:
    """Register an instance with hook implementations; a class is refused, since its methods would lack `self`.

    What looks like a hook and never fires is logged: a name that is misspelt, a method that is not marked.
    """
    if isinstance(plugin, type):
        raise TypeError(
            f"Register an instance of {plugin.__name__} as a hook, not the class: {plugin.__name__}()"
        )
    manager.register(plugin)
    for name, why in _never_fires(manager, plugin):
        _LOG.warning("Hook %s of %s never fires: %s", name, type(plugin).__name__, why)


def _never_fires(manager: PluginManager, plugin: object) -> Iterator[tuple[str, str]]:
    """The methods of a plugin that its author will miss, each with the reason."""
    known = [name for name in vars(manager.hook) if getattr(manager.hook, name).has_spec()]
    callers = manager.get_hookcallers(plugin) or []
    for caller in callers:
        near = difflib.get_close_matches(caller.name, known, 1, ALIKE)
        if near and not caller.has_spec():
            yield caller.name, f"there is no hook of that name; did you mean {near[0]}?"
    marked = {caller.name for caller in callers}
    for name in known:
        if name not in marked and callable(getattr(type(plugin), name, None)):
            yield name, "it is not marked with @hook_impl"


Caller = Callable[..., Any]

WORKER_HOOKS = (
    *(name for name in vars(NodeSpecs) if not name.startswith("_")),
    *(name for name in vars(DatasetSpecs) if not name.startswith("_")),
)
"""The hooks that fire where a node runs."""


class Hooks:
    """The node and dataset hooks of one run: each attribute is a callable, or None where no plugin implements it.

    A node pays nothing for a hook that nobody implements. Pickled, it is the plugins that implement one of these hooks
    and nothing else; unpickled, it is a hook manager of its own with those plugins in the same order, so state that a
    plugin keeps there does not come back.

    Args:
        manager: A pluggy manager, or anything whose `hook` answers the calls; None for no hooks at all.
    """

    __slots__ = (*WORKER_HOOKS, "for_datasets", "for_nodes", "manager")

    before_node_run: Caller | None
    after_node_run: Caller | None
    on_node_error: Caller | None
    before_dataset_loaded: Caller | None
    after_dataset_loaded: Caller | None
    before_dataset_saved: Caller | None
    after_dataset_saved: Caller | None

    def __init__(self, manager: Any = None) -> None:
        self.manager = manager
        for name in WORKER_HOOKS:
            setattr(self, name, _caller(manager, name))
        used = {name for name in WORKER_HOOKS if getattr(self, name) is not None}
        self.for_datasets = any("dataset" in name for name in used)
        self.for_nodes = any("node" in name for name in used)

    def __bool__(self) -> bool:
        """Whether any plugin implements a node or dataset hook."""
        return self.for_datasets or self.for_nodes

    def __reduce__(self) -> tuple[Callable[..., Hooks], tuple[list[object]]]:
        return _of_plugins, (list(self.plugins().values()),)

    def plugins(self) -> dict[str, object]:
        """The plugins that implement a node or dataset hook, by name, in the order of their registration."""
        if not isinstance(self.manager, PluginManager):
            return {}
        used = {id(plugin) for name in WORKER_HOOKS for plugin in _implementers(self.manager, name)}
        return {
            str(name): plugin
            for name, plugin in self.manager.list_name_plugin()
            if plugin is not None and id(plugin) in used
        }


def _of_plugins(plugins: list[object]) -> Hooks:
    manager = create_hook_manager()
    for plugin in plugins:
        manager.register(plugin)
    return Hooks(manager)


def _caller(manager: Any, name: str) -> Caller | None:
    caller: Caller | None = getattr(getattr(manager, "hook", None), name, None)
    nobody = isinstance(caller, HookCaller) and not caller.get_hookimpls()
    return None if nobody else caller


def _implementers(manager: Any, name: str) -> list[object]:
    caller = getattr(manager.hook, name, None)
    return [implementation.plugin for implementation in caller.get_hookimpls()] if caller is not None else []


NO_HOOKS = Hooks()
