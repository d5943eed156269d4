"""Train one recipe in several variants with several seeds, and compare them in a table.

    surgseg ablate config/ablations/solo_simulated.yaml

Runs that are done are not repeated: the same command goes on after a stop.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surgseg_ros.frames.foreign import say
from surgseg_ros.training.recipe import Section, parse, read_recipe
from surgseg_ros.training.tasks import load_recipe

Row = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Ablation(Section):
    """recipe: path beside the file. variants: by name, overrides as of surgseg train --set.

    overrides: in all variants. metrics: columns of the table, by the names of the task.
    """

    recipe: str
    seeds: tuple[int, ...]
    metrics: tuple[str, ...]
    variants: Mapping[str, tuple[str, ...]]
    overrides: tuple[str, ...] = ()


def run(config: Path, out: Path, overrides: Sequence[str] = ()) -> str:
    """Train all variants with all seeds below `out`; returns the table, in Markdown.

    overrides: of the recipe, in all variants, after those of the file. Leaves results.json, with
    all metrics of the best epoch of every run, and results.md in `out`. Raises ValueError with
    one sentence where the file or a recipe is wrong, before anything is trained.
    """
    ablation = parse(Ablation, read_recipe(config))
    rows = train_all(
        config.parent / ablation.recipe,
        ablation.variants,
        ablation.seeds,
        out,
        (*ablation.overrides, *overrides),
    )
    table = compare(rows, ablation.metrics)
    (out / 'results.json').write_text(json.dumps(rows, indent=2))
    (out / 'results.md').write_text(table + '\n')
    return table


def train_all(
    recipe: Path,
    variants: Mapping[str, Sequence[str]],
    seeds: Sequence[int],
    out: Path,
    overrides: Sequence[str] = (),
) -> dict[str, list[Row]]:
    """The best row (see Progress) of each seed's run by the name of its variant.

    A seed is trained in all variants before the next one, so that a stop leaves a fair comparison.
    """
    recipes = {
        (name, seed): load_recipe(recipe, [*overrides, *changes, f'seed={seed}'])
        for seed in seeds
        for name, changes in variants.items()
    }
    from surgseg_ros.training.loop import train  # imports torch

    numbers = {name: number for number, name in enumerate(variants)}
    rows: dict[str, list[Row]] = {name: [] for name in variants}
    for (name, seed), one in recipes.items():
        say(f'{name}, seed {seed}', to=sys.stderr)
        best = train(one, out / f'variant{numbers[name]}' / f'seed{seed}').best
        rows[name].append(best or {})
    return rows


def compare(rows: Mapping[str, Sequence[Row]], metrics: Sequence[str]) -> str:
    """Markdown: a line per variant, 100 times each metric, mean and deviation over the seeds."""
    unknown = set(metrics) - {key for runs in rows.values() for row in runs for key in row}
    if unknown:
        raise ValueError(f'no run has a metric {min(unknown)!r}')
    lines = [['%', *metrics, 'seeds'], ['---'] * (2 + len(metrics))]
    for name, runs in rows.items():
        cells = [percent([row.get(metric, np.nan) for row in runs]) for metric in metrics]
        lines.append([name, *cells, str(len(runs))])
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)


def percent(values: Sequence[float]) -> str:
    """'58.87 ± 1.20' of fractions; the deviation is that of a sample."""
    hundredths = 100 * np.array(values)
    deviation = f' ± {hundredths.std(ddof=1):.2f}' if len(hundredths) > 1 else ''
    return f'{hundredths.mean():.2f}{deviation}'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('config', type=Path, help='such as config/ablations/solo_simulated.yaml')
    parser.add_argument('--out', type=Path, help='default: out/ablations/CONFIG')
    parser.add_argument(
        '--set',
        action='append',
        default=[],
        metavar='KEY=VALUE',
        dest='overrides',
        help='change the recipe of all variants',
    )


def folder(args: argparse.Namespace) -> Path:
    """Where the runs and the table go."""
    out: Path | None = args.out
    return out or Path('out/ablations') / args.config.stem


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(arguments)
    try:
        say(*run(args.config, folder(args), args.overrides).split('\n'))
    except (ValueError, OSError) as error:
        say(f'ablation: {error}', to=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
