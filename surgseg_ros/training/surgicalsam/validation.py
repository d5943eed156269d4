"""SurgicalSAM's figures, with the classes to prompt known beforehand, and without."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from surgseg_ros.metrics.segmentation import ConfusionMatrix, instrument_scores
from surgseg_ros.networks.surgicalsam import SurgicalSam
from surgseg_ros.predictors.surgicalsam_masks import TEMPERATURE, MaskScaler, accepted, presence

# published: the classes in the truth are prompted. honest: all are, and the absent rejected
MODES = ('published', 'honest')


def confusions(
    network: SurgicalSam,
    features: Tensor,
    labels: np.ndarray,
    quality_threshold: float,
    presence_threshold: float,
    temperature: float = TEMPERATURE,
) -> dict[str, ConfusionMatrix]:
    """Compare one image in each mode, by the rules of predictors.surgicalsam.

    features: 1 x 64 x 64 x 256 float32; labels: HxW uint8.
    """
    ids = np.arange(1, network.num_classes + 1)
    outputs = network(features, torch.from_numpy(ids).to(features.device))
    masks, quality = (x.float().cpu().numpy() for x in outputs)
    height, width = labels.shape
    masks, scaler = masks[:, 0], MaskScaler(height, width, network.grid)
    prototypes = network.prototypes().float().cpu().numpy()
    there = presence(
        masks, ids, features[0].cpu().numpy(), prototypes, scaler.content, temperature
    )
    chosen = {
        'published': np.isin(ids, labels),
        'honest': accepted(quality, there, quality_threshold, presence_threshold),
    }
    order = np.argsort(quality, kind='stable')
    found = {}
    for mode in MODES:
        rows = order[chosen[mode][order]]
        found[mode] = ConfusionMatrix(len(ids) + 1)
        found[mode].add(scaler.paint(masks[rows], ids[rows]), labels)
    return found


def figures(
    images: Sequence[dict[str, ConfusionMatrix]], class_names: Sequence[str]
) -> dict[str, float]:
    """InstrumentScores of all images as 'MODE/FIGURE' and 'MODE/CLASS' (class_means), in 0..1."""
    named: dict[str, float] = {}
    for mode in MODES:
        scores = instrument_scores(np.array([image[mode].counts for image in images]))
        named |= {
            f'{mode}/challenge_iou': scores.challenge,
            f'{mode}/iou': scores.either,
            f'{mode}/mc_iou': scores.mean_class,
            f'{mode}/cumulative_iou': scores.cumulative,
        }
        named |= {
            f'{mode}/{name}': float(iou)
            for name, iou in zip(class_names[1:], scores.class_means, strict=True)
        }
    return named
