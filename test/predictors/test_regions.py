"""Regions of instruments count as a whole or not at all."""

import numpy as np
import pytest

from surgseg_ros.networks.card import Card
from surgseg_ros.predictors.regions import (
    AS_PUBLISHED,
    RegionRules,
    are_types,
    select_regions,
    without_classes,
)


def scores(*regions, classes=3):
    """Logarithms of probabilities 20 x 30; a region is rows, columns, class, probability."""
    planes = np.full((classes, 20, 30), 0.01 / (classes - 1), np.float32)
    planes[0] = 0.99
    for rows, columns, label, probability in regions:
        planes[:, rows, columns] = (1 - probability) / (classes - 1)
        planes[label, rows, columns] = probability
    return np.log(planes)


SURE = np.s_[2:8], np.s_[2:12], 1, 0.99
DOUBTFUL = np.s_[12:18], np.s_[2:12], 2, 0.85
SMALL = np.s_[3:5], np.s_[20:22], 1, 0.99


def labels(rules, *regions, content=None):
    return select_regions(scores(*regions), rules, content).argmax(axis=0)


def test_without_rules_nothing_changes():
    given = scores(SURE, DOUBTFUL, SMALL)
    assert select_regions(given, AS_PUBLISHED) is given


def test_a_doubtful_region_does_not_count():
    found = labels(RegionRules(region=0.95), SURE, DOUBTFUL)
    assert (found[2:8, 2:12] == 1).all() and found.sum() == 60
    assert labels(RegionRules(region=0.5), SURE, DOUBTFUL).astype(bool).sum() == 120


def test_a_small_region_does_not_count():
    assert labels(RegionRules(least=0.01), SURE, SMALL).sum() == 60
    assert labels(RegionRules(least=0.005), SURE, SMALL).sum() == 64


def test_pixels_need_a_probability():
    found = labels(RegionRules(pixel=0.95), SURE, DOUBTFUL)
    assert found.sum() == 60
    assert labels(RegionRules(pixel=0.8), SURE, DOUBTFUL).astype(bool).sum() == 120


def test_a_region_has_one_type():
    mixed = (np.s_[2:8], np.s_[2:9], 1, 0.99), (np.s_[2:8], np.s_[9:12], 2, 0.99)
    found = labels(RegionRules(one_type=True), *mixed, DOUBTFUL)
    assert (found[2:8, 2:12] == 1).all() and (found[12:18, 2:12] == 2).all()
    assert set(np.unique(labels(RegionRules(least=0.001), *mixed))) == {0, 1, 2}


def test_outside_of_the_picture_is_background():
    content = np.zeros((20, 30), bool)
    content[:, :6] = True
    found = labels(AS_PUBLISHED, SURE, content=content)
    assert (found[2:8, 2:6] == 1).all() and found.sum() == 24


def test_untrained_classes_are_never_answered():
    given = scores(SURE, DOUBTFUL)
    found = without_classes(given, [2])
    assert np.isfinite(found).all() and (found.argmax(axis=0) != 2).all()
    assert without_classes(given, ()) is given


@pytest.mark.parametrize(
    ('metrics', 'untrained'),
    [({}, ()), ({'IoU/a': 0.9, 'IoU/b': float('nan')}, (2,)), ({'mIoU': float('nan')}, ())],
)
def test_a_card_tells_what_was_not_trained(metrics, untrained):
    card = Card('lwanet', {}, ('background', 'a', 'b'), {'metrics': metrics})
    assert card.untrained == untrained


def test_parts_are_no_types():
    assert are_types(('background', 'Large Needle Driver', 'Other'))
    assert not are_types(('background', 'shaft', 'wrist', 'clasper'))
