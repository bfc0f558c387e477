"""One function with the names of the datasets that it takes and gives."""

from __future__ import annotations

import copyreg
import hashlib
import inspect
import logging
import re
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from penstock.errors import InvalidNodeError, NodeDataError, SignatureError
from penstock.pipeline.dataset_names import Names, check_datasets, copied, flat, interned, mapped, sort_key
from penstock.pipeline.results import by_dataset, streams
from penstock.pipeline.signature import bound_order, function_name, identity, inner_name
from penstock.pipeline.transcoding import base_names

if TYPE_CHECKING:
    from penstock._typing import Data

_LOG = logging.getLogger(__name__)
_WORD = re.compile(r"[\w.-]+")

# Holds the first dataset that was told to have a misleading dot: once is enough for a process.
_told_dots: list[str] = []


class Node:
    """One function with the names of the datasets that it takes and gives.

    Nodes are equal, ordered and hashed by name, inputs and outputs. A list of inputs is passed by position, a
    mapping by parameter name; a list of outputs takes a returned sequence apart, a mapping a returned `dict`.

    Args:
        func: What the node calls.
        inputs: A dataset, a list of them, a mapping of parameter names to them, or `None`.
        outputs: A dataset, a list of them, a mapping of keys of the returned `dict` to them, or `None`.
        name: Unique in its pipeline; left out, it is made of the function's name and of the datasets.
        tags: One tag or several, to select nodes by.
        confirms: Datasets that are confirmed once the node has succeeded.
        namespace: Whose node it is: `a.b` stands inside `a`.
        preview_fn: Accepted for scripts that come from Kedro; nothing is done with it.

    Raises:
        InvalidNodeError: The function, the inputs, the outputs, the name or a tag is not what a node takes.
        SignatureError: The function does not take these inputs.
    """

    def __init__(  # noqa: PLR0913 - the contract's arguments
        self,
        func: Callable[..., Data],
        inputs: Names,
        outputs: Names,
        *,
        name: str | None = None,
        tags: str | Iterable[str] | None = None,
        confirms: str | Iterable[str] | None = None,
        namespace: str | None = None,
        preview_fn: Callable[..., Any] | None = None,
    ) -> None:
        self._func = _checked_function(func)
        self._given_name = interned(name) if name else None
        self._namespace = namespace or None
        self._name: str | None = None
        self._preview_fn = preview_fn
        self._set_datasets(
            copied("inputs", inputs, self._where),
            copied("outputs", outputs, self._where),
            copied(
                "confirms", list(confirms) if isinstance(confirms, (set, tuple)) else confirms, self._where
            ),
        )
        self._order_inputs()
        self._tags = self._checked("tag", tags)
        self._checked("name", [self._given_name] if self._given_name else None)

    # What it is.

    @property
    def func(self) -> Callable[..., Data]:
        """What the node calls. A new function has to take the same inputs."""
        return self._func

    @func.setter
    def func(self, func: Callable[..., Data]) -> None:
        before = self._func
        self._func = _checked_function(func)
        try:
            self._order_inputs()
        except SignatureError:
            self._func = before
            raise
        self._name = None

    @property
    def name(self) -> str:
        """The name with the namespace in front: what selections, logs and hooks know the node by."""
        if self._name is None:
            own = self._given_name or self._automatic_name()
            self._name = f"{self._namespace}.{own}" if self._namespace else own
        return self._name

    @property
    def short_name(self) -> str:
        """The given name, or the function's name in words."""
        return self._given_name or self._told_function_name().replace("_", " ").title()

    @property
    def namespace(self) -> str | None:
        """Whose node it is, or `None`."""
        return self._namespace

    @property
    def namespace_prefixes(self) -> list[str]:
        """The namespaces that the node stands in, from the outermost to its own."""
        parts = self._namespace.split(".") if self._namespace else []
        return [".".join(parts[: depth + 1]) for depth in range(len(parts))]

    @property
    def inputs(self) -> list[str]:
        """The datasets in the order in which the function takes them; one may stand there twice."""
        return list(self._input_names)

    @property
    def outputs(self) -> list[str]:
        """The datasets in the order in which they were given."""
        return list(self._output_names)

    @property
    def confirms(self) -> list[str]:
        """The datasets that are confirmed once the node has succeeded."""
        return list(flat(self._confirms))

    @property
    def tags(self) -> set[str]:
        """A new set of the tags."""
        return set(self._tags)

    # Nodes made of it.

    def tag(self, tags: str | Iterable[str]) -> Node:
        """A node that has these tags as well."""
        return self._copy(_tags=self._tags | self._checked("tag", tags))

    def _renamed(self, rename: Callable[[str], str], namespace: str | None) -> Node:
        """A node with other datasets, written in the same form, and put into this namespace.

        Raises:
            InvalidNodeError: The new names give one output twice, or an input as output.
        """
        copy = self._copy(_namespace=namespace, _name=None)
        written = (self._inputs, self._outputs, self._confirms)
        copy._set_datasets(*(copied("names", mapped(names, rename), self._where) for names in written))
        copy._input_names = tuple(map(rename, self._input_names))
        return copy

    def _copy(self, **changes: Any) -> Node:
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.__dict__.update(changes)
        return copy

    def _set_datasets(self, inputs: Names, outputs: Names, confirms: Names) -> None:
        self._inputs, self._outputs, self._confirms = inputs, outputs, confirms
        self._input_names, self._output_names = flat(inputs), flat(outputs)
        self._input_set = frozenset(self._input_names)
        check_datasets(self._input_names, self._output_names, self._where)
        self._input_bases, self._output_bases = base_names(self._input_names), base_names(self._output_names)
        self._warn_of_dots()

    def _order_inputs(self) -> None:
        if isinstance(self._inputs, dict):
            order = bound_order(self._func, self._inputs)
            self._input_names = tuple(self._inputs[argument] for argument in order)
        else:
            bound_order(self._func, list(self._input_names))

    def _checked(self, what: str, words: str | Iterable[Any] | None) -> frozenset[str]:
        found = frozenset([words] if isinstance(words, str) else words or ())
        wrong = [word for word in found if not isinstance(word, str) or not _WORD.fullmatch(word)]
        if wrong:
            advice = "Only letters, digits, '_', '-' and '.' may stand there"
            raise InvalidNodeError(self._where(), f"not a valid {what}", sorted(map(str, wrong)), advice)
        return found

    def _warn_of_dots(self) -> None:
        if _told_dots:
            return
        top = self._namespace.split(".")[0] if self._namespace else None
        for name in (*self._input_names, *self._output_names):
            if "." in name and not name.startswith("params:") and name.split(".")[0] != top:
                _told_dots.append(name)
                text = (
                    f"the dataset {name!r} has a '.', as if it belonged to a namespace, and its node does not"
                )
                warnings.warn(f"{text}. Name it otherwise (this is told once)", UserWarning, stacklevel=5)
                return

    # What it does.

    def __call__(self, **inputs: Data) -> dict[str, Data]:
        """What `run` gives for these inputs."""
        return self.run(inputs)

    def run(self, inputs: dict[str, Data] | None = None) -> dict[str, Data]:
        """What the function returns for these inputs, by dataset.

        Of a generator, when the node has a list or a mapping of outputs, the first item is taken and looked at;
        the answer then is one lazy stream for each output.

        Args:
            inputs: The data of exactly the datasets that the node takes.

        Raises:
            NodeDataError: The inputs or the returned data are others than the node declares.
        """
        if _LOG.isEnabledFor(logging.INFO):
            _LOG.info("Running node: %s", self._text())
        try:
            result = self._call({} if inputs is None else inputs)
            outputs = self._outputs
            if isinstance(outputs, str):
                return {outputs: result}
            return self._taken_apart(result, outputs)
        except Exception as error:
            # The traceback is shown where the error ends up; here the log only says which node it was.
            _LOG.error("Node %s failed with error:\n%s: %s", self._text(), type(error).__name__, error)
            raise

    def _call(self, inputs: Any) -> Data:
        if not isinstance(inputs, dict) or inputs.keys() != self._input_set:
            raise self._bad_inputs(inputs)
        names = self._inputs
        if isinstance(names, str):
            return self._func(inputs[names])
        if isinstance(names, dict):
            return self._func(**{argument: inputs[name] for argument, name in names.items()})
        return self._func(*[inputs[name] for name in self._input_names])

    def _taken_apart(self, result: Data, outputs: list[str] | dict[str, str] | None) -> dict[str, Data]:
        if outputs is None:
            if result is not None:
                self._warn_of_ignored(result)
            return {}
        take_apart = streams if inspect.isgenerator(result) else by_dataset
        return take_apart(result, outputs, self._text)

    def _bad_inputs(self, inputs: object) -> NodeDataError:
        if not isinstance(inputs, dict):
            return NodeDataError(
                self._text(), "run() was given no dict", "a dict or None", type(inputs).__name__
            )
        expected, given = sorted(self._input_set), sorted(map(str, inputs))
        problem = "run() was given other inputs"
        return NodeDataError(
            self._text(), problem, f"{len(expected)} input(s) {expected}", f"{len(given)} input(s) {given}"
        )

    def _warn_of_ignored(self, result: Data) -> None:
        warnings.warn(
            f"node {self.name!r} returned a {type(result).__name__!r}, which is lost: the node declares no "
            "outputs. Declare one, or return None",
            UserWarning,
            stacklevel=4,
        )

    # How it travels, is told and compared.

    def __reduce__(self) -> str | tuple[Any, ...]:
        # A node is sent with its task, thousands of times: what can be derived stays at home.
        if type(self) is not Node:
            return copyreg.__newobj__, (type(self),), vars(self)  # type: ignore[attr-defined]
        ordered = self._input_names if isinstance(self._inputs, dict) else None
        told = None if self._given_name else self.name
        tags = tuple(sorted(self._tags)) or None
        rest = [self._given_name, self._namespace, tags, self._confirms, ordered, told, self._preview_fn]
        while rest and rest[-1] is None:
            rest.pop()
        return _arrived, (self._func, _packed(self._inputs), _packed(self._outputs), *rest)

    def __str__(self) -> str:
        self._told_function_name()
        return self._text()

    def __repr__(self) -> str:
        name = function_name(self._func)
        return f"Node({name}, {self._inputs!r}, {self._outputs!r}, {self._given_name!r})"

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Node) else NotImplemented

    def __lt__(self, other: object) -> bool:
        return self._key() < other._key() if isinstance(other, Node) else NotImplemented

    def __hash__(self) -> int:
        # Equal nodes have equal names, and a text remembers its hash.
        return hash(self.name)

    def _key(self) -> tuple[Any, ...]:
        return self.name, sort_key(self._inputs), sort_key(self._outputs)

    def _text(self) -> str:
        return f"{self._given_name}: {self._signature()}" if self._given_name else self._signature()

    def _signature(self) -> str:
        taken, given = (
            f"[{';'.join(side)}]" if side else "None" for side in (self._input_names, self._output_names)
        )
        return f"{function_name(self._func)}({taken}) -> {given}"

    def _where(self) -> str:
        """The node as far as it is known while it is being made."""
        given = f"{self._given_name!r} " if self._given_name else ""
        return f"{given}of the function {function_name(self._func)!r}"

    def _automatic_name(self) -> str:
        told = repr((identity(self._func), sort_key(self._inputs), sort_key(self._outputs)))
        return f"{inner_name(self._func)}__{hashlib.sha256(told.encode()).hexdigest()[:8]}"

    def _told_function_name(self) -> str:
        name = function_name(self._func)
        if name == "<partial>":
            text = f"the node that produces {self.outputs} calls a partial without a name"
            advice = "`functools.update_wrapper` gives it one for messages"
            warnings.warn(f"{text}: {advice}", UserWarning, stacklevel=3)
        return name


def _packed(names: Names) -> Names | tuple[str, ...]:
    """The names as they travel: a tuple takes less room than a list."""
    return tuple(names) if isinstance(names, list) else names


def _unpacked(names: Names | tuple[str, ...]) -> Names:
    return list(names) if isinstance(names, tuple) else names


def _arrived(  # noqa: PLR0913, PLR0917 - the parts of a node
    func: Callable[..., Data],
    inputs: Names | tuple[str, ...],
    outputs: Names | tuple[str, ...],
    given_name: str | None = None,
    namespace: str | None = None,
    tags: tuple[str, ...] | None = None,
    confirms: Names = None,
    input_names: tuple[str, ...] | None = None,
    name: str | None = None,
    preview_fn: Callable[..., Any] | None = None,
) -> Node:
    """A node from its parts, which were checked where it was made."""
    made = object.__new__(Node)
    made._func, made._given_name, made._namespace, made._name = func, given_name, namespace, name
    made._preview_fn, made._tags = preview_fn, frozenset(tags or ())
    made._inputs, made._outputs, made._confirms = _unpacked(inputs), _unpacked(outputs), confirms
    made._input_names, made._output_names = input_names or flat(made._inputs), flat(made._outputs)
    made._input_set = frozenset(made._input_names)
    made._input_bases, made._output_bases = base_names(flat(made._inputs)), base_names(made._output_names)
    return made


def node(  # noqa: PLR0913 - the contract's arguments
    func: Callable[..., Data],
    inputs: Names,
    outputs: Names,
    *,
    name: str | None = None,
    tags: str | Iterable[str] | None = None,
    confirms: str | Iterable[str] | None = None,
    namespace: str | None = None,
    preview_fn: Callable[..., Any] | None = None,
) -> Node:
    """A `Node` of the same arguments.

    Raises:
        InvalidNodeError: The function, the inputs, the outputs, the name or a tag is not what a node takes.
        SignatureError: The function does not take these inputs.
    """
    return Node(
        func,
        inputs,
        outputs,
        name=name,
        tags=tags,
        confirms=confirms,
        namespace=namespace,
        preview_fn=preview_fn,
    )


def _checked_function(func: object) -> Callable[..., Any]:
    if callable(func):
        return func
    advice = "Write node(function, inputs, outputs)"
    raise InvalidNodeError(f"of {func!r}", "what it calls is no function but", [type(func).__name__], advice)
