import numpy as np
import pytest
from golden_recipe import GOLDEN

torch = pytest.importorskip('torch', reason='training needs torch')

from surgseg_ros.training.losses.dice import dice_loss  # noqa: E402
from surgseg_ros.training.losses.nt_xent import nt_xent  # noqa: E402

CLASSES = torch.arange(1, 8)


@pytest.fixture(scope='module')
def golden():
    values = np.load(GOLDEN / 'losses_surgicalsam_lwanet.npz')
    return {name: torch.from_numpy(np.asarray(values[name])) for name in values}


def test_nt_xent_has_the_authors_value_and_gradient(golden):
    prototypes = golden['prototypes'].requires_grad_()
    loss = nt_xent(prototypes, CLASSES, golden['ref_emb'], golden['ref_labels'])
    loss.backward()
    assert loss.item() == pytest.approx(golden['ntxent'].item(), abs=1e-6)
    torch.testing.assert_close(prototypes.grad, golden['ntxent_grad'], rtol=0, atol=1e-6)


def test_nt_xent_by_its_definition():
    generator = torch.Generator().manual_seed(0)
    prototypes, embeddings = (torch.randn(n, 16, generator=generator) for n in (3, 5))
    ids = torch.tensor([1, 3, 3, 2, 1])
    unit = [rows / rows.norm(dim=1, keepdim=True) for rows in (prototypes, embeddings)]
    exponentials = (unit[0] @ unit[1].T / 0.5).exp()
    pairs = [
        -torch.log(exponentials[p, n] / (exponentials[p, n] + exponentials[p, ids != p + 1].sum()))
        for p in range(3)
        for n in range(5)
        if ids[n] == p + 1
    ]
    loss = nt_xent(prototypes, torch.arange(1, 4), embeddings, ids, temperature=0.5)
    torch.testing.assert_close(loss, torch.stack(pairs).mean())


def test_nt_xent_with_one_class_in_the_batch_is_finite_with_a_finite_gradient():
    prototypes = torch.rand(7, 16, requires_grad=True)
    loss = nt_xent(prototypes, CLASSES, torch.rand(2, 16), torch.tensor([4, 4]))
    loss.backward()
    assert loss.item() == 0  # nothing to tell it from
    assert prototypes.grad.isfinite().all()


def test_nt_xent_is_lowest_where_prototypes_are_their_classes_embeddings():
    embeddings = torch.eye(7)
    right = nt_xent(embeddings, CLASSES, embeddings, CLASSES)
    wrong = nt_xent(embeddings.roll(1, 0), CLASSES, embeddings, CLASSES)
    assert right < 1e-4 < 10 < wrong


def test_dice_has_the_authors_value_and_the_gradient_of_its_definition(golden):
    logits = golden['dice_pred'].requires_grad_()
    loss = dice_loss(logits, golden['dice_tgt'])
    assert loss.item() == pytest.approx(golden['dice'].item(), abs=1e-6)
    loss.backward()
    p = logits.detach().double().sigmoid()
    g = golden['dice_tgt'].double()
    overlap, total = (x.sum((1, 2), keepdim=True) for x in (p * g, p * p + g * g))
    total = total + 2e-3
    gradient = -2 * (g * total - 2 * p * overlap) / total**2 * p * (1 - p) / len(p)
    torch.testing.assert_close(logits.grad.double(), gradient, rtol=1e-4, atol=1e-9)


def test_dice_without_foreground_costs_one_and_pushes_nowhere():
    logits = torch.randn(2, 8, 8, requires_grad=True)
    loss = dice_loss(logits, torch.zeros(2, 8, 8))
    loss.backward()
    assert loss.item() == 1
    assert not logits.grad.any()
