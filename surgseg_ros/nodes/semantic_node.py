"""semantic_node: left images in; class ids, their names, probabilities and a picture out."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter as RosParameter
from sensor_msgs.msg import Image

from surgseg_ros.frames.results import SemanticResult
from surgseg_ros.media import pictures
from surgseg_ros.nodes.managed_node import run
from surgseg_ros.nodes.messages import make_message
from surgseg_ros.nodes.network_parameters import IMAGE_SIZE, OVERLAY_OPACITY
from surgseg_ros.nodes.parameters import Parameter, Parameters
from surgseg_ros.nodes.settings_parameters import parameters_of, settings_from
from surgseg_ros.nodes.stream import LEFT, Frame, Input, Output, left_frame, outputs_parameter
from surgseg_ros.nodes.stream_node import StreamNode
from surgseg_ros.perception.semantic import SemanticSettings, SemanticStep
from surgseg_ros.rosdata import messages


def _segmentation(frame: Frame, result: SemanticResult, p: Parameters) -> object:
    return messages.image(make_message, frame.header, result.labels, 'mono8')


def _probabilities(frame: Frame, result: SemanticResult, p: Parameters) -> object:
    assert result.probabilities is not None  # asked for in process()
    return messages.probabilities_image(make_message, frame.header, result.probabilities)


def _overlay(frame: Frame, result: SemanticResult, p: Parameters) -> object:
    picture = pictures.overlay_classes(
        frame[LEFT], result.labels, result.class_names, p.overlay_opacity
    )
    return messages.image(make_message, frame.header, picture, 'rgb8')


class SemanticNode(StreamNode[SemanticStep]):
    """Class of every pixel of the left image by any semantic predictor."""

    INPUTS: ClassVar[tuple[Input[object], ...]] = (LEFT,)
    OUTPUTS: ClassVar[tuple[Output, ...]] = (
        Output(
            'segmentation',
            Image,
            'segmentation',
            _segmentation,
            'mono8, class id per pixel; 0: no class was found, 255: unlabelled',
            labelled=True,
        ),
        Output(
            'overlay',
            Image,
            '~/overlay',
            _overlay,
            'classes in colours over the left image with a legend, for people',
        ),
        Output(
            'probabilities',
            Image,
            'segmentation/probabilities',
            _probabilities,
            '32FC<n>, one channel per class id; off unless listed in `outputs`',
        ),
    )
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        *StreamNode.PARAMETERS,
        *parameters_of(SemanticSettings),
        IMAGE_SIZE,
        OVERLAY_OPACITY,
        outputs_parameter(OUTPUTS, default=('segmentation', 'overlay')),
    )

    def __init__(self, **options: object) -> None:
        super().__init__('semantic', **options)
        self.add_on_set_parameters_callback(self._check_classes)

    def create_step(self) -> SemanticStep:
        """Make the step; errors as predictors.create."""
        return SemanticStep(settings_from(SemanticSettings, self.p))

    def process(self, frame: Frame, wanted: Sequence[str]) -> SemanticResult:
        """Label."""
        result = self.step(left_frame(frame), probabilities='probabilities' in wanted)
        frame.milliseconds.update(result.milliseconds)
        return result

    def _check_classes(self, changes: Sequence[RosParameter]) -> SetParametersResult:
        """Refuse class ids that the running model does not have."""
        for change in changes:
            if change.name == 'classes' and self._step and 0 not in change.value:
                try:
                    self.step.check_classes(change.value)
                except ValueError as error:
                    return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def details(self) -> Mapping[str, str]:
        """Where the picture is, and by how much features were older than the last image."""
        area, age = self.step.content.area, self.step.feature_age
        frames, seconds = (str(age[0]), f'{age[1]:.3f}') if age else ('', '')
        return {
            'content area': str(area or ''),
            'feature age [frames]': frames,
            'feature age [s]': seconds,
        }


def main() -> int:
    """Run semantic_node."""
    return run(SemanticNode)


if __name__ == '__main__':
    raise SystemExit(main())
