"""How samples are read: in this process or in workers, in an order that a sampler gives."""

from collections.abc import Iterable

from torch.utils.data import DataLoader

from surgseg_ros.training.task import Samples, Task


def make_loader(
    task: Task, samples: Samples, batches: Iterable[list[tuple[int, int]]], workers: int, pin: bool
) -> DataLoader[dict[str, object]]:
    """Batches of the task's samples, by their keys (epoch, index).

    workers: processes that read them, 0: this one. pin: into memory that a GPU copies fast.
    """
    return DataLoader(
        samples,  # type: ignore[arg-type]
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=task.collate,
        pin_memory=pin,
        persistent_workers=workers > 0,
        worker_init_fn=_use_one_thread,
    )


def _use_one_thread(worker: int) -> None:
    """OpenCV's threads do not survive a fork, and the workers are the parallelism."""
    import cv2

    cv2.setNumThreads(0)
