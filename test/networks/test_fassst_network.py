"""FASSST: the published size and operations, counted on the network itself, and its parts."""

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='networks need torch')

from golden_recipe import fill_network, texture  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from surgseg_ros import networks  # noqa: E402
from surgseg_ros.networks.fassst import (  # noqa: E402
    BACKBONES,
    HEAD_DEPTHS,
    bin_centres,
    cell_squares,
    fuse,
    sample_rois,
)


def sizes(name, **options):
    """Megabytes of float32 parameters, and GFLOPs of a frame: 2 per multiply-accumulate."""
    with torch.device('meta'):
        network = networks.create(name, **options).eval()
        image = torch.zeros(1, 3, network.size, network.size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    megabytes = sum(p.numel() for p in network.parameters()) * 4 / 1e6
    return megabytes, counter.get_total_flops() / 1e9


def shapes(network):
    return {key: tensor.shape for key, tensor in network.state_dict().items()}


def test_default_has_the_published_size_and_operations():
    megabytes, gflops = sizes('fassst_416')
    assert f'{megabytes:.1f} MB, {gflops:.1f} GFLOPs' == '36.3 MB, 71.6 GFLOPs'


def test_cityscapes_is_near_the_published_operations():
    # published: 41.3 MB, 112.8 GFLOPs. Fewer classes make any such network smaller, not larger
    megabytes, gflops = sizes('fassst_768', num_classes=8, num_boxes=49)
    assert f'{megabytes:.1f} MB, {gflops:.1f} GFLOPs' == '34.0 MB, 111.5 GFLOPs'


def test_registered_sizes():
    for name in ('fassst_416', 'fassst_768', 'fassst_small'):
        known = networks.spec(name)
        with torch.device('meta'):
            network = networks.create(name)
        assert known.tensors == len(network.state_dict())
        assert known.parameters == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize('backbone', BACKBONES)
@pytest.mark.parametrize('roi_fusion', [True, False])
@pytest.mark.parametrize('num_boxes, head_depth', [(16, 4), (36, 5), (81, 6)])
def test_every_option_gives_boxes_scores_and_masks(backbone, roi_fusion, num_boxes, head_depth):
    with torch.device('meta'):
        network = networks.create(
            'fassst_416',
            backbone=backbone,
            roi_fusion=roi_fusion,
            num_boxes=num_boxes,
            head_depth=head_depth,
            num_classes=7,
        )
        boxes, scores, masks = network(torch.zeros(2, 3, 416, 416))
    assert boxes.shape == (2, num_boxes, 4)
    assert scores.shape == (2, num_boxes, 7)
    assert masks.shape == (2, num_boxes, 28, 28)


def test_options_change_what_they_name():
    with torch.device('meta'):
        counts = {
            depth: len(networks.create('fassst_small', head_depth=depth).head)
            for depth in HEAD_DEPTHS
        }
        attention = networks.create('fassst_416').attention
        alone = networks.create('fassst_small', roi_fusion=False)
    assert counts == {4: 4, 5: 5, 6: 6}
    assert len(attention.convs) + 1 == 9
    assert len(alone.pyramid.layers) == 1


def test_neither_size_nor_number_of_boxes_changes_a_weight():
    with torch.device('meta'):
        expected = shapes(networks.create('fassst_416'))
        for name, num_boxes in (('fassst_416', 1), ('fassst_416', 81), ('fassst_768', 49)):
            assert shapes(networks.create(name, num_boxes=num_boxes)) == expected


@pytest.mark.parametrize(
    'size, num_boxes, halvings',
    [(416, 36, 5), (768, 36, 6), (768, 49, 5), (128, 81, 2), (768, 1, 8)],
)
def test_the_first_convolutions_halve_down_to_the_grid(size, num_boxes, halvings):
    with torch.device('meta'):
        convs = networks.create('fassst_small', size=size, num_boxes=num_boxes).attention.convs
    assert [conv[0].stride[0] for conv in convs] == [2] * halvings + [1] * (8 - halvings)


@pytest.mark.parametrize(
    'options',
    [
        {'backbone': 'mobilenet_v2', 'num_classes': 7, 'roi_fusion': True, 'head_depth': 5},
        {'backbone': 'mobilenet_v2', 'num_classes': 80, 'roi_fusion': False, 'head_depth': 4},
        {'backbone': 'resnet50_fpn', 'num_classes': 1, 'roi_fusion': True, 'head_depth': 6},
        {'backbone': 'resnet50_fpn', 'num_classes': 3, 'roi_fusion': False, 'head_depth': 5},
    ],
)
def test_options_are_told_from_a_checkpoint(options):
    with torch.device('meta'):
        state = networks.create('fassst_768', num_boxes=49, **options).state_dict()
    assert networks.options_of('fassst_768', state) == options


@pytest.mark.parametrize(
    'options, sentence',
    [
        ({'size': 100}, 'size is 100, expected a multiple of 32'),
        ({'backbone': 'vgg'}, "no backbone 'vgg'; its own: mobilenet_v2, resnet50_fpn"),
        ({'num_boxes': 12}, 'num_boxes is 12, expected a square'),
        ({'head_depth': 3}, 'head_depth is 3, expected one of 4, 5, 6'),
    ],
)
def test_what_cannot_be_is_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        networks.create('fassst_small', **options)


@pytest.fixture(scope='module')
def small():
    return fill_network(networks.create('fassst_small', num_classes=3, size=128))


@pytest.fixture(scope='module')
def image():
    values = np.stack([texture(name, 128, 128) for name in ('one', 'two')]).transpose(0, 3, 1, 2)
    return torch.from_numpy(values.astype(np.float32) / 64 - 2)


def test_frames_of_a_batch_do_not_mix(small, image):
    with torch.inference_mode():
        together, alone = small(image), small(image[1:])
    for both, one in zip(together, alone, strict=True):
        torch.testing.assert_close(both[1:], one, rtol=1e-4, atol=1e-3)


def test_outputs_are_those_of_the_best_class(small, image):
    with torch.inference_mode():
        boxes, scores, masks = small(image)
        coordinates, logits, layers = small.locate(image)
        best = scores.argmax(2)
        assert best.unique().numel() > 1
        for cell in range(16):
            for frame in range(2):
                own = coordinates[frame, cell, best[frame, cell]].sigmoid()
                torch.testing.assert_close(boxes[frame, cell], own)
        every = small.tail(small.rois(layers, boxes)).unflatten(0, (2, 16))
    torch.testing.assert_close(masks[1, 5], every[1, 5, best[1, 5]], rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(scores, logits.sigmoid())


def test_infer_computes_the_masks_of_the_best_class_and_the_same(small, image):
    with torch.inference_mode():
        for expected, found in zip(small(image), small.infer(image), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


def test_untrained_cells_are_their_own_squares_with_low_scores():
    torch.manual_seed(0)
    network = networks.create('fassst_small', num_classes=3, size=128).eval()
    with torch.inference_mode():
        boxes, scores, _ = network(torch.zeros(1, 3, 128, 128))
    torch.testing.assert_close(boxes[0], cell_squares(4), rtol=0, atol=0.05)
    torch.testing.assert_close(scores, torch.full_like(scores, 0.01), rtol=0, atol=0.005)


def test_gradients_reach_every_parameter():
    for roi_fusion in (True, False):
        network = networks.create('fassst_small', num_classes=2, size=64, roi_fusion=roi_fusion)
        outputs = network(torch.rand(2, 3, 64, 64))
        sum(output.square().mean() for output in outputs).backward()
        without = [key for key, p in network.named_parameters() if p.grad is None]
        assert without == []


def test_roi_samples_are_the_values_at_the_bins_centres():
    x = torch.arange(16.0).expand(1, 1, 16, 16)
    features = torch.cat((x, x.transpose(2, 3)), dim=1)  # each place holds its own coordinates
    boxes = torch.tensor([[[0.25, 0.125, 0.75, 0.875], [0, 0, 1, 1]]])
    sampled = sample_rois(features, boxes, 4)
    assert sampled.shape == (2, 2, 4, 4)
    expected = bin_centres(boxes, 4)[0].permute(0, 3, 1, 2)
    # pixel i has its centre at i + 1/2 of 16
    torch.testing.assert_close(sampled, (expected + 1) / 2 * 16 - 0.5)
    torch.testing.assert_close(sampled[0, 0, 0], torch.tensor([4.5, 6.5, 8.5, 10.5]))
    torch.testing.assert_close(sampled[0, 1, :, 0], torch.tensor([3.0, 6.0, 9.0, 12.0]))


def test_fusion_by_its_formula():
    fine, middle, coarse = (torch.randn(2, 3, n, n) for n in (8, 4, 2))
    up = torch.nn.Upsample(scale_factor=2, mode='bilinear', align_corners=False)
    torch.testing.assert_close(
        fuse([fine, middle, coarse]), torch.relu(fine + up(middle + up(coarse)))
    )
    assert fuse([fine]) is fine
