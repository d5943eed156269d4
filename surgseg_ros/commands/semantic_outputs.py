"""What `surgseg infer semantic` makes of results: label images, overlays, a video."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from surgseg_ros.commands.destinations import Destinations, write_image
from surgseg_ros.frames.results import SemanticResult
from surgseg_ros.media import pictures
from surgseg_ros.media.files import Writers
from surgseg_ros.media.video import VideoFile


@dataclass(frozen=True)
class Labelled:
    """Frame number `index`: its HxWx3 uint8 RGB image and what was found in it."""

    index: int
    image: np.ndarray
    result: SemanticResult


class SemanticOutput(Protocol):
    """Takes results one after the other."""

    def take(self, frame: Labelled) -> None:
        """Make something of it."""
        ...


class Files:
    """Label images (class ids, 255 unlabelled) and overlays, a file each."""

    def __init__(self, destinations: Destinations, writers: Writers, opacity: float) -> None:
        self._destinations, self._writers, self._opacity = destinations, writers, opacity

    def take(self, frame: Labelled) -> None:
        """Let the threads write it."""
        for kind, path in self._destinations.paths(frame.index).items():
            self._writers.submit(getattr(self, f'_write_{kind}'), path, frame)

    def _write_segmentation(self, path: Path, frame: Labelled) -> None:
        write_image(path, frame.result.labels)

    def _write_overlay(self, path: Path, frame: Labelled) -> None:
        write_image(path, overlay(frame, self._opacity)[..., ::-1])


class OverlayVideo:
    """A video of the classes in colours over the image."""

    def __init__(self, video: VideoFile, opacity: float) -> None:
        self._video, self._opacity = video, opacity

    def take(self, frame: Labelled) -> None:
        """Append a picture."""
        self._video.write(overlay(frame, self._opacity))


def overlay(frame: Labelled, opacity: float) -> np.ndarray:
    """HxWx3 uint8 RGB."""
    return pictures.overlay_classes(
        frame.image, frame.result.labels, frame.result.class_names, opacity
    )
