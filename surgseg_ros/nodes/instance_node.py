"""instance_node: left images in; instruments one by one, with track ids, and a picture out."""

import time
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from surgseg_ros import predictors
from surgseg_ros.frames.results import MAX_OVERLAP, InstanceResult
from surgseg_ros.media import pictures
from surgseg_ros.msg import InstrumentInstances
from surgseg_ros.nodes.image_node import ImageInput, ImageNode
from surgseg_ros.nodes.managed_node import run
from surgseg_ros.nodes.messages import make_message
from surgseg_ros.nodes.network_parameters import (
    LABELLING_PARAMETERS,
    NETWORK_PARAMETERS,
    image_size,
    labelling_options,
    network_options,
)
from surgseg_ros.nodes.parameters import Parameter
from surgseg_ros.predictors.parts import PartsPredictor
from surgseg_ros.rosdata import messages
from surgseg_ros.tracking.instance_tracker import InstanceTracker


class InstanceNode(ImageNode):
    """Instruments of the left image, one from another, by any instance predictor."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ('instances', 'detections', 'overlay')
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        *ImageNode.PARAMETERS,
        *NETWORK_PARAMETERS,
        Parameter('model', 'solo_mobilenet', 'network', choices=predictors.instance()),
        *LABELLING_PARAMETERS,
        Parameter(
            'score_threshold',
            0.3,
            'of a class, from which something may be an instance; published for SOLO: 0.1',
            range=(0.0, 1.0),
            live=True,
        ),
        Parameter(
            'final_threshold',
            0.3,
            'of an instance, from which it counts: SOLO lowers the '
            'scores of duplicates; published: 0.05, which keeps most of these, for AP',
            range=(0.0, 1.0),
            live=True,
        ),
        Parameter(
            'max_overlap',
            MAX_OVERLAP,
            'IoU of two instances, of whatever class, above '
            'which the worse one is no instrument of its own; published: 1, all are kept',
            range=(0.0, 1.0),
            live=True,
        ),
        Parameter('max_instances', 20, 'per image; the best ones', range=(1, 100), live=True),
        Parameter(
            'parts_weights',
            '',
            'of an LWANet with classes shaft, wrist and clasper: '
            'parts in the masks of `instances`; empty: they are UNKNOWN_PART',
        ),
        Parameter(
            'tracking',
            True,
            'give an instrument the same track_id in every image; otherwise it is 0',
            live=True,
        ),
        Parameter(
            'max_gap',
            10,
            'images without an instrument after which it still gets its track_id back',
            range=(0, 1000),
            live=True,
        ),
        Parameter(
            'outputs',
            list(OUTPUTS),
            'what may be published; each is computed only while somebody subscribes',
            choices=OUTPUTS,
            live=True,
        ),
    )

    def __init__(self, **options: Any) -> None:
        self._predictor: Any = None
        self._parts: PartsPredictor | None = None
        super().__init__('instance', **options)

    def configure(self) -> None:
        """Load the model, make the publishers."""
        self._predictor = self.create_predictor()
        self._parts = self._create_parts_predictor()
        # once, so that the first frame does not wait for compilers and caches
        self._predictor.predict(np.zeros((*image_size(self.p), 3), np.uint8))
        self.output('instances', InstrumentInstances, 'instances')
        self.output('detections', Detection2DArray, 'detections')
        self.output('overlay', Image, '~/overlay')
        self.announce_labels('instances', self._predictor.class_names)

    def cleanup(self) -> None:
        """Release the model with the publishers."""
        super().cleanup()
        self._predictor = self._parts = None

    def reset(self) -> None:
        """Forget the tracks, too."""
        super().reset()
        self._tracker = InstanceTracker()

    def create_predictor(self) -> Any:
        """Make what predicts; errors as predictors.create."""
        return predictors.create(self.p.model, **labelling_options(self.p))

    def _create_parts_predictor(self) -> PartsPredictor | None:
        """Make what adds parts, ready for frames, if it is asked for."""
        if not self.p.parts_weights:
            return None
        parts = PartsPredictor.from_weights(
            self._predictor, self.p.parts_weights, **network_options(self.p)
        )
        parts.prepare(*image_size(self.p))
        return parts

    def process(self, frame: ImageInput, wanted: list[str]) -> None:
        """Publish what is wanted of one image."""
        self._tune()
        result = (
            self._predictor.predict(frame.image)
            .best(self.p.max_instances, self.p.final_threshold)
            .distinct(self.p.max_overlap)
        )
        if self._parts and 'instances' in wanted:  # the others do not show them
            result = self._parts.add_parts(frame.image, result)
        frame.milliseconds.update(result.milliseconds)
        if self.p.tracking:
            result = self._track(frame, result)
        else:
            self._tracker.reset()
        self.publish_wanted(wanted, frame, result)

    def _tune(self) -> None:
        """Give the predictor those of the live parameters that it knows."""
        for name in ('score_threshold', 'final_threshold', 'max_instances'):
            if hasattr(self._predictor, name):
                setattr(self._predictor, name, getattr(self.p, name))

    def _track(self, frame: ImageInput, result: InstanceResult) -> InstanceResult:
        start = time.perf_counter()
        if self.begins_scene(frame):
            self._tracker.reset()
        self._tracker.max_gap = self.p.max_gap
        seconds = messages.stamp_of(frame) / messages.NANOSECONDS
        ids = self._tracker.update(seconds, result.class_ids, result.masks)
        frame.milliseconds['track'] = 1000 * (time.perf_counter() - start)
        return replace(result, track_ids=ids)

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
