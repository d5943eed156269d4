"""Scenes of the simulated dataset, rendered into files by processes that share the work.

Run as a module it is one such process: it reads its share as JSON from standard input and prints
the number of every frame that it has written.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np

from surgseg_ros.media import children
from surgseg_ros.media.files import remove_partials, whole_file
from surgseg_ros.media.locks import reserved
from surgseg_ros.media.progress import progress
from surgseg_ros.simulation.motion import PORTS

FIRST_SEED = {'train': 1_000_000, 'val': 2_000_000, 'test': 3_000_000}  # of the scenes
MAX_SCENES = 1_000_000  # so that no seed belongs to two splits
VERSION = 2  # of what is drawn; a larger number makes new folders
_ERROR = 'error: '


@dataclass(frozen=True)
class SceneParameters:
    """All that determines the pixels, except the number of frames; see Simulated."""

    split: str
    size: tuple[int, int]
    kinds: Mapping[str, float]
    tools: tuple[int, int]
    frames_per_scene: int
    rate: float
    wrist_bend: tuple[float, float]
    noise: tuple[float, float]
    look: str = 'classic'
    without: str = ''
    articulated: bool = False


def scene_options(parameters: SceneParameters, scene: int) -> dict[str, Any]:
    """Draw the arguments of VirtualEndoscope for scene number 0, 1, ... of the split."""
    seed = FIRST_SEED[parameters.split] + scene
    rng = np.random.default_rng([seed, VERSION])
    names, weights = zip(*parameters.kinds.items(), strict=True)
    count = int(rng.integers(parameters.tools[0], parameters.tools[1] + 1))
    kinds = rng.choice(len(names), count, p=np.divide(weights, sum(weights)))
    return {
        'width': parameters.size[0],
        'height': parameters.size[1],
        'seed': seed,
        'rate': parameters.rate,
        'kinds': [names[kind] for kind in kinds],
        'ports': rng.permutation(len(PORTS))[:count].tolist(),
        'wrist_bend': None if parameters.articulated else rng.uniform(*parameters.wrist_bend),
        'noise': rng.uniform(*parameters.noise),
        'look': parameters.look,
        'without': parameters.without,
        'articulated': parameters.articulated,
    }


def image_path(folder: Path, kind: str, frame: int) -> Path:
    """File of a frame; kind: 'images', 'types', 'parts' or 'instances'."""
    return folder / kind / f'{frame:06d}.png'


def render_missing(
    folder: Path, parameters: SceneParameters, frames: int, workers: int | None = None
) -> None:
    """Render those of the first `frames` frames that folder lacks; every file appears whole.

    workers: processes, one per core by default. Only one caller at a time renders into a folder,
    others wait for it. Raises OSError with one sentence where the simulator cannot run.
    """
    with reserved(folder, wait=True):
        missing = [n for n in range(frames) if not image_path(folder, 'images', n).is_file()]
        if missing:
            remove_partials(folder)
            shares = _shares(missing, parameters.frames_per_scene, workers or os.cpu_count() or 1)
            _render_shares(folder, parameters, shares, len(missing))


def _shares(frames: Sequence[int], per_scene: int, workers: int) -> list[list[int]]:
    """Whole scenes, dealt out to at most so many workers."""
    scenes = sorted({frame // per_scene for frame in frames})
    owner = {scene: index % workers for index, scene in enumerate(scenes)}
    shares: list[list[int]] = [[] for _ in range(min(workers, len(scenes)))]
    for frame in frames:
        shares[owner[frame // per_scene]].append(frame)
    return shares


def _render_shares(
    folder: Path, parameters: SceneParameters, shares: Sequence[Sequence[int]], total: int
) -> None:
    """Start a process per share and wait for all; their lines come through one pipe."""
    reader, writer = os.pipe()
    processes = [_start(writer) for _ in shares]
    os.close(writer)
    try:
        for process, share in zip(processes, shares, strict=True):
            work = {'folder': str(folder), 'frames': share, 'parameters': asdict(parameters)}
            assert process.stdin is not None
            with process.stdin as stdin:
                json.dump(work, stdin)
        with open(reader) as lines:
            for line in progress(lines, total):
                if line.startswith(_ERROR):
                    raise OSError(line.removeprefix(_ERROR).strip())
        if any(process.wait() for process in processes):
            raise OSError(f'a process that rendered into {folder} failed; what is there is whole')
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _start(stdout: int) -> 'subprocess.Popen[str]':
    """One worker; a fresh interpreter, because EGL and torch do not survive a fork."""
    threads = {'LP_NUM_THREADS': '1'}  # of Mesa; there is a process for every core
    words = children.python('-m', __name__)
    return children.start(words, changes=threads, stdin=subprocess.PIPE, stdout=stdout)


def _work(source: IO[str]) -> None:
    """Render one share."""
    from surgseg_ros.simulation import VirtualEndoscope

    work = json.load(source)
    folder, parameters = Path(work['folder']), SceneParameters(**work['parameters'])
    per_scene = parameters.frames_per_scene
    for scene in sorted({frame // per_scene for frame in work['frames']}):
        with VirtualEndoscope(**scene_options(parameters, scene), threads=1) as endoscope:
            for frame in work['frames']:
                if frame // per_scene == scene:
                    _write(folder, frame, *endoscope.render_left(frame % per_scene))
                    _say(str(frame))


def _write(folder: Path, frame: int, image: np.ndarray, truth: Any) -> None:
    """Write a frame, its image last: where that is, the rest is there as well."""
    class_ids = np.zeros(256, np.uint8)
    for tool in truth.tools:
        class_ids[tool.slot] = tool.class_id
    planes = {
        'types': class_ids[truth.instances],
        'parts': truth.parts,
        'instances': truth.instances,
        'images': cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
    }
    for kind, pixels in planes.items():
        with whole_file(image_path(folder, kind, frame)) as path:
            cv2.imwrite(str(path), pixels)


def main() -> int:
    """Render the share in standard input; a failure is a line on standard output."""
    try:
        _work(sys.stdin)
    except (BrokenPipeError, KeyboardInterrupt):  # the process that waits for the frames has ended
        return 1
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        with suppress(BrokenPipeError):
            _say(f'{_ERROR}{error}')
        return 1
    return 0


def _say(line: str) -> None:
    """Write a line to standard output at once, in one piece, because others write there too."""
    os.write(sys.stdout.fileno(), f'{line}\n'.encode())


if __name__ == '__main__':
    sys.exit(main())
