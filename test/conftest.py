"""Shared by all tests: where the research data lies, if it is here."""

import os
import signal
from pathlib import Path

import pytest

# A shell that starts the tests in the background leaves SIGINT ignored; processes inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """Folder of real frames and calibrations; not redistributable, so tests skip without it."""
    shared = Path(os.environ.get('SURGSEG_SHARED', REPOSITORY.parent / 'shared'))
    if not (shared / 'data').is_dir():
        pytest.skip('no shared/data beside the checkout (set SURGSEG_SHARED)')
    return shared / 'data'
