"""The task of FASSST in several processes."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs torch')
for _package in ('lightning_fabric', 'albumentations', 'pycocotools'):
    pytest.importorskip(_package, reason=f'training needs {_package}')

from conftest import REPOSITORY  # noqa: E402
from surgseg_train import TWO_PROCESSES, command, run  # noqa: E402

from surgseg_ros.datasets import InstanceSample  # noqa: E402
from surgseg_ros.datasets.to_coco import write_coco  # noqa: E402

SMALL = REPOSITORY / 'config' / 'train' / 'fassst_simulated_small.yaml'


class Frames(list):
    """Four frames of 128 x 128 px, of which the first alone has an instance."""

    class_names = ('background', 'grasper')

    def __init__(self) -> None:
        for number in range(4):
            masks = np.zeros((int(number == 0), 128, 128), bool)
            masks[:, 30:90, 40:70] = True
            image = np.full((128, 128, 3), 60, np.uint8)
            image[masks.any(axis=0)] = 200
            self.append(InstanceSample(str(number), image, np.ones(len(masks), np.int64), masks))


@pytest.mark.timeout(600)
def test_a_process_without_instances_trains_with_one_that_has_some(tmp_path: Path) -> None:
    """Its masks' layers have no gradient; the other shall not wait for them."""
    for split in ('train', 'val'):
        write_coco(Frames(), tmp_path / 'coco', split)
    printed = run(
        command(
            SMALL,
            tmp_path / 'run',
            [
                'data.name=coco',
                f'data.root={tmp_path / "coco"}',
                'data.options={}',
                'data.train={split: train}',
                'data.val={split: val}',
                'network.options.size=128',
                'optimiser.batch_size=4',
                'schedule.epochs=3',
                'evaluation.every=3',
                'evaluation.batch_size=2',
            ],
            TWO_PROCESSES,
        )
    )
    assert 'all 3 epochs are done' in printed
