"""What all nodes share: lifecycle that starts itself, parameters, QoS, diagnostics, main()."""

import contextlib
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any, ClassVar

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter as RosParameter
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import try_shutdown

from surgseg_ros.frames.foreign import printable, printable_lines, say
from surgseg_ros.media import children
from surgseg_ros.nodes import transport
from surgseg_ros.nodes.clocks import steady_timer
from surgseg_ros.nodes.parameters import Parameter, Parameters, is_set
from surgseg_ros.nodes.reporter import Reporter, Status
from surgseg_ros.processes.signals import on_signal

RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
NEWEST = QoSProfile(
    depth=1,
    reliability=qos_profile_sensor_data.reliability,
    history=qos_profile_sensor_data.history,
)

DIAGNOSTICS = 'once a second: state, reason, exact counts, rate, latencies p50 and p99'


class ManagedNode(LifecycleNode):
    """A lifecycle node that, with `autostart`, configures and activates itself.

    Subclasses list PARAMETERS and fill configure / activate / deactivate / cleanup; a ValueError,
    OSError or ImportError raised there fails the transition, and its message is the one sentence
    that the log and the diagnostics show. `diagnose` reports the state of the node once a second.
    """

    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        Parameter('autostart', True, 'configure and activate without a lifecycle manager'),
    )
    WAITS: ClassVar[bool] = True  # after a failed start: for a manager to try again, or end

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self.finished = False  # True ends the process
        self.begun = True  # False until the first input of a node that waits for it
        self._publishers_made: list[Publisher] = []
        self._fault = ''
        self.p = Parameters(self, self.PARAMETERS, lambda: self.state_label != 'unconfigured')
        self._reporter = Reporter(self, partial(_status, self), lambda: self.begun)
        if self.p.autostart:
            self._start_timer = steady_timer(self, 0.0, partial(_autostart, self))

    # What a node does: for subclasses to fill.

    def configure(self) -> None:
        """Load and warm up; make publishers."""

    def activate(self) -> None:
        """Begin to take input."""

    def deactivate(self) -> None:
        """Stop taking input; nothing is published after this returns."""

    def cleanup(self) -> None:
        """Release what configure made; the publishers are removed here."""
        for publisher in self._publishers_made:
            self.destroy_publisher(publisher)
        self._publishers_made.clear()

    def diagnose(self) -> tuple[bytes, str, Mapping[str, str]]:
        """Return level, one sentence and values for the diagnostics of an active node."""
        return DiagnosticStatus.OK, 'running', {}

    # Lifecycle.

    @property
    def failed(self) -> bool:
        """Whether the last transition failed."""
        return bool(self._fault)

    @property
    def state_label(self) -> str:
        """Lifecycle state: unconfigured, inactive, active, finalized or a transition."""
        return str(self._state_machine.current_state[1])

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run configure(); its error fails the transition with one sentence."""
        self._fault = ''
        outcome = _attempt(self, self.configure, undo=self.cleanup)
        transport.release_memory()
        return outcome

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run activate()."""
        self._fault = ''
        return _attempt(self, self.activate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run deactivate()."""
        return _attempt(self, self.deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run cleanup()."""
        return _attempt(self, self.cleanup)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run deactivate() and cleanup() as far as the state requires."""
        if state.label == 'active':
            _attempt(self, self.deactivate)
        if state.label in ('active', 'inactive'):
            _attempt(self, self.cleanup)
        return TransitionCallbackReturn.SUCCESS

    # Parameters and topics.

    def set_parameters_atomically(self, parameter_list: list[RosParameter]) -> SetParametersResult:
        """Set changed values; a value that a parameter already has is always accepted.

        So a node accepts its own `ros2 param dump`, including read-only parameters.
        """
        changes = [change for change in parameter_list if not is_set(self, change)]
        if not changes:
            return SetParametersResult(successful=True)
        return super().set_parameters_atomically(changes)

    def publisher(self, kind: type, topic: str, qos: QoSProfile = RELIABLE) -> Publisher:
        """Make a publisher whose QoS may be overridden by parameters."""
        qos = copy(qos)  # in which rclpy writes what parameters say
        publisher = self.create_publisher(
            kind, topic, qos, qos_overriding_options=QoSOverridingOptions.with_default_policies()
        )
        self._publishers_made.append(publisher)
        return publisher


def _attempt(
    node: ManagedNode, step: Callable[[], None], undo: Callable[[], None] | None = None
) -> TransitionCallbackReturn:
    """Run a transition; an exception becomes the node's fault and is logged."""
    try:
        step()
    except Exception as error:
        if children.ending() and step == node.configure:  # its export was ended: no fault
            node.cleanup()
            return TransitionCallbackReturn.FAILURE
        expected = isinstance(error, ValueError | OSError | ImportError)
        node._fault = str(error) or type(error).__name__
        node.get_logger().error(
            printable_lines(
                f'cannot {step.__name__}: {printable(node._fault)}'
                if expected
                else traceback.format_exc()
            )
        )
        if undo:
            undo()
        return TransitionCallbackReturn.FAILURE
    return TransitionCallbackReturn.SUCCESS


def _autostart(node: ManagedNode) -> None:
    """Configure and activate, once."""
    node._start_timer.cancel()
    configured = TransitionCallbackReturn.SUCCESS
    if node.state_label == 'unconfigured' and node.trigger_configure() == configured:
        node.trigger_activate()
    node._reporter.publish()  # at once, because the launcher waits for this
    node.finished = node.failed and not node.WAITS


def _status(node: ManagedNode) -> Status:
    """Level, sentence and values of a node in any state."""
    if node._fault:
        return DiagnosticStatus.ERROR, node._fault, {}
    if node.state_label == 'active':
        return node.diagnose()
    return DiagnosticStatus.OK, node.state_label, {}


def run(make_node: Callable[[], ManagedNode], arguments: Sequence[str] | None = None) -> int:
    """Run one node until it is told to stop; the body of every node's main()."""
    transport.tune_allocator()
    advice = transport.use_profile()
    # rclpy's own handlers would shut the context down before the node has ended its work.
    words = list(arguments) if arguments else None
    rclpy.init(args=words, signal_handler_options=SignalHandlerOptions.NO)
    # An exception out of a signal handler can hit any line, a destructor included, and be lost.
    stop = threading.Event()

    def end(number: int) -> None:
        stop.set()
        children.end_running()

    on_signal(end)
    try:
        node = make_node()
    except ValueError as error:
        say(error, to=sys.stderr)
        return 1
    if advice:
        node.get_logger().info(printable(advice))
    try:
        _spin(node, stop)
    finally:
        if node.state_label in ('active', 'inactive'):
            node.trigger_shutdown()
        node.destroy_node()
        try_shutdown()
    return int(node.failed)


def _spin(node: ManagedNode, stop: threading.Event) -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    with contextlib.suppress(ExternalShutdownException):
        while not (node.finished or stop.is_set()):
            executor.spin_once(timeout_sec=0.2)
