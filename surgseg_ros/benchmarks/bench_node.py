"""A node as its users run it: a process fed by another over DDS, watched from outside."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from surgseg_ros.bags import BagWriter
from surgseg_ros.bags.stereo_bag import write_frame
from surgseg_ros.sources import SimulatorSource

OUTPUTS = {  # that is subscribed to, by node
    'stereo': ('disparity', 'stereo_msgs/msg/DisparityImage'),
    'semantic': ('segmentation', 'sensor_msgs/msg/Image'),
    'instance': ('instances', 'surgseg_ros/msg/InstrumentInstances'),
}
FRAMES = 30
HEAD = (
    f'{"model":18}{"backend":13}{"active s":>9}{"peak MB":>9}{"model ms":>10}{"age p50":>9}'
    f'{"age p99":>9}{"out Hz":>8}{"in":>7}{"out":>6}{"dropped":>9}{"rejected":>9}'
)


@contextmanager
def recording(width: int, height: int, rate: float) -> Iterator[Path]:
    """Yield a bag of simulated frames without truth, stamped at `rate` Hz."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'frames.mcap'
        source = SimulatorSource(width=width, height=height, rate=rate, frames=FRAMES, truth=False)
        with source, BagWriter(path) as writer:
            for frame in source:
                write_frame(writer, frame)
        yield path


def measure(name: str, bag: Path, parameters: dict[str, Any], seconds: float) -> str:
    """Run the node `name` on the looped bag with a subscriber of its output; a line under HEAD."""
    from surgseg_ros.live.graph import LiveGraph

    with LiveGraph() as graph:
        graph.subscribe(*OUTPUTS[name])
        start = time.monotonic()
        node = graph.start(f'{name}_node', **parameters)
        graph.await_active(name)
        active = time.monotonic() - start
        graph.start('endoscope_node', source=str(bag), loop=True)
        graph.wait(
            lambda: int(graph.values(name).get('out', 0)),
            f'{name} published no {OUTPUTS[name][0]}',
        )
        time.sleep(seconds)
        graph.stop('endoscope')
        graph.settle()
        peak = _peak(node.pid)
        values = graph.values(name)
    return _line(parameters, active, peak, values, seconds)


def _peak(pid: int) -> float:
    """Highest resident memory of a process so far, MB."""
    status = Path(f'/proc/{pid}/status').read_text().splitlines()
    return int(next(line for line in status if line.startswith('VmHWM')).split()[1]) / 1024


def _line(
    parameters: dict[str, object],
    active: float,
    peak: float,
    values: dict[str, str],
    seconds: float,
) -> str:
    counts = {name: int(values[name]) for name in ('paired', 'out', 'dropped', 'rejected')}
    stages = ('inference', 'encode', 'decode')  # SurgicalSAM has two networks
    model = sum(float(values.get(f'{stage} p50 [ms]', 0)) for stage in stages)
    return (
        f'{parameters["model"]:18}{parameters["backend"]:13}{active:9.2f}{peak:9.0f}'
        f'{model:10.2f}{values["age p50 [ms]"]:>9}'
        f'{values["age p99 [ms]"]:>9}{counts["out"] / seconds:8.1f}{counts["paired"]:7}'
        f'{counts["out"]:6}{counts["dropped"]:9}{counts["rejected"]:9}'
    )
