"""semantic_node: left images in; class ids, their names, probabilities and a picture out."""

from collections.abc import Mapping
from typing import Any, ClassVar

from sensor_msgs.msg import Image

from surgseg_ros import messages, pictures, predictors
from surgseg_ros.bundled import bundled_weights
from surgseg_ros.nodes.image_node import ImageInput, ImageNode
from surgseg_ros.nodes.managed_node import run
from surgseg_ros.nodes.messages import make_message
from surgseg_ros.nodes.network_parameters import NETWORK_PARAMETERS, image_size, network_options
from surgseg_ros.nodes.parameters import Parameter
from surgseg_ros.predictors.results import SemanticResult

_THRESHOLDS = ('quality_threshold', 'presence_threshold')


class SemanticNode(ImageNode):
    """Class of every pixel of the left image by any semantic predictor."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ('segmentation', 'overlay', 'probabilities')
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        *ImageNode.PARAMETERS,
        *NETWORK_PARAMETERS,
        Parameter('model', 'lwanet', 'network', choices=predictors.semantic()),
        Parameter('weights', '', 'its weights; empty takes those that come with the package'),
        Parameter('class_names', [''], 'names by class id, background first, of weights that '
                  'do not say them'),
        Parameter('sam_weights', '', 'of surgicalsam: the SAM checkpoint beside its own weights'),
        Parameter('classes', [0], 'of surgicalsam: class ids to look for; 0 is all', live=True),
        Parameter('quality_threshold', 0.5, 'of surgicalsam: an instrument is there if its mask '
                  'is at least as good as this', range=(0.0, 1.0), live=True),
        Parameter('presence_threshold', 0.5, 'of surgicalsam: and its class as present as this',
                  range=(0.0, 1.0), live=True),
        Parameter('encode_every', 1, 'of surgicalsam: frames that share the features of one',
                  range=(1, 1000)),
        Parameter('overlay_opacity', 0.5, 'of the class colours over the image in ~/overlay',
                  range=(0.0, 1.0), live=True),
        Parameter('outputs', ['segmentation', 'overlay'], 'what may be published; each is '
                  'computed only while somebody subscribes', choices=OUTPUTS, live=True),
    )

    def __init__(self, **options: Any) -> None:
        self._feature_age = ''
        super().__init__('semantic', **options)

    def configure(self) -> None:
        """Load the model, make the publishers."""
        self._predictor = self.create_predictor()
        self._predictor.prepare(*image_size(self.p))
        self.output('segmentation', Image, 'segmentation')
        self.output('probabilities', Image, 'segmentation/probabilities')
        self.output('overlay', Image, '~/overlay')
        self.announce_labels('segmentation', self._predictor.class_names)

    def cleanup(self) -> None:
        """Release the model with the publishers."""
        super().cleanup()
        self._predictor = None

    def create_predictor(self) -> Any:
        """Make what predicts; errors as predictors.create."""
        options = {'weights': self.p.weights or bundled_weights(self.p.model),
                   **network_options(self.p)}
        names = tuple(filter(None, self.p.class_names))
        if names:
            options['class_names'] = names
        if self.p.model == 'surgicalsam':
            options |= {'sam_weights': self.p.sam_weights or None,
                        'encode_every': self.p.encode_every}
        return predictors.create(self.p.model, **options)

    def process(self, frame: ImageInput) -> None:
        """Publish what is wanted of one image."""
        wanted = [name for name in self.OUTPUTS if self.wanted(name)]
        if not wanted:
            return
        if self.p.model == 'surgicalsam':
            self._apply_live_parameters()
        result = self._predictor.predict(
            frame.image, probabilities='probabilities' in wanted)
        self._feature_age = str(result.feature_age)
        frame.milliseconds.update(result.milliseconds)
        self.publish_wanted(wanted, frame, result)

    def _apply_live_parameters(self) -> None:
        classes = tuple(self.p.classes)
        self._predictor.classes = None if 0 in classes else classes
        for name in _THRESHOLDS:
            setattr(self._predictor, name, getattr(self.p, name))

    def details(self) -> Mapping[str, str]:
        """By how many frames the features of the last result were older than its image."""
        return {'feature age [frames]': self._feature_age}

    def _segmentation_message(self, frame: ImageInput, result: SemanticResult) -> Any:
        return messages.image(make_message, frame.header, result.labels, 'mono8')

    def _probabilities_message(self, frame: ImageInput, result: SemanticResult) -> Any:
        assert result.probabilities is not None   # asked for in process()
        return messages.probabilities_image(make_message, frame.header, result.probabilities)

    def _overlay_message(self, frame: ImageInput, result: SemanticResult) -> Any:
        picture = pictures.overlay_classes(
            frame.image, result.labels, result.class_names, self.p.overlay_opacity)
        return messages.image(make_message, frame.header, picture, 'rgb8')


def main() -> int:
    """Run semantic_node."""
    return run(SemanticNode)


if __name__ == '__main__':
    raise SystemExit(main())
