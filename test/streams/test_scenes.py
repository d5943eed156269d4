"""Scenes: begun by a pause of what arrives or of what is processed, not by a slow pace."""

import pytest

from surgseg_ros.streams.pairing import StampPairer
from surgseg_ros.streams.scenes import Scenes

SECOND = 1_000_000_000
FRAME = SECOND // 30


@pytest.fixture
def arriving() -> StampPairer:
    return StampPairer(('left',))


def begins(arriving: StampPairer, stamps: list[int], every: int = 1) -> list[int]:
    """Positions of the images that begin a scene; only every so many of them is processed."""
    scenes, found = Scenes(), []
    for index, stamp in enumerate(stamps):
        arriving.add('left', stamp, None)
        if index % every == 0 and scenes.begins(stamp, arriving.jumps):
            found.append(index)
    return found


def test_the_first_image_begins_one_and_the_next_ones_do_not(arriving):
    assert begins(arriving, [index * FRAME for index in range(90)]) == [0]


def test_a_pause_of_the_camera_begins_one(arriving):
    times = [index * FRAME + (index >= 40) * SECOND for index in range(80)]
    assert begins(arriving, times) == [0, 40]


def test_a_loop_begins_one(arriving):
    assert begins(arriving, 2 * [index * FRAME for index in range(40)]) == [0, 40]


@pytest.mark.parametrize('pause, count', [(60, 2), (29, 1)])
def test_a_pause_of_the_subscribers_of_more_than_a_second_begins_one(arriving, pause, count):
    scenes, begun = Scenes(), 0
    for index in range(200):
        arriving.add('left', index * FRAME, None)
        if not 100 <= index < 100 + pause:
            begun += scenes.begins(index * FRAME, arriving.jumps)
    assert begun == count


def test_a_network_that_takes_two_seconds_stays_in_its_scene(arriving):
    """But for its second image: until then nobody can know its pace."""
    assert begins(arriving, [index * FRAME for index in range(600)], every=60) == [0, 60]


def test_without_arrivals_the_stamps_of_what_is_processed_decide():
    """As in files, where every image is processed."""
    times = [index * FRAME + (index >= 40) * SECOND for index in range(80)]
    scenes = Scenes()
    assert [index for index, stamp in enumerate(times * 2) if scenes.begins(stamp)] == [
        0,
        40,
        80,
        120,
    ]
