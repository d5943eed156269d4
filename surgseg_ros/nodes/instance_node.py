"""instance_node: left images in; separate instruments with track ids, and a picture out."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from surgseg_ros.frames.results import InstanceResult
from surgseg_ros.media import pictures
from surgseg_ros.msg import InstrumentInstances
from surgseg_ros.nodes.managed_node import run
from surgseg_ros.nodes.messages import make_message
from surgseg_ros.nodes.network_parameters import IMAGE_SIZE, OVERLAY_OPACITY
from surgseg_ros.nodes.parameters import Parameter, Parameters
from surgseg_ros.nodes.settings_parameters import parameters_of, settings_from
from surgseg_ros.nodes.stream import LEFT, Frame, Input, Output, left_frame, outputs_parameter
from surgseg_ros.nodes.stream_node import StreamNode
from surgseg_ros.perception.instances import InstanceSettings, InstanceStep
from surgseg_ros.rosdata import messages


def _instances(frame: Frame, result: InstanceResult, p: Parameters) -> object:
    return messages.instances_of(make_message, frame.header, result)


def _detections(frame: Frame, result: InstanceResult, p: Parameters) -> object:
    return messages.detections_of(make_message, frame.header, result)


def _overlay(frame: Frame, result: InstanceResult, p: Parameters) -> object:
    picture = pictures.overlay_instances(frame[LEFT], result, p.overlay_opacity)
    return messages.image(make_message, frame.header, picture, 'rgb8')


class InstanceNode(StreamNode[InstanceStep]):
    """Separate instruments of the left image, by any instance predictor."""

    INPUTS: ClassVar[tuple[Input[object], ...]] = (LEFT,)
    OUTPUTS: ClassVar[tuple[Output, ...]] = (
        Output(
            'instances',
            InstrumentInstances,
            'instances',
            _instances,
            'class, score, track_id and part mask, cropped to its box, of each instrument; also '
            'when there is none',
            labelled=True,
        ),
        Output(
            'detections',
            Detection2DArray,
            'detections',
            _detections,
            'the same as boxes in px; `id` is the track_id, class_id a number',
        ),
        Output(
            'overlay',
            Image,
            '~/overlay',
            _overlay,
            'instruments in colours over the left image with class, score and track_id, for '
            'people',
        ),
    )
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        *StreamNode.PARAMETERS,
        *parameters_of(InstanceSettings),
        IMAGE_SIZE,
        OVERLAY_OPACITY,
        outputs_parameter(OUTPUTS),
    )

    def __init__(self, **options: object) -> None:
        super().__init__('instance', **options)

    def create_step(self) -> InstanceStep:
        """Make the step; errors as predictors.create."""
        return InstanceStep(settings_from(InstanceSettings, self.p))

    def process(self, frame: Frame, wanted: Sequence[str]) -> InstanceResult:
        """Find, select and track; only `instances` shows parts."""
        result = self.step(left_frame(frame), parts='instances' in wanted)
        frame.milliseconds.update(result.milliseconds)
        return result

    def details(self) -> Mapping[str, str]:
        """Where the picture is."""
        return {'content area': str(self.step.content.area or '')}


def main() -> int:
    """Run instance_node."""
    return run(InstanceNode)


if __name__ == '__main__':
    raise SystemExit(main())
