"""A network of somebody else's: one file, one entry in the registry and one recipe are enough.

They are put into a copy of the package; the unchanged node and commands of the copy are run.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from harness import graph, wait_for

import surgseg_ros
from surgseg_ros.media import children

NETWORK = """
from torch import nn


class Toy(nn.Module):
    def __init__(self, num_classes: int = 2):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 7, 4, 3), nn.ReLU(), nn.Conv2d(16, num_classes, 1)
        )

    def forward(self, image):
        return self.layers(image).log_softmax(dim=1)

    def infer(self, image):
        return (self.layers(image),)
"""
ENTRY = """
    'toy': NetworkSpec(
        constructor='surgseg_ros.networks.toy:Toy',
        task='semantic',
        predictor='surgseg_ros.predictors.lwanet:LwanetPredictor',
        input_size=(128, 160),
        stride=4,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        multiple=4,
        tensors=4,
        parameters=2402,
        class_names=('background', 'instrument'),
        paper='none',
        homepage='',
        licence=OWN_LICENCE,
        checkpoints=(),
        examples=(Example({'image': (1, 3, 64, 64)}),),
    ),
"""
RECIPE = """
task: segmentation
seed: 1
network: {name: toy}
data:
  name: simulated
  root: data
  options: {target: binary, size: [160, 128]}
  train: {split: train, frames: 8}
  val: {split: val, frames: 2}
  height: 128
  width: 160
optimiser: {name: adam, learning_rate: 0.01, batch_size: 4}
schedule: {epochs: 2}
evaluation: {metric: mIoU, batch_size: 2}
machine: {accelerator: cpu}
"""


class Toy(NamedTuple):
    """The copy of the package (a folder for PYTHONPATH), and what it has trained."""

    packages: Path
    folder: Path
    weights: Path

    def surgseg(self, *words: str) -> str:
        """What a command of the copy prints; it must succeed."""
        done = run(self.packages, self.folder, *words)
        assert done.returncode == 0, f'{done.stdout}\n{done.stderr}'
        return str(done.stdout)


def run(packages: Path, folder: Path, *words: str):
    changes = {'PYTHONPATH': str(packages), 'SURGSEG_CACHE': str(folder / 'cache')}
    enter = f'import os, runpy; os.chdir({str(folder)!r}); '
    main = 'runpy.run_module("surgseg_ros.cli", run_name="__main__")'
    return children.run(children.python('-c', enter + main, *words), changes=changes, timeout=240)


@pytest.fixture(scope='module')
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toy]:
    folder = tmp_path_factory.mktemp('toy')
    package = folder / 'packages' / 'surgseg_ros'
    shutil.copytree(Path(surgseg_ros.__file__).parent, package)
    (package / 'networks' / 'toy.py').write_text(NETWORK)
    registry = package / 'networks' / '__init__.py'
    text = registry.read_text()
    assert text.count('\n_SPECS = {') == 1
    registry.write_text(text.replace('\n_SPECS = {', '\n_SPECS = {' + ENTRY))
    (folder / 'toy.yaml').write_text(RECIPE)
    made = Toy(package.parent, folder, folder / 'run' / 'best.safetensors')
    made.surgseg('train', 'toy.yaml', '--out', 'run')
    yield made


def test_it_is_inferred(toy: Toy) -> None:
    toy.surgseg(
        'infer', 'semantic', 'sim:frames=1,width=160,height=128', '--model', 'toy',
        '--weights', str(toy.weights), '--out', 'labels', '--backend', 'torch',
    )  # fmt: skip
    (path,) = (toy.folder / 'labels').rglob('*.png')
    assert cv2.imread(str(path), cv2.IMREAD_UNCHANGED).shape == (128, 160)


def test_it_is_evaluated(toy: Toy) -> None:
    toy.surgseg(
        'evaluate', 'segmentation', '--dataset', 'simulated', '--root', 'data', '--split', 'val',
        '--option', 'target=binary', '--option', 'size=[160,128]', '--option', 'frames=2',
        '--model', 'toy', '--weights', str(toy.weights), '--backend', 'torch', '--json', 'out',
    )  # fmt: skip
    assert 'instrument' in json.dumps(json.loads((toy.folder / 'out').read_text()))


def test_it_is_benchmarked(toy: Toy) -> None:
    printed = toy.surgseg(
        'bench', 'semantic', '--model', 'toy', '--weights', str(toy.weights), '--size', '160x128',
        '--rounds', '1', '--only', 'torch', 'openvino',
    )  # fmt: skip
    lines = [line for line in printed.splitlines() if ' of 20480 px' in line]
    assert [line.split('  ')[0] for line in lines] == ['torch', 'openvino']


def test_it_runs_in_the_node(toy: Toy) -> None:
    image = np.random.default_rng(0).integers(0, 256, (128, 160, 3), np.uint8)
    with graph() as net:
        net.environment['PYTHONPATH'] = str(toy.packages)
        net.start('semantic_node', model='toy', weights=str(toy.weights), backend='torch')
        net.listen('segmentation', 'sensor_msgs/msg/Image')
        wait_for(lambda: net.status('semantic'), what=net.report)

        def labels():
            net.send_image(next(net.clock), image)
            return net.received['segmentation']

        message = wait_for(labels, what=net.report)[0]
    assert (message.height, message.width, message.encoding) == (128, 160, 'mono8')
