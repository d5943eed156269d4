"""Image bank re-sampling (IBR): classes that are rare in the data come up more often in training.

Zhao et al., SFC: Shared Feature Calibration in Weakly Supervised Semantic Segmentation, AAAI
2024, brought to SurgicalSAM by a reproduction of that network. The reproduction's printed code
cannot run (slots of another shape than the samples, 20 indices for 7 slots, masks not extended
with the features, a new bank in every epoch); this is what both texts describe.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

Batch = dict[str, Tensor]


class ImageBank:
    """The last sample of each class, kept over all epochs; extends batches with draws from it.

    Slots that no sample has filled yet are not drawn. The draws come from a generator of its own,
    so that training with and without a bank sees the same batches.
    """

    def __init__(self, draws: int = 4, seed: int = 0, class_field: str = 'class_ids') -> None:
        """draws: samples added to each batch. class_field: int64 N, the class of each sample."""
        self.draws = draws
        self.class_field = class_field
        self._slots: dict[int, Batch] = {}
        self._generator = torch.Generator().manual_seed(seed)

    @property
    def filled(self) -> list[int]:
        """Class ids that have a sample, ascending."""
        return sorted(self._slots)

    def extend(self, batch: Batch) -> Batch:
        """Store the batch's samples, then append `draws` uniform draws with replacement.

        batch: tensors N x ..., one of them the class field; all are extended together. Of several
        samples of a class the last one stays. An empty batch on an empty bank comes back as is.
        """
        for index, class_id in enumerate(batch[self.class_field].tolist()):
            self._slots[class_id] = {
                name: values[index].detach().clone() for name, values in batch.items()
            }
        if not self._slots:
            return batch
        drawn = torch.randint(len(self._slots), (self.draws,), generator=self._generator)
        samples = [self._slots[self.filled[slot]] for slot in drawn.tolist()]
        return {
            name: torch.cat([values, torch.stack([s[name] for s in samples]).to(values)])
            for name, values in batch.items()
        }

    def state_dict(self) -> dict[str, object]:
        """Slots and generator: training resumed from it draws what it would have drawn."""
        return {'slots': self._slots, 'generator': self._generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what state_dict() returned."""
        self._slots = {class_id: dict(slot) for class_id, slot in state['slots'].items()}
        self._generator.set_state(state['generator'].cpu())
