"""What is refused before a pipeline is compiled."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING

from penstock.errors import InvalidNodeError, MissingInputError

if TYPE_CHECKING:
    from penstock._typing import CatalogLike, NodeLike, PipelineLike


def check_inputs(pipeline: PipelineLike, catalog: CatalogLike) -> None:
    """Refuse a pipeline with free inputs that the catalog lacks, naming all of them."""
    missing = {name for name in pipeline.inputs() if name not in catalog}
    if not missing:
        return
    known = list(catalog.keys()) if hasattr(catalog, "keys") else []
    close = {name: difflib.get_close_matches(name, known) for name in missing}
    raise MissingInputError(
        missing, type(catalog).__name__, {name: near for name, near in close.items() if near}
    )


def refuse_generators(nodes: Iterable[NodeLike]) -> None:
    """Refuse generator functions, for a run with `is_async`, naming all of them."""
    names = sorted(node.name for node in nodes if inspect.isgeneratorfunction(node.func))
    if names:
        raise InvalidNodeError(
            ", ".join(names),
            "a generator function, whose outputs are saved chunk by chunk, cannot run with is_async",
            (),
            "Run without is_async",
        )
