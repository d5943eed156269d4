"""Images of the virtual endoscope, rendered into a folder on first use and read from there."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from surgseg_ros.datasets.base import FileDataset, Frame, choose, opened
from surgseg_ros.datasets.endovis17 import CLASS_NAMES
from surgseg_ros.datasets.kinds import InstanceDataset, InstanceSample
from surgseg_ros.datasets.rendering import (
    FIRST_SEED,
    MAX_SCENES,
    VERSION,
    SceneParameters,
    image_path,
    render_missing,
)
from surgseg_ros.media.files import whole_file
from surgseg_ros.media.image_files import read_grey
from surgseg_ros.simulation.instruments import CATALOGUE
from surgseg_ros.simulation.looks import KINDS as KINDS_OF_LOOK
from surgseg_ros.simulation.looks import LOOKS
from surgseg_ros.simulation.motion import PORTS

Number = TypeVar('Number', int, float)

KINDS = tuple(kind.class_name for kind in CATALOGUE)
STATEMENT = 'parameters.json'


class Simulated(FileDataset):
    """Left images with exact labels, as many as asked for.

    Every set of parameters has its own folder ROOT/<split>-<hash> with images, types, parts and
    instances (slots from 1) as PNG and parameters.json, which states the parameters. More frames
    extend it, a killed run goes on where it stopped; same parameters, same pixels.

    split: 'train', 'val' or 'test': scenes of disjoint ranges of seeds.
    frames: number of images, or a mapping with that of each split; in scenes of frames_per_scene,
    `rate` per simulated second.
    size: (width, height), px.
    target: 'types' (class ids of EndoVis 2017, of which the simulator has 1, 2, 3 and 6), 'parts'
    or 'binary', each with the class names of EndoVis 2017.
    kinds: how often each kind of instrument is drawn, by class name ({'Prograsp Forceps': 8,
    'Large Needle Driver': 1} makes a long tail); all equally often by default.
    tools: least and greatest number of instruments in a scene.
    wrist_bend (rad), noise: ranges from which each scene draws; see VirtualEndoscope.
    look, without: see simulation.looks; 'unseen' is for the test split alone.
    articulated: real da Vinci wrists over their whole ranges, instead of wrist_bend.
    workers: processes that render, one per core by default.
    """

    def __init__(
        self,
        root: Path,
        split: str = 'train',
        frames: int | Mapping[str, int] = 200,
        size: Sequence[int] = (640, 512),
        target: str = 'types',
        kinds: Mapping[str, float] | None = None,
        tools: Sequence[int] = (1, 3),
        frames_per_scene: int = 8,
        rate: float = 1.0,
        wrist_bend: Sequence[float] = (0.0, 0.6),
        noise: Sequence[float] = (0.5, 1.5),
        look: str = 'classic',
        without: str = '',
        articulated: bool = False,
        workers: int | None = None,
    ) -> None:
        self._target = choose(target, tuple(CLASS_NAMES), 'target')
        count = _whole('frames', frames.get(split, 0) if isinstance(frames, Mapping) else frames)
        parameters = SceneParameters(
            split=choose(split, tuple(FIRST_SEED), 'split'),
            size=_pair('size', size, _whole),
            kinds=_weights(kinds or dict.fromkeys(KINDS, 1.0)),
            tools=_pair('tools', tools, _whole),
            frames_per_scene=_whole('frames_per_scene', frames_per_scene),
            rate=_number('rate', rate),
            wrist_bend=_pair('wrist_bend', wrist_bend, _number),
            noise=_pair('noise', noise, _number),
            look=choose(look, LOOKS, 'look'),
            without=without,
            articulated=articulated,
        )
        _check(parameters, count)
        self.folder = root / f'{split}-{_fingerprint(parameters)}'
        _state(self.folder / STATEMENT, parameters)
        render_missing(self.folder, parameters, count, workers)
        mask = 'parts' if target == 'parts' else 'types'
        super().__init__(
            [self._frame(number, mask) for number in range(count)], CLASS_NAMES[target]
        )

    def labels(self, index: int) -> np.ndarray:
        """HxW uint8 class ids of the target."""
        labels = read_grey(self._frames[index].masks[0])
        return np.minimum(labels, 1) if self._target == 'binary' else labels

    def instances(self, index: int) -> np.ndarray:
        """HxW uint8: 0 tissue, else the instrument's slot (1..)."""
        return read_grey(image_path(self.folder, 'instances', index))

    def _frame(self, number: int, mask: str) -> Frame:
        return Frame(
            f'{self.folder.name}/{number:06d}',
            image_path(self.folder, 'images', number),
            (image_path(self.folder, mask, number),),
        )


class SimulatedInstances(InstanceDataset):
    """Instruments of the virtual endoscope; options as Simulated's, whose files these are."""

    def __init__(self, root: Path, split: str = 'train', **options: object) -> None:
        self._frames = opened('simulated', Simulated, root, split, **options)
        self.class_names = self._frames.class_names

    def __len__(self) -> int:
        """Number of images."""
        return len(self._frames)

    def __getitem__(self, index: int) -> InstanceSample:
        """See InstanceDataset."""
        name, image, labels = self._frames[index]
        return InstanceSample(name, image, *instances_of(labels, self._frames.instances(index)))


def instances_of(labels: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Class ids N and masks N x H x W of the instances that an image of numbers tells apart.

    labels: HxW class ids. numbers: HxW, 0 none. An instance has the class most of its pixels have.
    """
    found = [number for number in np.unique(numbers) if number]
    masks = np.array([numbers == number for number in found]).reshape(-1, *numbers.shape)
    class_ids = [np.bincount(labels[mask]).argmax() for mask in masks]
    return np.array(class_ids, np.int64), masks


def _weights(kinds: Mapping[str, float]) -> dict[str, float]:
    """Weights in the order of KINDS, so that the order in a recipe changes nothing."""
    if not isinstance(kinds, Mapping):
        raise ValueError(f'kinds is {kinds!r}, expected weights by class name')
    for name, weight in kinds.items():
        choose(name, KINDS, 'kinds')
        if not 0 <= _number(f'kinds: {name}', weight) < np.inf:
            raise ValueError(f'kinds gives {name} the weight {weight}, expected 0 or more')
    if not sum(kinds.values()):
        raise ValueError('kinds has no weight above 0')
    return {name: float(kinds[name]) for name in KINDS if kinds.get(name)}


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f'{name} is {value!r}, expected a whole number')
    return value


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f'{name} is {value!r}, expected a number')
    return float(value)


def _pair(name: str, values: object, kind: Callable[[str, Any], Number]) -> tuple[Number, Number]:
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != 2:
        raise ValueError(f'{name} is {values!r}, expected two numbers')
    return kind(name, values[0]), kind(name, values[1])


def _check(parameters: SceneParameters, frames: int) -> None:
    """Raise ValueError for what cannot be rendered."""
    expected = {
        'frames': 0 < frames <= MAX_SCENES * max(parameters.frames_per_scene, 1),
        'frames_per_scene': parameters.frames_per_scene > 0,
        'size': min(parameters.size) >= 16,
        'rate': parameters.rate > 0,
        'tools': 0 <= parameters.tools[0] <= parameters.tools[1] <= len(PORTS),
        'wrist_bend': 0 <= parameters.wrist_bend[0] <= parameters.wrist_bend[1],
        'noise': 0 <= parameters.noise[0] <= parameters.noise[1],
        'look': parameters.look != 'unseen' or parameters.split == 'test',
        'without': set(filter(None, parameters.without.split('+'))) <= KINDS_OF_LOOK.keys(),
    }
    for name, fine in expected.items():
        if not fine:
            value = frames if name == 'frames' else getattr(parameters, name)
            raise ValueError(
                f'the simulated dataset has no {name} {value}; see Simulated for what is possible'
            )


def _fingerprint(parameters: SceneParameters) -> str:
    return hashlib.sha256(_json(parameters).encode()).hexdigest()[:10]


def _json(parameters: SceneParameters) -> str:
    """All parameters; those that later versions added only where they say something."""
    later = {field.name: field.default for field in fields(parameters)}
    said = {name: value for name, value in asdict(parameters).items() if value != later[name]}
    return json.dumps({'version': VERSION, **said}, indent=2)


def _state(path: Path, parameters: SceneParameters) -> None:
    if not path.is_file():
        with whole_file(path) as partial:
            partial.write_text(_json(parameters))
