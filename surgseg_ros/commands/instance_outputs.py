"""What `surgseg infer instances` makes of results: COCO's JSON, overlays, a video."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from surgseg_ros.commands.destinations import Destinations, write_image
from surgseg_ros.frames.results import InstanceResult
from surgseg_ros.media import pictures
from surgseg_ros.media.files import Writers, whole_file
from surgseg_ros.media.video import VideoFile
from surgseg_ros.metrics.coco_files import read_json
from surgseg_ros.metrics.instances import load_truth, records


@dataclass(frozen=True)
class Found:
    """Frame number `index`: its HxWx3 uint8 RGB image and the instances in it."""

    index: int
    image: np.ndarray
    result: InstanceResult


class InstanceOutput(Protocol):
    """Takes results one after the other."""

    def take(self, frame: Found) -> None:
        """Make something of it."""
        ...


class Detections:
    """COCO's results of all frames, in one file on leaving the context unless an error does.

    image_id: of a frame number. category_ids: by class id, if they are others. A record of a
    tracked instance also has its 'track_id'.
    """

    def __init__(
        self, path: Path, image_id: Callable[[int], int], category_ids: np.ndarray | None = None
    ) -> None:
        self._path, self._image_id, self._category_ids = path, image_id, category_ids
        self._records: list[dict[str, object]] = []

    def take(self, frame: Found) -> None:
        """Add the instances."""
        result, known = frame.result, self._category_ids
        found = records(
            self._image_id(frame.index),
            result.class_ids if known is None else known[result.class_ids],
            result.masks,
            result.scores,
        )
        if result.track_ids is not None:
            found = [
                {**one, 'track_id': number}
                for one, number in zip(found, result.track_ids.tolist(), strict=True)
            ]
        self._records += found

    def __enter__(self) -> 'Detections':
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None:
            with whole_file(self._path) as partial:
                partial.write_text(json.dumps(self._records))


class Pictures:
    """A file of each kind for each frame: the overlay, the parts of all instances."""

    def __init__(self, destinations: Destinations, writers: Writers, opacity: float) -> None:
        self._destinations, self._writers, self._opacity = destinations, writers, opacity

    def take(self, frame: Found) -> None:
        """Let the threads write it."""
        for kind, path in self._destinations.paths(frame.index).items():
            self._writers.submit(getattr(self, f'_write_{kind}'), path, frame)

    def _write_overlay(self, path: Path, frame: Found) -> None:
        picture = pictures.overlay_instances(frame.image, frame.result, self._opacity)
        write_image(path, picture[..., ::-1])

    def _write_parts(self, path: Path, frame: Found) -> None:
        """HxW, values of parts.Part; instances that overlap have the same parts there."""
        assert frame.result.parts is not None  # asked for with this kind
        write_image(path, frame.result.parts.max(axis=0, initial=0))


class OverlayVideo:
    """A video of the instances in colours over the image."""

    def __init__(self, video: VideoFile, opacity: float) -> None:
        self._video, self._opacity = video, opacity

    def take(self, frame: Found) -> None:
        """Append a picture."""
        self._video.write(pictures.overlay_instances(frame.image, frame.result, self._opacity))


@dataclass(frozen=True)
class AnnotationIds:
    """Ids in a COCO annotation file. images: by name without folder and suffix.

    categories: by name.
    """

    path: Path
    images: Mapping[str, int]
    categories: Mapping[str, int]

    def of_classes(self, class_names: Sequence[str]) -> np.ndarray:
        """Category ids by class id, 0 for the background; ValueError if a class has none."""
        for name in class_names[1:]:
            if name not in self.categories:
                raise ValueError(
                    f'{self.path} has no category {name!r}, which the weights are '
                    f'for; it has {", ".join(self.categories)}'
                )
        return np.array([0, *(self.categories[name] for name in class_names[1:])])


def annotation_ids(annotations: Path) -> AnnotationIds:
    """Read the ids; ValueError if it is no annotation file, or two images have the same name."""
    try:
        content = load_truth(read_json(annotations))[0].dataset
        images = {Path(one['file_name']).stem: one['id'] for one in content['images']}
        categories = {one['name']: one['id'] for one in content['categories']}
    except (FileNotFoundError, KeyError) as error:
        raise ValueError(
            f'{annotations} is no COCO annotation file with names: {error}'
        ) from error
    if len(images) < len(content['images']):
        raise ValueError(f'{annotations} has images of the same name')
    return AnnotationIds(annotations, images, categories)
