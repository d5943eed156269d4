"""surgseg models: which networks there are, and which a checkpoint fits. Nothing downloads."""

import argparse
import hashlib
import sys
from pathlib import Path
from typing import Any

from surgseg_ros import networks, predictors
from surgseg_ros.files import whole_file
from surgseg_ros.networks.card import Card


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions."""
    actions = parser.add_subparsers(dest='action', required=True, metavar='ACTION')
    listing = actions.add_parser('list', help='models, and where their weights are published')
    listing.set_defaults(models=_list)
    info = actions.add_parser('info', help='what is known about one model')
    info.add_argument('name', choices=predictors.available())
    info.set_defaults(models=_info)
    sam: Any = {'type': Path, 'help': 'of surgicalsam: the SAM checkpoint beside it'}
    verify = actions.add_parser('verify', help='say which network a checkpoint fits; 1 if none')
    verify.add_argument('file', type=Path, help='.pt, .pth or .safetensors')
    verify.add_argument('--sam', **sam)
    verify.set_defaults(models=_verify)
    converting = actions.add_parser('import', help='check a checkpoint, write it as safetensors')
    converting.add_argument('file', type=Path, help='.pt, .pth or .safetensors')
    converting.add_argument('out', type=Path, help='.safetensors file to write')
    converting.add_argument('--sam', **sam)
    converting.add_argument('--overwrite', action='store_true', help='replace OUT if there is one')
    converting.set_defaults(models=_import)


def run(args: argparse.Namespace) -> int:
    """Do the action chosen."""
    code: int = args.models(args)
    return code


def _list(args: argparse.Namespace) -> int:
    print(f'{"":20}{"parameters":>12}  {"licence":32}  weights')
    for name in predictors.available():
        if name in networks.available():
            known = networks.spec(name)
            weights = f'{len(known.checkpoints)} published at {known.homepage}'
            print(f'{name:20}{known.parameters:>12,}  {known.licence:32}  {weights}')
        else:
            print(f'{name:20}{"-":>12}  {"-":32}  needs none')
    return 0


def _info(args: argparse.Namespace) -> int:
    if args.name not in networks.available():
        print(f'{args.name} is no network and needs no weights')
        return 0
    known = networks.spec(args.name)
    facts = {
        'paper': known.paper,
        'published at': known.homepage,
        'licence': known.licence,
        'finds': ', '.join(known.class_names),
        'tensors': f'{known.tensors}, {known.parameters:,} trained parameters',
        'input': f'RGB / 255, mean {known.mean}, std {known.std}, '
                 f'padded to multiples of {known.multiple} px',
        'precision': f'{known.precision} unless told otherwise',
    }
    print(args.name)
    for title, fact in facts.items():
        print(f'  {title:14}{fact}')
    print('  checkpoints, as their authors call them')
    for checkpoint in known.checkpoints:
        print(f'    {checkpoint.name:36}{checkpoint.training}')
    return 0


def _verify(args: argparse.Namespace) -> int:
    from surgseg_ros.networks.checkpoints import identify  # imports torch

    try:
        found = identify(args.file, args.sam)
    except ValueError as misfit:
        print(f'surgseg models: {misfit}', file=sys.stderr)
        return 1
    options = ', '.join(f'{key}={value}' for key, value in found.options.items())
    print(f'{args.file} fits {found.name}: all {found.tensors} tensors'
          f'{options and f" ({options})"}, sha256 {_sha256(args.file)}')
    return 0


def _import(args: argparse.Namespace) -> int:
    from surgseg_ros.networks.checkpoints import convert, identify  # imports torch

    if args.out.suffix != '.safetensors':
        raise ValueError(f'{args.out} must end in .safetensors, the format that is written')
    if args.out.exists() and not args.overwrite:
        raise FileExistsError(f'{args.out} exists already; --overwrite replaces it')
    found, files = identify(args.file, args.sam), [args.file, *filter(None, [args.sam])]
    digests = {file.name: _sha256(file) for file in files}
    # who has options has classes of one's own: the predictor knows those that are published
    class_names = () if found.options else networks.spec(found.name).class_names
    card = Card(found.name, found.options, class_names, {'sources_sha256': digests})
    with whole_file(args.out) as partial:
        convert(args.file, args.sam, partial, card)
    print(f'{args.out}: {found.name} from '
          + ', '.join(f'{name} (sha256 {digest})' for name, digest in digests.items()))
    return 0


def _sha256(path: Path) -> str:
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()
