"""semantic_node: left images in; class ids, their names, probabilities and a picture out."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter as RosParameter
from sensor_msgs.msg import Image

from surgseg_ros import predictors
from surgseg_ros.frames.results import SemanticResult
from surgseg_ros.media import pictures
from surgseg_ros.nodes.image_node import ImageInput, ImageNode
from surgseg_ros.nodes.managed_node import run
from surgseg_ros.nodes.messages import make_message
from surgseg_ros.nodes.network_parameters import (
    LABELLING_PARAMETERS,
    NETWORK_PARAMETERS,
    image_size,
    labelling_options,
)
from surgseg_ros.nodes.parameters import Parameter
from surgseg_ros.nodes.surgicalsam_parameters import (
    SURGICALSAM_PARAMETERS,
    change_surgicalsam,
    surgicalsam_options,
)
from surgseg_ros.rosdata import messages


class SemanticNode(ImageNode):
    """Class of every pixel of the left image by any semantic predictor."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ('segmentation', 'overlay', 'probabilities')
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        *ImageNode.PARAMETERS,
        *NETWORK_PARAMETERS,
        Parameter('model', 'lwanet', 'network', choices=predictors.semantic()),
        *LABELLING_PARAMETERS,
        *SURGICALSAM_PARAMETERS,
        Parameter(
            'outputs',
            ['segmentation', 'overlay'],
            'what may be published; each is computed only while somebody subscribes',
            choices=OUTPUTS,
            live=True,
        ),
    )

    def __init__(self, **options: Any) -> None:
        self._predictor: Any = None
        super().__init__('semantic', **options)
        self.add_on_set_parameters_callback(self._check_classes)

    def configure(self) -> None:
        """Load the model, make the publishers."""
        self._predictor = self.create_predictor()
        self._warm_up(*image_size(self.p))
        self.output('segmentation', Image, 'segmentation')
        self.output('probabilities', Image, 'segmentation/probabilities')
        self.output('overlay', Image, '~/overlay')
        self.announce_labels('segmentation', self._predictor.class_names)

    def reset(self) -> None:
        """Forget the age of the features, too."""
        super().reset()
        self._stamps: deque[int] = deque(maxlen=10_000)  # of the frames of this scene, ns
        self._feature_age = {'feature age [frames]': '', 'feature age [s]': ''}

    def cleanup(self) -> None:
        """Release the model with the publishers."""
        super().cleanup()
        self._predictor = None

    def _warm_up(self, height: int, width: int) -> None:
        """Predict once, so that the first frame does not wait for compilers and caches."""
        self._predictor.predict(np.zeros((height, width, 3), np.uint8))

    def create_predictor(self) -> Any:
        """Make what predicts; errors as predictors.create."""
        options = labelling_options(self.p)
        if self.p.model != 'surgicalsam':
            return predictors.create(self.p.model, **options)
        predictor = predictors.create(self.p.model, **options, **surgicalsam_options(self.p))
        change_surgicalsam(predictor, self.p)
        return predictor

    def process(self, frame: ImageInput, wanted: list[str]) -> None:
        """Publish what is wanted of one image."""
        if self.p.model == 'surgicalsam':
            change_surgicalsam(self._predictor, self.p)
            if self.begins_scene(frame):
                self._predictor.reset()
                self._stamps.clear()
        result = self._predictor.predict(frame.image, probabilities='probabilities' in wanted)
        self._check_feature_age(messages.stamp_of(frame), result.feature_age)
        frame.milliseconds.update(result.milliseconds)
        self.publish_wanted(wanted, frame, result)

    def _check_feature_age(self, stamp: int, frames: int) -> None:
        """Raise ValueError if the features came from a frame that is too old."""
        self._stamps.append(stamp)
        then = self._stamps[max(0, len(self._stamps) - 1 - frames)]
        seconds = (stamp - then) / messages.NANOSECONDS
        self._feature_age = {
            'feature age [frames]': str(frames),
            'feature age [s]': f'{seconds:.3f}',
        }
        if self.p.model == 'surgicalsam' and 0 < self.p.max_feature_age < seconds:
            raise ValueError(
                f'its features are {seconds:.2f} s older than the frame, expected at '
                f'most max_feature_age = {self.p.max_feature_age:g} s'
            )

    def _check_classes(self, changes: Sequence[RosParameter]) -> SetParametersResult:
        """Refuse class ids that the running model does not have."""
        known = len(self._predictor.class_names) - 1 if self._predictor else None
        for change in changes:
            if change.name == 'classes' and known is not None:
                wrong = [i for i in change.value if not 0 <= i <= known]
                if wrong:
                    return SetParametersResult(
                        successful=False,
                        reason=(
                            f'classes has {wrong[0]}, expected ids from 1 to {known}, or 0 for all'
                        ),
                    )
        return SetParametersResult(successful=True)

    def details(self) -> Mapping[str, str]:
        """By how much the features of the last result were older than its image."""
        return self._feature_age

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
