"""The recipes for COCO and Cityscapes: from the published layouts to a loss and an AP."""

import layouts
import pytest
from conftest import REPOSITORY

torch = pytest.importorskip('torch', reason='training needs torch')
for _package in ('lightning_fabric', 'albumentations', 'pycocotools'):
    pytest.importorskip(_package, reason=f'training needs {_package}')

from surgseg_ros import networks  # noqa: E402
from surgseg_ros.training import tasks  # noqa: E402

# as small as can be: these tests see whether data, network and weights fit each other
SOLO = ('data.short=[32]', 'data.long=64')
FASSST = ('network.options.size=64', 'network.options.width=16')
SUBSET = ('data.train={split: train, frames: 2}', 'data.val={split: val, frames: 2}')


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """COCO, Cityscapes, and torchvision's ResNet-50 with random weights."""
    folder = tmp_path_factory.mktemp('data')
    layouts.coco(folder / 'coco')
    layouts.cityscapes(folder / 'cityscapes', ('train', 'val'))
    torch.manual_seed(0)
    backbone = networks.create('solo_r50', num_classes=1).backbone.state_dict()
    torch.save(
        {**backbone, 'fc.weight': torch.zeros(1000, 2048), 'fc.bias': torch.zeros(1000)},
        folder / 'resnet50.pth',
    )
    return folder


def make_task(name, root, *overrides):
    torch.manual_seed(0)
    recipe = REPOSITORY / 'config' / 'train' / f'{name}.yaml'
    data = root / ('cityscapes' if 'cityscapes' in name else 'coco')
    return tasks.create(tasks.load_recipe(recipe, [f'data.root={data}', *overrides]))


def check_step_and_validation(task):
    """Finite gradients from two images, the first of COCO's without instances; a metric."""
    batch = task.collate([task.train_samples[0, i] for i in range(2)])
    task.network.train()
    losses = task.loss(batch)
    losses['loss'].backward()
    assert torch.isfinite(losses['loss'])
    gradients = [one.grad for one in task.network.parameters() if one.grad is not None]
    assert gradients and all(torch.isfinite(gradient).all() for gradient in gradients)
    task.network.eval()
    with torch.no_grad():
        measured = task.measure(
            task.collate([task.val_samples[0, i] for i in range(len(task.val_samples))])
        )
    assert 0 <= task.metrics([measured])['AP'] <= 1


def test_solo(root, tmp_path):
    imagenet = f'network.imagenet={root / "resnet50.pth"}'
    task = make_task('solo_r50_coco', root, *SOLO, imagenet)
    assert task.class_names == networks.spec('solo_r50').class_names
    learnt = torch.load(root / 'resnet50.pth')['layer1.0.conv1.weight']
    assert torch.equal(task.network.state_dict()['backbone.layer1.0.conv1.weight'], learnt)
    check_step_and_validation(task)
    torch.save(task.network.state_dict(), tmp_path / 'coco.pth')
    task = make_task(
        'solo_cityscapes',
        root,
        *SOLO,
        *SUBSET,
        imagenet,
        f'network.weights={tmp_path / "coco.pth"}',
        'network.weights_but=[bbox_head.solo_cate.]',
    )
    assert task.class_names == ('background', 'person', 'rider', 'car', 'truck', 'bus')
    assert len(task.train_samples) == len(task.val_samples) == 2
    check_step_and_validation(task)


@pytest.mark.parametrize('name', ['fassst_coco', 'fassst_cityscapes'])
def test_fassst(root, name):
    check_step_and_validation(make_task(name, root, *FASSST))


def test_fassst_of_cityscapes_starts_from_the_ordinary_model_of_coco(root, tmp_path):
    """At the full size, of 7 x 7 boxes, from 416 px and 6 x 6."""
    learnt = make_task('fassst_coco', root).network.state_dict()
    torch.save(learnt, tmp_path / 'coco.pth')
    task = make_task(
        'fassst_cityscapes_from_coco', root, f'network.weights={tmp_path / "coco.pth"}'
    )
    assert len(task.class_names) == 9 and task.network.attention.grid == 7
    fresh = [
        key
        for key, x in task.network.state_dict().items()
        if x.is_floating_point() and not torch.equal(x, learnt[key])
    ]
    assert {key.rpartition('.')[0] for key in fresh} == {'attention.predict', 'tail.masks'}


def test_train_and_val_must_have_the_same_classes(root, tmp_path):
    layouts.coco(tmp_path)
    path = tmp_path / 'annotations' / 'instances_val2017.json'
    path.write_text(path.read_text().replace('"person"', '"people"'))
    with pytest.raises(ValueError, match='data.train and data.val have different classes'):
        make_task('fassst_coco', root, f'data.root={tmp_path}')
