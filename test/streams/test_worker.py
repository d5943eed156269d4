"""NewestWorker: newest wins, nothing queues, everything is accounted for."""

import threading

from surgseg_ros.streams.worker import NewestWorker


def test_newest_wins_while_one_is_computed():
    started, release = threading.Event(), threading.Event()
    computed, superseded = [], []

    def compute(work):
        started.set()
        release.wait(5)
        computed.append(work)

    worker = NewestWorker(compute, superseded.append)
    worker.put(0)
    assert started.wait(5)
    for work in range(1, 10):
        worker.put(work)
    release.set()
    while len(computed) < 2:
        pass
    worker.stop()
    assert computed == [0, 9]
    assert superseded == list(range(1, 9))


def test_stop_gives_waiting_work_back():
    started, release = threading.Event(), threading.Event()
    superseded = []

    def compute(work):
        started.set()
        release.wait(5)

    worker = NewestWorker(compute, superseded.append)
    worker.put('running')
    assert started.wait(5)
    worker.put('waiting')
    stopper = threading.Thread(target=worker.stop)
    stopper.start()
    release.set()
    stopper.join(5)
    assert superseded == ['waiting']
