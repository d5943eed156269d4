"""Which semantic predictor, on the command line."""

import argparse
from pathlib import Path
from typing import Any

from surgseg_ros import predictors
from surgseg_ros.commands.argument_types import whole_number
from surgseg_ros.commands.infer_arguments import BACKEND_OPTIONS, add_backend_arguments, given
from surgseg_ros.networks.bundled import bundled_weights

_SAM_OPTIONS = (
    'sam_weights',
    'classes',
    'quality_threshold',
    'presence_threshold',
    'encode_every',
    'encoder_size',
)


def add_semantic_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what semantic_predictor needs."""
    model = parser.add_argument_group('model')
    model.add_argument('--model', default='lwanet', choices=predictors.semantic())
    model.add_argument(
        '--weights', type=Path, help='checkpoint; default that which comes with the package'
    )
    model.add_argument(
        '--class-names',
        nargs='+',
        metavar='NAME',
        help='by class id, background first, of weights that do not say them',
    )
    add_backend_arguments(model)
    sam = parser.add_argument_group('surgicalsam')
    sam.add_argument('--sam-weights', type=Path, help='the SAM checkpoint')
    sam.add_argument('--classes', type=whole_number(1), nargs='+', help='ids to look for (all)')
    sam.add_argument('--quality-threshold', type=float, help='of masks that count')
    sam.add_argument('--presence-threshold', type=float, help='of classes that count')
    sam.add_argument(
        '--encode-every', type=whole_number(1), help='frames that share the features of one (1)'
    )
    sam.add_argument(
        '--encoder-size',
        type=whole_number(1),
        metavar='PX',
        help='of the image that the encoder sees; smaller is faster',
    )


def semantic_predictor(args: argparse.Namespace, **sam_options: Any) -> Any:
    """Create the predictor that the arguments name; ValueError for options of another one."""
    sam_options |= given(args, *_SAM_OPTIONS)
    if args.model != 'surgicalsam' and sam_options:
        option = next(iter(sam_options)).replace('_', '-')
        raise ValueError(f'--{option} is for --model surgicalsam, not {args.model}')
    options = {**sam_options, **given(args, 'weights', 'class_names', *BACKEND_OPTIONS)}
    options.setdefault('weights', bundled_weights(args.model))
    return predictors.create(args.model, **options)
