"""Private DDS domains: nodes in them neither receive from nor disturb other ROS nodes."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from surgseg_ros.media.locks import claim

DOMAINS = range(40, 100)  # away from what people choose; from 102 on ports may be taken already


@contextmanager
def reserve_domain() -> Iterator[int]:
    """Yield a ROS_DOMAIN_ID that this user has not reserved and that has no participants.

    A file lock reserves it until the process ends. Raises OSError if all are taken.
    """
    for domain in DOMAINS:
        if _is_silent(domain):
            with claim(f'surgseg_domain_{domain}') as reserved:
                if reserved:
                    yield domain
                    return
    raise OSError(f'all ROS domains from {DOMAINS[0]} to {DOMAINS[-1]} are reserved')


def _is_silent(domain: int) -> bool:
    """Whether this domain has no participants of any user on this machine.

    The first participant of a domain listens at a port that RTPS 2.5, section 9.6.2.3, fixes.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(('', 7400 + 250 * domain + 10))
        except OSError:
            return False
    return True


@contextmanager
def own_domain() -> Iterator[int]:
    """Put this process, and those it starts inside, into a reserved domain on this machine only.

    A ROS_DOMAIN_ID in the environment is ignored meanwhile: it is the robot's.
    """
    before = dict(os.environ)
    with reserve_domain() as domain:
        os.environ.update(ROS_DOMAIN_ID=str(domain), ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST')
        try:
            yield domain
        finally:
            os.environ.clear()
            os.environ.update(before)
