"""Who makes and drops backends, and what that means for signals."""

import gc
import subprocess
import sys
import threading

import numpy as np
import pytest

from surgseg_ros.backends import owner

# The plugin is loaded, and dropped in another thread; then a signal comes.
ENDING = """
import ctypes, os, signal, threading
signal.signal(signal.SIGTERM, lambda *_: print('handled', flush=True))
from surgseg_ros.backends import openvino_backend, owner

class Stack(ctypes.Structure):
    _fields_ = [('start', ctypes.c_void_p), ('flags', ctypes.c_int), ('size', ctypes.c_size_t)]

def make():
    core = openvino_backend.openvino.Core()
    core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
    return core

held = [owner.OwnedBackend(make)]
own = Stack()
ctypes.CDLL(None).sigaltstack(None, ctypes.byref(own))
print('a stack for signals of OpenVINO:', bool(own.start), flush=True)
dropping = threading.Thread(target=held.clear)
dropping.start()
dropping.join()
owner.call(lambda: None)  # what was dropped before is gone
os.kill(os.getpid(), signal.SIGTERM)
"""


class Backend:
    def __init__(self, seen):
        self._seen = seen
        seen.append(('made', threading.current_thread().name))

    def run(self, *inputs):
        self._seen.append(('run', threading.current_thread().name))
        return inputs

    def __del__(self):
        self._seen.append(('dropped', threading.current_thread().name))


def test_one_thread_makes_and_drops_and_the_caller_runs():
    seen = []
    backend = owner.OwnedBackend(lambda: Backend(seen))
    (output,) = backend.run(np.ones(2))
    assert output.tolist() == [1, 1]
    held = [backend]
    del backend
    thread = threading.Thread(target=held.clear, name='dropping')
    thread.start()
    thread.join()
    owner.call(gc.collect)
    assert seen == [
        ('made', 'backends'),
        ('run', threading.current_thread().name),
        ('dropped', 'backends'),
    ]


def test_what_cannot_be_made_raises_where_it_was_asked_for():
    def fail():
        raise ValueError('no such thing')

    with pytest.raises(ValueError, match='no such thing'):
        owner.OwnedBackend(fail)
    assert owner.call(lambda: 3) == 3  # the thread goes on


def test_garbage_collection_may_drop_backends_at_any_moment():
    seen = []
    for _ in range(50):
        cycle = [owner.OwnedBackend(lambda: Backend(seen))]
        cycle.append(cycle)
        del cycle
        owner.call(gc.collect)  # drops in the owning thread itself
    owner.call(lambda: None)
    assert [what for what, _ in seen].count('dropped') == 50
    assert {name for _, name in seen} == {'backends'}


def test_a_signal_after_openvino_was_dropped_elsewhere():
    pytest.importorskip('openvino')
    done = subprocess.run(
        [sys.executable, '-c', ENDING], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == 'a stack for signals of OpenVINO: False\nhandled\n'
