"""From FASSST's outputs to instances."""

import numpy as np

from surgseg_ros.networks.fassst_decode import box_overlaps, decode, keep_best, paste


def test_overlaps_of_boxes():
    boxes = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6], [4, 4, 4, 4]], np.float32)
    expected = np.array([[1, 1 / 3, 0, 0], [1 / 3, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(box_overlaps(boxes), expected, atol=1e-6)


def test_a_suppressed_box_suppresses_nothing_and_classes_do_not_meet():
    # each overlaps the next by 0.6, the first the third by a third
    boxes = np.array([[0, 0, 4, 1], [1, 0, 5, 1], [2, 0, 6, 1]], np.float32)
    same = np.zeros(3, int)
    np.testing.assert_array_equal(keep_best(boxes, same, 0.5), [True, False, True])
    np.testing.assert_array_equal(keep_best(boxes, np.array([0, 1, 0]), 0.5), [True] * 3)
    assert keep_best(np.zeros((0, 4)), np.zeros(0, int), 0.5).shape == (0,)


def test_a_full_mask_is_its_box_to_the_pixel():
    for box in ((0.25, 0.1, 0.75, 0.5), (0, 0, 1, 1), (0.9, 0.9, 1, 1), (0.301, 0.2, 0.302, 0.9)):
        frame = np.zeros((50, 80), bool)
        paste(np.ones((28, 28), np.float32), np.array(box, np.float32), 0.0, frame)
        x, y = (np.arange(80) + 0.5) / 80, (np.arange(50) + 0.5) / 50
        expected = ((y >= box[1]) & (y < box[3]))[:, None] & ((x >= box[0]) & (x < box[2]))
        np.testing.assert_array_equal(frame, expected)


def test_a_mask_is_enlarged_where_it_belongs():
    y, x = (np.mgrid[:28, :28] + 0.5) / 28
    circle = (0.16 - (x - 0.5) ** 2 - (y - 0.5) ** 2).astype(np.float32)
    frame = np.zeros((200, 300), bool)
    paste(circle, np.array([0.2, 0.3, 0.6, 0.9], np.float32), 0.0, frame)
    py, px = np.mgrid[:200, :300] + 0.5
    inside = ((px - 120) / 120) ** 2 + ((py - 120) / 120) ** 2 < 0.16
    assert (frame & inside).sum() / (frame | inside).sum() > 0.98


def test_decode_sorts_suppresses_and_names_classes_from_one():
    boxes = np.array([[0, 0, 0.5, 1], [0, 0, 0.5, 0.9], [0.5, 0, 1, 1], [0, 0, 1, 1]], np.float32)
    scores = np.array([[0.6, 0], [0.7, 0], [0, 0.9], [0.01, 0.02]], np.float32)
    masks = np.ones((4, 28, 28), np.float32)
    found = decode(boxes, scores, masks, (20, 40))
    np.testing.assert_array_equal(found.class_ids, [2, 1])
    np.testing.assert_allclose(found.scores, [0.9, 0.7])
    assert found.masks.shape == (2, 20, 40)
    assert found.masks[0, :, 20:].all() and not found.masks[0, :, :20].any()
    assert found.masks[1, :18, :20].all() and not found.masks[1, 18:].any()
    # what is left without a pixel is no instance
    none = decode(boxes, scores, -masks, (20, 40))
    assert none.masks.shape == (0, 20, 40) and none.class_ids.dtype == np.int64
    assert len(decode(boxes, scores, masks, (20, 40), overlap=0.99).scores) == 3
    sure = decode(boxes, scores, masks, (20, 40), mask_threshold=0.8)
    assert len(sure.scores) == 0  # sigmoid(1) = 0.73
    nothing, everything = (
        decode(boxes, scores, sign * 50 * masks, (20, 40), mask_threshold=limit)
        for sign, limit in ((1, 1), (-1, 0))
    )
    assert len(nothing.scores) == 0 and len(everything.scores) == 2
