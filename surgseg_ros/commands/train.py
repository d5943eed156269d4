"""surgseg train: train a network as a recipe says; the same command again goes on after a stop."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the recipe, and what the command line changes in it."""
    parser.add_argument(
        'recipe', help='YAML file, or the name of one that comes with the package: lwanet_finetune'
    )
    parser.add_argument('--out', type=Path, help='folder of the run (default: out/train/RECIPE)')
    parser.add_argument(
        '--set',
        action='append',
        default=[],
        metavar='KEY=VALUE',
        dest='overrides',
        help='change the recipe: optimiser.batch_size=8',
    )
    parser.add_argument(
        '--resume',
        choices=('auto', 'never'),
        default='auto',
        help='auto goes on with the run in the folder, never throws it away',
    )


def run(args: argparse.Namespace) -> int:
    """Train to the end."""
    from surgseg_ros.training import tasks
    from surgseg_ros.training.recipe import find_recipe

    path = find_recipe(args.recipe)
    recipe = tasks.load_recipe(path, args.overrides)
    out = args.out or Path('out/train') / path.stem
    from surgseg_ros.training.loop import train  # imports torch

    train(recipe, out, resume=args.resume == 'auto')
    return 0
