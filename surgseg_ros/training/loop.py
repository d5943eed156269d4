"""The one training loop, for every task, on a CPU, a GPU, several, or several machines.

What happens at a step depends on the seed and the step's number alone: which samples, which
augmentation, which random numbers, which learning rate. A resumed run therefore needs only the
tensors that steps have changed, goes on in the middle of an epoch, and ends with the same weights.
"""

import math
import os
import time
from collections import defaultdict
from contextlib import nullcontext
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader
from tqdm import tqdm

from surgseg_ros.media.files import remove_partials
from surgseg_ros.media.locks import reserved
from surgseg_ros.training import checkpoints, tasks
from surgseg_ros.training.batch_size import fit_memory, with_batch_size
from surgseg_ros.training.determinism import TrainingBatches, derive_seed, validation_batches
from surgseg_ros.training.logs import Logs
from surgseg_ros.training.progress import Progress, Row
from surgseg_ros.training.recipe import Optimiser, Recipe
from surgseg_ros.training.schedule import learning_rate_factor
from surgseg_ros.training.task import Samples, Task


def train(recipe: Recipe, folder: Path, resume: bool = True) -> Progress:
    """Train as the recipe says, or go on where the run in `folder` was stopped.

    Leaves in `folder`: best.safetensors and last.safetensors, each with a card (.md),
    metrics.csv, tensorboard/, and state.pt, which a run is resumed from.
    resume: False throws away the run that is there, once the new one can begin. Raises ValueError
    with one sentence where the recipe, the data and the folder do not fit each other, where
    another process trains in the folder, or where the loss is not finite.
    """
    fabric = make_fabric(recipe)
    fabric.launch()
    with reserved(folder) if fabric.is_global_zero else nullcontext():
        return _train(fabric, recipe, folder, resume)


def _train(fabric: Fabric, recipe: Recipe, folder: Path, resume: bool) -> Progress:
    with fabric.rank_zero_first():  # whatever data it makes, one process makes it
        torch.manual_seed(recipe.seed)
        task = tasks.create(recipe)
    if recipe.optimiser.fit_memory:
        saved = checkpoints.load_state(folder) if resume else None  # made with another memory?
        recipe = (
            with_batch_size(recipe, saved['recipe']['optimiser']['batch_size'])
            if saved
            else fit_memory(recipe, task, fabric)
        )
    try:
        return TrainingRun(fabric, task, recipe, folder, resume).run()
    except torch.OutOfMemoryError as error:
        raise ValueError(
            f'the GPU has too little memory for optimiser.batch_size '
            f'{recipe.optimiser.batch_size}: choose a smaller one'
        ) from error


def make_fabric(recipe: Recipe) -> Fabric:
    """Fabric for these processes: torchrun's where it started us, else the recipe's."""
    machine = recipe.machine
    here = int(os.environ.get('LOCAL_WORLD_SIZE', machine.devices))
    everywhere = int(os.environ.get('WORLD_SIZE', here))
    if machine.deterministic:
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
        torch.use_deterministic_algorithms(True, warn_only=True)
    task = tasks.task_class(recipe.task)
    torch.backends.cudnn.benchmark = not (machine.deterministic or task.sizes_differ)
    strategy = 'auto'
    if everywhere > 1:
        strategy = 'ddp_find_unused_parameters_true' if task.has_unused_parameters else 'ddp'
    try:
        return Fabric(
            accelerator=machine.accelerator,
            devices=here,
            num_nodes=everywhere // here,
            strategy=strategy,
            precision=machine.precision,
        )
    except RuntimeError as error:
        raise ValueError(
            f'machine.accelerator {machine.accelerator!r} with machine.devices '
            f'{here} cannot be had: {error}'
        ) from error


class _Objective(nn.Module):
    """A task's loss as a module, which Fabric wraps for precision and for several processes."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.network = task.network
        self._loss = task.loss

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        return self._loss(batch)


class TrainingRun:
    """A task on its way through the recipe's epochs."""

    def __init__(
        self, fabric: Fabric, task: Task, recipe: Recipe, folder: Path, resume: bool = True
    ) -> None:
        """See train()."""
        check_batch_normalisation(task, recipe.optimiser.batch_size // fabric.world_size)
        self.fabric, self.task, self.recipe, self.folder = fabric, task, recipe, folder
        self.progress = Progress()
        self._sums: dict[str, Tensor | float] = defaultdict(float)  # losses of this epoch
        # convolutions of a CPU and of a GPU's half precision are faster so
        task.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.objective, self.optimiser = fabric.setup(
            _Objective(task), make_optimiser(recipe.optimiser, task.network)
        )
        if fabric.is_global_zero:
            remove_partials(folder)
        self._resume = resume
        if resume:
            self._restore()
        order = TrainingBatches(
            len(task.train_samples),
            recipe.optimiser.batch_size,
            recipe.seed,
            recipe.schedule.epochs,
            start=self.progress.step,
            rank=fabric.global_rank,
            processes=fabric.world_size,
        )
        self.steps_per_epoch = order.per_epoch
        self._training = iter(self._loader(task.train_samples, order))
        self._validation = self._loader(
            task.val_samples,
            validation_batches(
                len(task.val_samples),
                recipe.evaluation.batch_size,
                fabric.global_rank,
                fabric.world_size,
            ),
        )
        self._started = time.monotonic() - self.progress.seconds
        self._saved = time.monotonic()

    def run(self) -> Progress:
        """Train until an end is reached; returns how it went."""
        if not self.progress.ended:
            self._check_metric()
            if not self._resume and self.fabric.is_global_zero:
                checkpoints.remove_run(self.folder)
            self._train()
        if self.fabric.is_global_zero:
            tqdm.write(f'{self.folder}: {_verdict(self.progress, self.recipe)}')
        return self.progress

    def _train(self) -> None:
        logs = Logs(self.folder, self.progress) if self.fabric.is_global_zero else None
        while not self.progress.ended:
            self._train_epoch()
            self._end_epoch()
            if logs:
                logs.update(self.progress)
        if logs:
            logs.close()

    def _train_epoch(self) -> None:
        """Take the steps that are left of this epoch, or fewer if the time is up."""
        self.objective.train()
        self.task.start_training()
        epoch = len(self.progress.rows)
        end = (epoch + 1) * self.steps_per_epoch
        shown = None if self.fabric.is_global_zero else True
        with tqdm(
            total=self.steps_per_epoch,
            unit=' steps',
            leave=False,
            disable=shown,
            initial=self.progress.step - epoch * self.steps_per_epoch,
            desc=f'epoch {epoch + 1}/{self.recipe.schedule.epochs}',
        ) as bar:
            while self.progress.step < end:
                self._step(next(self._training))
                bar.update()
                if not bar.disable and bar.n % 10 == 0:  # each look waits for the GPU
                    bar.set_postfix_str(f'loss {self._means()["loss"]:.4g}', refresh=False)
                interruption = self._interruption()
                if interruption == 'stop':
                    return
                if interruption == 'save':
                    self._save()

    def _step(self, batch: dict[str, Any]) -> None:
        recipe, step = self.recipe, self.progress.step
        torch.manual_seed(derive_seed(recipe.seed, step, self.fabric.global_rank))
        for group in self.optimiser.param_groups:
            group['lr'] = self._learning_rate(step)
        losses = self.objective(self.fabric.to_device(batch))
        self.optimiser.zero_grad()
        self.fabric.backward(losses['loss'])
        if recipe.optimiser.clip_norm is not None:
            self.fabric.clip_gradients(
                self.objective,
                self.optimiser,
                error_if_nonfinite=False,
                max_norm=recipe.optimiser.clip_norm,
            )
        self.optimiser.step()
        self.progress.step += 1
        for name, value in losses.items():
            self._sums[name] += value.detach()

    def _learning_rate(self, step: int) -> float:
        return self.recipe.optimiser.learning_rate * learning_rate_factor(
            self.recipe.schedule, step, self.steps_per_epoch
        )

    def _interruption(self) -> str:
        """'stop' if the time is up, 'save' if a state is due, else ''; the same everywhere."""
        limit = self.recipe.schedule.max_minutes
        self.progress.seconds = time.monotonic() - self._started
        wish = ''
        if limit is not None and self.progress.seconds >= 60 * limit:
            wish = 'stop'
        elif time.monotonic() - self._saved >= self.recipe.machine.save_seconds:
            wish = 'save'
        return self.fabric.broadcast(wish) if self.fabric.world_size > 1 else wish

    def _end_epoch(self) -> None:
        """Note the epoch; after some, validate and save. See whether it was the last."""
        epoch, evaluation = len(self.progress.rows) + 1, self.recipe.evaluation
        out_of_time = self._interruption() == 'stop'
        last = epoch == self.recipe.schedule.epochs or out_of_time
        row = self._training_row(epoch)
        if epoch % evaluation.every and not last:
            self._note(row, out_of_time)
            return
        self._save()  # validation may take long
        self._note(row | self.validate(), out_of_time)
        self._save()

    def _training_row(self, epoch: int) -> Row:
        """What is known of an epoch without validation."""
        losses = {
            f'train_{name}': self._over_processes(mean) for name, mean in self._means().items()
        }
        self.progress.seconds = time.monotonic() - self._started
        return {
            'epoch': epoch,
            'step': self.progress.step,
            'learning_rate': self._learning_rate(self.progress.step - 1),
            'seconds': round(self.progress.seconds, 1),
            **losses,
        }

    def _note(self, row: Row, out_of_time: bool) -> None:
        """Take the row into the progress; write the weights if they are the best or the last."""
        is_best = self.progress.note(row, self.recipe.evaluation)
        self.progress.ended = self._why_ended(out_of_time)
        self._sums.clear()
        if not self.fabric.is_global_zero:
            return
        tqdm.write(_summary(row, self.recipe, is_best))
        for name, due in ((checkpoints.BEST, is_best), (checkpoints.LAST, self.progress.ended)):
            if due:
                checkpoints.save_weights(self.folder / name, self.task, self.recipe, row)

    def _why_ended(self, out_of_time: bool) -> str:
        patience, epochs = self.recipe.evaluation.patience, self.recipe.schedule.epochs
        if len(self.progress.rows) >= epochs:
            return f'all {epochs} epochs are done'
        if out_of_time:
            return f'the {self.recipe.schedule.max_minutes:g} minutes are over'
        validated = self.recipe.evaluation.metric in self.progress.rows[-1]
        if patience is not None and validated and self.progress.epochs_since_best() >= patience:
            return f'{self.recipe.evaluation.metric} has not got better for {patience} epochs'
        return ''

    @torch.no_grad()
    def validate(self, batches: int | None = None) -> dict[str, float]:
        """Metrics of the validation set, or of its first batches; the same in every process."""
        self.objective.eval()
        measurements = []
        for batch in islice(self._validation, batches):
            with self.fabric.autocast():
                measurements.append(self.task.measure(self.fabric.to_device(batch)))
        return self.task.metrics(self._gather(measurements))

    def _gather(self, measurements: list[Any]) -> list[Any]:
        """Measurements of all processes in the order of their batches."""
        processes = self.fabric.world_size
        if processes == 1:
            return measurements
        shares: list[list[Any]] = [[] for _ in range(processes)]
        torch.distributed.all_gather_object(shares, measurements)
        return [shares[i % processes][i // processes] for i in range(sum(map(len, shares)))]

    def _over_processes(self, value: float) -> float:
        """Mean of all processes' values."""
        everywhere = self.fabric.all_reduce(torch.tensor(value, device=self.fabric.device))
        assert isinstance(everywhere, Tensor)
        return everywhere.item()

    def _check_metric(self) -> None:
        """Find out before the first epoch, not after it, that validation does not work."""
        if not len(self.task.val_samples):
            raise ValueError('there are no validation samples')
        known, wanted = self.validate(batches=1), self.recipe.evaluation.metric
        if wanted not in known:
            raise ValueError(
                f'evaluation.metric {wanted!r} is none of the metrics of the task '
                f'{self.recipe.task}: {", ".join(known)}'
            )

    def _means(self) -> dict[str, float]:
        """Mean losses of this epoch so far, in this process; ValueError if one is not finite."""
        steps = self.progress.step - len(self.progress.rows) * self.steps_per_epoch
        means = {name: float(total) / max(steps, 1) for name, total in self._sums.items()}
        for name, mean in means.items():
            if not math.isfinite(mean):
                raise ValueError(
                    f'{name} became {mean} before step {self.progress.step}: a '
                    'smaller optimiser.learning_rate or a clip_norm may help'
                )
        return means

    def _save(self) -> None:
        self._means()  # a state that is not finite shall not take the place of one that is
        self.progress.seconds = time.monotonic() - self._started
        own = {
            'task': self.task.state_dict(),
            'sums': {name: float(total) for name, total in self._sums.items()},
        }
        state = {
            'recipe': checkpoints.recipe_dict(self.recipe),
            'data': checkpoints.data_of(self.task),
            'progress': asdict(self.progress),
            'network': self.task.network.state_dict(),
            'optimiser': self.optimiser.state_dict(),
            'precision': self.fabric.strategy.precision.state_dict(),
            'processes': self._gather([own]),
        }
        if self.fabric.is_global_zero:
            checkpoints.save_state(self.folder, state)
        self._saved = time.monotonic()

    def _restore(self) -> None:
        state = checkpoints.load_state(self.folder) if self.fabric.is_global_zero else None
        state = self.fabric.broadcast(state)
        if state is None:
            return
        checkpoints.check_same_recipe(
            state['recipe'], checkpoints.recipe_dict(self.recipe), self.folder
        )
        checkpoints.check_same_data(
            state.get('data', {}), checkpoints.data_of(self.task), self.folder
        )
        self.progress = Progress(**state['progress'])
        before = state['recipe']['schedule']['epochs']
        if len(self.progress.rows) == before < self.recipe.schedule.epochs:
            self.progress.ended = ''  # more epochs are asked for than the run had
        self.task.network.load_state_dict(state['network'])
        self.optimiser.load_state_dict(state['optimiser'])
        self.fabric.strategy.precision.load_state_dict(state['precision'])
        own = state['processes'][self.fabric.global_rank % len(state['processes'])]
        self._sums.update(own['sums'])
        self.task.load_state_dict(own['task'])

    def _loader(self, samples: Samples, batches: Any) -> DataLoader[dict[str, Any]]:
        workers = self.recipe.machine.workers
        return DataLoader(
            samples,  # type: ignore[arg-type]
            batch_sampler=batches,
            num_workers=workers,
            collate_fn=self.task.collate,
            pin_memory=self.fabric.device.type == 'cuda',
            persistent_workers=workers > 0,
            worker_init_fn=_use_one_thread,
        )


def make_optimiser(wanted: Optimiser, network: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of all parameters that require a gradient."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not trained:
        raise ValueError('no parameter of the network is to be trained')
    rate, decay = wanted.learning_rate, wanted.weight_decay
    if wanted.name == 'sgd':
        return torch.optim.SGD(trained, rate, wanted.momentum, weight_decay=decay)
    kinds = {'adam': torch.optim.Adam, 'adamw': torch.optim.AdamW}
    adam: torch.optim.Optimizer = kinds[wanted.name](trained, rate, weight_decay=decay)
    return adam


def check_batch_normalisation(task: Task, samples: int) -> None:
    """ValueError if batches of one sample meet a layer that normalises over the batch."""
    task.start_training()
    layers = [
        name
        for name, module in task.network.named_modules()
        if isinstance(module, _BatchNorm) and module.training
    ]
    if samples < 2 and layers:
        raise ValueError(
            f'a process trains on {samples} sample at a time, but {layers[0]} and '
            f'{len(layers) - 1} more layers normalise over the batch, which needs at least 2: '
            'set optimiser.batch_size to at least twice the number of processes'
        )


def _summary(row: Row, recipe: Recipe, is_best: bool) -> str:
    metric = recipe.evaluation.metric
    shown = f'  {metric} {row[metric]:.4f}{" (best)" if is_best else ""}' if metric in row else ''
    return (
        f'epoch {row["epoch"]:.0f}/{recipe.schedule.epochs}  step {row["step"]:.0f}  '
        f'loss {row["train_loss"]:.4g}{shown}  {row["seconds"]:.0f} s'
    )


def _verdict(progress: Progress, recipe: Recipe) -> str:
    best, metric = progress.best, recipe.evaluation.metric
    if best is None:
        return f'{progress.ended}; {metric} was never a number'
    return f'{progress.ended}; best {metric} {best[metric]:.4f} in epoch {best["epoch"]:.0f}'


def _use_one_thread(worker: int) -> None:
    """OpenCV's threads do not survive a fork, and the workers are the parallelism."""
    import cv2

    cv2.setNumThreads(0)
