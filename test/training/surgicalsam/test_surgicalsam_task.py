"""SurgicalSAM's task on small images: what is trained, what is asked, runs that are resumed."""

from importlib.util import find_spec

import numpy as np
import pytest
from conftest import REPOSITORY

torch = pytest.importorskip('torch', reason='training needs torch')
pytest.importorskip('lightning_fabric', reason='training needs lightning-fabric')
if find_spec('segment_anything') is None:  # its own __init__ would import torchvision
    pytest.skip('SurgicalSAM is made of parts of SAM', allow_module_level=True)

from safetensors.torch import load_file, save_file  # noqa: E402

from surgseg_ros import datasets, networks  # noqa: E402
from surgseg_ros.datasets import SegmentationDataset  # noqa: E402
from surgseg_ros.networks.card import read_card  # noqa: E402
from surgseg_ros.training import loop, tasks  # noqa: E402
from surgseg_ros.training.recipe import parse  # noqa: E402
from surgseg_ros.training.surgicalsam.loss import (  # noqa: E402
    mask_iou,
    prompt_losses,
    prompts_of_images,
    with_absent_classes,
)
from surgseg_ros.training.surgicalsam.task import SurgicalSamRecipe, make_network  # noqa: E402
from surgseg_ros.training.surgicalsam.validation import confusions, figures  # noqa: E402

SIZE = 40, 50


class Squares(SegmentationDataset):
    """Four images of 50 x 40 px; classes 1 and 2, each in some, as squares of their own colour."""

    class_names = ('background', 'red', 'green')

    def __init__(self, root, split):
        self.split = split

    def __len__(self):
        return 4

    def name(self, index):
        return f'{self.split}/{index}'

    def labels(self, index):
        labels = np.zeros(SIZE, np.uint8)
        labels[5:20, 5 + index : 25 + index] = 1
        if index % 2:
            labels[25:38, 20:45] = 2
        return labels

    def image(self, index):
        colours = np.array([[60, 50, 50], [220, 30, 30], [30, 220, 30]], np.uint8)
        return colours[self.labels(index)]


@pytest.fixture(autouse=True)
def _squares_are_a_dataset(monkeypatch):
    monkeypatch.setitem(datasets._DATASETS['labels']._places, 'squares', f'{__name__}:Squares')


@pytest.fixture(scope='module')
def sam_weights(tmp_path_factory):
    """A whole network with random weights, whose SAM a run begins from."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('sam') / 'sam.safetensors'
    save_file(networks.create('surgicalsam', encoder='mobilenet_v2', grid=8).state_dict(), path)
    return path


def recipe_of(folder='', sam_weights=None, network=None, loss=None, **sections):
    return parse(
        SurgicalSamRecipe,
        {
            'task': 'surgicalsam',
            'seed': 3,
            'network': {
                'encoder': 'mobilenet_v2',
                'encoder_size': 128,
                'grid': 8,
                **(network or {}),
                'sam_weights': None if sam_weights is None else str(sam_weights),
            },
            'data': {'name': 'squares', 'root': '.', 'height': 40, 'width': 50},
            'features': {'cache': f'{folder}/features'},
            'loss': loss or {},
            'optimiser': {'learning_rate': 1e-3, 'batch_size': 2},
            'schedule': {'epochs': 1},
            'evaluation': {'metric': 'published/challenge_iou', 'batch_size': 4},
            'machine': {'accelerator': 'cpu', 'save_seconds': 0.0},
            **sections,
        },
    )


def trained(network):
    return {name for name, parameter in network.named_parameters() if parameter.requires_grad}


def test_published_are_trained_prototypes_prompt_encoder_and_mask_decoder():
    names = trained(make_network(recipe_of(), num_classes=2))
    unreached = (
        'mask_decoder.iou_prediction_head.',
        *(f'mask_decoder.output_hypernetworks_mlps.{i}.' for i in (1, 2, 3)),
    )
    whole = networks.create('surgicalsam', num_classes=2)
    assert names == {
        name
        for name, _ in whole.named_parameters()
        if name.startswith(('prototypes.', 'prototype_prompt_encoder.', 'mask_decoder.'))
        and not name.startswith(('prototype_prompt_encoder.pn_cls_embeddings.', *unreached))
    }


@pytest.mark.parametrize('train_backbone', [False, True])
@pytest.mark.parametrize('quality_weight', [0.0, 1.0])
def test_gradients_reach_exactly_what_is_trained(quality_weight, train_backbone):
    torch.manual_seed(0)
    recipe = recipe_of(
        network={'train_encoder': True, 'train_backbone': train_backbone},
        loss={'quality_weight': quality_weight},
    )
    network = make_network(recipe, num_classes=2).train()
    labels = torch.from_numpy(np.stack([Squares('', 'train').labels(i) for i in (0, 1)]))
    features = network.encode(torch.randn(2, 3, 128, 128))
    prompts = prompts_of_images(features, labels, 2)
    assert prompts['class_ids'].tolist() == [1, 1, 2]
    losses = prompt_losses(network, prompts, 0.07, quality_weight)
    assert ('quality' in losses) == bool(quality_weight)
    assert losses.keys() - {'quality'} == {'loss', 'dice', 'contrast'}
    losses['loss'].backward()
    reached = {
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is not None and parameter.grad.any()
    }
    assert reached == trained(network)
    assert any(name.startswith('image_encoder.neck.') for name in reached)
    assert any(name.startswith('image_encoder.blocks.') for name in reached) == train_backbone
    assert any('iou_prediction_head' in name for name in reached) == bool(quality_weight)


@pytest.mark.parametrize('quality_weight', [0.0, 1.0])
def test_a_batch_without_instruments_teaches_nothing_and_harms_nothing(quality_weight):
    recipe = recipe_of(network={'train_encoder': True}, loss={'quality_weight': quality_weight})
    network = make_network(recipe, num_classes=2).train()
    optimiser = torch.optim.SGD(network.parameters(), lr=1.0)
    before = {key: x.clone() for key, x in network.named_parameters()}
    prompts = prompts_of_images(
        torch.randn(2, 8, 8, 256), torch.zeros(2, 40, 50, dtype=torch.uint8), 2
    )
    losses = prompt_losses(network, prompts, 0.07, quality_weight)
    assert ('quality' in losses) == bool(quality_weight)
    assert losses.keys() - {'quality'} == {'loss', 'dice', 'contrast'}
    assert all(value == 0 for value in losses.values())
    losses['loss'].backward()
    optimiser.step()
    assert all(torch.equal(x, before[key]) for key, x in network.named_parameters())
    assert {key for key, x in network.named_parameters() if x.grad is not None} == trained(network)


def test_one_absent_class_is_asked_for_per_prompt():
    labels = torch.zeros(3, 4, 5, dtype=torch.uint8)
    labels[0, 0] = 1
    labels[1, 0], labels[1, 1], labels[1, 2] = 1, 2, 3
    labels[2, 0], labels[2, 1] = 3, 1
    prompts = {
        'features': torch.arange(3.0)[:, None],
        'labels': labels,
        'class_ids': torch.tensor([1, 3, 1]),
    }
    seen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        asked = with_absent_classes(prompts, 3)
        assert asked['features'][:, 0].tolist() == [0, 1, 2, 0, 2]  # image 1 has all classes
        assert asked['class_ids'][:3].tolist() == [1, 3, 1]
        assert asked['class_ids'][4] == 2
        seen.add(asked['class_ids'][3].item())
    assert seen == {2, 3}


def test_mask_iou():
    found, masks = torch.zeros(3, 2, 4) > 0, torch.zeros(3, 2, 4) > 0
    found[0, 0], masks[0, :, :2] = True, True
    masks[1] = True
    assert mask_iou(found, masks).tolist() == pytest.approx([2 / 6, 0, 0])


def test_unlabelled_pixels_change_no_loss():
    torch.manual_seed(0)
    network = make_network(recipe_of(), num_classes=2).eval()
    features = torch.randn(1, 8, 8, 256)
    labels = torch.zeros(1, *SIZE, dtype=torch.uint8)
    labels[:, 10:20, 10:20] = 1
    prompts = {
        'features': features,
        'labels': labels,
        'class_ids': torch.tensor([1]),
        'class_embeddings': torch.randn(1, 256),
    }
    with torch.no_grad():
        logits = networks.surgicalsam.upscale_masks(
            network(features, prompts['class_ids'])[0], SIZE
        )[0, 0]
        labels[0, (logits > -5) & (labels[0] != 1)] = 255  # all that could be found too much
        p = logits[10:20, 10:20].sigmoid()
        rest = logits[labels[0] == 0].sigmoid().square().sum()
        expected = 1 - 2 * p.sum() / (p.square().sum() + rest + 100 + 2e-3)
        dice = prompt_losses(network, prompts, 0.07, 0)['dice']
    torch.testing.assert_close(dice, expected)


class Perfect:
    """A network whose masks are the truth: for class 2 with a low quality, class 3 empty."""

    num_classes, grid = 3, 64

    def __init__(self):
        self.masks = torch.full((3, 1, 256, 256), -20.0)
        self.masks[0, 0, :100, :100] = 20.0
        self.masks[1, 0, 120:200, :100] = 20.0

    def __call__(self, features, class_ids):
        return self.masks[class_ids - 1], torch.tensor([0.9, 0.2, 0.9])[class_ids - 1]

    def prototypes(self):
        return torch.eye(3, 256)


def test_published_mode_takes_the_classes_of_the_truth_and_honest_mode_rejects():
    features = torch.zeros(1, 64, 64, 256)
    features[0, :28, :, 0], features[0, 28:, :, 1] = 1, 1
    labels = np.zeros((1024, 1024), np.uint8)
    labels[:400, :400] = 1
    found = confusions(Perfect(), features, labels, 0.5, 0.5)
    for counts in (found['published'].counts, found['honest'].counts):
        assert counts[1, 1] == pytest.approx(400 * 400, rel=1e-3)
        assert counts[0, 2] == 0  # of low quality, or not asked for
    assert not confusions(Perfect(), features, labels, 0.5, 0.9, 1.0)['honest'].counts[:, 1:].any()
    lenient = confusions(Perfect(), features, labels, 0.1, 0.5)
    assert lenient['honest'].counts[0, 2] > 0.9 * 320 * 400
    assert lenient['published'].counts[0, 2] == 0
    metrics = figures([found, lenient], ('background', 'a', 'b', 'c'))
    assert metrics['published/challenge_iou'] == pytest.approx(1, abs=0.01)
    assert metrics['honest/iou'] == pytest.approx(0.75, abs=0.01)  # 1 and (1 + 0) / 2
    assert metrics['honest/b'] == 0
    assert np.isnan(metrics['published/b'])


@pytest.mark.parametrize(
    'changes, message',
    [
        ({'network': {'train_encoder': True}, 'loss': {'image_bank': 4}}, 'image_bank'),
        ({'network': {'train_encoder': True}, 'features': {'versions': 40}}, 'versions'),
        ({}, 'sam_weights or network.encoder_weights'),
        (
            {'network': {'encoder': 'vit_b', 'train_encoder': True, 'backbone': 'a.pth'}},
            'backbone',
        ),
        (
            {'network': {'encoder_size': 500}},
            'network.encoder_size is 500, expected a multiple of 16 up to 1024',
        ),
        ({'loss': {'temperature': 0.0}}, 'loss.temperature must be a number above 0, not 0'),
    ],
)
def test_keys_that_fit_nothing_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        tasks.create(recipe_of(**changes))


class Killed(BaseException):
    """What no handler catches."""


def test_a_killed_run_with_an_image_bank_ends_with_the_same_weights(
    tmp_path, sam_weights, monkeypatch
):
    recipe = recipe_of(
        tmp_path,
        sam_weights,
        loss={'image_bank': 2, 'temperature': 0.1},
        network={'store_encoder': True},
    )
    loop.train(recipe, tmp_path / 'whole')
    assert read_card(tmp_path / 'whole' / 'last.safetensors').details['temperature'] == 0.1
    task, left = tasks.task_class('surgicalsam'), [2]  # of 3 steps
    original = task.loss

    def loss(self, batch):
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return original(self, batch)

    monkeypatch.setattr(task, 'loss', loss)
    with pytest.raises(Killed):
        loop.train(recipe, tmp_path / 'killed')
    monkeypatch.undo()
    monkeypatch.setitem(datasets._DATASETS['labels']._places, 'squares', f'{__name__}:Squares')
    loop.train(recipe, tmp_path / 'killed')
    whole, resumed = (
        load_file(tmp_path / run / 'last.safetensors') for run in ('whole', 'killed')
    )
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    network = networks.create('surgicalsam', encoder='mobilenet_v2', num_classes=2, grid=8)
    networks.load_checkpoint(network, tmp_path / 'whole' / 'last.safetensors')
    before = load_file(sam_weights)
    changed = {
        key
        for key in before
        if before[key].shape == whole[key].shape and not torch.equal(before[key], whole[key])
    }
    assert not [key for key in changed if key.startswith(('image_encoder.', 'prompt_encoder.'))]
    assert 'mask_decoder.iou_token.weight' in changed


def test_the_contrast_reaches_the_encoder_only_where_it_is_asked_to(monkeypatch):
    samples = Squares('', 'train')
    images = torch.randn(2, 3, 128, 128)
    labels = torch.from_numpy(np.stack([samples.labels(i) for i in (0, 1)]))
    for wanted in (True, False):
        recipe = recipe_of(
            network={'train_encoder': True}, loss={'contrast_trains_encoder': wanted}
        )
        task = tasks.create(recipe)
        task.loss({'images': images, 'labels': labels})['contrast'].backward()
        gradient = task.network.image_encoder.neck[0].weight.grad
        assert (gradient is not None) == wanted
        assert task.network.prototypes().grad.any()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_eight_frames_are_learned_upon_the_bundled_backbone(tmp_path):
    """On cached features, 160 steps of 8 prompts, as published but for the size of all."""
    pytest.importorskip('mujoco', reason='the simulated dataset needs MuJoCo')
    torch.manual_seed(0)
    network = networks.create('surgicalsam', encoder='mobilenet_v2', grid=16)
    network.image_encoder.load_blocks(REPOSITORY / 'models/lwanet_simulated.safetensors')
    save_file(network.state_dict(), tmp_path / 'encoder.safetensors')
    recipe = tasks.load_recipe(
        REPOSITORY / 'config/train/surgicalsam_ibr_simulated.yaml',
        [
            f'network.encoder_weights={tmp_path}/encoder.safetensors',
            'loss.image_bank=0',
            'optimiser.learning_rate=2.0e-3',
            f'data.root={tmp_path}',
            'data.height=128',
            'data.width=160',
            'data.options={target: binary, size: [320, 256], frames_per_scene: 1, tools: [1, 2], '
            'wrist_bend: [0.0, 0.3]}',
            'data.train={split: train, frames: 8}',
            'data.val={split: train, frames: 8}',
            f'features.cache={tmp_path}/features',
            'optimiser.batch_size=8',
            'schedule.epochs=160',
            'evaluation.every=160',
            'machine.save_seconds=600',
        ],
    )
    best = loop.train(recipe, tmp_path / 'run').best
    assert best['step'] == 160
    assert best['published/challenge_iou'] > 0.95
