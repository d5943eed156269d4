"""The contenders of `surgseg bench instances`: see bench_network."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from surgseg_ros.benchmarks.bench_network import Turn, Workload, textured
from surgseg_ros.benchmarks.eager import Eager
from surgseg_ros.frames.stereo_frame import LeftFrame
from surgseg_ros.networks.card import Card, read_card
from surgseg_ros.networks.fassst_decode import decode
from surgseg_ros.networks.solo_decode import SCORE_THRESHOLD
from surgseg_ros.perception.instances import AS_PUBLISHED, InstanceSettings, InstanceStep
from surgseg_ros.predictors.preprocess import resize

if TYPE_CHECKING:
    from torch import Tensor

SCORE_THRESHOLDS = {'solo': SCORE_THRESHOLD, 'fassst': 0.3}  # of the predictors


def start(task: Workload, options: Mapping[str, Any] | None) -> Turn:
    """Load a network that sees the whole image; options None: PyTorch eager, as published.

    SOLO sees the image at its size, FASSST at its own. A turn makes the masks N x H x W bool.
    """
    image = textured(task.width, task.height)
    solo = task.network.startswith('solo')
    if options is None:
        card = read_card(task.weights) or Card(task.network)
        eager, find = Eager(task, card.options), _solo if solo else _fassst
        return lambda: find(eager, image)
    settings = InstanceSettings(
        model=task.network,
        weights=task.weights,
        threads=task.threads,
        score_threshold=SCORE_THRESHOLDS['solo' if solo else 'fassst'],
        tracking=False,
        **AS_PUBLISHED,
        **options,
    )
    seen: dict[str, Any] = {'input_size': (task.height, task.width)} if solo else {}
    step = InstanceStep(settings, **seen)
    frame = LeftFrame(0, image)
    return lambda: step(frame).masks


def _solo(eager: Eager, image: np.ndarray) -> np.ndarray:
    """Masks N x H x W bool as published: those of all cells are made, then those that pass."""
    tensor = eager.normalised(image, eager.spec.multiple)
    with eager.torch.no_grad():
        outputs = _solo_outputs(eager, tensor)
        masks: np.ndarray = eager.network.decode(*outputs, content=image.shape[:2]).masks
    return masks


def _solo_outputs(eager: Eager, tensor: 'Tensor') -> tuple[Any, Any]:
    """The mask convolution comes after the upsampling, unlike in networks/solo.

    Networks with attention are published nowhere; they run as they are.
    """
    from surgseg_ros.networks.solo import category_scores

    head, resample = eager.network.bbox_head, eager.torch.nn.functional.interpolate
    if head.attention is not None:
        masks, scores = eager.network(tensor)
        return masks, scores
    levels, size = eager.network.levels(tensor), (tensor.shape[2] // 4, tensor.shape[3] // 4)
    masks = [
        resample(
            convolution(resample(level.tower, scale_factor=2, mode='bilinear')).sigmoid(),
            size=size,
            mode='bilinear',
        )
        for convolution, level in zip(head.solo_ins_list, levels, strict=True)
    ]
    return masks, [category_scores(level.categories) for level in levels]


def _fassst(eager: Eager, image: np.ndarray) -> np.ndarray:
    """Masks N x H x W bool as the paper describes it; its authors publish no code."""
    side = eager.network.size
    tensor = eager.normalised(resize(image, side, side))
    with eager.torch.no_grad():
        boxes, scores, masks = (output[0].numpy() for output in eager.network(tensor))
    return decode(boxes, scores, masks, image.shape[:2], SCORE_THRESHOLDS['fassst']).masks
