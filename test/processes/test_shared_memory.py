"""Nothing is left in /dev/shm: neither by an ordinary graph nor by nodes that were killed."""

import os
import re
import signal
from pathlib import Path

from harness import Graph, graph, wait_for

from surgseg_ros.processes import shared_memory

NODES = ('stereo', 'semantic', 'recorder')


def mapped(pid: int | str) -> set[str]:
    """Files of Fast DDS that a process has mapped: its own segments, those of peers, ports."""
    return set(re.findall(r'/dev/shm/(fastrtps_\w+)', Path(f'/proc/{pid}/maps').read_text()))


def ports(domain: int) -> set[str]:
    """Ports of participants of a domain, RTPS 2.5, section 9.6.2.3."""
    first = 7400 + 250 * domain
    return {f'fastrtps_port{number}' for number in range(first, first + 250)}


def begin(net: Graph) -> set[str]:
    """Start nodes and return the files that are theirs and ours alone."""
    nodes = [net.start(f'{name}_node', autostart=False) for name in NODES]
    wait_for(lambda: all(net.status(name) for name in NODES), what=net.report)
    files = mapped('self').union(*(mapped(process.pid) for process in nodes))
    return {file for file in files if re.fullmatch('fastrtps_[0-9a-f]{16}', file)} | (
        files & ports(net.domain)
    )


def left(files: set[str]) -> list[str]:
    return [file for file in files if os.path.exists(f'/dev/shm/{file}')]


def test_an_ordinary_graph_leaves_nothing() -> None:
    before = set(os.listdir('/dev/shm'))
    with graph() as net:
        files = begin(net) - before
        assert len(files) > 2 * len(NODES)  # segments and ports
        assert len(left(files)) == len(files)
    assert not left(files)


def test_segments_of_killed_nodes_are_removed_at_the_end() -> None:
    with graph() as net:
        files = begin(net) - ports(net.domain)
        for process in net.processes:
            process.send_signal(signal.SIGKILL)
        wait_for(lambda: all(process.poll() is not None for process in net.processes))
        dead = {path.name for path in shared_memory.dead_segments()}
        in_use = set(left(files - dead))  # another graph that ends may have removed the dead
        assert in_use  # ours
        assert len(files - in_use) >= len(NODES)
    assert not left(files)
