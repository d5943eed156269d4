"""Packages are installed by their hashes, from files that `make lock` writes."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
UNDERLAY = REPOSITORY / 'pip_underlay'
ANY_BUILD = re.compile(r'torch|triton|(cuda|nvidia)-.*')  # see pip_underlay/README.md


def pinned(name: str) -> dict[str, set[str]]:
    """Versions by package; several where they depend on the Python."""
    found: dict[str, set[str]] = {}
    for package, version in re.findall(r'^([\w.-]+)==([^\s;\\]+)', text(name), re.MULTILINE):
        found.setdefault(package, set()).add(version)
    return found


def text(name: str) -> str:
    return (UNDERLAY / name).read_text()


def test_every_package_but_torch_has_hashes() -> None:
    versions, locked = pinned('constraints.txt'), pinned('locked.txt')
    assert {name for name in versions if not ANY_BUILD.fullmatch(name)} == locked.keys()
    assert all(versions[name] == locked[name] for name in locked)
    assert {'torch'} == pinned('requirements-torch.txt').keys()


def test_each_requirement_of_the_locks_is_followed_by_a_hash() -> None:
    for name in ('locked.txt', 'locked-no-deps.txt', 'container.txt'):
        lines = [line for line in text(name).splitlines() if not line.startswith('#')]
        for line, after in zip(lines, [*lines[1:], ''], strict=True):
            if '==' in line:
                assert line.endswith('\\')
                assert re.match(r' +--hash=sha256:[0-9a-f]{64}', after), line


def test_the_locks_are_those_of_the_requirements() -> None:
    bare = re.findall(r'^([\w.-]+==\S+)', text('requirements-no-deps.txt'), re.MULTILINE)
    assert all(f'{one} \\' in text('locked-no-deps.txt') for one in bare)
    asked = re.findall(r'^([\w-]+)(?:\[\w+\])?==(\S+)', text('requirements.txt'), re.MULTILINE)
    locked = pinned('locked.txt')
    assert all(version in locked[name.lower()] for name, version in asked)
    assert all(version <= locked[name] for name, version in pinned('container.txt').items())


def test_the_container_installs_by_hashes_and_runs_as_a_user() -> None:
    lines = (REPOSITORY / 'Dockerfile').read_text().splitlines()
    installs = [line for line in lines if 'pip install' in line]
    assert installs and all('--require-hashes' in line for line in installs)
    users = [at for at, line in enumerate(lines) if line.startswith('USER ')]
    assert users and not lines[users[-1]].endswith(('root', ' 0'))
    assert users[-1] < next(at for at, line in enumerate(lines) if line.startswith('ENTRYPOINT'))
