"""Read what torch.save has written, by strangers: in a process that may die alone.

No pickled code is executed (weights_only), and nothing of NumPy is made from a file: torch calls
`__setstate__` of what is allowed, and that of an array or a dtype takes any bytes for addresses.
"""

import faulthandler
import json
import multiprocessing
import os
import re
import resource
import signal
import struct
import warnings
from collections import OrderedDict
from collections.abc import Callable
from datetime import date, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, BinaryIO

import torch

from surgseg_ros.networks.state_dicts import StateDict, state_dict_of

_MEMORY = 16 << 30  # bytes that reading may take: the largest network here has 2.6 GB


def read(path: Path, key: str | None = None) -> StateDict:
    """Tensors of a file that torch.save wrote; key: see state_dicts.state_dict_of.

    Raises ValueError in one sentence.
    """
    from safetensors import safe_open

    with os.fdopen(os.memfd_create('weights'), 'r+b') as memory:  # forking shares it
        reason = _apart(lambda: _copy(path, key, memory))
        if reason:
            raise ValueError(f'{path} {reason}')
        with safe_open(f'/proc/self/fd/{memory.fileno()}', 'pt') as tensors:
            return {
                name: tensors.get_tensor(name) for name in json.loads(tensors.metadata()['order'])
            }


def _copy(path: Path, key: str | None, memory: BinaryIO) -> None:
    """Read the file and write its tensors where the other process can map them."""
    from safetensors.torch import save

    tensors = _separate(state_dict_of(_load(path), key))
    memory.write(save(tensors, {'order': json.dumps(list(tensors))}))
    memory.flush()


def _load(path: Path) -> object:
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            return torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # foreign bytes raise anything: UnpicklingError, KeyError, ...
        raise ValueError(_reason(error)) from error


def _reason(error: Exception) -> str:
    text = str(error)
    foreign = re.search(r'GLOBAL (\S+) was not|GLOBAL (\S+) whose module', text)  # so torch says
    if foreign:
        has = f': it has a {foreign[1] or foreign[2]}'
    elif isinstance(error, EOFError) or 'unexpected EOF' in text or 'Ran out of input' in text:
        return 'is cut off: its end is missing: download or copy it again'
    elif 'allocate memory' in text or isinstance(error, MemoryError):
        return f'asks for more than {_MEMORY >> 30} GiB of memory, which no network here needs'
    else:
        has = f': {error}' if isinstance(error, _Refused) else ''
    return f'is not a plain state_dict saved by torch, and nothing else is loaded{has}'


def _separate(tensors: StateDict) -> dict[str, torch.Tensor]:
    """Contiguous tensors of which no two share their memory, as safetensors wants them."""
    apart: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for key, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized:
            raise ValueError(f'has a sparse or quantised tensor ({key}): expected plain ones')
        plain = tensor.detach().contiguous()
        place = plain.untyped_storage().data_ptr()
        apart[key] = plain.clone() if place in seen else plain
        seen.add(place)
    return apart


# Numbers and times that trainers save beside the tensors, and Lightning's dict of settings.


class _Refused(ValueError):
    """A file holds what is not made; the message says what."""


class _NumberType:
    """Stands for numpy.dtype: knows what a number is made of, and nothing else."""

    _FORMATS = {
        'b1': '?', 'i1': 'b', 'i2': 'h', 'i4': 'i', 'i8': 'q', 'u1': 'B', 'u2': 'H', 'u4': 'I',
        'u8': 'Q', 'f2': 'e', 'f4': 'f', 'f8': 'd',
    }  # fmt: skip

    def __init__(self, code: object, *_: object) -> None:
        self._format = self._FORMATS.get(str(code).lstrip('<>=|'), '')
        if not self._format:
            raise _Refused(f'it has a NumPy value of type {str(code)[:20]!r}, which is no number')

    def __setstate__(self, state: object) -> None:
        """The byte order; anything else would be a type with fields or objects."""
        if not isinstance(state, tuple) or any(x is not None for x in state[2:5]):
            raise _Refused('it has a NumPy value with fields, which is no number')
        self._order = '>' if state[1] == '>' else '<'

    _order = '<'

    def number(self, data: object) -> Any:
        """The number that these bytes are."""
        form = f'{self._order}{self._format}'
        if not isinstance(data, bytes) or len(data) != struct.calcsize(form):
            raise _Refused('it has a NumPy value that is no number')
        return struct.unpack(form, data)[0]


def _number(kind: object, data: object = None) -> Any:
    """Stands for what makes a NumPy scalar."""
    if not isinstance(kind, _NumberType):
        raise _Refused('it has a NumPy value that is no number')
    return kind.number(data)


_HARMLESS: list[Any] = [
    datetime,
    date,
    timedelta,
    (_NumberType, 'numpy.dtype'),
    # NumPy 1 and 2 call it by different names
    *((_number, f'numpy.{core}.multiarray.scalar') for core in ('core', '_core')),
    *(
        (OrderedDict, f'{package}.AttributeDict')
        for package in (
            'lightning_fabric.utilities.data',
            'lightning.fabric.utilities.data',
            'pytorch_lightning.utilities.parsing',
        )
    ),
]


# A process that may die alone.


def _apart(work: Callable[[], None]) -> str:
    """Work in a forked process, and say why it failed; empty if it did not.

    Forked, because importing torch anew takes seconds; the child has one thread, as those of
    torch's data loaders.
    """
    fork = multiprocessing.get_context('fork')
    receiving, sending = fork.Pipe(duplex=False)
    child = fork.Process(target=_report, args=(work, sending), daemon=True)
    with warnings.catch_warnings():  # Python 3.12 warns where there are threads
        warnings.simplefilter('ignore', DeprecationWarning)
        child.start()
    sending.close()
    try:
        reason = receiving.recv_bytes(10_000).decode(errors='replace')  # bytes: never unpickled
    except (EOFError, OSError):
        child.join()
        reason = _ending(child.exitcode)
    finally:
        child.kill()
        child.join()
        receiving.close()
    return reason


def _report(work: Callable[[], None], sending: Connection) -> None:
    """In the child: work, and send the reason of a failure."""
    _limit()
    try:
        work()
        reason = ''
    except Exception as error:
        reason = str(error) if isinstance(error, ValueError) else _reason(error)
    sending.send_bytes(reason.encode()[:9_000])


def _limit() -> None:
    """One thread, bounded memory, and no core dump or traceback of a crash."""
    faulthandler.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pages = int(Path('/proc/self/statm').read_text().split()[0])
    limit, (_, hard) = (
        pages * resource.getpagesize() + _MEMORY,
        resource.getrlimit(resource.RLIMIT_AS),
    )
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard < 0 else min(limit, hard), hard))


def _ending(code: int | None) -> str:
    how = f'by {signal.Signals(-code).name}' if code and code < 0 else f'with exit code {code}'
    return f'is damaged or hostile: reading it ended the process that did {how}'
