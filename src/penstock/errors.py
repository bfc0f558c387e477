"""Every error that Penstock raises.

    PenstockError
    |-- PipelineError                 a renaming that does not fit the pipeline
    |   |-- CircularDependencyError   nodes that wait for each other
    |   |-- OutputNotUniqueError      a dataset that two nodes produce
    |   `-- ConfirmNotUniqueError     a dataset that two nodes confirm
    |-- InvalidNodeError              ValueError: a node that cannot be
    |-- SignatureError                TypeError: inputs that the node's function does not take
    |-- InvalidPipelineError          ValueError: nodes that do not make a pipeline
    |-- SelectionError                ValueError: names, tags or namespaces that the pipeline does not have
    |-- NodeDataError                 ValueError: a node was given, or gave, other data than it declares
    |-- DatasetError                  a dataset that cannot be loaded, saved, asked or released
    |   |-- DatasetNotFoundError      a name that the catalog does not have
    |   `-- DatasetAlreadyExistsError a name that the catalog has already
    |-- MissingInputError             ValueError: free inputs that the catalog does not have
    |-- CannotSendError               AttributeError: what cannot leave this process
    |-- RunnerError                   ValueError: a runner argument that makes no sense
    |-- ClusterError                  RuntimeError: no cluster to run on
    |   |-- NoWorkersError            nobody there to run a task, and nobody coming
    |   `-- UnfitWorkersError         workers, or a scheduler, that cannot run this pipeline
    `-- NodeError                     RuntimeError: a node's failure that cannot be shown as it was raised

Every error arrives whole from another process: its arguments go to `Exception`, its text is made when asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def _told(problem: str, culprits: Iterable[str], advice: str) -> str:
    named = f": {_listed(culprits)}" if culprits else ""
    return f"{problem}{named}. {advice}" if advice else f"{problem}{named}"


def _claimed(verb: str, nodes_by_dataset: dict[str, list[str]], advice: str) -> str:
    claims = "".join(f"\n  {name!r} by {_listed(nodes)}" for name, nodes in nodes_by_dataset.items())
    return f"{sorted(nodes_by_dataset)} {verb} more than once:{claims}\n{advice}"


class PenstockError(Exception):
    """The base of all errors of Penstock."""


class PipelineError(PenstockError):
    """A renaming that does not fit the pipeline; also the base of what makes nodes no pipeline.

    Args:
        problem: What is wrong with the names.
        names: The names it is about.
        advice: What to do next.
    """

    def __init__(self, problem: str, names: Iterable[str] = (), advice: str = "") -> None:
        super().__init__(problem, names, advice)
        self.problem, self.names, self.advice = problem, names, advice

    def __str__(self) -> str:
        return _told(self.problem, self.names, self.advice)


class CircularDependencyError(PipelineError):
    """Nodes that wait for each other.

    Args:
        path: The names of the nodes of one cycle, each one feeding the next; the last is the first again.
    """

    def __init__(self, path: list[str]) -> None:
        PenstockError.__init__(self, path)
        self.path = path

    def __str__(self) -> str:
        return (
            f"circular dependency among {len(self.path) - 1} node(s): {' -> '.join(self.path)}. "
            "Each one waits for an output of the one before it: rename a dataset on this path, or split a node"
        )


class OutputNotUniqueError(PipelineError):
    """A dataset that two nodes produce.

    Args:
        producers: For each such dataset, without its `@format`, the names of its nodes.
    """

    def __init__(self, producers: dict[str, list[str]]) -> None:
        PenstockError.__init__(self, producers)
        self.producers = producers

    def __str__(self) -> str:
        return _claimed("produced", self.producers, "Give each output a name of its own")


class ConfirmNotUniqueError(PipelineError):
    """A dataset that two nodes confirm.

    Args:
        confirmers: For each such dataset, without its `@format`, the names of its nodes.
    """

    def __init__(self, confirmers: dict[str, list[str]]) -> None:
        PenstockError.__init__(self, confirmers)
        self.confirmers = confirmers

    def __str__(self) -> str:
        return _claimed("confirmed", self.confirmers, "Let the last of them confirm it")


class InvalidNodeError(PenstockError, ValueError):
    """A node that cannot be: its function, inputs, outputs, name or tags are not what a node takes.

    Args:
        node: The node as text, as far as it is known.
        problem: What is wrong.
        culprits: The names, types or values it is about.
        advice: What to do next.
    """

    def __init__(self, node: str, problem: str, culprits: Iterable[str], advice: str) -> None:
        super().__init__(node, problem, culprits, advice)
        self.node, self.problem, self.culprits, self.advice = node, problem, culprits, advice

    def __str__(self) -> str:
        return f"node {self.node}: {_told(self.problem, self.culprits, self.advice)}"


class SignatureError(PenstockError, TypeError):
    """Inputs that the node's function does not take.

    Args:
        function: The function's name.
        parameters: The names of its parameters.
        inputs: The inputs that the node was given: a list of datasets, or a mapping of parameters to them.
    """

    def __init__(self, function: str, parameters: list[str], inputs: Any) -> None:
        super().__init__(function, parameters, inputs)
        self.function, self.parameters, self.inputs = function, parameters, inputs

    def __str__(self) -> str:
        return (
            f"the function {self.function!r} takes {self.parameters}, and the node gives it {self.inputs}. "
            "List one dataset for each parameter, or map parameter names to datasets"
        )


class InvalidPipelineError(PenstockError, ValueError):
    """Nodes that do not make a pipeline.

    Args:
        problem: What is wrong.
        culprits: The names it is about.
        advice: What to do next.
    """

    def __init__(self, problem: str, culprits: Iterable[str], advice: str) -> None:
        super().__init__(problem, culprits, advice)
        self.problem, self.culprits, self.advice = problem, culprits, advice

    def __str__(self) -> str:
        return _told(self.problem, self.culprits, self.advice)


class SelectionError(PenstockError, ValueError):
    """Names, tags or namespaces that the pipeline does not have.

    Args:
        problem: What was looked for.
        names: The names that are missing, sorted.
        close: Names that the pipeline has, and that may be meant.
    """

    def __init__(self, problem: str, names: list[str], close: Iterable[str] = ()) -> None:
        super().__init__(problem, names, close)
        self.problem, self.names, self.close = problem, names, close

    def __str__(self) -> str:
        meant = f"did you mean {_listed(self.close)}?" if self.close else ""
        return _told(self.problem, self.names, meant or "`describe()` and `datasets()` list what there is")


class NodeDataError(PenstockError, ValueError):
    """A node was given, or gave, other data than it declares.

    Args:
        node: The node as text.
        problem: What does not fit.
        expected: What the node declares.
        given: What it got.
    """

    def __init__(self, node: str, problem: str, expected: str, given: str) -> None:
        super().__init__(node, problem, expected, given)
        self.node, self.problem, self.expected, self.given = node, problem, expected, given

    def __str__(self) -> str:
        return f"node {self.node}: {self.problem}: expected {self.expected}, got {self.given}"


class DatasetError(PenstockError):
    """A dataset that cannot be loaded, saved, asked or released; the cause, if any, is in `__cause__`."""


class DatasetNotFoundError(DatasetError):
    """A name that the catalog does not have."""


class DatasetAlreadyExistsError(DatasetError):
    """A name that the catalog has already."""


class CannotSendError(PenstockError, AttributeError):
    """What cannot leave this process.

    Args:
        reason_by_name: Why, for each dataset, node or plugin.
    """

    def __init__(self, reason_by_name: dict[str, str]) -> None:
        super().__init__(reason_by_name)
        self.reason_by_name = reason_by_name

    def __str__(self) -> str:
        reasons = "".join(f"\n  {name}: {self.reason_by_name[name]}" for name in sorted(self.reason_by_name))
        return (
            f"These cannot be sent to another process:{reasons}\n"
            "Make them picklable, or run in this process: SequentialRunner or ThreadRunner"
        )


class MissingInputError(PenstockError, ValueError):
    """Free inputs of the pipeline that the catalog does not have.

    Args:
        names: The free inputs without a dataset.
        catalog: The name of the catalog's class.
        close: For a missing name, those names of the catalog that look like it.
    """

    def __init__(self, names: set[str], catalog: str, close: dict[str, list[str]] | None = None) -> None:
        super().__init__(names, catalog, close)
        self.names, self.catalog, self.close = names, catalog, close or {}

    def __str__(self) -> str:
        meant = "".join(
            f"\n  {name}: did you mean {', '.join(self.close[name])}?" for name in sorted(self.close)
        )
        return (
            f"Pipeline input(s) {{{', '.join(map(repr, sorted(self.names)))}}} not found in the {self.catalog}: "
            f"add a dataset for each, or select the nodes that do not need them{meant}"
        )


class NodeError(PenstockError, RuntimeError):
    """A failure that cannot be shown as it was raised: its exception does not pickle, or its worker is gone.

    Args:
        task: What failed, in words: "node train", "load of companies".
        text: What is known of it; the worker's traceback if there is one.
    """

    def __init__(self, task: str, text: str) -> None:
        super().__init__(task, text)
        self.task, self.text = task, text

    def __str__(self) -> str:
        return f"{self.task} failed: {self.text}"


class RunnerError(PenstockError, ValueError):
    """A runner argument that makes no sense."""


class ClusterError(PenstockError, RuntimeError):
    """No cluster to run on."""


class NoWorkersError(ClusterError):
    """Nobody is there to run a task, and nobody comes.

    Args:
        problem: What was waited for, and how long.
        said: What the queue says of each job, if the workers are jobs.
    """

    def __init__(self, problem: str, said: Iterable[str] = ()) -> None:
        super().__init__(problem, said)
        self.problem, self.said = problem, said

    def __str__(self) -> str:
        return "".join([self.problem, *(f"\n  {each}" for each in self.said)])


class UnfitWorkersError(ClusterError):
    """Workers, or a scheduler, that cannot run this pipeline.

    Args:
        problems: One for each culprit.
        advice: What to do next.
    """

    def __init__(self, problems: Iterable[str], advice: str) -> None:
        super().__init__(problems, advice)
        self.problems, self.advice = problems, advice

    def __str__(self) -> str:
        problems = "".join(f"\n  {problem}" for problem in self.problems)
        return f"The cluster does not fit the pipeline:{problems}\n{self.advice}"
