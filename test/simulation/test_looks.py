"""Looks: what varies, what a switch takes away, and that nothing is left to chance."""

import hashlib

import numpy as np
import pytest

pytest.importorskip('mujoco')

from surgseg_ros.datasets.rendering import SceneParameters
from surgseg_ros.datasets.simulated import Simulated, _json
from surgseg_ros.simulation import VirtualEndoscope
from surgseg_ros.simulation.lens import content_area, lit
from surgseg_ros.simulation.looks import KINDS, Border, Light, Look, sample_look

SIZE = (160, 128)


def digest(frame) -> str:
    truth = frame.truth
    arrays = (frame.left, frame.right, truth.disparity, truth.parts, truth.instances)
    return hashlib.sha256(b''.join(a.tobytes() for a in arrays)).hexdigest()


def test_without_any_kind_the_classic_look_is_left():
    """Byte for byte: no step of another look touches what it is not asked to."""
    everything = '+'.join(KINDS)
    with (
        VirtualEndoscope(*SIZE, seed=5, look='surgery', without=everything) as bare,
        VirtualEndoscope(*SIZE, seed=5, look='classic', articulated=True) as classic,
    ):
        assert digest(bare.render(3)) == digest(classic.render(3))


def test_same_seed_same_bytes_whatever_was_rendered_before():
    first = []
    for order in ((2, 7), (7, 2)):
        with VirtualEndoscope(*SIZE, seed=18, look='surgery') as endoscope:
            frames = {index: digest(endoscope.render(index)) for index in order}
        first.append([frames[2], frames[7]])
    assert first[0] == first[1] and first[0][0] != first[0][1]


def test_border_is_black_and_has_no_labels():
    seed = next(s for s in range(99) if sample_look('surgery', s).border.shape == 'circle')
    others = '+'.join(KINDS.keys() - {'border'})
    with VirtualEndoscope(*SIZE, seed=seed, look='surgery', without=others) as endoscope:
        frame, border = endoscope.render(0), endoscope.look.border
    area = content_area(border, *SIZE)
    assert 0.3 < (area > 0).mean() < 0.95
    assert np.array_equal(np.isnan(frame.truth.disparity), area < 0.5)
    for labels in (frame.truth.instances, frame.truth.parts):
        assert not labels[area < 0.5].any() and labels.any()
    text = np.s_[SIZE[1] // 3 :]  # a box of text may lie above
    for image in (frame.left, frame.right):
        assert np.all(image[text][area[text] == 0] == border.level)
        assert image[area == 1].mean() > 30


def test_leaving_a_kind_out_changes_nothing_else():
    changed = {
        'border': {'border'},
        'light': {'light'},
        'tissue': {'tissue'},
        'backdrop': {'backdrop'},
        'tools': {'tools', 'retract'},
        'count': {'num_tools'},
        'degradation': {'degradation'},
        'distance': {'distance'},
    }
    assert changed.keys() == KINDS.keys()
    for kind, fields in changed.items():
        differing = set()
        for seed in range(30):
            full, less = sample_look('surgery', seed), sample_look('surgery', seed, [kind])
            for name in vars(full):
                if getattr(full, name) != getattr(less, name):
                    differing.add(name)
                    assert getattr(less, name) == getattr(Look(), name)
        assert differing == fields


def test_surgery_has_the_variety_of_real_frames():
    looks = [sample_look('surgery', seed) for seed in range(300)]
    assert {look.num_tools for look in looks} == {0, 1, 2, 3, 4}
    assert {look.border.shape for look in looks} == {'full', 'bars', 'circle', 'octagon'}
    assert len({look.tissue.palette for look in looks}) == 6
    backdrops = np.mean([look.backdrop is not None for look in looks])
    assert 0.1 < backdrops < 0.4
    distances = [look.distance for look in looks]
    assert min(distances) < 0.9 and max(distances) > 1.6
    shafts = np.array([tool.shaft for look in looks for tool in look.tools])
    assert shafts.min() < 0.01 and shafts.max() > 0.6


def test_unseen_shares_no_drape_light_or_tool_with_surgery():
    seen = [sample_look('surgery', seed) for seed in range(300)]
    for seed in range(10):
        unseen = sample_look('unseen', seed)
        red, green, blue = unseen.light.white
        assert all(red / blue < look.light.white[0] / look.light.white[2] for look in seen)
        assert all(look.backdrop != unseen.backdrop for look in seen)
        tint = unseen.tools[0].steel_tint
        for tool in (tool for look in seen for tool in look.tools):
            assert tint[2] / tint[0] < tool.steel_tint[2] / tool.steel_tint[0]


def test_unseen_never_enters_a_training_set(tmp_path):
    for split in ('train', 'val'):
        with pytest.raises(ValueError, match='no look unseen'):
            Simulated(tmp_path, split, frames=1, look='unseen')
    with pytest.raises(ValueError, match='no without fog'):
        Simulated(tmp_path, frames=1, look='surgery', without='fog')


def test_folders_of_classic_sets_keep_their_names():
    """What later versions added is stated only where it says something."""
    parameters = SceneParameters('train', (64, 48), {}, (1, 3), 8, 1.0, (0.0, 0.6), (0.5, 1.5))
    assert 'look' not in _json(parameters) and 'wrist_bend' in _json(parameters)


def test_a_fall_off_darkens_the_corners_and_a_right_gain_the_right_eye():
    light = np.ones((64, 80, 3), np.float32)
    dimmed = lit(light, Light(falloff=0.8, right=0.9), eye=0)
    assert dimmed[0, 0, 0] < 0.5 * dimmed[32, 40, 0]
    np.testing.assert_allclose(
        lit(light, Light(right=0.9, falloff=0.8), 1), 0.9 * dimmed, rtol=1e-6
    )
    assert lit(light, Light(), 0) is light


@pytest.mark.parametrize('shape', ['bars', 'circle', 'octagon'])
def test_content_areas_have_their_shapes(shape: str):
    area = content_area(Border(shape, 0.8), 200, 160)
    radius = 0.64 / 5.0  # squared, in half heights, of a picture of 2.5 x 2
    share = {'bars': 0.8, 'circle': np.pi * radius, 'octagon': 8 * np.tan(np.pi / 8) * radius}
    assert (area > 0.5).mean() == pytest.approx(share[shape], rel=0.05)
    assert area[80, 100] == 1 and area[80, 2] == 0


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'look': 'nice'}, "look is 'nice', expected classic, surgery, unseen"),
        ({'look': 'surgery', 'without': 'border+fog'}, "without names 'fog', expected some of"),
    ],
)
def test_unknown_words_get_one_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        VirtualEndoscope(64, 48, **options)
