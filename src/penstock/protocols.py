"""The types of what a run takes, for annotations of your own: classes of Penstock and of Kedro have them without inheriting.

Example:
    >>> import penstock
    >>> from penstock.protocols import CatalogLike, PipelineLike
    >>> def lacks(pipeline: PipelineLike, catalog: CatalogLike) -> list[str]:
    ...     return sorted(name for name in pipeline.inputs() if name not in catalog)
    >>> pipeline = penstock.Pipeline([penstock.node(max, ["speed", "limit"], "highest", name="choose")])
    >>> lacks(pipeline, penstock.DataCatalog({"limit": 50}))
    ['speed']
"""

from __future__ import annotations

from penstock._typing import CatalogLike, DatasetLike, NodeLike, PipelineLike

__all__ = ["CatalogLike", "DatasetLike", "NodeLike", "PipelineLike"]
