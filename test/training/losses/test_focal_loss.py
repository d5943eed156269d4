import numpy as np
import pytest
from golden_recipe import GOLDEN

torch = pytest.importorskip('torch', reason='training needs torch')

from surgseg_ros.training.losses.focal import focal_loss  # noqa: E402


@pytest.fixture(scope='module')
def golden():
    values = np.load(GOLDEN / 'losses_surgicalsam_lwanet.npz')
    return {name: torch.from_numpy(np.asarray(values[name])) for name in values}


@pytest.mark.parametrize('gamma', [6, 0])
def test_focal_has_the_authors_value_and_the_gradient_of_its_definition(golden, gamma):
    log_p = golden['focal_log_softmax'].clone().requires_grad_()
    loss = focal_loss(log_p, golden['focal_target'], gamma)
    assert loss.item() == pytest.approx(golden[f'focal_g{gamma}'].item(), rel=1e-6)
    loss.backward()
    # only the true class's entry counts, weighted by (1 - p)^gamma, which is a constant
    true = torch.nn.functional.one_hot(golden['focal_target'], 11).movedim(3, 1)
    expected = -true * (1 - log_p.detach().exp()) ** gamma / golden['focal_target'].numel()
    torch.testing.assert_close(log_p.grad, expected, rtol=1e-5, atol=1e-9)


def test_unlabelled_pixels_count_nowhere(golden):
    log_p, labels = golden['focal_log_softmax'].clone(), golden['focal_target'].clone()
    labels[:, 16:] = 255
    log_p.requires_grad_()
    loss = focal_loss(log_p, labels, 6)
    torch.testing.assert_close(loss, focal_loss(log_p[:, :, :16], labels[:, :16], 6))
    loss.backward()
    assert not log_p.grad[:, :, 16:].any()
    nothing = focal_loss(log_p, torch.full_like(labels, 255), 6)
    assert nothing.item() == 0


def test_half_precision_changes_the_inputs_only(golden):
    half = golden['focal_log_softmax'].bfloat16()
    loss = focal_loss(half, golden['focal_target'], 6)
    torch.testing.assert_close(loss, focal_loss(half.float(), golden['focal_target'], 6))
