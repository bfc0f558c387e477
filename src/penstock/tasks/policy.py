"""How often a task is tried, and where on a cluster it runs."""

from __future__ import annotations

import builtins
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.errors import RunnerError


@dataclass(frozen=True)
class NodePolicy:
    """How a node is run.

    The call of the node, each load and each save are tried by themselves; each attempt of a call has fresh inputs. What a
    generator function yields, and what is saved with `is_async`, is saved once: an error there is not tried again.

    Raises:
        RunnerError: A value that makes no sense.
    """

    retries: int = 0
    """How often a load, a call or a save that failed is tried again."""
    retry_on: Sequence[type[Exception] | str] = (Exception,)
    """What is worth another attempt: exceptions, or their names: `OSError`, `requests.ConnectionError`."""
    wait_seconds: float = 0.0
    """The time before the second attempt."""
    wait_factor: float = 2.0
    """By how much each wait is longer than the one before."""
    resources: Mapping[str, float] | None = None
    """What the node's call takes of its worker while it runs, of what workers were started with: `{"GPU": 1}`."""
    priority: int = 0
    """Of several tasks that could start, Dask starts the one with the highest."""
    workers: str | Sequence[str] | None = None
    """The only workers that the node may run on: addresses, names or hosts."""
    errors: tuple[type[Exception], ...] = field(init=False, repr=False, compare=False, default=(Exception,))
    """The classes that `retry_on` names."""

    def __post_init__(self) -> None:
        named = [self.retry_on] if isinstance(self.retry_on, str | type) else self.retry_on
        object.__setattr__(self, "errors", tuple(map(_exception, named)))
        if self.retries < 0 or self.wait_seconds < 0 or self.wait_factor < 0:
            raise RunnerError(f"{self}: retries, wait_seconds and wait_factor are not negative")

    def waits(self) -> Iterator[float]:
        """The seconds before each attempt after the first."""
        return (self.wait_seconds * self.wait_factor**attempt for attempt in range(self.retries))

    @property
    def placement(self) -> dict[str, Any]:
        """What only a cluster can do, as far as it is asked for."""
        asked = {"resources": self.resources, "priority": self.priority, "workers": self.workers}
        return {name: value for name, value in asked.items() if value}


def _exception(named: type[Exception] | str) -> type[Exception]:
    found: Any = named
    if isinstance(named, str):
        try:
            found = getattr(builtins, named, None) or pkgutil.resolve_name(named)
        except (ImportError, AttributeError, ValueError):
            found = None
    if isinstance(found, type) and issubclass(found, Exception):
        return found
    raise RunnerError(
        f"retry_on has {named!r}, which is no exception; give a class, or its name with its module"
    )
