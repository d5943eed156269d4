"""What SurgicalSAM learns from a batch of prompts: Dice, NT-Xent and, if wanted, mask quality.

A batch of N prompts: features N x 64 x 64 x 256; class_ids N, int64 from 1; class_embeddings
N x 256; labels N x H x W uint8, of the whole image, 255 unlabelled.
"""

import torch
from torch import Tensor

from surgseg_ros.datasets import UNLABELLED
from surgseg_ros.networks.surgicalsam import SurgicalSam, upscale_masks
from surgseg_ros.training.losses.dice import dice_loss
from surgseg_ros.training.losses.nt_xent import nt_xent
from surgseg_ros.training.surgicalsam.class_embeddings import class_embeddings, foreground_cells

Prompts = dict[str, Tensor]


def prompt_losses(
    network: SurgicalSam, prompts: Prompts, temperature: float, quality_weight: float
) -> Prompts:
    """Scalars 'loss', 'dice', 'contrast' and, where its weight is not 0, 'quality'.

    The published loss is dice + contrast. The quality is ours: as SAM is trained, the square of
    the error of each mask's predicted IoU; one class that is not in the image is asked for per
    prompt, whose target quality is 0, so that it can be distinguished from a class that is
    present.

    Images without instruments teach nothing: all is 0, and so are the gradients.
    """
    given = len(prompts['class_ids'])
    if not given:
        names = ('loss', 'dice', 'contrast', *(('quality',) if quality_weight else ()))
        return dict.fromkeys(names, _zero(network))
    asked = with_absent_classes(prompts, network.num_classes) if quality_weight else prompts
    masks = asked['labels'] == asked['class_ids'][:, None, None]
    logits, quality = network(asked['features'].float(), asked['class_ids'])
    logits = upscale_masks(logits.float(), (masks.shape[1], masks.shape[2]))[:, 0]
    logits = logits.masked_fill(asked['labels'] == UNLABELLED, -100)  # no mask there, all agree
    prototypes = network.prototypes()
    ids = torch.arange(1, network.num_classes + 1, device=prototypes.device)
    losses = {
        'dice': dice_loss(logits[:given], masks[:given]),
        'contrast': nt_xent(
            prototypes, ids, prompts['class_embeddings'], prompts['class_ids'], temperature
        ),
    }
    loss = losses['dice'] + losses['contrast']
    if quality_weight:
        losses['quality'] = (quality.float() - mask_iou(logits > 0, masks)).square().mean()
        loss = loss + quality_weight * losses['quality']
    return {'loss': loss, **losses}


def _zero(network: SurgicalSam) -> Tensor:
    """A zero that backward() goes through; the mean of no prompts is NaN, and stays for good."""
    some = [x.flatten()[0] for x in network.parameters() if x.requires_grad]
    return 0 * torch.stack(some).sum()


def prompts_of_images(features: Tensor, labels: Tensor, num_classes: int) -> Prompts:
    """One prompt for each class in each image, with class embeddings that gradients flow through.

    features: B x 64 x 64 x 256; labels: B x H x W uint8.
    """
    image, row = classes_in(labels, num_classes).nonzero(as_tuple=True)
    prompts = {'features': features[image], 'labels': labels[image], 'class_ids': row + 1}
    masks = prompts['labels'] == prompts['class_ids'][:, None, None]
    cells = foreground_cells(masks, features.shape[1])
    return {**prompts, 'class_embeddings': class_embeddings(prompts['features'], cells)}


def with_absent_classes(prompts: Prompts, num_classes: int) -> Prompts:
    """Append, for each prompt, one for a random class that its image does not have.

    Without class_embeddings: there are none. Prompts whose image has every class get no other.
    """
    absent = ~classes_in(prompts['labels'], num_classes)
    draws = torch.rand(absent.shape, device=absent.device)
    chosen = draws.masked_fill(~absent, -1).argmax(1) + 1
    rows = absent.any(1)
    return {
        'features': torch.cat([prompts['features'], prompts['features'][rows]]),
        'labels': torch.cat([prompts['labels'], prompts['labels'][rows]]),
        'class_ids': torch.cat([prompts['class_ids'], chosen[rows]]),
    }


def classes_in(labels: Tensor, num_classes: int) -> Tensor:
    """N x num_classes bool: which classes, from 1, are in the labels N x H x W."""
    found = [(labels == k).flatten(1).any(1) for k in range(1, num_classes + 1)]
    return torch.stack(found, 1)


def mask_iou(found: Tensor, masks: Tensor) -> Tensor:
    """N: intersection over union of N x H x W bool each; 0 where both are empty."""
    overlap = (found & masks).flatten(1).sum(1)
    return overlap / (found | masks).flatten(1).sum(1).clamp(min=1)
