"""The base of every node that works on streams: a declaration and one method that calls a step.

    NEAREST = Output('nearest', Float32, 'nearest', _nearest, 'least depth of an instrument, m')

    class NearestNode(StreamNode[None]):
        INPUTS = (DISPARITY, INSTANCES)
        OUTPUTS = (NEAREST,)
        CAMERAS = ('left', 'right')
        PARAMETERS = (*StreamNode.PARAMETERS, outputs_parameter(OUTPUTS))

        def process(self, frame, wanted):
            return nearest(frame[DISPARITY], frame[INSTANCES], frame.calibration)

Messages pair by their stamps, camera_info is cached, images are rectified on request, one worker
takes the newest frame, and every frame is counted. Where inputs or outputs depend on parameters
(an output for each tool, say), override inputs() or outputs().
"""

import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar, cast

from diagnostic_msgs.msg import DiagnosticStatus

from surgseg_ros.frames.foreign import printable, printable_lines
from surgseg_ros.nodes.clocks import clock_fault
from surgseg_ros.nodes.managed_node import ManagedNode
from surgseg_ros.nodes.network_parameters import image_size
from surgseg_ros.nodes.parameters import Parameter
from surgseg_ros.nodes.settings_parameters import settings_from
from surgseg_ros.nodes.stream import Frame, Input, Output
from surgseg_ros.nodes.stream_frames import Arrival, Group
from surgseg_ros.nodes.stream_inputs import Inputs
from surgseg_ros.nodes.stream_outputs import Outputs
from surgseg_ros.perception.step import Step
from surgseg_ros.rosdata.messages import stamp_of
from surgseg_ros.streams.ledger import Ledger, wall_clock_age
from surgseg_ros.streams.stamp_grid import StampGrid
from surgseg_ros.streams.worker import NewestWorker

# s of one computation; MSDESIS takes a few on a slow CPU, and later results are useless
STUCK = 10.0
MAX_STAMP_DIFFERENCE = Parameter(
    'max_stamp_difference',
    -1.0,
    'largest difference of left and right stamps, s; 0: equal, -1: half a frame period',
    range=(-1.0, 1.0),
)
S = TypeVar('S', bound=Step[Any] | None)


class StreamNode(ManagedNode, Generic[S]):
    """Takes INPUTS that pair, calls process() and publishes OUTPUTS.

    CAMERAS: sides whose camera_info is needed; those of images are needed with `rectify`, too. The
    live settings of the step follow the parameters. Stamps of the inputs have to be equal, unless
    PARAMETERS has MAX_STAMP_DIFFERENCE. doubt: what makes results doubtful, in a sentence that
    process() may set; a warning in the diagnostics.
    """

    INPUTS: ClassVar[tuple[Input[object], ...]] = ()
    OUTPUTS: ClassVar[tuple[Output, ...]] = ()
    CAMERAS: ClassVar[tuple[str, ...]] = ()
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        *ManagedNode.PARAMETERS,
        Parameter(
            'image_transport',
            'raw',
            'how images arrive; compressed: JPEG or PNG',
            choices=('raw', 'compressed'),
        ),
        Parameter(
            'stacking',
            'none',
            'how one image on stereo/image_rect (or image_raw) holds both views: side by side, or '
            'left above right; none: each camera has its own topic',
            choices=('none', 'horizontal', 'vertical'),
        ),
        Parameter(
            'rectify',
            False,
            'take image_raw and rectify it with camera_info; otherwise image_rect is expected',
        ),
        Parameter(
            'max_rate',
            0.0,
            'largest number of frames per second, taken on a grid of stamps shared '
            'by all nodes; 0 takes all',
            range=(0.0, 1000.0),
            live=True,
        ),
        Parameter('frame_id', '', 'frame of the outputs; empty: that of the first input'),
    )

    def __init__(self, name: str, **options: object) -> None:
        self._step: Step[Any] | None = None
        super().__init__(name, **options)

    @property
    def step(self) -> S:
        """What create_step() made, while the node is configured."""
        return cast(S, self._step)

    # What a node does with frames: for subclasses to fill.

    def inputs(self) -> Sequence[Input[object]]:
        """Return those of INPUTS that the parameters ask for; the first gives stamp and frame."""
        return self.INPUTS

    def outputs(self) -> Sequence[Output]:
        """Return those of OUTPUTS that the node can publish as it is configured."""
        return self.OUTPUTS

    def create_step(self) -> S:
        """Make the step, in a node that has one."""
        return None  # type: ignore[return-value]

    def process(self, frame: Frame, wanted: Sequence[str]) -> object:
        """Compute what the outputs of these names are made of; ValueError rejects the frame."""
        raise NotImplementedError

    def details(self) -> Mapping[str, str]:
        """More values for the diagnostics."""
        return {}

    # Lifecycle.

    def configure(self) -> None:
        """Make the step, ready for images, and the publishers."""
        step: Step[Any] | None = self.create_step()
        if step:
            step.prepare(*image_size(self.p))
        class_names = step.class_names if step else ()
        self._step = step
        self._outputs = Outputs(self, self.outputs(), class_names)

    def activate(self) -> None:
        """Forget what has been seen, start the worker and subscribe."""
        if self._step:
            self._step.reset()
        self.ledger, self._grid = Ledger(), StampGrid()
        self._superseded_before, self._wall_clock_age = 0, ''
        self.doubt = ''
        self._worker = NewestWorker(
            self._compute, lambda group: self.ledger.count_dropped('newer frame waiting')
        )
        self._inputs = Inputs(self, self.inputs(), self.CAMERAS, self._take_group)
        self.begun = False

    def deactivate(self) -> None:
        """Unsubscribe, then let the worker finish."""
        self._inputs.close()
        self._worker.stop()

    def cleanup(self) -> None:
        """Release the step with the publishers."""
        super().cleanup()
        self._step = None

    # Arrivals in the executor's thread, where nothing takes long; frames in the worker's.

    def wanted(self) -> list[str]:
        """Names of the outputs that are enabled and have a subscriber."""
        return self._outputs.wanted()

    def _take_group(self, *group: Arrival | None) -> None:
        assert group[0]
        self.ledger.count_pair()
        stamp, epochs = stamp_of(group[0].message), self._inputs.pairer.epochs
        if not self.wanted():
            self.ledger.count_dropped('nobody subscribes')
        elif not self._grid.takes(stamp, self.p.max_rate, epochs):
            self.ledger.count_dropped('max_rate')
        else:
            self._worker.put(group)

    def _compute(self, group: Group) -> None:
        wanted = self.wanted()
        if not wanted:  # the last subscriber has left while the frame waited
            self.ledger.count_dropped('nobody subscribes')
            return
        try:
            frame = self._inputs.frames.make(group, self._inputs.pairer.jumps)
            if self._step:
                self._step.settings = settings_from(type(self._step.settings), self.p)
            self._outputs.publish(wanted, frame, self.process(frame, wanted))
        except ValueError as error:
            _reject(self, 'input', str(error))
        except Exception as error:
            _reject(self, 'internal', f'{type(error).__name__}: {error}')
            self.get_logger().debug(printable_lines(traceback.format_exc()))
        else:
            now = self.get_clock().now().nanoseconds
            self._wall_clock_age = wall_clock_age(frame.stamp, now)
            received = min(arrival.moment for arrival in group if arrival)
            frame.milliseconds['age'] = 1000 * (time.monotonic() - received)
            self.ledger.count_out(frame.milliseconds)

    # Diagnostics.

    def diagnose(self) -> tuple[bytes, str, Mapping[str, str]]:
        """Counts and latencies; ERROR if no output is possible, WARN when too slow."""
        inputs, ledger = self._inputs, self.ledger
        values = {
            **inputs.health.counts(),
            'wall-clock age [s]': self._wall_clock_age,
            **inputs.frames.details(),
            **self.details(),
            **ledger.summary(),
        }
        superseded = ledger.dropped['newer frame waiting']
        recent, self._superseded_before = superseded - self._superseded_before, superseded
        fault = inputs.health.fault()
        self.begun = inputs.health.begun
        if (busy := self._worker.busy_seconds) > STUCK:
            fault = f'no output: one frame has been computed for {busy:.0f} s'
        if not fault and ledger.seconds_since_rejection < 2.0:
            fault = ledger.last_reason
        if fault:
            return DiagnosticStatus.ERROR, fault, values
        if doubt := inputs.frames.doubt() or self.doubt or clock_fault(self):
            return DiagnosticStatus.WARN, doubt, values
        if recent > 0:
            slow = f'slower than the input: {recent} frames dropped in the last second'
            return DiagnosticStatus.WARN, slow, values
        return DiagnosticStatus.OK, ledger.headline(), values


def _reject(node: StreamNode[S], kind: str, reason: str) -> None:
    """Count a frame that could not be computed, and say why."""
    node.ledger.count_rejected(kind, reason)
    node.get_logger().error(printable(f'frame rejected: {reason}'), throttle_duration_sec=5.0)
