"""Random weights that find something: without instances there is no postprocessing to time."""

from typing import Any

from surgseg_ros import networks
from surgseg_ros.benchmarks.bench_network import textured
from surgseg_ros.predictors.preprocess import Normaliser

INSTANCES = 20  # candidates that pass; duplicates among them are suppressed


def instance_weights(name: str, width: int, height: int, threshold: float) -> dict[str, Any]:
    """State dict of an instance network, random except for the bias of its scores.

    With it INSTANCES scores, or all but one, are above the threshold in the noise that is
    benchmarked, of width x height px.
    """
    import torch

    torch.manual_seed(0)  # the same in every run
    network: Any = networks.create(name).eval()
    solo = name.startswith('solo')
    if not solo:  # it resizes every image
        width = height = network.size
    known = networks.spec(name)
    tensor = torch.from_numpy(
        Normaliser(height, width, known.mean, known.std, known.multiple)(textured(width, height))
    )
    with torch.no_grad():
        outputs = network.infer(tensor)
        # SOLO takes every class of a cell, FASSST the best one
        scores = outputs[1].flatten() if solo else outputs[1].amax(dim=2).flatten()
        count = min(INSTANCES, len(scores) - 1)
        least = scores.logit().topk(count + 1).values[-2:].mean()
        bias = (
            network.bbox_head.solo_cate.bias
            if solo
            else (network.attention.predict.bias[4 * network.attention.num_classes :])
        )
        bias += torch.tensor(threshold).logit() - least
    state: dict[str, Any] = network.state_dict()
    return state
