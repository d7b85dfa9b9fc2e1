from pathlib import Path

from pipelines.dag import nodes
from pipelines.dag.pipeline import make_pipeline
from pipelines.dag.settings import RunConfig
from pipelines.tasks import TASKS


def test_the_edges_are_those_of_the_pipeline(tmp_path: Path) -> None:
    config = RunConfig(data_dir=str(tmp_path), pipeline_root=str(tmp_path), models_dir=str(tmp_path))
    for task in ("mnist", "lits"):
        pipeline = make_pipeline(TASKS[task], config)
        wired = {node.id: {before.id for before in node.upstream_nodes} for node in pipeline.components}
        assert wired.keys() == nodes.EDGES.keys()
        assert wired == {node: set(before) for node, before in nodes.EDGES.items()}
