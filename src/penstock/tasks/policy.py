"""`NodePolicy`: retries of a node, and where on a cluster it runs."""

from __future__ import annotations

import builtins
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.errors import RunnerError


@dataclass(frozen=True)
class NodePolicy:
    """How a node runs: how often it is retried, and on a cluster which workers run it.

    The call of the node, each load and each save are retried by themselves, on every runner; each attempt of a call gets fresh
    inputs. Saves of generator functions and saves with `is_async` are not retried.

    Args:
        retries: How often a load, a call or a save is retried.
        retry_on: Exceptions that are retried, as classes or names: `OSError`, `"requests.ConnectionError"`.
        wait_seconds: The wait before the second attempt.
        wait_factor: Each further wait is longer by this factor.
        resources: For clusters: resources of a worker that the call needs while it runs, as workers declare them: `{"GPU": 1}`.
        priority: For clusters: of several tasks that could start, Dask starts those of the highest priority first.
        workers: For clusters: the only workers that may run the node, as addresses, names or hosts.

    Raises:
        RunnerError: A number is negative, or `retry_on` names something that is not an exception.

    Example:
        >>> from penstock.runner import NodePolicy
        >>> policy = NodePolicy(retries=3, retry_on=OSError, wait_seconds=1)
        >>> list(policy.waits())
        [1.0, 2.0, 4.0]

        A run takes policies by the name of a node, a namespace or a tag:

        >>> import penstock
        >>> from penstock.pipeline import node, pipeline
        >>> download = node(lambda url: len(url), "url", "size", name="download")
        >>> result = penstock.run(pipeline([download]), {"url": "https://..."}, policies={"download": policy})
        >>> result["size"].load()
        11
    """

    retries: int = 0
    """How often a load, a call or a save is retried."""
    retry_on: Sequence[type[Exception] | str] = (Exception,)
    """Exceptions that are retried, as classes or names."""
    wait_seconds: float = 0.0
    """The wait before the second attempt."""
    wait_factor: float = 2.0
    """Each further wait is longer by this factor."""
    resources: Mapping[str, float] | None = None
    """Resources of a worker that the call needs while it runs; clusters only."""
    priority: int = 0
    """Tasks of the highest priority start first; clusters only."""
    workers: str | Sequence[str] | None = None
    """The only workers that may run the node, as addresses, names or hosts; clusters only."""
    errors: tuple[type[Exception], ...] = field(init=False, repr=False, compare=False, default=(Exception,))
    """The exception classes of `retry_on`."""

    def __post_init__(self) -> None:
        names = [self.retry_on] if isinstance(self.retry_on, str | type) else self.retry_on
        object.__setattr__(self, "errors", tuple(map(_exception_class, names)))
        negative = [name for name in ("retries", "wait_seconds", "wait_factor") if getattr(self, name) < 0]
        if negative:
            values = ", ".join(f"{name} is {getattr(self, name)}" for name in negative)
            raise RunnerError(f"{values}; give 0 or more")

    def waits(self) -> Iterator[float]:
        """The pauses between attempts.

        Returns:
            The seconds to wait before each attempt after the first.
        """
        return (self.wait_seconds * self.wait_factor**attempt for attempt in range(self.retries))

    @property
    def placement(self) -> dict[str, Any]:
        """The fields that only clusters follow, as far as they are set."""
        fields = {"resources": self.resources, "priority": self.priority, "workers": self.workers}
        return {name: value for name, value in fields.items() if value}


def _exception_class(named: type[Exception] | str) -> type[Exception]:
    found: Any = named
    if isinstance(named, str):
        try:
            found = getattr(builtins, named, None) or pkgutil.resolve_name(named)
        except (ImportError, AttributeError, ValueError):
            found = None
    if isinstance(found, type) and issubclass(found, Exception):
        return found
    raise RunnerError(
        f"retry_on has {named!r}, which is not an exception; give a class, or its name with its module"
    )
