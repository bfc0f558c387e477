"""Every public name says what its caller gets, what it takes and what it raises, and shows it in an example that runs."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import itertools
import re
import textwrap
from functools import cached_property
from pathlib import Path

import pytest

import penstock

IMPORTED_IN_EXAMPLES = ("pandas", "pyarrow")
"""Optional packages: where they are not installed, the examples that import them are skipped."""


def modules():
    """All modules of the library but those for Kedro projects: once imported, Kedro logs to the standard output."""
    root = Path(penstock.__file__).parent
    places = [path.relative_to(root.parent).with_suffix("").parts for path in sorted(root.rglob("*.py"))]
    names = [".".join(parts).removesuffix(".__init__") for parts in places if "kedro" not in parts]
    return [importlib.import_module(name) for name in names]


def examples():
    """The examples of each docstring that has some."""
    finder = doctest.DocTestFinder()
    return [test for module in modules() for test in finder.find(module) if test.examples]


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_an_example_gives_what_its_docstring_shows(example, tmp_path, monkeypatch):
    source = "".join(step.source for step in example.examples)
    for package in IMPORTED_IN_EXAMPLES:
        if package in source:
            pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    printed = []

    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=printed.append)

    assert result.failed == 0, "".join(printed)


# What a docstring has to say.


def public_objects():
    """The public functions and classes with their public methods and properties, by name."""
    found = {}
    for name in penstock.__all__:
        thing = getattr(penstock, name)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        found[name] = (thing, None)
        if inspect.isclass(thing):
            found |= {f"{name}.{member}": (value, thing) for member, value in public_members(thing)}
    return found


def public_members(cls):
    """The methods and properties that a class of ours defines itself or inherits from another one."""
    members = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("penstock"):
            members |= {name: value for name, value in vars(base).items() if not name.startswith("_")}
    return [(name, value) for name, value in members.items() if is_documented_kind(value)]


def is_documented_kind(value):
    return inspect.isfunction(value) or isinstance(
        value, (property, cached_property, classmethod, staticmethod)
    )


PUBLIC = public_objects()


def function_of(thing):
    """What is called: of a class its `__init__`, if it has one of its own."""
    if inspect.isclass(thing):
        made = thing.__init__
        return made if inspect.isfunction(made) and made.__module__.startswith("penstock") else None
    return inspect.unwrap(getattr(thing, "__func__", thing))


def section(text, *titles):
    """The text of all sections with these titles."""
    return "".join(re.findall(rf"^(?:{'|'.join(titles)}):\n(.*?)(?=^\w|\Z)", text, re.MULTILINE | re.DOTALL))


def docs_of(name):
    """What describes a public name: its docstring, and the docstring of what it overrides or inherits.

    The docstring of an older name is the one of the newer name.
    """
    thing, owner = PUBLIC[name]
    own = inspect.getdoc(thing) or ""
    newer = re.match(r"The older name of `(\w+)`", own)
    member = newer[1] if newer else name.rpartition(".")[2]
    described = [thing, *ours(thing)] if owner is None else [vars(base).get(member) for base in ours(owner)]
    return "\n".join(inspect.getdoc(each) or "" for each in described if each is not None)


def ours(thing):
    """The classes of this library among a class and its bases."""
    is_class = inspect.isclass(thing)
    return [base for base in thing.__mro__ if base.__module__.startswith("penstock")] if is_class else []


def described_fields(thing):
    """The fields of a class that are followed by a docstring of their own."""
    body = ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0].body if inspect.isclass(thing) else []
    return {
        field.target.id
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


def parameters(function):
    ours = [name for name in inspect.signature(function).parameters if name not in {"self", "cls"}]
    return [name for name in ours if not name.startswith("_")]


def raised_names(function):
    """The classes of the errors that the function itself raises."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except OSError:  # the `__init__` of a dataclass is made without a file
        return set()
    raised = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc is not None]
    calls = [error.func if isinstance(error, ast.Call) else error for error in raised]
    return {call.id for call in calls if isinstance(call, ast.Name) and call.id.endswith("Error")}


def is_shown(name):
    """Whether an example calls it: its own, or one of its class or of another method of the class."""
    thing, owner = PUBLIC[name]
    if ">>>" in docs_of(name):
        return True
    docs = [each.__doc__ or "" for base in ours(owner or thing) for each in (base, *vars(base).values())]
    steps = [step.source for doc in docs for step in doctest.DocTestParser().get_examples(doc)]
    return any(re.search(rf"\b{name.rpartition('.')[2]}\(", step) for step in steps)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_has_a_docstring(name):
    thing, _ = PUBLIC[name]

    assert inspect.getdoc(thing) if not inspect.isclass(thing) else thing.__doc__


CALLED = [name for name, (thing, _) in PUBLIC.items() if not isinstance(thing, (property, cached_property))]


@pytest.mark.parametrize("name", CALLED)
def test_what_can_be_called_has_an_example(name):
    assert is_shown(name)


WITH_FUNCTION = [name for name in CALLED if function_of(PUBLIC[name][0])]


@pytest.mark.parametrize("name", WITH_FUNCTION)
def test_a_docstring_describes_each_parameter(name):
    thing, _ = PUBLIC[name]
    described = re.findall(r"^ +\*{0,2}(\w+): \S", section(docs_of(name), "Args", "Attributes"), re.MULTILINE)

    assert set(parameters(function_of(thing))) - set(described) - described_fields(thing) == set()


RETURNING = [
    name
    for name in WITH_FUNCTION
    if not inspect.isclass(PUBLIC[name][0])
    and function_of(PUBLIC[name][0]).__annotations__.get("return") not in {"None", None}
]


@pytest.mark.parametrize("name", RETURNING)
def test_a_docstring_describes_what_is_returned(name):
    assert section(docs_of(name), "Returns", "Yields")


@pytest.mark.parametrize("name", WITH_FUNCTION)
def test_a_docstring_names_the_errors_that_are_raised(name):
    """Those that the function raises itself; others stand there by hand."""
    described = section(docs_of(name), "Raises")

    assert [
        error for error in raised_names(function_of(PUBLIC[name][0])) if f"{error}: " not in described
    ] == []
