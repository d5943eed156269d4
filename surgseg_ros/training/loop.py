"""The one training loop, for every task, on a CPU, a GPU, several, or several machines.

What happens at a step depends on the seed and the step's number alone: which samples, which
augmentation, which random numbers, which learning rate. A resumed run therefore needs only the
tensors that steps have changed, goes on in the middle of an epoch, and ends with the same weights.
"""

import time
from contextlib import nullcontext
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from tqdm import tqdm

from surgseg_ros.media.files import remove_partials
from surgseg_ros.media.locks import reserved
from surgseg_ros.training import checkpoints, tasks
from surgseg_ros.training.batch_size import fit_memory, with_batch_size
from surgseg_ros.training.determinism import TrainingBatches, derive_seed, validation_batches
from surgseg_ros.training.epoch_losses import EpochLosses
from surgseg_ros.training.fabric import gather, make_fabric, mean_of_processes
from surgseg_ros.training.loader import make_loader
from surgseg_ros.training.logs import Logs
from surgseg_ros.training.optimiser import check_batch_normalisation, make_optimiser
from surgseg_ros.training.progress import Progress, Row
from surgseg_ros.training.recipe import Recipe
from surgseg_ros.training.schedule import learning_rate_factor
from surgseg_ros.training.task import Task


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
        self._losses = EpochLosses()
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
        batches = validation_batches(
            len(task.val_samples),
            recipe.evaluation.batch_size,
            fabric.global_rank,
            fabric.world_size,
        )
        pinned = fabric.device.type == 'cuda'
        workers = recipe.machine.workers
        self._training = iter(make_loader(task, task.train_samples, order, workers, pinned))
        self._validation = make_loader(task, task.val_samples, batches, workers, pinned)
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
        self._losses.add(losses)

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
            f'train_{name}': mean_of_processes(self.fabric, mean)
            for name, mean in self._means().items()
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
        self.progress.ended = _why_ended(self.progress, self.recipe, out_of_time)
        self._losses.clear()
        if not self.fabric.is_global_zero:
            return
        tqdm.write(_summary(row, self.recipe, is_best))
        for name, due in ((checkpoints.BEST, is_best), (checkpoints.LAST, self.progress.ended)):
            if due:
                checkpoints.save_weights(self.folder / name, self.task, self.recipe, row)

    @torch.no_grad()
    def validate(self, batches: int | None = None) -> dict[str, float]:
        """Metrics of the validation set, or of its first batches; the same in every process."""
        self.objective.eval()
        measurements = []
        for batch in islice(self._validation, batches):
            with self.fabric.autocast():
                measurements.append(self.task.measure(self.fabric.to_device(batch)))
        return self.task.metrics(gather(self.fabric, measurements))

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
        step = self.progress.step
        return self._losses.means(step - len(self.progress.rows) * self.steps_per_epoch, step)

    def _save(self) -> None:
        self._means()  # a state that is not finite must not replace a finite one
        self.progress.seconds = time.monotonic() - self._started
        own = {'task': self.task.state_dict(), 'sums': self._losses.state_dict()}
        state = {
            'recipe': checkpoints.recipe_dict(self.recipe),
            'data': checkpoints.data_of(self.task),
            'progress': asdict(self.progress),
            'network': self.task.network.state_dict(),
            'optimiser': self.optimiser.state_dict(),
            'precision': self.fabric.strategy.precision.state_dict(),
            'processes': gather(self.fabric, [own]),
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
        self._losses.load_state_dict(own['sums'])
        self.task.load_state_dict(own['task'])


def _why_ended(progress: Progress, recipe: Recipe, out_of_time: bool) -> str:
    """Why training ends after this epoch; empty if it goes on."""
    evaluation, epochs = recipe.evaluation, recipe.schedule.epochs
    if len(progress.rows) >= epochs:
        return f'all {epochs} epochs are done'
    if out_of_time:
        return f'the {recipe.schedule.max_minutes:g} minutes are over'
    validated = evaluation.metric in progress.rows[-1]
    patience = evaluation.patience
    if patience is not None and validated and progress.epochs_since_best() >= patience:
        return f'{evaluation.metric} has not got better for {patience} epochs'
    return ''


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
