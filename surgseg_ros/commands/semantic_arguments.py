"""Which semantic step, on the command line."""

import argparse

from surgseg_ros.commands.settings_arguments import (
    add_settings_arguments,
    given_settings,
    settings_from,
)
from surgseg_ros.perception.semantic import SURGICALSAM, SURGICALSAM_SETTINGS, SemanticSettings

# of nodes alone: files wait for their features, however old these are
_OF_NODES = ('asynchronous', 'max_feature_age')


def add_semantic_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what semantic_settings needs."""
    left_out = (*SURGICALSAM_SETTINGS, *_OF_NODES)
    add_settings_arguments(
        parser.add_argument_group('model'), SemanticSettings, leave_out=left_out
    )
    add_settings_arguments(
        parser.add_argument_group(SURGICALSAM), SemanticSettings, SURGICALSAM_SETTINGS, _OF_NODES
    )


def semantic_settings(args: argparse.Namespace, **sam_options: object) -> SemanticSettings:
    """What the arguments say; ValueError for options of another model.

    sam_options: more options of SurgicalSAM that were given.
    """
    settings = settings_from(args, SemanticSettings, max_feature_age=0.0)
    given = {**sam_options, **given_settings(args, SemanticSettings)}
    wrong = [name for name in given if name in (*SURGICALSAM_SETTINGS, *sam_options)]
    if settings.model != SURGICALSAM and wrong:
        option = wrong[0].replace('_', '-')
        raise ValueError(f'--{option} is for --model {SURGICALSAM}, not {settings.model}')
    return settings
