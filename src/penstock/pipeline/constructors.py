"""The functions `node` and `pipeline`: what users call to make nodes and pipelines."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from penstock.pipeline.node import Node
from penstock.pipeline.pipeline import Pipeline

if TYPE_CHECKING:
    from penstock._typing import Data
    from penstock.pipeline.dataset_names import Names
    from penstock.pipeline.modular import NewNames


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
    """A node: one function with the names of its input and output datasets.

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
    comes, so the whole never has to fit into memory.

    All of this is checked when the node is made: that `func` can be called with these inputs, that each dataset is
    written in one of the four forms and no output appears twice or is an input, and that names and tags consist of
    letters, digits, `_`, `-` and `.`. The data is checked when the node runs.

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

    Returns:
        The node. It can be called, and is put into a pipeline with `pipeline`.

    Raises:
        InvalidNodeError: The function, the inputs, the outputs, the name or a tag is not valid.
        SignatureError: The function does not take these inputs.

    Example:
        >>> from penstock.pipeline import node
        >>> def split(table, share):
        ...     size = int(len(table) * share)
        ...     return {"head": table[:size], "tail": table[size:]}
        >>> split_node = node(
        ...     split,
        ...     inputs=["table", "params:share"],
        ...     outputs={"head": "train", "tail": "test"},
        ...     name="split",
        ...     tags=["daily"],
        ... )
        >>> split_node.run({"table": [1, 2, 3, 4], "params:share": 0.75})
        {'train': [1, 2, 3], 'test': [4]}

        A generator function gives its outputs chunk by chunk:

        >>> def read(path):
        ...     yield from ("chunk 1", "chunk 2")
        >>> list(node(read, "path", "chunks").run({"path": "table.csv"})["chunks"])
        ['chunk 1', 'chunk 2']
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


def pipeline(  # noqa: PLR0913 - the contract's arguments
    nodes: Iterable[Node | Pipeline] | Pipeline,
    *,
    inputs: NewNames = None,
    outputs: NewNames = None,
    parameters: NewNames = None,
    tags: str | Iterable[str] | None = None,
    namespace: str | None = None,
    prefix_datasets_with_namespace: bool = True,
) -> Pipeline:
    """A pipeline: nodes that have been checked, and put in an order in which they can run.

    The order follows from the datasets: a node runs after the nodes that produce its inputs. An input that no node
    produces is a *free input*; the catalog has to have it. The order in which `nodes` lists them does not matter.

    A pipeline can be used several times under different names. `namespace` puts a prefix in front of the names of the
    nodes and of their datasets and parameters: `clean` becomes `north.clean`, `params:rate` becomes
    `params:north.rate`. `inputs`, `outputs` and `parameters` list what keeps its name, or map old names to new ones. A
    name without `@format` means all formats of the dataset. `parameters` itself is never renamed.

    These are checked when the pipeline is made: node names are unique, each dataset is produced by one node and
    confirmed by one node, no dataset is used both with a format and without one, no nodes wait for each other, and the
    names to map exist. A warning names a namespace that other nodes interrupt: it could not run as one group.

    Args:
        nodes: Nodes and pipelines, or one pipeline.
        inputs: Free inputs that keep their names, or a mapping of old names to new ones.
        outputs: Datasets produced in the pipeline that keep their names, or a mapping of old names to new ones.
        parameters: Parameters that keep their names, or a mapping of old names to new ones; `params:` can be left out.
        tags: Tags that all nodes get in addition to their own.
        namespace: The prefix for nodes, and for datasets and parameters that are not listed above.
        prefix_datasets_with_namespace: Whether datasets and parameters get the prefix; nodes always do.

    Returns:
        A new pipeline. It does not change any more, and can be passed to a runner, or to `penstock.run`.

    Raises:
        InvalidPipelineError: Two nodes have one name, or a dataset is used both with a format and without one.
        OutputNotUniqueError: Two nodes produce one dataset.
        ConfirmNotUniqueError: Two nodes confirm one dataset.
        CircularDependencyError: Nodes wait for each other.
        PipelineError: A name to map is not in the pipeline, or is listed under the wrong argument.

    Example:
        >>> from penstock.pipeline import node, pipeline
        >>> training = pipeline(
        ...     [
        ...         node(lambda table, rate: (table, rate), ["clean", "params:rate"], "model", name="train"),
        ...         node(sorted, "raw", "clean", name="clean"),
        ...     ]
        ... )
        >>> [each.name for each in training.nodes]
        ['clean', 'train']
        >>> sorted(training.inputs()), training.outputs()
        (['params:rate', 'raw'], {'model'})

        The same pipeline for two regions, which share the parameter `rate`:

        >>> regions = [
        ...     pipeline(training, namespace=region, parameters="rate", outputs={"model": f"{region}_model"})
        ...     for region in ("north", "south")
        ... ]
        >>> both = pipeline(regions)
        >>> [each.name for each in both.nodes]
        ['north.clean', 'south.clean', 'north.train', 'south.train']
        >>> sorted(both.inputs())
        ['north.raw', 'params:rate', 'south.raw']
        >>> sorted(both.outputs())
        ['north_model', 'south_model']
    """
    return Pipeline(
        nodes,
        inputs=inputs,
        outputs=outputs,
        parameters=parameters,
        tags=tags,
        namespace=namespace,
        prefix_datasets_with_namespace=prefix_datasets_with_namespace,
    )
