"""Random numbers and sample order as pure functions of the seed, so that a run can be resumed."""

from collections.abc import Iterator

import numpy as np


def derive_seed(*numbers: int) -> int:
    """A 32-bit seed from whole numbers >= 0, such as (seed, epoch, index)."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


class TrainingBatches:
    """Keys (epoch, index) of this process's share of all remaining batches: a batch_sampler.

    Every epoch is another permutation of the samples; those that fill no whole batch at its end
    are left out, which batch normalisation would suffer from. One iterator goes through all
    epochs, so that worker processes never stop between two.
    """

    def __init__(
        self,
        samples: int,
        batch_size: int,
        seed: int,
        epochs: int,
        *,
        start: int = 0,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        """batch_size: of all processes together. start: number of batches already done."""
        if batch_size % processes:
            raise ValueError(
                f'optimiser.batch_size {batch_size} cannot be shared equally by '
                f'{processes} processes'
            )
        if samples < batch_size:
            raise ValueError(
                f'{samples} training samples do not fill one batch: '
                f'optimiser.batch_size is {batch_size}'
            )
        self.samples, self.batch_size, self.seed, self.epochs = samples, batch_size, seed, epochs
        self.start, self.rank, self.processes = start, rank, processes

    @property
    def per_epoch(self) -> int:
        """Batches in one epoch."""
        return self.samples // self.batch_size

    def __len__(self) -> int:
        return self.per_epoch * self.epochs - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        first_epoch, batch = divmod(self.start, self.per_epoch)
        for epoch in range(first_epoch, self.epochs):
            order = np.random.default_rng((self.seed, epoch)).permutation(self.samples)
            for first in range(
                batch * self.batch_size, self.per_epoch * self.batch_size, self.batch_size
            ):
                shared = order[first : first + self.batch_size]
                yield [(epoch, int(index)) for index in shared[self.rank :: self.processes]]
            batch = 0


def validation_batches(
    samples: int, batch_size: int, rank: int = 0, processes: int = 1
) -> list[list[tuple[int, int]]]:
    """Keys (0, index) of this process's share of the validation set: every n-th batch."""
    batches = [
        [(0, index) for index in range(first, min(first + batch_size, samples))]
        for first in range(0, samples, batch_size)
    ]
    return batches[rank::processes]
