import pytest

torch = pytest.importorskip('torch', reason='training needs torch')

from surgseg_ros.training.batch_size import fitting_batch_size  # noqa: E402


class Memory:
    """A step that fits up to a size, and notes what was tried."""

    def __init__(self, fits):
        self.fits, self.tried = fits, []

    def __call__(self, size):
        self.tried.append(size)
        if size > self.fits:
            raise torch.OutOfMemoryError('CUDA out of memory')


@pytest.mark.parametrize('fits, tried', [(40, [32]), (32, [32]), (9, [32, 16, 8]), (1, [
    32, 16, 8, 4, 2, 1])])
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
