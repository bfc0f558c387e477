"""Hooks: which ones a manager knows, what a run calls, and what is pickled."""

from __future__ import annotations

import pickle
import threading
from types import SimpleNamespace

import cloudpickle
import pytest

from penstock.hooks import Hooks, create_hook_manager, hook_impl
from penstock.hooks.calls import NO_HOOKS, WORKER_HOOKS
from penstock.hooks.manager import register
from penstock.hooks.specs import PROJECT

pytestmark = pytest.mark.smoke


class BeforeNode:
    def __init__(self, name="plugin"):
        self.name = name

    @hook_impl
    def before_node_run(self, node, inputs):
        return {"by": (self.name, node, inputs)}


class WithLock:
    """It implements no hook of nodes or datasets."""

    def __init__(self):
        self.lock = threading.Lock()

    @hook_impl
    def before_pipeline_run(self, run_params): ...


ABOUT = {"node": "n", "catalog": None, "inputs": {"a": 1}, "is_async": False, "run_id": "r"}


def test_the_project_is_kedros():
    """pluggy finds plugins that were written for Kedro only under this name."""
    assert PROJECT == "kedro"
    assert hasattr(BeforeNode.before_node_run, "kedro_impl")


def test_a_manager_knows_the_hooks_of_nodes_datasets_and_pipelines():
    manager = create_hook_manager()

    for name in (
        *WORKER_HOOKS,
        "before_pipeline_run",
        "after_pipeline_run",
        "on_pipeline_error",
        "after_catalog_created",
        "after_context_created",
    ):
        assert hasattr(manager.hook, name)
    assert len(WORKER_HOOKS) == 7


def test_an_implementation_can_take_a_subset_of_the_arguments():
    (answer,) = create_hook_manager([BeforeNode()]).hook.before_node_run(**ABOUT)

    assert answer == {"by": ("plugin", "n", {"a": 1})}


def test_the_plugin_registered_last_is_called_first():
    manager = create_hook_manager([BeforeNode("first"), BeforeNode("second")])

    answers = manager.hook.before_node_run(**ABOUT)

    assert [answer["by"][0] for answer in answers] == ["second", "first"]


def test_a_class_is_refused():
    """pluggy would call its methods without `self`."""
    with pytest.raises(TypeError, match=r"the class: BeforeNode\(\)"):
        create_hook_manager([BeforeNode])
    with pytest.raises(TypeError, match=r"BeforeNode\(\)"):
        register(create_hook_manager(), BeforeNode)


def test_a_plugin_alone_is_refused():
    with pytest.raises(
        TypeError, match=r"a list of plugins, not a BeforeNode: write \[BeforeNode\(\.\.\.\)\]"
    ):
        create_hook_manager(BeforeNode())


class Misspelt:
    @hook_impl
    def before_node_rum(self, node): ...

    def after_node_run(self, node): ...

    @hook_impl
    def after_command_run(self): ...

    @hook_impl
    def before_dataset_saved(self, data): ...


def test_what_looks_like_a_hook_and_never_fires_is_logged_once(caplog):
    """A hook of Kedro's command line is not reported."""
    manager = create_hook_manager([Misspelt()])
    pickle.loads(cloudpickle.dumps(Hooks(manager)))

    assert [record.getMessage() for record in caplog.records] == [
        "Hook before_node_rum of Misspelt never fires: there is no hook of that name; did you mean before_node_run?",
        "Hook after_node_run of Misspelt never fires: it is not marked with @hook_impl",
    ]


def test_an_argument_that_no_hook_has_is_refused():
    class Wrong:
        @hook_impl
        def before_node_run(self, nodes): ...

    with pytest.raises(Exception, match="nodes"):
        create_hook_manager([Wrong()])


# Hooks: what a run calls


@pytest.mark.parametrize(
    "manager",
    [None, create_hook_manager(), create_hook_manager([WithLock()])],
    ids=["no manager", "no plugins", "other plugins"],
)
def test_hooks_without_an_implementation_are_none(manager):
    hooks = Hooks(manager)

    assert not hooks
    assert all(getattr(hooks, name) is None for name in WORKER_HOOKS)
    assert (hooks.for_nodes, hooks.for_datasets) == (False, False)


def test_only_what_is_implemented_is_called():
    hooks = Hooks(create_hook_manager([BeforeNode()]))

    assert hooks
    assert hooks.before_node_run(**ABOUT)
    assert hooks.after_node_run is None
    assert (hooks.for_nodes, hooks.for_datasets) == (True, False)


def test_a_wrapper_counts_as_an_implementation():
    class Wrapper:
        @hook_impl(wrapper=True)
        def before_dataset_loaded(self):
            return (yield)

    hooks = Hooks(create_hook_manager([Wrapper()]))

    assert hooks.before_dataset_loaded is not None
    assert (hooks.for_nodes, hooks.for_datasets) == (False, True)


def test_any_object_with_callable_hooks_is_a_manager():
    """Kedro passes its own manager when there are no plugins."""
    calls = []
    manager = SimpleNamespace(hook=SimpleNamespace(before_node_run=lambda **about: calls.append(about)))

    hooks = Hooks(manager)
    hooks.before_node_run(**ABOUT)

    assert calls == [ABOUT]
    assert hooks.plugins() == {}


# What is pickled


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps], ids=["pickle", "cloudpickle"])
def test_a_pickle_keeps_the_order_of_plugins(dumps):
    hooks = Hooks(create_hook_manager([BeforeNode("first"), BeforeNode("second")]))

    arrived = pickle.loads(dumps(hooks))

    assert [answer["by"][0] for answer in arrived.before_node_run(**ABOUT)] == ["second", "first"]


def test_a_pickle_has_only_plugins_with_hooks_of_nodes_or_datasets():
    """Other plugins may hold locks and connections, which cannot be pickled."""
    hooks = Hooks(create_hook_manager([WithLock(), BeforeNode()]))

    arrived = cloudpickle.loads(cloudpickle.dumps(hooks))

    assert [type(plugin).__name__ for plugin in hooks.plugins().values()] == ["BeforeNode"]
    assert len(arrived.plugins()) == 1


def test_a_plugin_that_was_unregistered_or_blocked_is_not_pickled():
    manager = create_hook_manager([BeforeNode("first")])
    gone = BeforeNode("gone")
    manager.register(gone)
    manager.unregister(gone)
    manager.set_blocked("blocked")

    assert [plugin.name for plugin in Hooks(manager).plugins().values()] == ["first"]


def test_a_pickle_without_hooks_is_small():
    assert not pickle.loads(pickle.dumps(NO_HOOKS))
    assert len(pickle.dumps(NO_HOOKS)) < 100


@pytest.mark.parametrize("plugin", ["a text", None, print])
def test_a_plugin_without_any_hook_is_logged(plugin, caplog):
    create_hook_manager([plugin])

    assert (
        f"A plugin of the class {type(plugin).__name__} has no hook: mark its methods with @hook_impl"
        in caplog.text
    )
