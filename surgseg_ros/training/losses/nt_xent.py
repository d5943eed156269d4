"""NT-Xent between class prototypes and class embeddings (SurgicalSAM, contrastive learning)."""

import torch
from torch import Tensor
from torch.nn import functional as F


def nt_xent(
    prototypes: Tensor,
    prototype_ids: Tensor,
    embeddings: Tensor,
    embedding_ids: Tensor,
    temperature: float = 0.07,
) -> Tensor:
    """Pull each prototype to the embeddings of its class and away from those of the others.

    prototypes: P x C; embeddings: N x C, of a batch's samples; prototype_ids (P), embedding_ids
    (N): their classes. Per pair (p, n) of one class -log(e^s / (e^s + sum of e^s' over the
    embeddings of other classes than p's)), s = cosine similarity / temperature; the mean over
    those pairs, float32 also under mixed precision. The pytorch-metric-learning package's
    NTXentLoss with reference embeddings, which SurgicalSAM trains with.
    """
    similarity = (
        F.cosine_similarity(prototypes.float()[:, None], embeddings.float()[None], dim=-1)
        / temperature
    )
    same = prototype_ids[:, None] == embedding_ids[None]
    lowest = torch.finfo(similarity.dtype).min  # not -inf, whose gradient is NaN in a full row
    others = similarity.masked_fill(same, lowest).logsumexp(dim=1, keepdim=True)
    return F.softplus(others - similarity)[same].mean()
