import numpy as np
import pytest
from golden_recipe import GOLDEN
from plain_resizing import resized

from surgseg_ros.networks.solo_decode import bit_count, bit_count_by_table, decode, matrix_nms

COUNTS = [1, 1, 1, 1, 1]
SCORES = np.array([[0.9, 0], [0, 0.8], [0.7, 0], [0.05, 0.1], [0, 0]], np.float32)


def planes(*boxes, size=(16, 20)):
    """Probability 0.9 inside the boxes (y0, x0, y1, x1), 0.1 outside."""
    masks = np.full((len(boxes), *size), 0.1, np.float32)
    for mask, (y0, x0, y1, x1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = 0.9
    return masks


LEFT, RIGHT = (2, 2, 10, 8), (2, 12, 10, 18)


@pytest.mark.parametrize('kernel', ['gaussian', 'linear'])
def test_matrix_nms_is_the_authors(kernel):
    golden = np.load(GOLDEN / 'solo_matrix_nms.npz')
    scores = matrix_nms(golden['masks'], golden['labels'], golden['scores'], kernel)
    np.testing.assert_allclose(scores, golden[kernel], rtol=1e-6)
    assert (scores < golden['scores']).any()


def test_matrix_nms_by_its_definition():
    rng = np.random.default_rng(1)
    masks, labels = rng.random((9, 6, 7)) < 0.6, rng.integers(0, 2, 9)
    scores = np.sort(rng.random(9))[::-1].astype(np.float32)

    def iou(i, j):
        same = labels[i] == labels[j]
        return same * (masks[i] & masks[j]).sum() / (masks[i] | masks[j]).sum()

    for kernel, f in (('gaussian', lambda x: np.exp(-2 * x**2)), ('linear', lambda x: 1 - x)):
        most = [max((iou(k, i) for k in range(i)), default=0) for i in range(9)]
        expected = [
            scores[j] * min((f(iou(i, j)) / f(most[i]) for i in range(j)), default=1)
            for j in range(9)
        ]
        found = matrix_nms(masks, labels, scores, kernel)
        np.testing.assert_allclose(found, np.minimum(expected, scores), rtol=1e-5)


def test_duplicates_vanish_by_the_linear_kernel_and_other_classes_do_not():
    masks = planes(LEFT, LEFT, LEFT, LEFT) > 0.5
    scores = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
    found = matrix_nms(masks, np.array([0, 0, 1, 0]), scores, 'linear')
    np.testing.assert_allclose(found, [0.9, 0, 0.7, 0])
    with pytest.raises(ValueError, match="no kernel 'soft', expected one of gaussian, linear"):
        matrix_nms(masks, np.zeros(4), scores, 'soft')


def test_scores_are_multiplied_by_the_mean_probability_and_sorted():
    masks = planes(LEFT, RIGHT, LEFT, RIGHT, RIGHT)
    masks[0][masks[0] > 0.5] = 0.6
    labels, scores, found = decode(masks, SCORES, COUNTS)
    # 2 and 0 are the same object: the surer mask wins although its category is less sure
    np.testing.assert_array_equal(labels, [1, 0, 0])
    np.testing.assert_allclose(scores, [0.72, 0.63, 0.54 * np.exp(-2)], rtol=1e-5)
    assert found.shape == (3, 64, 80) and found.dtype == bool
    assert found[0, 24, 60] and not found[0, 24, 20] and found[1, 24, 20]


def test_masks_smaller_than_their_stride_are_dropped():
    masks = planes((0, 0, 2, 4), (0, 0, 3, 3), (0, 0, 4, 4), (0, 0, 4, 8), (0, 0, 11, 3))
    scores = np.full((5, 1), 0.9, np.float32)
    # areas 8, 9, 16, 32, 33 px at 1/4 against the strides 8, 8, 16, 32, 32 px
    assert len(decode(masks[[0, 1, 2, 3, 0]], scores, COUNTS).labels) == 1
    assert len(decode(masks[[0, 0, 2, 3, 4]], scores, COUNTS).labels) == 1
    assert len(decode(masks[[0, 0, 2, 3, 0]], scores, COUNTS).labels) == 0


def test_nothing_found_is_empty_arrays_of_the_right_kind():
    for scores in (np.zeros((5, 2), np.float32), SCORES):
        masks = np.zeros((5, 16, 20), np.float32)
        labels, found, enlarged = decode(masks, scores, COUNTS, (60, 80), (120, 160))
        assert labels.shape == found.shape == (0,) and enlarged.shape == (0, 120, 160)
        assert labels.dtype == np.int64 and found.dtype == np.float32 and enlarged.dtype == bool


def test_padding_is_cut_away_before_resizing_as_torch_resizes():
    torch = pytest.importorskip('torch', reason='the reference for resizing')
    rng = np.random.default_rng(2)
    masks = np.clip(planes(LEFT, RIGHT, LEFT, RIGHT, LEFT) + rng.normal(0, 0.2, (5, 16, 20)), 0, 1)
    masks = masks.astype(np.float32)
    scores = np.eye(5, dtype=np.float32) * 0.9
    labels, _, found = decode(masks, scores, COUNTS, (50, 70), (131, 183))
    resize = torch.nn.functional.interpolate
    tensor = resize(torch.from_numpy(masks)[None], scale_factor=4, mode='bilinear')
    expected = resize(tensor[..., :50, :70], size=(131, 183), mode='bilinear')[0].numpy()
    sure = np.abs(expected - 0.5) > 1e-5
    np.testing.assert_array_equal((found == (expected > 0.5)[labels])[sure[labels]], True)


def test_an_instance_in_the_padding_alone_is_none():
    masks = planes(LEFT, (12, 2, 16, 18), LEFT, LEFT, LEFT)
    labels, _, _ = decode(masks, SCORES, COUNTS, content=(44, 80))
    assert 1 not in labels and 0 in labels


def test_no_more_than_asked_for_are_kept():
    rng = np.random.default_rng(3)
    masks = rng.random((1000, 16, 20)).astype(np.float32)
    scores = rng.uniform(0.5, 1, (1000, 1)).astype(np.float32)
    counts = [1000, 0, 0, 0, 0]
    assert len(decode(masks, scores, counts).scores) == 100
    found = decode(masks, scores, counts, most=7).scores
    assert len(found) == 7 and (np.diff(found) <= 0).all()


def decoded_plainly(masks, scores, counts, content, size):
    """The published steps one by one; labels, scores and probabilities H x W of the frame."""
    strides, found = np.repeat([8, 8, 16, 32, 32], counts), []
    for mask, row, stride in zip(masks.astype(float), scores, strides, strict=True):
        inside = mask > 0.5
        if inside.sum() > stride:
            found += [
                (score * mask[inside].mean(), label, mask)
                for label, score in enumerate(row)
                if score > 0.1
            ]
    found.sort(key=lambda one: -one[0])
    overlaps = np.zeros((len(found), len(found)))
    for j, (_, label, mask) in enumerate(found):
        for i, (_, other, better) in enumerate(found[:j]):
            both, either = (mask > 0.5) & (better > 0.5), (mask > 0.5) | (better > 0.5)
            overlaps[i, j] = (label == other) * both.sum() / either.sum()
    most = overlaps.max(axis=0)
    decayed = [
        (score * min([1, *np.exp(2 * (most[:j] ** 2 - overlaps[:j, j] ** 2))]), label, mask)
        for j, (score, label, mask) in enumerate(found)
    ]
    decayed = sorted((one for one in decayed if one[0] >= 0.05), key=lambda one: -one[0])[:100]
    wide = masks.shape[1] * 4, masks.shape[2] * 4
    planes = [
        (label, score, resized(resized(mask, *wide)[: content[0], : content[1]], *size))
        for score, label, mask in decayed
    ]
    return [one for one in planes if one[2].max() > 0.5]


def tools(count, height=16, width=24):
    """Soft bars across the image, some of them nearly the same, and scores of three classes."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:height, :width]
    masks, scores = [], rng.uniform(0, 0.12, (count, 3))
    for row in scores:
        turn = rng.integers(4) * np.pi / 4
        across = (y - rng.normal(8, 2)) * np.cos(turn) - (x - rng.normal(12, 4)) * np.sin(turn)
        masks.append(1 / (1 + np.exp(2 * np.abs(across) - rng.uniform(3, 6))))
        row[rng.integers(3)] = rng.uniform(0.1, 1)
    return np.array(masks, np.float32), scores.astype(np.float32)


@pytest.mark.parametrize(
    'content, size',
    [
        ((64, 96), (128, 192)),
        ((64, 96), (64, 96)),
        ((64, 96), (16, 24)),
        ((64, 96), (96, 144)),
        ((60, 80), (120, 160)),
        ((61, 89), (157, 230)),
        ((64, 71), (41, 45)),
    ],
)
def test_instances_are_those_of_the_published_steps_done_plainly(content, size):
    masks, scores = tools(60)
    labels, found, frames = decode(masks, scores, [20, 10, 10, 10, 10], content, size)
    expected = decoded_plainly(masks, scores, [20, 10, 10, 10, 10], content, size)
    assert len(labels) == len(expected) > 20 and len(set(labels)) == 3
    np.testing.assert_array_equal(labels, [label for label, _, _ in expected])
    np.testing.assert_allclose(found, [score for _, score, _ in expected], rtol=1e-5)
    for frame, (_, _, probability) in zip(frames, expected, strict=True):
        sure = np.abs(probability - 0.5) > 1e-5  # float32 has rounded
        assert sure.mean() > 0.99
        np.testing.assert_array_equal(frame[sure], (probability > 0.5)[sure])


def test_a_final_threshold_leaves_the_others_as_they_are():
    masks, scores = tools(60)
    counts = [20, 10, 10, 10, 10]
    every, some = (
        decode(masks, scores, counts),
        decode(masks, scores, counts, score_threshold=0.3, final_threshold=0.3),
    )
    kept = every.scores >= 0.3
    assert 3 < kept.sum() < len(kept)
    for all_of_them, those in zip(every, some, strict=True):
        np.testing.assert_array_equal(all_of_them[kept], those)


def test_bits_are_counted_with_and_without_numpy_2():
    words = np.random.default_rng(5).integers(0, 2**64, (7, 5), np.uint64)
    words[0, :2] = 0, 2**64 - 1
    expected = np.unpackbits(words[..., None].view(np.uint8), axis=-1).sum(axis=-1)
    for count in (bit_count, bit_count_by_table):
        np.testing.assert_array_equal(count(words), expected)
        np.testing.assert_array_equal(count(words.T), expected.T)
