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
    `-- NodeError                     RuntimeError: a node's failure that cannot be shown as it was raised

Every error arrives whole from another process: its arguments go to `Exception`, its text is made when asked for.
"""

from __future__ import annotations


class PenstockError(Exception):
    """The base of all errors of Penstock."""


class PipelineError(PenstockError):
    """A renaming that does not fit the pipeline; also the base of what makes nodes no pipeline."""


class CircularDependencyError(PipelineError):
    """Nodes that wait for each other."""


class OutputNotUniqueError(PipelineError):
    """A dataset that two nodes produce."""


class ConfirmNotUniqueError(PipelineError):
    """A dataset that two nodes confirm."""


class InvalidNodeError(PenstockError, ValueError):
    """A node that cannot be: its function, inputs, outputs, name or tags are not what a node takes."""


class SignatureError(PenstockError, TypeError):
    """Inputs that the node's function does not take."""


class InvalidPipelineError(PenstockError, ValueError):
    """Nodes that do not make a pipeline."""


class SelectionError(PenstockError, ValueError):
    """Names, tags or namespaces that the pipeline does not have."""


class NodeDataError(PenstockError, ValueError):
    """A node was given, or gave, other data than it declares."""


class DatasetError(PenstockError):
    """A dataset that cannot be loaded, saved, asked or released; the cause, if any, is in `__cause__`."""


class DatasetNotFoundError(DatasetError):
    """A name that the catalog does not have."""


class DatasetAlreadyExistsError(DatasetError):
    """A name that the catalog has already."""
