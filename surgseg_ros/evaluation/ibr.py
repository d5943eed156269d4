"""One recipe of SurgicalSAM in several variants and seeds, as a table per class.

The form is that of Table 1 of the image bank re-sampling (IBR) paper, the classes ordered from
head to tail. Runs that are done are not repeated: the same command goes on after a stop.

    surgseg ablate config/ablations/ibr_simulated.yaml --table classes
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surgseg_ros.datasets import open_dataset
from surgseg_ros.datasets.prompts import ClassPrompts
from surgseg_ros.training.ablation import Row, add_arguments, folder, percent, train_all
from surgseg_ros.training.recipe import Section, parse, read_recipe
from surgseg_ros.training.tasks import load_recipe


@dataclass(frozen=True, kw_only=True)
class ClassAblation(Section):
    """recipe: path beside the file. variants: by name, overrides as of surgseg train --set."""

    recipe: str
    seeds: tuple[int, ...]
    variants: Mapping[str, tuple[str, ...]]


def run(config: Path, out: Path, overrides: Sequence[str] = ()) -> str:
    """Train all variants with all seeds below `out`; returns the tables, in Markdown.

    overrides: of the recipe, in all variants. Leaves results.json and results.md in `out`.
    """
    ablation = parse(ClassAblation, read_recipe(config))
    recipe = config.parent / ablation.recipe
    rows = train_all(recipe, ablation.variants, ablation.seeds, out, overrides)
    counts = class_counts(recipe, overrides)
    tables = '\n\n'.join(table(rows, counts, mode) for mode in ('published', 'honest'))
    (out / 'results.json').write_text(json.dumps({'counts': counts, 'rows': rows}, indent=2))
    (out / 'results.md').write_text(tables + '\n')
    return tables


def class_counts(recipe_path: Path, overrides: Sequence[str] = ()) -> dict[str, int]:
    """Training images with each class, the most frequent class first; none without images."""
    from surgseg_ros.training.surgicalsam.task import SurgicalSamRecipe

    recipe = load_recipe(recipe_path, overrides)
    if not isinstance(recipe, SurgicalSamRecipe):
        raise ValueError(f'{recipe_path} is no recipe for surgicalsam')
    train, _ = recipe.data.opened(open_dataset)
    counts = ClassPrompts(train).counts
    found = {train.class_names[k]: count for k, count in counts.items() if count}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def table(rows: Mapping[str, Sequence[Row]], counts: Mapping[str, int], mode: str) -> str:
    """Markdown: IoU, mcIoU and IoU per class of one mode, in %, mean and standard deviation.

    head, tail: means of the more frequent half of the classes and of the others.
    """
    names = list(counts)
    half = (len(names) + 1) // 2
    columns = {
        'IoU': ['iou'],
        'mcIoU': ['mc_iou'],
        **{name: [name] for name in names},
        'head': names[:half],
        'tail': names[half:],
    }
    lines = [
        [f'{mode} prompts', *columns],
        ['---'] * (1 + len(columns)),
        ['images in training', '', '', *map(str, counts.values()), '', ''],
    ]
    for name, runs in rows.items():
        cells = [percent([_mean(run, mode, keys) for run in runs]) for keys in columns.values()]
        lines.append([name, *cells])
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def _mean(run: Row, mode: str, keys: Sequence[str]) -> float:
    return float(np.mean([run.get(f'{mode}/{key}', np.nan) for key in keys]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(arguments)
    print(run(args.config, folder(args), args.overrides))
    return 0


if __name__ == '__main__':
    sys.exit(main())
