"""Objects of Kedro where Penstock takes its own: a type checker reads it, and a test runs it.

python tests/typing/kedro_objects.py
"""

# pyright: strict

from __future__ import annotations

from typing import TYPE_CHECKING

import kedro.io
import kedro.pipeline

import penstock

if TYPE_CHECKING:
    from penstock.protocols import CatalogLike, DatasetLike, NodeLike, PipelineLike


def lengths(pipeline: PipelineLike, catalog: CatalogLike) -> int:
    """Typed with the protocols, and given the objects of either package."""
    nodes: list[NodeLike] = list(pipeline.nodes)
    dataset: DatasetLike | None = catalog.get("text")
    assert dataset is not None
    return len(nodes) + len(dataset.load())


def count(text: str) -> int:
    """A node."""
    return len(text)


def main() -> None:
    """Each pairing of a pipeline and a catalog."""
    kedro_pipeline = kedro.pipeline.Pipeline([kedro.pipeline.Node(count, "text", "length", name="count")])
    own_pipeline = penstock.Pipeline([penstock.node(count, "text", "length", name="count")])
    pipelines: list[PipelineLike] = [kedro_pipeline, own_pipeline]
    for pipeline in pipelines:
        catalogs: list[CatalogLike] = [
            kedro.io.DataCatalog({"text": kedro.io.MemoryDataset("abc")}),
            penstock.DataCatalog({"text": "abc"}),
        ]
        for catalog in catalogs:
            assert lengths(pipeline, catalog) == 1 + len("abc")
            assert penstock.run(pipeline, catalog)["length"].load() == len("abc")
            assert len(penstock.compile_pipeline(pipeline, catalog).graph) == 1
    nodes: list[NodeLike] = [*kedro_pipeline.nodes, *own_pipeline.nodes]
    assert {node.name for node in nodes} == {"count"}
    penstock.SequentialRunner().run(
        kedro_pipeline, kedro.io.DataCatalog({"text": kedro.io.MemoryDataset("ab")})
    )


if __name__ == "__main__":
    main()
