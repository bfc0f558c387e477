"""The class `Node`: one function with the names of its input and output datasets."""

from __future__ import annotations

import copyreg
import inspect
import logging
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from penstock.errors import NodeDataError
from penstock.pipeline.dataset_names import (
    Names,
    check_datasets,
    check_namespace,
    checked_form,
    checked_words,
    flat,
    interned,
    mapped,
    sort_key,
    warn_of_misleading_dot,
)
from penstock.pipeline.results import output_streams, outputs_by_dataset
from penstock.pipeline.signature import automatic_name, bound_order, checked_function, function_name
from penstock.pipeline.transcoding import base_names

if TYPE_CHECKING:
    from penstock._typing import Data

_LOG = logging.getLogger(__name__)


class Node:
    """One function with the names of its input and output datasets. `node` is another name of this class.

    Inputs and outputs have four forms:

    | written | inputs: the function is called with | outputs: the function returns |
    | --- | --- | --- |
    | `None` | no arguments | `None`; anything else is discarded with a warning |
    | `"a"` | the data of `a` | the data of `a`, whatever its type |
    | `["a", "b"]` | both by position | a list or tuple of two items |
    | `{"x": "a", "y": "b"}` | both by keyword, as `x` and `y` | a `dict` with the keys `x` and `y` |

    `params:rate` is an input that reads one parameter, `parameters` all of them. `table@csv` and `table@pandas` are one
    dataset in two formats: writing one of them runs before reading the other.

    A generator function yields its outputs in chunks, each in the form of the outputs. A runner saves each chunk as it
    comes, so the whole never has to fit into memory. A CSV file, for instance, holds all chunks: see `FileDataset.open_stream`.

    All of this is checked when the node is made: that `func` can be called with these inputs, that each dataset is
    written in one of the four forms and no output appears twice or is an input, and that names and tags consist of
    letters, digits, `_`, `-` and `.`. The data is checked when the node runs.

    Nodes are equal, ordered and hashed by name, inputs and outputs. The function and the tags do not count.

    Args:
        func: The function that the node calls; a lambda, a partial or a class will do.
        inputs: A dataset name, a list of names, a mapping of parameter names to dataset names, or `None`.
        outputs: A dataset name, a list of names, a mapping of keys of the returned `dict` to dataset names, or `None`.
        name: Unique in a pipeline. Without it, the name is made of the function's name and a hash of the datasets,
            the same in every process. Give one to nodes that you want to find in a dashboard or select by name.
        tags: One tag or several, by which nodes are selected: `only_nodes_with_tags`, `filter`.
        confirms: Datasets whose `confirm` is called after the node has succeeded and its outputs are saved.
        namespace: The namespace that the node belongs to; `a.b` is inside `a`. It is put in front of the node's name
            and leaves the datasets as they are: `pipeline(nodes, namespace=...)` renames those as well.
        preview_fn: Accepted for compatibility with Kedro, and ignored.

    Raises:
        InvalidNodeError: The function, the inputs, the outputs, the name or a tag is not valid.
        SignatureError: The function does not take these inputs.

    Example:
        >>> from penstock.pipeline import node
        >>> def split(table, share):
        ...     size = int(len(table) * share)
        ...     return {"head": table[:size], "tail": table[size:]}
        >>> outputs = {"head": "train", "tail": "test"}
        >>> split_node = node(split, ["table", "params:share"], outputs, name="split", tags="daily")
        >>> split_node.run({"table": [1, 2, 3, 4], "params:share": 0.75})
        {'train': [1, 2, 3], 'test': [4]}

        A generator function gives its outputs chunk by chunk:

        >>> def read(path):
        ...     yield from ("chunk 1", "chunk 2")
        >>> list(node(read, "path", "chunks").run({"path": "table.csv"})["chunks"])
        ['chunk 1', 'chunk 2']
    """

    input_bases: tuple[str, ...]
    """Internal: the inputs without their formats. `penstock.pipeline.topology` links nodes by it."""

    output_bases: tuple[str, ...]
    """Internal: the outputs without their formats."""

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
        self._func = checked_function(func, name)
        self._given_name = interned(name) if name else None
        check_namespace(namespace, self._description)
        self._namespace = namespace or None
        self._name: str | None = None
        self._preview_fn = preview_fn
        confirmed = list(confirms) if isinstance(confirms, (set, tuple)) else confirms
        self._set_datasets(
            checked_form("inputs", inputs, self._description),
            checked_form("outputs", outputs, self._description),
            checked_form("confirms", confirmed, self._description),
        )
        self._check_datasets()
        self._order_inputs(self._func)
        self._tags = checked_words("tag", tags, self._description)
        checked_words("name", [self._given_name] if self._given_name else None, self._description)

    # Its parts.

    @property
    def func(self) -> Callable[..., Data]:
        """The function that the node calls. It can be replaced by one that takes the same inputs."""
        return self._func

    @func.setter
    def func(self, func: Callable[..., Data]) -> None:
        self._order_inputs(checked_function(func, self._given_name))
        self._func, self._name = func, None

    @property
    def name(self) -> str:
        """The full name: the namespace, a dot, and the node's own name. Selections, logs and hooks use it."""
        if self._name is None:
            own = self._given_name or automatic_name(self._func, self._inputs, self._outputs)
            self._name = f"{self._namespace}.{own}" if self._namespace else own
        return self._name

    @property
    def short_name(self) -> str:
        """The name without the namespace, or the function's name in words: "Clean It Up" for `clean_it_up`."""
        return self._given_name or self._named_function().replace("_", " ").title()

    @property
    def namespace(self) -> str | None:
        """The namespace that the node belongs to, or `None`."""
        return self._namespace

    @property
    def namespace_prefixes(self) -> list[str]:
        """The namespaces that contain the node, the outermost first: `["a", "a.b"]` for the namespace `a.b`."""
        parts = self._namespace.split(".") if self._namespace else []
        return [".".join(parts[: depth + 1]) for depth in range(len(parts))]

    @property
    def inputs(self) -> list[str]:
        """The input datasets in the order of the function's parameters; a name can appear twice."""
        return list(self._input_names)

    @property
    def outputs(self) -> list[str]:
        """The output datasets in the order in which they were given."""
        return list(self._output_names)

    @property
    def confirms(self) -> list[str]:
        """The datasets that are confirmed after the node has succeeded."""
        # Most nodes confirm nothing, and each run asks each node three times.
        return list(flat(self._confirms)) if self._confirms else []

    @property
    def tags(self) -> set[str]:
        """A new set of the tags."""
        return set(self._tags)

    # Nodes made from it.

    def tag(self, tags: str | Iterable[str]) -> Node:
        """A copy of the node that has these tags in addition.

        Args:
            tags: One tag or several.

        Returns:
            The new node; this one stays as it is.

        Raises:
            InvalidNodeError: A tag is not valid.

        Example:
            >>> from penstock.pipeline import node
            >>> sorted(node(len, "text", "length", tags="fast").tag(["text", "daily"]).tags)
            ['daily', 'fast', 'text']
        """
        return self._copy(_tags=self._tags | checked_words("tag", tags, self._description))

    def renamed(self, rename: Callable[[str], str], namespace: str | None) -> Node:
        """Internal: a copy of the node with other datasets and in another namespace; `pipeline(...)` uses it.

        Args:
            rename: Maps the name of each dataset to its new name.
            namespace: The namespace of the new node.

        Returns:
            The new node; inputs and outputs keep the form in which they were written.

        Raises:
            InvalidNodeError: The new names repeat an output, or make a dataset both input and output.

        Example:
            >>> from penstock.pipeline import node
            >>> node(len, "text", "length", name="count").renamed(str.upper, "north")
            Node(len, 'TEXT', 'LENGTH', 'count')
        """
        copy = self._copy(_namespace=namespace, _name=None)
        written = (self._inputs, self._outputs, self._confirms)
        new = [checked_form("names", mapped(names, rename), self._description) for names in written]
        Node._set_datasets(copy, *new)
        Node._check_datasets(copy)
        copy.__dict__.update(_input_names=tuple(map(rename, self._input_names)))
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
        self.input_bases, self.output_bases = base_names(self._input_names), base_names(self._output_names)

    def _check_datasets(self) -> None:
        check_datasets(self._input_names, self._output_names, self._description)
        warn_of_misleading_dot((*self._input_names, *self._output_names), self._namespace)

    def _order_inputs(self, func: Callable[..., Data]) -> None:
        if isinstance(self._inputs, dict):
            order = bound_order(func, self._inputs)
            self._input_names = tuple(self._inputs[argument] for argument in order)
        else:
            bound_order(func, list(self._input_names))

    # Running.

    def __call__(self, **inputs: Data) -> dict[str, Data]:
        """Run the function with these inputs: `run` with keyword arguments."""
        return self.run(inputs)

    def run(self, inputs: dict[str, Data] | None = None) -> dict[str, Data]:
        """Call the function with these inputs.

        If the function returns a generator and the node has a list or a mapping of outputs, `run` takes the first item
        and checks it. The result then has one lazy stream for each output.

        Args:
            inputs: The data by dataset name, for exactly the datasets that the node takes.

        Returns:
            The returned data by dataset name.

        Raises:
            NodeDataError: The inputs or the returned data do not match the datasets of the node.

        Example:
            >>> from penstock.pipeline import node
            >>> node(divmod, ["a", "b"], ["quotient", "rest"]).run({"a": 7, "b": 2})
            {'quotient': 3, 'rest': 1}
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
            # The caller shows the traceback; here the log only names the node.
            _LOG.error("Node %s failed with error:\n%s: %s", self._text(), type(error).__name__, error)
            raise

    def _call(self, inputs: Any) -> Data:
        if not isinstance(inputs, dict) or inputs.keys() != self._input_set:
            raise self._wrong_inputs(inputs)
        names = self._inputs
        if isinstance(names, str):
            return self._func(inputs[names])
        if isinstance(names, dict):
            return self._func(**{argument: inputs[name] for argument, name in names.items()})
        return self._func(*[inputs[name] for name in self._input_names])

    def _taken_apart(self, result: Data, outputs: list[str] | dict[str, str] | None) -> dict[str, Data]:
        if outputs is None:
            if result is not None:
                self._warn_of_discarded(result)
            return {}
        take_apart = output_streams if inspect.isgenerator(result) else outputs_by_dataset
        return take_apart(result, outputs, self._text)

    def _wrong_inputs(self, inputs: object) -> NodeDataError:
        if not isinstance(inputs, dict):
            expected, given = "a dict or None", type(inputs).__name__
            return NodeDataError(self._text(), "the inputs of run() are not a dict", expected, given)
        needed, passed = sorted(self._input_set), sorted(map(str, inputs))
        expected, given = f"{len(needed)} input(s) {needed}", f"{len(passed)} input(s) {passed}"
        return NodeDataError(self._text(), "run() got the wrong inputs", expected, given)

    def _warn_of_discarded(self, result: Data) -> None:
        text = (
            f"node {self.name!r} returned a {type(result).__name__!r}, which is discarded, because the node has no "
            "outputs. Declare an output, or return None"
        )
        warnings.warn(text, UserWarning, stacklevel=4)

    # Pickling, text and comparison.

    def __reduce__(self) -> str | tuple[Any, ...]:
        # Thousands of tasks carry their node, so a pickle leaves out all that can be derived.
        if type(self) is not Node:
            return copyreg.__newobj__, (type(self),), vars(self)  # type: ignore[attr-defined]
        ordered = self._input_names if isinstance(self._inputs, dict) else None
        automatic = None if self._given_name else self.name
        tags = tuple(sorted(self._tags)) or None
        rest = [self._given_name, self._namespace, tags, self._confirms, ordered, automatic, self._preview_fn]
        while rest and rest[-1] is None:
            rest.pop()
        return _unpickled, (self._func, _packed(self._inputs), _packed(self._outputs), *rest)

    def __str__(self) -> str:
        self._named_function()
        return self._text()

    def __repr__(self) -> str:
        return f"Node({function_name(self._func)}, {self._inputs!r}, {self._outputs!r}, {self._given_name!r})"

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Node) else NotImplemented

    def __lt__(self, other: object) -> bool:
        return self._key() < other._key() if isinstance(other, Node) else NotImplemented

    def __hash__(self) -> int:
        # Equal nodes have equal names, and a string caches its hash.
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

    def _description(self) -> str:
        """How errors name the node while it is being made."""
        given = f"{self._given_name!r} " if self._given_name else ""
        return f"{given}of the function {function_name(self._func)!r}"

    def _named_function(self) -> str:
        """The function's name; warns of a partial, which has none."""
        name = function_name(self._func)
        if name == "<partial>":
            text = f"the node that produces {self.outputs} calls a partial without a name"
            advice = "Use `functools.update_wrapper` to give it one for messages"
            warnings.warn(f"{text}. {advice}", UserWarning, stacklevel=3)
        return name


def _packed(names: Names) -> Names | tuple[str, ...]:
    """The names as they are pickled: a tuple takes less room than a list."""
    return tuple(names) if isinstance(names, list) else names


def _unpickled(func: Callable[..., Data], inputs: Any, outputs: Any, *rest: Any) -> Node:
    """A node from its parts, which were checked before it was pickled; what is missing at the end of `rest` is None."""
    made = object.__new__(Node)
    all_of_rest: list[Any] = [*rest, *[None] * (7 - len(rest))]
    given_name, namespace, tags, confirms, ordered, name, preview_fn = all_of_rest
    made._func, made._given_name, made._namespace, made._name = func, given_name, namespace, name
    made._preview_fn, made._tags = preview_fn, frozenset(tags or ())
    inputs, outputs = (list(names) if isinstance(names, tuple) else names for names in (inputs, outputs))
    made._set_datasets(inputs, outputs, confirms)
    made._input_names = ordered or made._input_names
    return made
