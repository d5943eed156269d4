"""tool_pose_node: masks and disparity in; poses of instruments and distances from tissue out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import LabelInfo

from surgseg_ros.frames.results import InstanceResult
from surgseg_ros.frames.tool_pose import PoseReason, PoseState, ToolPose
from surgseg_ros.nodes.managed_node import LATCHED, run
from surgseg_ros.nodes.messages import make_message
from surgseg_ros.nodes.network_parameters import IMAGE_SIZE
from surgseg_ros.nodes.parameters import Parameter
from surgseg_ros.nodes.pose_inputs import (
    DISPARITY,
    INSTANCES,
    MASKS,
    STDDEV,
    calibration_of,
    check_sizes,
)
from surgseg_ros.nodes.pose_outputs import COMMON, TISSUE, Located, slot_outputs
from surgseg_ros.nodes.settings_parameters import parameters_of, settings_from
from surgseg_ros.nodes.stream import Frame, Input, Output, outputs_parameter
from surgseg_ros.nodes.stream_frames import Arrival
from surgseg_ros.nodes.stream_node import StreamNode
from surgseg_ros.nodes.transform_listener import TransformListener
from surgseg_ros.perception.pose import PoseSettings, PoseStep
from surgseg_ros.rosdata import pose_messages


class ToolPoseNode(StreamNode[PoseStep]):
    """Pairs masks with disparity by stamp."""

    INPUTS: ClassVar[tuple[Input[object], ...]] = (DISPARITY, *MASKS.values(), STDDEV)
    OUTPUTS: ClassVar[tuple[Output, ...]] = (*COMMON, *slot_outputs(1, '<slot>'))
    CAMERAS: ClassVar[tuple[str, ...]] = ('left',)
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        *StreamNode.PARAMETERS,
        IMAGE_SIZE,
        *parameters_of(PoseSettings),
        Parameter(
            'masks',
            'instances',
            'topic that shows the instruments; labels are split into connected regions',
            choices=tuple(MASKS),
        ),
        Parameter(
            'control_point',
            'wrist_yaw',
            "what measured_cp is: wrist_yaw as the dVRK's, on the jaws' axis; jaw_tips: the same "
            'axes between the tips',
            choices=('wrist_yaw', 'jaw_tips'),
        ),
        Parameter(
            'target_frame',
            '',
            "frame of poses and distances, by TF at the frame's stamp; empty: the camera's",
        ),
        Parameter(
            'transform_patience',
            0.1,
            'time to wait for a transform of that stamp, s; after it the frame is rejected',
            range=(0.0, 5.0),
        ),
        Parameter(
            'capture_latency',
            0.0,
            'time from exposure to the stamp, s, which is added to the reported age',
            range=(0.0, 5.0),
        ),
        outputs_parameter(OUTPUTS),
    )

    def __init__(self, **options: object) -> None:
        self._listener: TransformListener | None = None
        self._label_names: tuple[str, ...] = ()
        self._why_none = self._isi_of = ''
        super().__init__('tool_pose', **options)

    def inputs(self) -> Sequence[Input[object]]:
        """Take disparity with those masks that are asked for."""
        return DISPARITY, MASKS[self.p.masks], STDDEV

    def outputs(self) -> Sequence[Output]:
        """Add the topics of every slot."""
        slots = range(1, self.p.max_tools + 1)
        return *COMMON, *(output for slot in slots for output in slot_outputs(slot))

    def create_step(self) -> PoseStep:
        """Read the table of instruments."""
        return PoseStep(settings_from(PoseSettings, self.p))

    def configure(self) -> None:
        """Make room for the static transform to Intuitive's axes, too."""
        super().configure()
        self._static = self.publisher(TFMessage, '/tf_static', LATCHED)

    def activate(self) -> None:
        """Listen to transforms and names of labels, too."""
        self._why_none = self._isi_of = ''
        if self.p.target_frame:
            self._listener = TransformListener(self)
        self._names = None
        if self.p.masks != INSTANCES.name:
            topic = f'{self.p.masks}/label_info'
            self._names = self.create_subscription(LabelInfo, topic, self._keep_names, LATCHED)
        super().activate()

    def deactivate(self) -> None:
        """Stop listening."""
        super().deactivate()
        if self._names:
            self.destroy_subscription(self._names)
        if self._listener:
            self._listener.close()
            self._listener = None

    def _keep_names(self, message: LabelInfo) -> None:
        named = {one.class_id: one.class_name for one in message.class_map}
        names = (named.get(index, '') for index in range(1 + max(named, default=0)))
        self._label_names = tuple(names)

    def _take_group(self, *group: Arrival | None) -> None:
        latency = self.p.capture_latency
        earlier = (one and replace(one, moment=one.moment - latency) for one in group)
        super()._take_group(*earlier)

    def process(self, frame: Frame, wanted: Sequence[str]) -> Located:
        """Estimate, and move into the target frame."""
        calibration = calibration_of(frame)
        instances = self._instances(frame)
        check_sizes(frame, instances, calibration.left)
        transform = self._target_from_camera(frame)
        result = self.step(
            frame.stamp,
            calibration,
            instances,
            frame[DISPARITY].pixels,
            frame.get(STDDEV),
            jumps=frame.jumps,
            fixed_from_camera=transform,
            tissue=any(name in wanted for name in TISSUE),
        )
        frame.milliseconds.update(result.milliseconds)
        self._why_none = _why_none(result.tools)
        return Located.of(frame, result, calibration, self._target, transform)

    @property
    def _target(self) -> str:
        return str(self.p.target_frame).lstrip('/')

    def _instances(self, frame: Frame) -> InstanceResult:
        masks = frame[MASKS[self.p.masks]]
        if isinstance(masks, InstanceResult):
            return masks
        return self.step.instances_of(frame.stamp, masks, self._label_names)

    def _target_from_camera(self, frame: Frame) -> np.ndarray | None:
        """4x4 or None; first publishes, once, Intuitive's axes of this camera."""
        source = frame.header.frame_id
        if self._isi_of != source:
            self._isi_of = source
            self._static.publish(pose_messages.isi_axes(make_message, frame.header))
        if not self._listener:
            return None
        patience = self.p.transform_patience
        return self._listener.lookup(self._target, source, frame.stamp, patience)

    def details(self) -> Mapping[str, str]:
        """Why there is no pose, if there is none."""
        return {'no pose': self._why_none, 'capture latency [s]': f'{self.p.capture_latency:.3f}'}


def _why_none(tools: Sequence[ToolPose]) -> str:
    """One clause for the diagnostics; empty where every instrument has a pose."""
    if not tools:
        return 'no instrument is in view'
    invalid = [tool for tool in tools if tool.state == PoseState.INVALID]
    return '; '.join(f'tool{tool.slot}: {_named(tool.reasons)}' for tool in invalid)


def _named(reasons: PoseReason) -> str:
    return ', '.join(one.name or '' for one in PoseReason if one and one in reasons)


def main() -> int:
    """Run tool_pose_node."""
    return run(ToolPoseNode)


if __name__ == '__main__':
    raise SystemExit(main())
