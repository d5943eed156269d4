import pytest

torch = pytest.importorskip('torch', reason='training needs torch')
lightning_fabric = pytest.importorskip(
    'lightning_fabric', reason='training needs lightning-fabric'
)

from toy_task import ToyRecipe, ToyTask  # noqa: E402

from surgseg_ros.training.batch_size import fit_memory, fitting_batch_size  # noqa: E402
from surgseg_ros.training.recipe import parse  # noqa: E402


class Memory:
    """A step that fits up to a size, and notes what was tried."""

    def __init__(self, fits):
        self.fits, self.tried = fits, []

    def __call__(self, size):
        self.tried.append(size)
        if size > self.fits:
            raise torch.OutOfMemoryError('CUDA out of memory')


@pytest.mark.parametrize(
    'fits, tried', [(40, [32]), (32, [32]), (9, [32, 16, 8]), (1, [32, 16, 8, 4, 2, 1])]
)
def test_the_batch_is_halved_until_it_fits(fits, tried):
    memory = Memory(fits)
    assert fitting_batch_size(memory, 32) == tried[-1]
    assert memory.tried == tried


def test_where_one_sample_is_too_much_that_is_said():
    with pytest.raises(torch.OutOfMemoryError):
        fitting_batch_size(Memory(0), 4)


def test_other_errors_are_no_lack_of_memory():
    with pytest.raises(ZeroDivisionError):
        fitting_batch_size(lambda size: 1 / 0, 4)


class Small(ToyTask):
    """Has memory for five samples; notes the sizes that it was asked for."""

    def __init__(self, recipe):
        super().__init__(recipe)
        self.asked = []

    def loss(self, batch):
        self.asked.append(len(batch['image']))
        losses = super().loss(batch)
        if self.asked[-1] > 5:
            raise torch.OutOfMemoryError('CUDA out of memory')
        return losses


@pytest.mark.parametrize('batch_size, asked', [(16, [12, 6, 3]), (4, [4])])
def test_trying_a_batch_leaves_network_and_task_as_they_were(batch_size, asked):
    recipe = parse(
        ToyRecipe,
        {
            'task': 'toy',
            'optimiser': {'learning_rate': 0.1, 'batch_size': batch_size},
            'schedule': {'epochs': 1},
            'evaluation': {'metric': 'accuracy'},
        },
    )
    task = Small(recipe)
    before = {key: x.clone() for key, x in task.network.state_dict().items()}
    fitted = fit_memory(recipe, task, lightning_fabric.Fabric(accelerator='cpu', devices=1))
    assert task.asked == asked  # of 12 samples there are
    assert fitted.optimiser.batch_size == asked[-1]
    assert fitted.optimiser.learning_rate == 0.1 and fitted.schedule == recipe.schedule
    assert all(torch.equal(x, before[key]) for key, x in task.network.state_dict().items())
    assert all(parameter.grad is None for parameter in task.network.parameters())
    assert task.seen == 0 and not task.mean.any()


def test_several_processes_are_refused():
    class Fabric:
        world_size = 2

    with pytest.raises(ValueError, match='optimiser.fit_memory is for one process'):
        fit_memory(None, None, Fabric())
