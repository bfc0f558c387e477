"""`NodePolicy`: retries of a node, and where on a cluster it runs."""

from __future__ import annotations

import builtins
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from typing import Any

from penstock.errors import RunnerError


@dataclass(frozen=True, repr=False)
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
        RunnerError: A field is not of its type, a number is negative, or `retry_on` names something that is not an exception.

    Example:
        >>> from penstock.runner import NodePolicy
        >>> policy = NodePolicy(retries=3, retry_on=OSError, wait_seconds=1)
        >>> list(policy.waits())
        [1.0, 2.0, 4.0]
        >>> policy
        NodePolicy(retries=3, retry_on=OSError, wait_seconds=1)

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
        if not isinstance(names, Iterable):
            raise RunnerError(f"retry_on is {names!r}; give exceptions, as classes or names")
        object.__setattr__(self, "errors", tuple(map(_exception_class, names)))
        _check_number("retries", self.retries, Integral)
        for name in ("wait_seconds", "wait_factor"):
            _check_number(name, getattr(self, name))
        _check_number("priority", self.priority, least=-math.inf)
        self._check_placement()

    def _check_placement(self) -> None:
        amounts = self.resources.values() if isinstance(self.resources, Mapping) else [self.resources]
        if self.resources and not all(isinstance(amount, Real) for amount in amounts):
            raise RunnerError(
                f"resources is {self.resources!r}; give a dict of numbers, for instance {{'GPU': 1}}"
            )
        if self.workers and not isinstance(self.workers, Iterable):
            raise RunnerError(f"workers is {self.workers!r}; give a name or a list of names")

    def __repr__(self) -> str:
        given = {each.name: getattr(self, each.name) for each in fields(self) if each.repr}
        defaults = {each.name: each.default for each in fields(self)}
        shown = [f"{name}={_text(value)}" for name, value in given.items() if value != defaults[name]]
        return f"{type(self).__name__}({', '.join(shown)})"

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


def _text(value: Any) -> str:
    """The value as one writes it: classes by their names."""
    if isinstance(value, type):
        return value.__qualname__
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_text, value))}]"
    return repr(value)


def _check_number(name: str, value: Any, kind: type = Real, least: float = 0) -> None:
    is_number = isinstance(value, kind) and not isinstance(value, bool)
    if not is_number:
        what = "a whole number" if kind is Integral else "a number"
        raise RunnerError(f"{name} is {value!r}, not {what}")
    # Not `value < least`, which is false for NaN.
    if not value >= least:
        raise RunnerError(f"{name} is {value}; give 0 or more")


def _exception_class(named: type[Exception] | str) -> type[Exception]:
    found: Any = named
    if isinstance(named, str):
        import pkgutil  # noqa: PLC0415 - on first use: few policies name an exception

        found = None
        try:
            found = getattr(builtins, named, None) or pkgutil.resolve_name(named)
        except ImportError as error:
            # Without a module in front it is a built-in exception, perhaps misspelt.
            if "." in named:
                raise RunnerError(
                    f"retry_on has {named!r}, whose module cannot be imported: {error}"
                ) from None
        except (AttributeError, ValueError):
            pass
    if isinstance(found, type) and issubclass(found, Exception):
        return found
    raise RunnerError(
        f"retry_on has {named!r}, which is not an exception; give a class, or its name with its module"
    )
