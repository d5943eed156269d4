"""DDS domains of one's own: what runs there neither hears nor disturbs other ROS nodes."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DOMAINS = range(40, 100)  # away from what people choose; from 102 on ports may be taken already


@contextmanager
def reserve_domain() -> Iterator[int]:
    """Yield a ROS_DOMAIN_ID that nobody else on this machine has reserved.

    A file lock holds it, which ends with the process however that ends. Raises OSError if all
    are taken.
    """
    for domain in DOMAINS:
        path = Path(tempfile.gettempdir()) / f'surgseg_domain_{domain}'
        try:
            file = path.open('w')
        except PermissionError:  # another user's
            continue
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield domain
            return
    raise OSError(f'all ROS domains from {DOMAINS[0]} to {DOMAINS[-1]} are reserved')


@contextmanager
def own_domain() -> Iterator[int]:
    """Put this process, and those it starts inside, into a reserved domain on this machine only.

    A ROS_DOMAIN_ID in the environment is set aside meanwhile: it is where the robot is.
    """
    before = dict(os.environ)
    with reserve_domain() as domain:
        os.environ.update(ROS_DOMAIN_ID=str(domain), ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST')
        try:
            yield domain
        finally:
            os.environ.clear()
            os.environ.update(before)
