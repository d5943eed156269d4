"""Files that were changed at random are read, or refused in one sentence; nothing else happens.

10,000 of them by `make faults`, 500 in every run of the tests; the seeds of chance are fixed.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_seeds import SEEDS
from fork_server import MEMORY, ForkServer
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mutations import Edit, edits, mutated

pytest.importorskip('torch', reason='checkpoints need torch')

FEW, MANY = 30, 600  # files of each of the 17 kinds: 510 and 10,200
FIXED = settings(
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope='module')
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    made = ForkServer(tmp_path_factory.mktemp('may_write'))
    yield made
    made.close()


@pytest.mark.parametrize('kind', SEEDS)
def test_mutated_files(kind: str, server: ForkServer, tmp_path: Path) -> None:
    read_mutated(kind, server, tmp_path, FEW)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize('kind', SEEDS)
def test_many_mutated_files(kind: str, server: ForkServer, tmp_path: Path) -> None:
    read_mutated(kind, server, tmp_path, MANY)


@pytest.mark.parametrize('kind', SEEDS)
def test_the_seeds_are_read(kind: str, server: ForkServer, tmp_path: Path) -> None:
    """Else the mutations would be of files that nobody looks into."""
    outcomes = {path.name: server.read(kind, path) for path in list(SEEDS[kind](tmp_path))}
    assert not [one for one in outcomes.values() if one.fault]
    assert any(one.read for one in outcomes.values()), outcomes


def read_mutated(kind: str, server: ForkServer, folder: Path, count: int) -> None:
    paths = list(SEEDS[kind](folder))
    contents = {path: path.read_bytes() for path in paths}
    around = listing(folder)
    outcomes = {'read': 0, 'refused': 0}

    @settings(FIXED, max_examples=count)
    @given(st.sampled_from(paths), edits())
    def check(path: Path, changes: list[Edit]) -> None:
        path.write_bytes(mutated(contents[path], changes))
        outcome = server.read(kind, path)
        path.write_bytes(contents[path])
        assert not outcome.fault, outcome.fault
        assert outcome.peak < 2 * MEMORY  # the process itself, and what the file asked for
        outcomes['read' if outcome.read else 'refused'] += 1

    check()
    assert listing(folder) == around
    print(f'{kind}: {outcomes["read"]} read, {outcomes["refused"]} refused')


def listing(folder: Path) -> list[str]:
    return sorted(f'{Path(where) / name}' for where, _, names in os.walk(folder) for name in names)
