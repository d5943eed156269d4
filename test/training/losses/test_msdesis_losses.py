"""MSDESIS's losses against values of the authors' classes, and by hand."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs torch')

from surgseg_ros.training.losses import msdesis  # noqa: E402

GOLDEN = np.load(Path(__file__).parents[2] / 'golden' / 'msdesis_losses.npz')
SCALES = [torch.from_numpy(GOLDEN[f'preds{scale}']) for scale in range(6)]
LOGITS, TOOLS = (torch.from_numpy(GOLDEN[name]) for name in ('logits', 'target'))


def image(name: str) -> 'torch.Tensor':
    return torch.from_numpy(GOLDEN[name]).permute(2, 0, 1)[None].float() / 255


LEFT, RIGHT = image('left_u8'), image('right_u8')


@pytest.mark.parametrize(
    ('name', 'loss'),
    [
        (
            'loss_l1_multiscale',
            lambda: msdesis.multiscale_smooth_l1(SCALES, torch.from_numpy(GOLDEN['ref'])),
        ),
        ('loss_unsup_ms', lambda: msdesis.photometric_multiscale(SCALES, LEFT, RIGHT)),
        (
            'loss_unsup_ms_111',
            lambda: msdesis.photometric_multiscale(
                SCALES, LEFT, RIGHT, scale_weights=(1, 1, 1, 0, 0, 0)
            ),
        ),
        ('loss_dice_wbce', lambda: msdesis.dice_and_weighted_cross_entropy(LOGITS, TOOLS)),
        ('loss_jaccard_wbce', lambda: msdesis.jaccard_and_weighted_cross_entropy(LOGITS, TOOLS)),
        ('loss_smooth_only', lambda: msdesis.edge_aware_smoothness(SCALES[0], LEFT)),
        ('loss_ssim_only', lambda: msdesis.ssim_loss(msdesis.warp(RIGHT, SCALES[0]), LEFT)),
    ],
)
def test_as_the_authors_compute_them(name: str, loss: object) -> None:
    assert loss().item() == pytest.approx(GOLDEN[name].item(), rel=1e-4)  # type: ignore[operator]


def test_a_warp_by_hand() -> None:
    right = torch.arange(8.0).expand(1, 1, 3, 8)
    moved = msdesis.warp(right, torch.full((1, 1, 3, 8), 2.0))
    torch.testing.assert_close(moved[0, 0, 1, 2:], torch.arange(6.0))


def test_nothing_known_is_no_loss_but_a_gradient() -> None:
    disparity = torch.ones(1, 1, 4, 4, requires_grad=True)
    loss = msdesis.multiscale_smooth_l1([disparity], torch.zeros(1, 1, 4, 4))
    loss.backward()
    assert loss.item() == 0 and disparity.grad is not None and not disparity.grad.any()
