"""Penstock compiles a data pipeline into one Dask task graph, and runs it on the Dask scheduler that you choose.

A pipeline is made of nodes (`penstock.pipeline`), a catalog has the data (`penstock.io`), a runner runs the pipeline on one
scheduler (`penstock.runner`), and plugins follow the run (`penstock.hooks`). All public names can be imported from here.

`penstock.errors` has all errors, `penstock.graph` the plan of a run, `penstock.kedro` runners for Kedro projects,
`penstock.protocols` the types of what a run takes, and `penstock.testing` tests for a runner of your own.

Example:
    >>> import penstock
    >>> from penstock.pipeline import node, pipeline
    >>> clean = node(lambda raw: [word.lower() for word in raw], "raw", "words", name="clean")
    >>> count = node(len, "words", "number", name="count")
    >>> result = penstock.run(pipeline([clean, count]), {"raw": ["Water", "Power"]})
    >>> result["number"].load()
    2
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock import hooks, io, pipeline, runner
from penstock.errors import (
    CannotSendError,
    CircularDependencyError,
    ClusterError,
    ConfirmNotUniqueError,
    DatasetAlreadyExistsError,
    DatasetError,
    DatasetNotFoundError,
    InvalidNodeError,
    InvalidPipelineError,
    MissingInputError,
    NodeDataError,
    NodeError,
    NoWorkersError,
    OutputNotUniqueError,
    PenstockError,
    PipelineError,
    RunnerError,
    SelectionError,
    SignatureError,
    UnfitWorkersError,
)
from penstock.graph import Plan, compile_pipeline
from penstock.hooks import (
    DatasetSpecs,
    Hooks,
    NodeSpecs,
    PipelineSpecs,
    create_hook_manager,
    hook_impl,
    hook_spec,
)
from penstock.io import (
    AbstractDataset,
    CachedDataset,
    CSVDataset,
    DataCatalog,
    FileDataset,
    JSONDataset,
    MemoryDataset,
    ParquetDataset,
    PickleDataset,
    SharedMemoryDataCatalog,
    TextDataset,
    parameters,
)
from penstock.pipeline import GroupedNodes, Node, Pipeline
from penstock.runner import (
    AbstractRunner,
    NodePolicy,
    NodeRecord,
    RunResult,
    SequentialRunner,
    Task,
    ThreadRunner,
    run,
    select_runner,
)

if TYPE_CHECKING:
    from penstock.runner import DaskRunner, ParallelRunner

    __version__: str

node = Node
"""Another name of `Node`: `node(...)` makes one."""
# Not imported: mypy would take `penstock.pipeline.node` for the module of that name when it reads its cache.

__all__ = [
    "AbstractDataset",
    "AbstractRunner",
    "CSVDataset",
    "CachedDataset",
    "CannotSendError",
    "CircularDependencyError",
    "ClusterError",
    "ConfirmNotUniqueError",
    "DaskRunner",
    "DataCatalog",
    "DatasetAlreadyExistsError",
    "DatasetError",
    "DatasetNotFoundError",
    "DatasetSpecs",
    "FileDataset",
    "GroupedNodes",
    "Hooks",
    "InvalidNodeError",
    "InvalidPipelineError",
    "JSONDataset",
    "MemoryDataset",
    "MissingInputError",
    "NoWorkersError",
    "Node",
    "NodeDataError",
    "NodeError",
    "NodePolicy",
    "NodeRecord",
    "NodeSpecs",
    "OutputNotUniqueError",
    "ParallelRunner",
    "ParquetDataset",
    "PenstockError",
    "PickleDataset",
    "Pipeline",
    "PipelineError",
    "PipelineSpecs",
    "Plan",
    "RunResult",
    "RunnerError",
    "SelectionError",
    "SequentialRunner",
    "SharedMemoryDataCatalog",
    "SignatureError",
    "Task",
    "TextDataset",
    "ThreadRunner",
    "UnfitWorkersError",
    "__version__",
    "compile_pipeline",
    "create_hook_manager",
    "hook_impl",
    "hook_spec",
    "hooks",
    "io",
    "node",
    "parameters",
    "pipeline",
    "run",
    "runner",
    "select_runner",
]


def __getattr__(name: str) -> Any:
    # Imported on first use: `import distributed` takes longer than all other imports, and most runs need neither.
    if name in {"DaskRunner", "ParallelRunner"}:
        return getattr(runner, name)
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - reads a file, which few programs need

        # Kept, since each run on a cluster asks for it.
        globals()[name] = version("penstock")
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
