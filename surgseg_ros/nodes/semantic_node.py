"""semantic_node: left images in; class ids, their names, probabilities and a picture out."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter as RosParameter
from sensor_msgs.msg import Image

from surgseg_ros.frames.results import SemanticResult
from surgseg_ros.media import pictures
from surgseg_ros.nodes.image_node import ImageInput, ImageNode
from surgseg_ros.nodes.managed_node import run
from surgseg_ros.nodes.messages import make_message
from surgseg_ros.nodes.network_parameters import IMAGE_SIZE, OVERLAY_OPACITY, image_size
from surgseg_ros.nodes.parameters import Parameter
from surgseg_ros.nodes.settings_parameters import parameters_of, settings_from
from surgseg_ros.perception.semantic import SemanticSettings, SemanticStep
from surgseg_ros.rosdata import messages


class SemanticNode(ImageNode):
    """Class of every pixel of the left image by any semantic predictor."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ('segmentation', 'overlay', 'probabilities')
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        *ImageNode.PARAMETERS,
        *parameters_of(SemanticSettings),
        IMAGE_SIZE,
        OVERLAY_OPACITY,
        Parameter(
            'outputs',
            ['segmentation', 'overlay'],
            'what may be published; each is computed only while somebody subscribes',
            choices=OUTPUTS,
            live=True,
        ),
    )

    def __init__(self, **options: Any) -> None:
        self._step: SemanticStep | None = None
        super().__init__('semantic', **options)
        self.add_on_set_parameters_callback(self._check_classes)

    def configure(self) -> None:
        """Load the model, make the publishers."""
        self._step = self.create_step()
        self._step.prepare(*image_size(self.p))
        self.output('segmentation', Image, 'segmentation')
        self.output('probabilities', Image, 'segmentation/probabilities')
        self.output('overlay', Image, '~/overlay')
        self.announce_labels('segmentation', self._step.class_names)

    def reset(self) -> None:
        """Forget the features, too."""
        super().reset()
        if self._step:
            self._step.reset()

    def cleanup(self) -> None:
        """Release the model with the publishers."""
        super().cleanup()
        self._step = None

    def create_step(self) -> SemanticStep:
        """Make what labels; errors as predictors.create."""
        return SemanticStep(settings_from(SemanticSettings, self.p))

    def process(self, frame: ImageInput, wanted: list[str]) -> None:
        """Publish what is wanted of one image."""
        assert self._step
        self._step.settings = settings_from(SemanticSettings, self.p)
        result = self._step(self.left_frame(frame), probabilities='probabilities' in wanted)
        frame.milliseconds.update(result.milliseconds)
        self.publish_wanted(wanted, frame, result)

    def _check_classes(self, changes: Sequence[RosParameter]) -> SetParametersResult:
        """Refuse class ids that the running model does not have."""
        for change in changes:
            if change.name == 'classes' and self._step and 0 not in change.value:
                try:
                    self._step.check_classes(change.value)
                except ValueError as error:
                    return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def details(self) -> Mapping[str, str]:
        """By how much the features of the last result were older than its image."""
        age = self._step and self._step.feature_age
        frames, seconds = (str(age[0]), f'{age[1]:.3f}') if age else ('', '')
        return {'feature age [frames]': frames, 'feature age [s]': seconds}

    def _segmentation_message(self, frame: ImageInput, result: SemanticResult) -> Any:
        return messages.image(make_message, frame.header, result.labels, 'mono8')

    def _probabilities_message(self, frame: ImageInput, result: SemanticResult) -> Any:
        assert result.probabilities is not None  # asked for in process()
        return messages.probabilities_image(make_message, frame.header, result.probabilities)

    def _overlay_message(self, frame: ImageInput, result: SemanticResult) -> Any:
        picture = pictures.overlay_classes(
            frame.image, result.labels, result.class_names, self.p.overlay_opacity
        )
        return messages.image(make_message, frame.header, picture, 'rgb8')


def main() -> int:
    """Run semantic_node."""
    return run(SemanticNode)


if __name__ == '__main__':
    raise SystemExit(main())
