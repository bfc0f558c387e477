"""`Hooks`: the hooks that a run calls, and the plugins that are sent to workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pluggy import HookCaller, PluginManager

from penstock.hooks.manager import create_hook_manager
from penstock.hooks.specs import DatasetSpecs, NodeSpecs

HookCall = Callable[..., Any]

WORKER_HOOKS = (
    *(name for name in vars(NodeSpecs) if not name.startswith("_")),
    *(name for name in vars(DatasetSpecs) if not name.startswith("_")),
)
"""The hooks that fire on the worker that runs a node."""


class Hooks:
    """The node and dataset hooks of one run: each attribute is a callable, or None if no plugin implements the hook.

    So a run spends no time on hooks that are not implemented. A pickle contains only the plugins that implement one of
    these hooks; unpickling registers them with a new manager in the same order. Workers have copies of the plugins: the
    state that a plugin collects there does not come back.

    Args:
        manager: A pluggy manager, or any object with callable attributes in `manager.hook`; None for no hooks.

    Attributes:
        for_datasets: Whether any dataset hook is implemented.
        for_nodes: Whether any node hook is implemented.
        manager: The given manager.

    Example:
        >>> from penstock.hooks import Hooks, create_hook_manager, hook_impl
        >>> class Notify:
        ...     @hook_impl
        ...     def after_dataset_saved(self, dataset_name):
        ...         print("saved", dataset_name)
        >>> hooks = Hooks(create_hook_manager([Notify()]))
        >>> _ = hooks.after_dataset_saved(dataset_name="model", data=None, node=None)
        saved model
        >>> hooks.before_node_run is None, hooks.for_datasets, hooks.for_nodes
        (True, True, False)
        >>> [type(plugin).__name__ for plugin in hooks.plugins().values()]
        ['Notify']
    """

    __slots__ = (*WORKER_HOOKS, "for_datasets", "for_nodes", "manager")

    before_node_run: HookCall | None
    after_node_run: HookCall | None
    on_node_error: HookCall | None
    before_dataset_loaded: HookCall | None
    after_dataset_loaded: HookCall | None
    before_dataset_saved: HookCall | None
    after_dataset_saved: HookCall | None

    def __init__(self, manager: Any = None) -> None:
        self.manager = manager
        for name in WORKER_HOOKS:
            setattr(self, name, _call_if_implemented(manager, name))
        used = {name for name in WORKER_HOOKS if getattr(self, name) is not None}
        self.for_datasets = any("dataset" in name for name in used)
        self.for_nodes = any("node" in name for name in used)

    def __bool__(self) -> bool:
        """Whether any plugin implements a node or dataset hook."""
        return self.for_datasets or self.for_nodes

    def __reduce__(self) -> tuple[Callable[..., Hooks], tuple[list[object]]]:
        return _unpickled, (list(self.plugins().values()),)

    def plugins(self) -> dict[str, object]:
        """The plugins that implement a node or dataset hook.

        Returns:
            The plugins by name, in the order of their registration; empty if the manager is not pluggy's.
        """
        if not isinstance(self.manager, PluginManager):
            return {}
        used = {id(plugin) for name in WORKER_HOOKS for plugin in _implementing_plugins(self.manager, name)}
        return {
            str(name): plugin
            for name, plugin in self.manager.list_name_plugin()
            if plugin is not None and id(plugin) in used
        }


def _unpickled(plugins: list[object]) -> Hooks:
    manager = create_hook_manager()
    for plugin in plugins:
        manager.register(plugin)
    return Hooks(manager)


def _call_if_implemented(manager: Any, name: str) -> HookCall | None:
    call: HookCall | None = getattr(getattr(manager, "hook", None), name, None)
    is_unused = isinstance(call, HookCaller) and not call.get_hookimpls()
    return None if is_unused else call


def _implementing_plugins(manager: Any, name: str) -> list[object]:
    caller = getattr(manager.hook, name, None)
    return [implementation.plugin for implementation in caller.get_hookimpls()] if caller is not None else []


NO_HOOKS = Hooks()
