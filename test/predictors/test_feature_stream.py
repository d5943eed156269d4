"""FeatureStream: never two frames in the encoder, and no features of a scene that is gone."""

from threading import Event, Lock, Timer

import numpy as np
import pytest

from surgseg_ros.predictors.feature_stream import FeatureStream

FIRST, SLOW, NEXT = (np.full((2, 2), value) for value in range(3))


class Encoder:
    """Returns its image; SLOW takes until `release` is set."""

    def __init__(self):
        self.started, self.release, self._busy = Event(), Event(), Lock()

    def __call__(self, image):
        assert self._busy.acquire(blocking=False), 'two frames in the encoder'
        try:
            if image[0, 0] == SLOW[0, 0]:
                self.started.set()
                assert self.release.wait(10)
            return image
        finally:
            self._busy.release()


def test_after_a_reset_the_first_frame_waits_for_the_encoder():
    encoder = Encoder()
    stream = FeatureStream(encoder, asynchronous=True)
    stream(FIRST)
    features, age = stream(SLOW)
    assert (features[0, 0], age) == (FIRST[0, 0], 1)
    assert encoder.started.wait(10)
    stream.reset()
    Timer(0.05, encoder.release.set).start()
    features, age = stream(NEXT)
    assert (features[0, 0], age) == (NEXT[0, 0], 0)


def test_an_encoder_that_fails_fails_the_frame_and_not_the_next():
    def encode(image):
        if image[0, 0] == SLOW[0, 0]:
            raise ValueError('no features')
        return image

    stream = FeatureStream(encode)
    with pytest.raises(ValueError, match='no features'):
        stream(SLOW)
    features, age = stream(NEXT)
    assert (features[0, 0], age) == (NEXT[0, 0], 0)


@pytest.mark.parametrize('asynchronous', [False, True])
def test_after_an_encoder_has_failed_older_features_are_not_used(asynchronous):
    failed = Event()

    def encode(image):
        if image[0, 0] == SLOW[0, 0]:
            failed.set()
            raise ValueError('no features')
        return image

    stream = FeatureStream(encode, asynchronous=asynchronous)
    stream(FIRST)
    with pytest.raises(ValueError, match='no features'):
        while True:  # asynchronously the frames before may be served while it runs
            stream(SLOW)
            assert failed.wait(10)
    stream.every = 100  # no frame but the first would be encoded
    features, age = stream(NEXT)
    assert (features[0, 0], age) == (NEXT[0, 0], 0)
