"""COCO's compressed run lengths: what pycocotools writes; what it would stumble over."""

import numpy as np
import pytest

mask = pytest.importorskip('pycocotools.mask')

from surgseg_ros.metrics.run_lengths import decode_run_lengths, fills  # noqa: E402


@pytest.mark.parametrize('seed', range(20))
def test_what_pycocotools_encodes_is_decoded(seed):
    """Runs from 1 px to a million, growing and shrinking, with and without one of 0 px first."""
    rng = np.random.default_rng(seed)
    counts = np.exp(rng.uniform(0, rng.uniform(1, 14), rng.integers(1, 60))).astype(int)
    counts[0] *= seed % 2
    size = [int(counts.sum()), 1]
    text = mask.frPyObjects({'size': size, 'counts': counts.tolist()}, *size)['counts']
    for form in (text, text.decode()):
        np.testing.assert_array_equal(decode_run_lengths(form), counts)
    assert fills(decode_run_lengths(text), sum(counts))
    assert not fills(decode_run_lengths(text), sum(counts) + 1)


@pytest.mark.parametrize('text', ['', 'P', '1P', '\x00', '1 1', 'p', 'é', 14 * 'P' + '1'])
def test_what_is_no_such_text_is_refused(text):
    with pytest.raises(ValueError, match=r'no text of compressed|more than 32 bits'):
        decode_run_lengths(text)


def test_negative_runs_fill_nothing():
    assert not fills(np.array([-1, 7]), 6)
