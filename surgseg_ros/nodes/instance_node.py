"""instance_node: left images in; instruments one by one, with track ids, and a picture out."""

from typing import Any, ClassVar

from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from surgseg_ros.frames.results import InstanceResult
from surgseg_ros.media import pictures
from surgseg_ros.msg import InstrumentInstances
from surgseg_ros.nodes.image_node import ImageInput, ImageNode
from surgseg_ros.nodes.managed_node import run
from surgseg_ros.nodes.messages import make_message
from surgseg_ros.nodes.network_parameters import IMAGE_SIZE, OVERLAY_OPACITY, image_size
from surgseg_ros.nodes.parameters import Parameter
from surgseg_ros.nodes.settings_parameters import parameters_of, settings_from
from surgseg_ros.perception.instances import InstanceSettings, InstanceStep
from surgseg_ros.rosdata import messages


class InstanceNode(ImageNode):
    """Instruments of the left image, one from another, by any instance predictor."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ('instances', 'detections', 'overlay')
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        *ImageNode.PARAMETERS,
        *parameters_of(InstanceSettings),
        IMAGE_SIZE,
        OVERLAY_OPACITY,
        Parameter(
            'outputs',
            list(OUTPUTS),
            'what may be published; each is computed only while somebody subscribes',
            choices=OUTPUTS,
            live=True,
        ),
    )

    def __init__(self, **options: Any) -> None:
        self._step: InstanceStep | None = None
        super().__init__('instance', **options)

    def configure(self) -> None:
        """Load the model, make the publishers."""
        self._step = self.create_step()
        self._step.prepare(*image_size(self.p))
        self.output('instances', InstrumentInstances, 'instances')
        self.output('detections', Detection2DArray, 'detections')
        self.output('overlay', Image, '~/overlay')
        self.announce_labels('instances', self._step.class_names)

    def cleanup(self) -> None:
        """Release the model with the publishers."""
        super().cleanup()
        self._step = None

    def reset(self) -> None:
        """Forget the tracks, too."""
        super().reset()
        if self._step:
            self._step.reset()

    def create_step(self) -> InstanceStep:
        """Make what finds instances; errors as predictors.create."""
        return InstanceStep(settings_from(InstanceSettings, self.p))

    def process(self, frame: ImageInput, wanted: list[str]) -> None:
        """Publish what is wanted of one image."""
        assert self._step
        self._step.settings = settings_from(InstanceSettings, self.p)
        # parts are shown by `instances` only
        result = self._step(self.left_frame(frame), parts='instances' in wanted)
        frame.milliseconds.update(result.milliseconds)
        self.publish_wanted(wanted, frame, result)

    def _instances_message(self, frame: ImageInput, result: InstanceResult) -> Any:
        return messages.instances_of(make_message, frame.header, result)

    def _detections_message(self, frame: ImageInput, result: InstanceResult) -> Any:
        return messages.detections_of(make_message, frame.header, result)

    def _overlay_message(self, frame: ImageInput, result: InstanceResult) -> Any:
        picture = pictures.overlay_instances(frame.image, result, self.p.overlay_opacity)
        return messages.image(make_message, frame.header, picture, 'rgb8')


def main() -> int:
    """Run instance_node."""
    return run(InstanceNode)


if __name__ == '__main__':
    raise SystemExit(main())
