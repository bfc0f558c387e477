"""Every error that Penstock raises.

    PenstockError
    |-- PipelineError                 names to map that are not in the pipeline
    |   |-- CircularDependencyError   nodes that wait for each other
    |   |-- OutputNotUniqueError      a dataset that two nodes produce
    |   `-- ConfirmNotUniqueError     a dataset that two nodes confirm
    |-- InvalidNodeError              ValueError: arguments that do not make a node
    |-- SignatureError                TypeError: inputs that the node's function does not take
    |-- InvalidPipelineError          ValueError: nodes that do not make a pipeline
    |-- SelectionError                ValueError: names, tags or namespaces that the pipeline does not have
    |-- NodeDataError                 ValueError: data that does not match the inputs or outputs of a node
    |-- DatasetError                  a dataset that cannot be loaded, saved, checked or released
    |   |-- DatasetNotFoundError      a name that the catalog does not have
    |   `-- DatasetAlreadyExistsError a name that the catalog already has
    |-- MissingInputError             ValueError: free inputs that the catalog does not have
    |-- CannotSendError               AttributeError: objects that cannot be sent to another process
    |-- RunnerError                   ValueError: a runner argument that is not valid
    |-- ClusterError                  RuntimeError: a cluster that is missing or cannot be used
    |   |-- NoWorkersError            no worker that could run a task, and none that will start
    |   `-- UnfitWorkersError         workers, or a scheduler, that cannot run this pipeline
    `-- NodeError                     RuntimeError: a node's failure whose own exception cannot be raised here

All errors can be pickled, and imported from `penstock`. The examples print their texts.
"""

from __future__ import annotations

from collections.abc import Iterable

from penstock._error_texts import conflict_text, listed, problem_text
from penstock._kedro_errors import new_dataset_error


class PenstockError(Exception):
    """The base of all errors of Penstock.

    Example:
        >>> issubclass(DatasetNotFoundError, PenstockError)
        True
    """


class PipelineError(PenstockError):
    """Names to map that are not in the pipeline; also the base of errors about the links between nodes.

    Args:
        problem: What is wrong.
        names: The names with the problem.
        advice: What to do next.

    Example:
        >>> print(PipelineError("the pipeline has no datasets with these names", ["modle"], "Did you mean model?"))
        the pipeline has no datasets with these names: 'modle'. Did you mean model?
    """

    def __init__(self, problem: str, names: Iterable[str] = (), advice: str = "") -> None:
        super().__init__(problem, names, advice)
        self.problem, self.names, self.advice = problem, names, advice

    def __str__(self) -> str:
        return problem_text(self.problem, self.names, self.advice)


class CircularDependencyError(PipelineError):
    """Nodes that wait for each other.

    Args:
        path: The names of the nodes of one cycle, each one before its child; the first is repeated at the end.

    Example:
        >>> print(CircularDependencyError(["a", "b", "a"]))
        circular dependency among 2 node(s): a -> b -> a. Rename a dataset on this path, or split a node
    """

    def __init__(self, path: list[str]) -> None:
        PenstockError.__init__(self, path)
        self.path = path

    def __str__(self) -> str:
        nodes = f"{len(self.path) - 1} node(s): {' -> '.join(self.path)}"
        return f"circular dependency among {nodes}. Rename a dataset on this path, or split a node"


class OutputNotUniqueError(PipelineError):
    """A dataset that two nodes produce.

    Args:
        producers: For each such dataset, without its `@format`, the names of its nodes.

    Example:
        >>> print(OutputNotUniqueError({"model": ["fit", "refit"]}))
        ['model'] produced more than once:
          'model' by 'fit', 'refit'
        Give each output its own name
    """

    def __init__(self, producers: dict[str, list[str]]) -> None:
        PenstockError.__init__(self, producers)
        self.producers = producers

    def __str__(self) -> str:
        return conflict_text("produced", self.producers, "Give each output its own name")


class ConfirmNotUniqueError(PipelineError):
    """A dataset that two nodes confirm.

    Args:
        confirmers: For each such dataset, without its `@format`, the names of its nodes.

    Example:
        >>> ConfirmNotUniqueError({"batch": ["fit", "refit"]}).confirmers
        {'batch': ['fit', 'refit']}
    """

    def __init__(self, confirmers: dict[str, list[str]]) -> None:
        PenstockError.__init__(self, confirmers)
        self.confirmers = confirmers

    def __str__(self) -> str:
        return conflict_text("confirmed", self.confirmers, "Confirm it in the last of these nodes only")


class InvalidNodeError(PenstockError, ValueError):
    """Arguments that do not make a node: its function, inputs, outputs, name or tags.

    Args:
        node: The node's given name and its function.
        problem: What is wrong.
        culprits: The names or types with the problem.
        advice: What to do next.

    Example:
        >>> print(InvalidNodeError("of the function 'len'", "not a valid tag", ["a b"], "Use only letters"))
        node of the function 'len': not a valid tag: 'a b'. Use only letters
    """

    def __init__(self, node: str, problem: str, culprits: Iterable[str], advice: str) -> None:
        super().__init__(node, problem, culprits, advice)
        self.node, self.problem, self.culprits, self.advice = node, problem, culprits, advice

    def __str__(self) -> str:
        return f"node {self.node}: {problem_text(self.problem, self.culprits, self.advice)}"


class SignatureError(PenstockError, TypeError):
    """Inputs that the node's function does not take.

    Args:
        function: The function's name.
        parameters: The names of its parameters.
        inputs: The inputs of the node: a list of datasets, or a mapping of parameters to datasets.

    Example:
        >>> print(SignatureError("clean", ["table"], ["raw", "rate"]))
        the function 'clean' takes ['table'], but the node has the inputs ['raw', 'rate']. List one dataset for each parameter, or map parameter names to datasets
    """

    def __init__(self, function: str, parameters: list[str], inputs: object) -> None:
        super().__init__(function, parameters, inputs)
        self.function, self.parameters, self.inputs = function, parameters, inputs

    def __str__(self) -> str:
        problem = f"the function {self.function!r} takes {self.parameters}, but the node has the inputs {self.inputs}"
        return f"{problem}. List one dataset for each parameter, or map parameter names to datasets"


class InvalidPipelineError(PenstockError, ValueError):
    """Nodes that do not make a pipeline.

    Args:
        problem: What is wrong.
        culprits: The names with the problem.
        advice: What to do next.

    Example:
        >>> print(InvalidPipelineError("node names must be unique, these appear more than once", ["fit"], "Rename one"))
        node names must be unique, these appear more than once: 'fit'. Rename one
    """

    def __init__(self, problem: str, culprits: Iterable[str], advice: str) -> None:
        super().__init__(problem, culprits, advice)
        self.problem, self.culprits, self.advice = problem, culprits, advice

    def __str__(self) -> str:
        return problem_text(self.problem, self.culprits, self.advice)


class SelectionError(PenstockError, ValueError):
    """Names, tags or namespaces that the pipeline does not have.

    Args:
        problem: What is missing.
        names: The missing names, sorted.
        close: Similar names that the pipeline has.

    Example:
        >>> print(SelectionError("the pipeline has no nodes with these names", ["fit"], ["north.fit"]))
        the pipeline has no nodes with these names: 'fit'. Did you mean 'north.fit'?
    """

    def __init__(self, problem: str, names: list[str], close: Iterable[str] = ()) -> None:
        super().__init__(problem, names, close)
        self.problem, self.names, self.close = problem, names, close

    def __str__(self) -> str:
        advice = f"Did you mean {listed(self.close)}?" if self.close else "See `describe()` and `datasets()`"
        return problem_text(self.problem, self.names, advice)


class NodeDataError(PenstockError, ValueError):
    """Data that does not match the inputs or outputs of a node.

    Args:
        node: The node as text.
        problem: What does not match.
        expected: What the node needs, or has to return.
        given: What it got, or returned.

    Example:
        >>> print(NodeDataError("split", "the function returned the wrong number of outputs", "2", "3"))
        node split: the function returned the wrong number of outputs: expected 2, got 3
    """

    def __init__(self, node: str, problem: str, expected: str, given: str) -> None:
        super().__init__(node, problem, expected, given)
        self.node, self.problem, self.expected, self.given = node, problem, expected, given

    def __str__(self) -> str:
        return f"node {self.node}: {self.problem}: expected {self.expected}, got {self.given}"


class DatasetError(PenstockError):
    """A dataset that cannot be loaded, saved, checked or released; the original error is in `__cause__`.

    Example:
        >>> print(DatasetError("Cannot load model.pickle: EOFError: Ran out of input"))
        Cannot load model.pickle: EOFError: Ran out of input
    """

    # Where Kedro is imported, it is an error of Kedro as well.
    __new__ = new_dataset_error


class DatasetNotFoundError(DatasetError):
    """A name that the catalog does not have.

    Example:
        >>> print(DatasetNotFoundError("The catalog has no dataset 'modle'; did you mean model?"))
        The catalog has no dataset 'modle'; did you mean model?
    """


class DatasetAlreadyExistsError(DatasetError):
    """A name that the catalog already has.

    Example:
        >>> print(DatasetAlreadyExistsError("The catalog already has a dataset 'model'"))
        The catalog already has a dataset 'model'
    """


class CannotSendError(PenstockError, AttributeError):
    """Objects that cannot be sent to another process.

    Args:
        reason_by_name: The reason for each dataset, node or plugin.

    Example:
        >>> print(CannotSendError({"model": "cannot pickle '_thread.lock' object"}))
        These cannot be sent to another process:
          model: cannot pickle '_thread.lock' object
        Make them picklable, or run in this process: SequentialRunner or ThreadRunner
    """

    def __init__(self, reason_by_name: dict[str, str]) -> None:
        super().__init__(reason_by_name)
        self.reason_by_name = reason_by_name

    def __str__(self) -> str:
        reasons = "".join(f"\n  {name}: {self.reason_by_name[name]}" for name in sorted(self.reason_by_name))
        advice = "Make them picklable, or run in this process: SequentialRunner or ThreadRunner"
        return f"These cannot be sent to another process:{reasons}\n{advice}"


class MissingInputError(PenstockError, ValueError):
    """Free inputs of the pipeline that the catalog does not have.

    Args:
        names: The free inputs without a dataset.
        catalog: The name of the catalog's class.
        close: For a missing name, similar names of the catalog.

    Example:
        >>> print(MissingInputError({"modle"}, "DataCatalog", {"modle": ["model"]}))
        Pipeline input(s) {'modle'} not found in the DataCatalog: add a dataset for each, or select the nodes that do not need them
          modle: did you mean model?
    """

    def __init__(self, names: set[str], catalog: str, close: dict[str, list[str]] | None = None) -> None:
        super().__init__(names, catalog, close)
        self.names, self.catalog, self.close = names, catalog, close or {}

    def __str__(self) -> str:
        problem = f"Pipeline input(s) {{{listed(sorted(self.names))}}} not found in the {self.catalog}"
        hints = [f"\n  {name}: did you mean {', '.join(self.close[name])}?" for name in sorted(self.close)]
        advice = "add a dataset for each, or select the nodes that do not need them"
        return f"{problem}: {advice}{''.join(hints)}"


class NodeError(PenstockError, RuntimeError):
    """A failure whose own exception cannot be raised here: it cannot be pickled, or its worker is gone.

    Args:
        task: The part of the run that failed: "node train", "load of companies".
        text: The error as text, with the worker's traceback if there is one.

    Example:
        >>> print(NodeError("node train", "its worker is gone"))
        node train failed: its worker is gone
    """

    def __init__(self, task: str, text: str) -> None:
        super().__init__(task, text)
        self.task, self.text = task, text

    def __str__(self) -> str:
        return f"{self.task} failed: {self.text}"


class RunnerError(PenstockError, ValueError):
    """An argument of a runner that is not valid, or a runner that is closed, or open already.

    Example:
        >>> print(RunnerError("max_workers must be at least 1, not 0"))
        max_workers must be at least 1, not 0
    """


class ClusterError(PenstockError, RuntimeError):
    """A cluster that is missing or cannot be used.

    Example:
        >>> print(ClusterError("No scheduler answers at tcp://10.0.0.1:8786"))
        No scheduler answers at tcp://10.0.0.1:8786
    """


class NoWorkersError(ClusterError):
    """There is no worker that could run a task, and none will start.

    Args:
        problem: What the run waited for, and how long.
        job_states: The queue's report on each job, if the workers are jobs.

    Example:
        >>> print(NoWorkersError("No worker has started within 60 s", ["job 12: PENDING (Priority)"]))
        No worker has started within 60 s
          job 12: PENDING (Priority)
    """

    def __init__(self, problem: str, job_states: Iterable[str] = ()) -> None:
        super().__init__(problem, job_states)
        self.problem, self.job_states = problem, job_states

    def __str__(self) -> str:
        return "".join([self.problem, *(f"\n  {state}" for state in self.job_states)])


class UnfitWorkersError(ClusterError):
    """Workers, or a scheduler, that cannot run this pipeline.

    Args:
        problems: One sentence for each worker, or for the scheduler.
        advice: What to do next.

    Example:
        >>> print(UnfitWorkersError(["worker w1 has Python 3.9"], "Start it with Python 3.12"))
        The cluster cannot run this pipeline:
          worker w1 has Python 3.9
        Start it with Python 3.12
    """

    def __init__(self, problems: Iterable[str], advice: str) -> None:
        super().__init__(problems, advice)
        self.problems, self.advice = problems, advice

    def __str__(self) -> str:
        problems = "".join(f"\n  {problem}" for problem in self.problems)
        return f"The cluster cannot run this pipeline:{problems}\n{self.advice}"
