"""Run nodes on a source of frames until it ends, and record what they publish."""

from collections.abc import Collection, Sequence
from pathlib import Path

from tqdm import tqdm

from surgseg_ros.frames.foreign import say
from surgseg_ros.live.graph import NAMESPACE, LiveGraph
from surgseg_ros.processes.pipelines import PipelineNode

RECORDER = 'recorder'


def record(
    nodes: Sequence[PipelineNode],
    watched: Collection[str],
    bag: Path,
    topics: Sequence[str],
    frames: int | None = None,
) -> dict[str, dict[str, str]]:
    """Run the nodes and a recorder until the last of the nodes, the source, ends.

    All of it in a ROS domain of its own, so that a robot, or another run, is not disturbed.
    watched: names of the nodes to wait for, whose last diagnostics are returned. frames: how many
    the source has, for the progress bar. Raises ValueError where a node or the recording fails.
    """
    *others, source = nodes
    with LiveGraph(NAMESPACE) as graph:
        say(f'to watch it: export ROS_DOMAIN_ID={graph.domain}')
        graph.start('recorder_node', bag=str(bag), topics=list(topics), overwrite=True)
        for node in others:
            graph.add(node)
        graph.await_active(RECORDER, *watched)
        with tqdm(total=frames, unit=' frames', desc='live', disable=None) as bar:
            graph.play(source, lambda sent: bar.update(sent - bar.n))
        if graph.stop(RECORDER):
            raise ValueError('the recording failed, see the message of the recorder above')
        return {name: graph.values(name) for name in watched}
