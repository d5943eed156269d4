"""The simulated dataset: what it draws, and that a killed rendering goes on where it stopped."""

import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('mujoco', reason='rendering needs mujoco')

from surgseg_ros import datasets  # noqa: E402
from surgseg_ros.datasets.rendering import FIRST_SEED, MAX_SCENES, SceneParameters, scene_options  # noqa: E402
from surgseg_ros.datasets.simulated import KINDS, Simulated  # noqa: E402

SMALL = {'size': (96, 80), 'frames_per_scene': 2, 'tools': (1, 2)}
FRAMES = 6
REPOSITORY = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope='module')
def rendered(tmp_path_factory):
    return Simulated(tmp_path_factory.mktemp('simulated'), 'train', FRAMES, workers=2, **SMALL)


def assert_same_pixels(one, other, frames):
    for index in range(frames):
        assert one.name(index) == other.name(index)
        for first, second in zip(one[index][1:], other[index][1:], strict=True):
            np.testing.assert_array_equal(first, second)


def test_a_frame(rendered):
    sample = rendered[0]
    assert sample.image.shape == (80, 96, 3) and sample.labels.shape == (80, 96)
    assert sample.image.std() > 10
    assert rendered.class_names[6] == 'Monopolar Curved Scissors' and len(rendered) == FRAMES
    with pytest.raises(IndexError):
        rendered[FRAMES]


def test_labels_are_those_of_the_scenes_instruments(rendered):
    parameters = SceneParameters(
        'train', (96, 80), dict.fromkeys(KINDS, 1.0), (1, 2), 2, 1.0, (0.0, 0.6), (0.5, 1.5)
    )
    seen = 0
    for index in range(FRAMES):
        kinds = scene_options(parameters, index // 2)['kinds']
        labels, instances = rendered.labels(index), rendered.instances(index)
        for slot, kind in enumerate(kinds, 1):
            class_ids = np.unique(labels[instances == slot])
            assert list(class_ids) in ([], [rendered.class_names.index(kind)])
            seen += class_ids.size
        assert not labels[instances == 0].any()
    assert seen >= FRAMES


def test_targets_share_a_folder(rendered):
    parts, binary = (
        Simulated(rendered.folder.parent, 'train', FRAMES, target=target, **SMALL)
        for target in ('parts', 'binary')
    )
    assert parts.folder == binary.folder == rendered.folder
    assert parts.class_names[:4] == ('background', 'shaft', 'wrist', 'clasper')
    for index in range(FRAMES):
        tool = rendered.labels(index) > 0
        np.testing.assert_array_equal(parts.labels(index) > 0, tool)
        np.testing.assert_array_equal(binary.labels(index), tool)
    assert {1, 2, 3} <= set(np.unique([parts.labels(index) for index in range(FRAMES)]))


def test_same_pixels_from_one_worker_and_for_fewer_frames(rendered, tmp_path):
    assert_same_pixels(Simulated(tmp_path, 'train', 3, workers=1, **SMALL), rendered, 3)


def test_goes_on_where_it_was_killed(rendered, tmp_path):
    code = (
        'from pathlib import Path; from surgseg_ros.datasets.simulated import Simulated\n'
        f'Simulated(Path({str(tmp_path)!r}), "train", {FRAMES}, workers=1, **{SMALL})'
    )
    process = subprocess.Popen([sys.executable, '-c', code], cwd=REPOSITORY)
    images = tmp_path / rendered.folder.name / 'images'
    while len(list(images.glob('0*.png'))) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    written = {path: path.stat().st_mtime_ns for path in images.glob('0*.png')}
    assert len(written) < FRAMES
    again = Simulated(tmp_path, 'train', FRAMES, workers=2, **SMALL)
    assert_same_pixels(again, rendered, FRAMES)
    assert written.items() <= {path: path.stat().st_mtime_ns for path in images.iterdir()}.items()
    assert not list(tmp_path.rglob('*.partial*'))


def test_nothing_is_rendered_twice(rendered, monkeypatch):
    monkeypatch.setenv('MUJOCO_GL', 'none of the known')  # no worker could start
    assert_same_pixels(Simulated(rendered.folder.parent, 'train', FRAMES, **SMALL), rendered, 2)
    with pytest.raises(OSError, match='MUJOCO_GL') as error:
        Simulated(rendered.folder.parent, 'train', FRAMES + 1, **SMALL)
    assert '\n' not in str(error.value)


def parameters(**changes):
    given = {
        'split': 'train',
        'size': (96, 80),
        'kinds': dict.fromkeys(KINDS, 1.0),
        'tools': (1, 3),
        'frames_per_scene': 2,
        'rate': 1.0,
        'wrist_bend': (0.1, 0.6),
        'noise': (0.5, 1.5),
    }
    return SceneParameters(**{**given, **changes})


def test_long_tail():
    weights = {'Prograsp Forceps': 16.0, 'Large Needle Driver': 3.0, 'Bipolar Forceps': 1.0}
    scenes = [scene_options(parameters(kinds=weights), scene) for scene in range(600)]
    drawn = Counter(kind for scene in scenes for kind in scene['kinds'])
    for kind, weight in weights.items():
        assert drawn[kind] / drawn.total() == pytest.approx(weight / 20, abs=0.03)
    assert 'Monopolar Curved Scissors' not in drawn
    assert Counter(len(scene['kinds']) for scene in scenes).keys() == {1, 2, 3}
    assert all(0.1 <= scene['wrist_bend'] <= 0.6 for scene in scenes)
    assert len({scene['noise'] for scene in scenes}) == 600


def test_splits_have_disjoint_seeds():
    starts = sorted(FIRST_SEED.values())
    assert all(later - first >= MAX_SCENES for first, later in pairwise(starts))
    assert {scene_options(parameters(split=split), 5)['seed'] for split in FIRST_SEED} == {
        first + 5 for first in FIRST_SEED.values()
    }


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'kinds': 'Prograsp Forceps'}, "kinds is 'Prograsp Forceps', expected weights by class"),
        ({'kinds': {'Scalpel': 1}}, "kinds is 'Scalpel', expected one of Prograsp Forceps"),
        ({'kinds': {'Prograsp Forceps': -1}}, 'the weight -1, expected 0 or more'),
        ({'kinds': {'Prograsp Forceps': 0}}, 'kinds has no weight above 0'),
        ({'tools': (3, 1)}, r'no tools \(3, 1\)'),
        ({'size': (8, 8)}, r'no size \(8, 8\)'),
        ({'frames': {'val': 3}}, 'no frames 0'),
        ({'frames': '5'}, "frames is '5', expected a whole number"),
        ({'size': [32]}, r'size is \[32\], expected two numbers'),
        ({'size': 5}, 'size is 5, expected two numbers'),
        ({'tools': (1, 2.5)}, 'tools is 2.5, expected a whole number'),
        ({'noise': (0, 'much')}, "noise is 'much', expected a number"),
        ({'colour': 'red'}, 'dataset simulated cannot be opened so: .*colour'),
    ],
)
def test_what_cannot_be_rendered(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        datasets.open_dataset('simulated', tmp_path, 'train', **options)
    assert not list(tmp_path.iterdir())


def test_parameters_have_folders_of_their_own(rendered):
    other = {'kinds': {'Prograsp Forceps': 1}, 'split': 'val', 'noise': (0, 1)}
    one = Simulated(rendered.folder.parent, frames=1, workers=1, **{**SMALL, **other})
    assert one.folder != rendered.folder and one.folder.name.startswith('val-')
    assert '"Prograsp Forceps": 1.0' in (one.folder / 'parameters.json').read_text()
    assert set(np.unique(one.labels(0))) <= {0, 2}
