"""Pictures of clouds: where things appear, what hides what, and that surfaces have no holes."""

import numpy as np
import pytest
from synthetic_stereo import rectified_calibration

from surgseg_ros.geometry.points import disparity_to_cloud
from surgseg_ros.geometry.splatting import draw, splats_of

WIDTH, HEIGHT, FOCAL = 160, 120, 200.0
BACKGROUND = (0, 0, 99)
CALIBRATION = rectified_calibration(WIDTH, HEIGHT, FOCAL)


def disparity_at(depth: float) -> float:
    return FOCAL * CALIBRATION.baseline / depth


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Green wall at 0.1 m, and a red square of 40 px at 0.05 m before its middle."""
    disparity = np.full((HEIGHT, WIDTH), disparity_at(0.1), np.float32)
    rgb = np.full((HEIGHT, WIDTH, 3), (0, 200, 0), np.uint8)
    disparity[40:80, 60:100] = disparity_at(0.05)
    rgb[40:80, 60:100] = 200, 0, 0
    return disparity, rgb


def picture(pose: np.ndarray, zoom: float = 1.0) -> np.ndarray:
    splats = splats_of(disparity_to_cloud(scene()[0], CALIBRATION, scene()[1]), FOCAL)
    return draw(splats, pose, zoom * FOCAL, (WIDTH, HEIGHT), BACKGROUND)


def moved(x: float, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    """Camera from world of a camera at this place."""
    pose = np.eye(4)
    pose[:3, 3] = -x, -y, -z
    return pose


def box(where: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(where)
    return rows.min(), rows.max(), columns.min(), columns.max()


def test_from_where_the_camera_stood_the_image_comes_back() -> None:
    actual, rgb = picture(np.eye(4)), scene()[1]
    edge = np.zeros((HEIGHT, WIDTH), bool)  # the step itself is left out
    edge[37:83, 57:103] = True
    edge[43:77, 63:97] = False
    inside = ~edge
    inside[[0, -1]] = inside[:, [0, -1]] = False
    np.testing.assert_array_equal(actual[inside], rgb[inside])


@pytest.mark.parametrize('zoom', [0.5, 1.7, 3.0])
def test_a_surface_has_no_holes_at_any_zoom(zoom: float) -> None:
    actual = picture(np.eye(4), zoom)
    half = min(int(17 * zoom), 59)  # of the red square, away from its edge
    middle = actual[60 - half : 60 + half, 80 - half : 80 + half]
    np.testing.assert_array_equal(middle, np.broadcast_to((200, 0, 0), middle.shape))


def test_parallax_and_occlusion() -> None:
    """20 mm to the right: the square moves 80 px to the left, the wall 40 px."""
    actual = picture(moved(0.02))
    red = (actual[..., 0] > 150) & (actual[..., 1] < 50)
    top, bottom, left, right = box(red)
    assert abs(top - 40) <= 2 and abs(bottom - 79) <= 2
    assert left == 0 and abs(right - 19) <= 2
    wall = (actual[..., 1] > 150) & (actual[..., 0] < 50)
    assert abs(box(wall)[3] - (WIDTH - 1 - 40)) <= 2
    # what the square hid from the endoscope is nowhere in the cloud: background at x - 40
    shadow = actual[50:70, 25:55]
    np.testing.assert_array_equal(shadow, np.broadcast_to(BACKGROUND, shadow.shape))


def test_the_nearer_hides_the_further_in_any_order() -> None:
    """10 mm to the left the square covers a part of the wall that the endoscope saw."""
    actual = picture(moved(-0.01))
    covered = actual[45:75, 105:137]  # the square, now at 100..139; the wall there: 80..119
    np.testing.assert_array_equal(covered, np.broadcast_to((200, 0, 0), covered.shape))


def test_pixels_beside_a_step_are_no_surface() -> None:
    splats = splats_of(disparity_to_cloud(scene()[0], CALIBRATION), FOCAL)
    ring = 2 * (40 + 40) - 4 + 2 * (40 + 40)  # the square's rim, and the wall's around it
    assert len(splats.points) == WIDTH * HEIGHT - ring
    assert splats.radii.min() >= 0.05 / FOCAL - 1e-9


def test_behind_the_viewer_is_nothing() -> None:
    actual = picture(moved(0, 0, 0.2))
    np.testing.assert_array_equal(actual, np.broadcast_to(BACKGROUND, actual.shape))
