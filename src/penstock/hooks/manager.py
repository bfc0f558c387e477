"""The pluggy manager that plugins are registered with, and warnings about hooks that will never fire."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from pluggy import PluginManager

from penstock._similar import similar_names
from penstock.hooks.specs import PROJECT, DatasetSpecs, NodeSpecs, PipelineSpecs

_LOG = logging.getLogger(__name__)

MISSPELT_SIMILARITY = 0.85
"""An unknown hook whose name is at least this similar to a known one (0 to 1) is misspelt; others belong to Kedro's command line."""


def create_hook_manager(plugins: Iterable[object] = ()) -> PluginManager:
    """A manager that knows all hooks of Penstock, with these plugins registered.

    `penstock.run(..., hooks=plugins)` makes one; a manager is needed only to call the `run` of a runner directly.

    Args:
        plugins: Instances with methods that `hook_impl` marks. pluggy calls the plugin that is registered last first.

    Returns:
        A pluggy manager.

    Raises:
        TypeError: `plugins` is one plugin and not a list of them, or one of them is a class.

    Example:
        >>> from penstock.hooks import create_hook_manager, hook_impl
        >>> class Notify:
        ...     @hook_impl
        ...     def on_pipeline_error(self, error):
        ...         return f"The run failed: {error}"
        >>> manager = create_hook_manager([Notify()])
        >>> manager.hook.on_pipeline_error(error=ValueError("no data"), run_params={}, pipeline=None, catalog=None)
        ['The run failed: no data']
    """
    if not isinstance(plugins, Iterable):
        name = type(plugins).__name__
        raise TypeError(f"plugins must be a list of plugins, not a {name}: write [{name}(...)]")
    manager = PluginManager(PROJECT)
    for specs in (NodeSpecs, DatasetSpecs, PipelineSpecs):
        manager.add_hookspecs(specs)
    for plugin in plugins:
        register(manager, plugin)
    return manager


def register(manager: PluginManager, plugin: object) -> None:
    """Register a plugin, and log a warning for each of its methods that looks like a hook and will never fire, or if it has no hook.

    Args:
        manager: The manager.
        plugin: An instance with methods that `hook_impl` marks.

    Raises:
        TypeError: The plugin is a class: pluggy would call its methods without `self`.
    """
    if isinstance(plugin, type):
        name = plugin.__name__
        raise TypeError(f"Register an instance of {name} as a hook, not the class: {name}()")
    manager.register(plugin)
    reasons = list(_never_fires(manager, plugin))
    for hook, reason in reasons:
        _LOG.warning("Hook %s of %s never fires: %s", hook, type(plugin).__name__, reason)
    if not (reasons or manager.get_hookcallers(plugin)):
        name = type(plugin).__name__
        _LOG.warning("A plugin of the class %s has no hook: mark its methods with @hook_impl", name)


def _never_fires(manager: PluginManager, plugin: object) -> Iterator[tuple[str, str]]:
    """The methods with a misspelt name or without a mark, each with the reason."""
    known = [name for name in vars(manager.hook) if getattr(manager.hook, name).has_spec()]
    callers = manager.get_hookcallers(plugin) or []
    for caller in callers:
        if caller.has_spec():
            continue
        for similar in similar_names([caller.name], known, 1, MISSPELT_SIMILARITY):
            yield caller.name, f"there is no hook of that name; did you mean {similar}?"
    marked = {caller.name for caller in callers}
    for name in known:
        if name not in marked and callable(getattr(type(plugin), name, None)):
            yield name, "it is not marked with @hook_impl"
