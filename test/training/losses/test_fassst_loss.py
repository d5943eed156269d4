"""FASSST's loss: its parts by their definitions, and what it leaves alone."""

import math

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs torch')

from surgseg_ros import networks  # noqa: E402
from surgseg_ros.training.instances.fassst import assign_cells  # noqa: E402
from surgseg_ros.training.losses.fassst import Targets, box_iou, fassst_loss  # noqa: E402
from surgseg_ros.training.losses.sigmoid_focal import sigmoid_focal_loss  # noqa: E402


def test_focal_loss_of_hard_targets_by_its_formula():
    logits, target = torch.tensor([-2.0, 0.3, 4.0]), torch.tensor([1.0, 0.0, 1.0])
    for x, t, loss in zip(
        logits.tolist(), target, sigmoid_focal_loss(logits, target), strict=True
    ):
        p = 1 / (1 + math.exp(-x))
        p, alpha = (p, 0.25) if t == 1 else (1 - p, 0.75)
        assert loss.item() == pytest.approx(-alpha * (1 - p) ** 2 * math.log(p), rel=1e-4)


def test_focal_loss_of_soft_targets_is_0_at_the_target_and_nowhere_else():
    target = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0]).repeat(99, 1)
    p = torch.linspace(0.01, 0.99, 99)[:, None].expand_as(target)
    loss = sigmoid_focal_loss(torch.logit(p), target, alpha=None)
    assert p[loss.argmin(0), 0].tolist() == pytest.approx([0.01, 0.1, 0.5, 0.9, 0.99])
    assert loss.min(0).values[1:4].abs().max() < 1e-9


def test_overlap_of_boxes():
    first = torch.tensor([[0, 0, 0.5, 1], [0, 0, 0, 0]])
    second = torch.tensor([0, 0, 1, 1.0])
    torch.testing.assert_close(box_iou(first, second), torch.tensor([0.5, 0]))


def test_cells_hold_the_centre_and_no_cell_is_taken_twice():
    boxes = np.array(
        [
            [0.0, 0.0, 0.2, 0.2],  # centre in the first of 4 x 4
            [0.8, 0.5, 1.0, 0.7],  # in the third row, last column
            [0.1, 0.05, 0.2, 0.15],  # in the first cell, too: the nearest is below
            [0.0, 0.0, 0.1, 0.44],
        ],
        np.float32,
    )
    assert assign_cells(boxes[:2], 4).tolist() == [0, 11]
    cells = assign_cells(boxes, 4)
    assert cells[:2].tolist() == [0, 11] and len(set(cells.tolist())) == 4
    crowd = np.tile(np.array([[0.4, 0.4, 0.6, 0.6]], np.float32), (9, 1))
    assert sorted(assign_cells(crowd, 3)) == list(range(9))


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(0)
    return networks.create('fassst_small', num_classes=2, size=64, num_boxes=4).train()


def targets(valid, masks=None):
    """Two frames with up to two instances, in the upper left and the lower right quarter."""
    boxes = torch.tensor([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]]).expand(2, 2, 4)
    if masks is None:
        masks = torch.zeros(2, 2, 64, 64)
        masks[:, 0, 4:28, 4:28] = masks[:, 1, 36:60, 36:60] = 1
    return Targets(
        torch.tensor(valid),
        boxes,
        torch.tensor([[0, 1], [1, 0]]),
        torch.tensor([[0, 3], [0, 3]]),
        masks,
    )


def test_the_loss_is_the_weighted_sum_of_its_parts(network):
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    losses = fassst_loss(network, image, targets([[True, True], [True, False]]))
    total = 5.75 * losses['mask'] + 3 * losses['location'] + 1.25 * losses['class']
    torch.testing.assert_close(losses['loss'], total)
    # untrained, a cell of the true class costs alpha (1 - p)^2 (- log p) at p = 0.01, all others
    # next to nothing; that box is the cell's own
    assert losses['class'].item() == pytest.approx(-0.25 * 0.99**2 * math.log(0.01), rel=0.2)
    assert losses['location'].item() < 0.01


def test_frames_without_instances_teach_scores_alone(network):
    image = torch.rand(2, 3, 64, 64)
    losses = fassst_loss(network, image, targets([[False, False], [False, False]]))
    assert losses['mask'] == 0 and losses['location'] == 0 and losses['class'] > 0
    network.zero_grad()
    losses['loss'].backward()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


def test_a_cell_that_overlaps_an_instance_of_the_class_is_no_negative(network):
    """With all boxes alike, cells that do not answer for the instance neither gain nor lose."""
    coordinates = torch.logit(torch.tensor([0.02, 0.02, 0.5, 0.5])).expand(2, 4, 2, 4)
    logits = torch.zeros(2, 4, 2, requires_grad=True)
    layers = network.locate(torch.zeros(2, 3, 64, 64))[2]

    class Fixed:
        tail, rois = network.tail, network.rois

        def locate(self, image):
            return coordinates, logits, layers

    fassst_loss(Fixed(), None, targets([[True, False], [False, False]]))['class'].backward()
    spared = logits.grad == 0
    assert spared[0, 1:, 0].all()  # its class, in the other cells of its frame
    assert logits.grad[0, 0, 0] < 0  # its own cell
    assert (logits.grad[0, :, 1] > 0).all()  # another class
    assert (logits.grad[1] > 0).all()  # another frame


def test_the_mask_loss_moves_no_box(network):
    network.zero_grad()
    fassst_loss(network, torch.rand(2, 3, 64, 64), targets([[True, True], [True, True]]))[
        'mask'
    ].backward()
    assert network.attention.predict.weight.grad is None
    assert network.tail.masks.weight.grad.abs().sum() > 0
