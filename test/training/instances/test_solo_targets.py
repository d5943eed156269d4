"""SOLO's targets on cases that can be counted by hand, and its loss by its definition."""

import math

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs torch')

from surgseg_ros import networks  # noqa: E402
from surgseg_ros.training.instances import solo_targets  # noqa: E402
from surgseg_ros.training.instances.solo_targets import make_targets, scale_ranges  # noqa: E402
from surgseg_ros.training.losses.sigmoid_focal import sigmoid_focal_loss  # noqa: E402
from surgseg_ros.training.losses.solo import solo_loss  # noqa: E402

ALL = (0.0, math.inf)


def mask(rows: slice, columns: slice, size: tuple[int, int] = (128, 128)) -> np.ndarray:
    found = np.zeros(size, bool)
    found[rows, columns] = True
    return found


def assign_cells(masks: np.ndarray, grid: int, between: tuple[float, float]) -> np.ndarray:
    return solo_targets.assign_cells(solo_targets.measure(masks), grid, between)


def cells(owners: np.ndarray, index: int = 0) -> list[tuple[int, int]]:
    return [(int(row), int(column)) for row, column in np.argwhere(owners == index)]


def test_a_small_instance_has_the_cell_of_its_centre() -> None:
    # cells of 16 px; the centre, (42, 22) px, is in row 2, column 1
    assert cells(assign_cells(mask(slice(40, 44), slice(20, 24))[None], 8, ALL)) == [(2, 1)]


def test_a_large_instance_has_its_neighbours_but_no_more() -> None:
    # the centre region, 0.2 of 128 px, reaches from 51.2 to 76.8 px
    full = mask(slice(None), slice(None))[None]
    assert cells(assign_cells(full, 4, ALL)) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    # of cells of 4 px that would be 12 to 19; the centre is in 16
    assert cells(assign_cells(full, 32, ALL)) == [
        (row, column) for row in (15, 16, 17) for column in (15, 16, 17)
    ]
    # of a long one only along it
    wide = mask(slice(64, 66), slice(None))[None]
    assert cells(assign_cells(wide, 32, ALL)) == [(16, 15), (16, 16), (16, 17)]


def test_the_centre_is_that_of_mass() -> None:
    heavy_left = mask(slice(60, 70), slice(0, 128)) | mask(slice(0, 128), slice(0, 20))
    _, columns = np.nonzero(heavy_left)
    column = int((columns.mean() + 0.5) / 128 * 64)
    found = cells(assign_cells(heavy_left[None], 64, ALL))
    assert {c for _, c in found} == {column - 1, column, column + 1} and column < 24


def test_cells_end_at_the_border() -> None:
    corner = mask(slice(0, 3), slice(125, 128))[None]
    assert cells(assign_cells(corner, 64, ALL)) == [(0, 63)]


def test_the_grid_lies_over_all_of_the_input() -> None:
    """Also over what fills it up, and where it is no square."""
    one = mask(slice(10, 14), slice(100, 104), (32, 128))[None]
    assert cells(assign_cells(one, 4, ALL)) == [(1, 3)]


def test_sizes_choose_the_levels() -> None:
    sides = scale_ranges(800)
    assert sides == [(1, 96), (48, 192), (96, 384), (192, 768), (384, 2048)]
    assert scale_ranges(200)[1] == (12, 48)
    square = mask(slice(0, 96), slice(20, 116))[None]
    taken = [bool((assign_cells(square, 8, between) >= 0).any()) for between in sides]
    assert taken == [True, True, True, False, False]
    flat = mask(slice(0, 32), slice(0, 128))[None]  # sqrt(32 * 128) = 64
    taken = [bool((assign_cells(flat, 8, between) >= 0).any()) for between in sides]
    assert taken == [True, True, False, False, False]


def test_a_later_instance_takes_the_cell() -> None:
    both = np.stack([mask(slice(0, 128), slice(0, 128)), mask(slice(64, 68), slice(64, 68))])
    owners = assign_cells(both, 8, ALL)
    assert owners[4, 4] == 1 and owners[3, 3] == 0


GRIDS = (20, 18, 12, 8, 6)


def test_targets_of_a_batch() -> None:
    large, small = mask(slice(0, 128), slice(0, 128)), mask(slice(8, 24), slice(8, 24))
    frames = [
        (np.array([3, 1]), np.stack([large, small])),
        (np.zeros(0, np.int64), np.zeros((0, 128, 128), bool)),
    ]
    levels = make_targets(frames, (128, 128), GRIDS, [(0, 50)] * 2 + [(0, 200)] * 2 + [(0, 50)])
    assert [tuple(level.masks.shape[2:]) for level in levels] == [
        (32, 32),
        (32, 32),
        (16, 16),
        (8, 8),
        (8, 8),
    ]
    for level, grid in zip(levels, GRIDS, strict=True):
        assert level.categories.shape == (2, grid, grid)
        assert not level.categories[1].any() and (level.owners[1] == -1).all()
        for cell, owner in zip(level.cells[0], level.owners[0], strict=True):
            if owner >= 0:
                truth = level.masks[0, owner]
                assert level.categories[0].flatten()[cell] == (3 if truth.all() else 1)
        inside = level.owners[0] >= 0
        assert inside.sum() == (level.categories[0] > 0).sum()
    assert levels[0].masks[0, 0].nonzero().tolist() == [
        [row, column] for row in range(2, 6) for column in range(2, 6)
    ]
    assert levels[2].masks.shape[1] == 2 and levels[0].masks.shape[1] == 1


def test_the_loss_is_dice_and_focal_of_the_network_with_all_masks() -> None:
    torch.manual_seed(0)
    network = networks.create('solo_mobilenet', num_classes=3, attention=True).eval()
    network.bbox_head.attention.gain.data.fill_(0.7)
    image = torch.randn(2, 3, 64, 96)
    one = mask(slice(10, 50), slice(20, 80), (64, 96))
    two = mask(slice(0, 64), slice(30, 50), (64, 96))
    frames = [(np.array([2, 3]), np.stack([one, two])), (np.array([1]), two[None])]
    targets = make_targets(frames, (64, 96), GRIDS, [ALL] * 5)
    losses = solo_loss(network, image, targets)

    masks, categories = network.logits(image)
    dice, focal = [], 0.0
    for level, target, wanted in zip(masks, targets, categories, strict=True):
        for frame, owners in enumerate(target.owners):
            for cell, owner in zip(target.cells[frame], owners, strict=True):
                if owner >= 0:
                    p = level[frame, cell].sigmoid()
                    t = target.masks[frame, owner].float()
                    dice.append(
                        1 - 2 * (p * t).sum() / ((p * p).sum() + 0.001 + (t * t).sum() + 0.001)
                    )
        truth = torch.zeros_like(wanted)
        for channel in range(3):
            truth[:, channel] = (target.categories == channel + 1).float()
        focal += sigmoid_focal_loss(wanted, truth).sum()
    torch.testing.assert_close(losses['mask'], torch.stack(dice).mean(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(losses['category'], focal / (len(dice) + 1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(losses['loss'], 3 * losses['mask'] + losses['category'])
