"""The table of image bank re-sampling; docs/ibr.md has one of real runs."""

import json

import pytest
from conftest import REPOSITORY

pytest.importorskip('torch', reason='training needs torch')
pytest.importorskip('lightning_fabric', reason='training needs lightning-fabric')

from surgseg_ros.evaluation import ibr  # noqa: E402
from surgseg_ros.training import loop  # noqa: E402
from surgseg_ros.training.progress import Progress  # noqa: E402

COUNTS = {'Bipolar Forceps': 200, 'Monopolar Curved Scissors': 10}


def row(iou, head, tail):
    return {
        f'published/{key}': value
        for key, value in (
            ('challenge_iou', iou),
            ('iou', iou),
            ('mc_iou', (head + tail) / 2),
            ('Bipolar Forceps', head),
            ('Monopolar Curved Scissors', tail),
        )
    }


def test_the_table_has_mean_and_deviation_of_the_seeds_from_head_to_tail():
    rows = {'plain': [row(0.5, 0.6, 0.2), row(0.7, 0.8, 0.2)], 'banked': [row(0.6, 0.5, 0.3)]}
    lines = ibr.table(rows, COUNTS, 'published').splitlines()
    assert lines[0].endswith('| Bipolar Forceps | Monopolar Curved Scissors | head | tail |')
    assert lines[2].endswith('| 200 | 10 |  |  |')
    assert lines[3] == (
        '| plain | 60.00 ± 14.14 | 45.00 ± 7.07 | 70.00 ± 14.14 '
        '| 20.00 ± 0.00 | 70.00 ± 14.14 | 20.00 ± 0.00 |'
    )
    assert lines[4] == '| banked | 60.00 | 40.00 | 50.00 | 30.00 | 50.00 | 30.00 |'


def test_every_variant_is_trained_with_every_seed(tmp_path, monkeypatch):
    trained = []

    def train(recipe, folder):
        trained.append((recipe.loss.image_bank, recipe.seed, str(folder.relative_to(tmp_path))))
        return Progress(best=row(0.1 * recipe.seed, 0.5, 0.1 * recipe.loss.image_bank))

    monkeypatch.setattr(loop, 'train', train)
    monkeypatch.setattr(ibr, 'class_counts', lambda *_: COUNTS)
    (tmp_path / 'out').mkdir()
    tables = ibr.run(REPOSITORY / 'config/ablations/ibr_simulated.yaml', tmp_path / 'out')
    assert sorted(trained) == [
        (bank, seed, f'out/variant{number}/seed{seed}')
        for number, bank in enumerate((0, 4))
        for seed in (1, 2, 3)
    ]
    assert '| SurgicalSAM + IBR | 20.00 ± 10.00 | 45.00 ± 0.00 |' in tables
    assert (tmp_path / 'out/results.md').read_text() == tables + '\n'
    rows = json.loads((tmp_path / 'out/results.json').read_text())['rows']
    assert [len(runs) for runs in rows.values()] == [3, 3]
