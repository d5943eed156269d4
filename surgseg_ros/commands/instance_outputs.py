"""What `surgseg infer instances` makes of results: COCO's JSON, overlays, a video."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from surgseg_ros import pictures
from surgseg_ros.commands.destinations import Destinations, write_image
from surgseg_ros.files import Writers, whole_file
from surgseg_ros.metrics.instances import load_truth, records
from surgseg_ros.predictors.results import InstanceResult
from surgseg_ros.video import VideoFile


@dataclass(frozen=True)
class Found:
    """Frame number `index`: its HxWx3 uint8 RGB image and the instances in it."""

    index: int
    image: np.ndarray
    result: InstanceResult


class Output(Protocol):
    """Takes results one after the other."""

    def take(self, frame: Found) -> None:
        """Make something of it."""
        ...


class Detections:
    """COCO's results of all frames, in one file on leaving the context unless an error does.

    image_id: of a frame number. A record of a tracked instance also has its 'track_id'.
    """

    def __init__(self, path: Path, image_id: Callable[[int], int]) -> None:
        self._path, self._image_id = path, image_id
        self._records: list[dict[str, Any]] = []

    def take(self, frame: Found) -> None:
        """Add the instances."""
        result = frame.result
        found = records(self._image_id(frame.index), result.class_ids, result.masks, result.scores)
        if result.track_ids is not None:
            found = [{**one, 'track_id': number} for one, number in zip(
                found, result.track_ids.tolist(), strict=True)]
        self._records += found

    def __enter__(self) -> 'Detections':
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None:
            with whole_file(self._path) as partial:
                partial.write_text(json.dumps(self._records))


class Overlays:
    """A picture of each frame."""

    def __init__(self, destinations: Destinations, writers: Writers, opacity: float) -> None:
        self._destinations, self._writers, self._opacity = destinations, writers, opacity

    def take(self, frame: Found) -> None:
        """Let the threads write it."""
        path = self._destinations.paths(frame.index)['overlay']
        self._writers.submit(self._write, path, frame)

    def _write(self, path: Path, frame: Found) -> None:
        picture = pictures.overlay_instances(frame.image, frame.result, self._opacity)
        write_image(path, picture[..., ::-1])


class OverlayVideo:
    """A video of the instances in colours over the image."""

    def __init__(self, video: VideoFile, opacity: float) -> None:
        self._video, self._opacity = video, opacity

    def take(self, frame: Found) -> None:
        """Append a picture."""
        self._video.write(
            pictures.overlay_instances(frame.image, frame.result, self._opacity))


def image_ids(annotations: Path) -> dict[str, int]:
    """Ids of the images of a COCO annotation file by their names without folder and suffix.

    Raises ValueError if it is none, or two images have the same name.
    """
    try:
        images = load_truth(json.loads(annotations.read_text())).dataset['images']
        ids = {Path(image['file_name']).stem: int(image['id']) for image in images}
    except (json.JSONDecodeError, KeyError) as error:
        raise ValueError(f'{annotations} is no COCO annotation file with file names: '
                         f'{error}') from error
    if len(ids) < len(images):
        raise ValueError(f'{annotations} has images of the same name')
    return ids
