"""The package's share folder: config/, launch/ and models/."""

import os
import sysconfig
from pathlib import Path

PACKAGE = 'surgseg_ros'


def share() -> Path:
    """Folder of config/, launch/ and models/: the installed share folder, else the checkout."""
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    prefixes.append(sysconfig.get_path('data'))
    installed = (Path(prefix) / 'share' / PACKAGE for prefix in prefixes if prefix)
    checkout = Path(__file__).resolve().parents[2]
    return next((path for path in installed if (path / 'config').is_dir()), checkout)
