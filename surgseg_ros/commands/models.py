"""surgseg models: which networks there are, and which a checkpoint fits. Nothing downloads."""

import argparse
import hashlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surgseg_ros import networks, predictors
from surgseg_ros.frames.foreign import say
from surgseg_ros.media.files import whole_file
from surgseg_ros.networks.card import Card, read_card
from surgseg_ros.networks.file_kinds import is_safetensors

if TYPE_CHECKING:
    from surgseg_ros.networks.checkpoints import Identity


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions."""
    actions = parser.add_subparsers(dest='action', required=True, metavar='ACTION')
    listing = actions.add_parser('list', help='models, and where their weights are published')
    listing.set_defaults(models=_list)
    info = actions.add_parser('info', help='what is known about one model')
    info.add_argument('name', choices=predictors.available(), help='name of the model')
    info.set_defaults(models=_info)
    sam: Any = {'type': Path, 'help': 'of surgicalsam: the SAM checkpoint beside it'}
    key: Any = {'help': 'which weights of several in FILE, such as ema or state_dict_ema'}
    verify = actions.add_parser('verify', help='say which network a checkpoint fits; 1 if none')
    verify.add_argument('file', type=Path, help='.pt, .pth, .ckpt or .safetensors')
    verify.add_argument('--sam', **sam)
    verify.add_argument('--key', **key)
    verify.set_defaults(models=_verify)
    converting = actions.add_parser('import', help='check a checkpoint, write it as safetensors')
    converting.add_argument('file', type=Path, help='.pt, .pth, .ckpt or .safetensors')
    converting.add_argument('out', type=Path, help='.safetensors file to write')
    converting.add_argument('--sam', **sam)
    converting.add_argument('--key', **key)
    converting.add_argument(
        '--model', choices=networks.available(), help='which, where FILE fits several'
    )
    converting.add_argument('--overwrite', action='store_true', help='replace OUT if there is one')
    converting.set_defaults(models=_import)


def run(args: argparse.Namespace) -> int:
    """Do the action chosen."""
    code: int = args.models(args)
    return code


def _list(args: argparse.Namespace) -> int:
    say(f'{"":20}{"parameters":>12}  {"licence":32}  weights')
    for name in predictors.available():
        if name in networks.available():
            known, count = networks.spec(name), len(networks.spec(name).checkpoints)
            weights = f'{count} published at {known.homepage}' if count else 'none published'
            say(f'{name:20}{known.parameters:>12,}  {known.licence:32}  {weights}')
        else:
            say(f'{name:20}{"-":>12}  {"-":32}  needs none')
    return 0


def _info(args: argparse.Namespace) -> int:
    if args.name not in networks.available():
        say(f'{args.name} is no network and needs no weights')
        return 0
    known = networks.spec(args.name)
    size = known.arguments.get('size')
    facts = {
        'paper': known.paper,
        'published at': known.homepage or 'nowhere',
        'licence': known.licence,
        'finds': ', '.join(known.class_names),
        'tensors': f'{known.tensors}, {known.parameters:,} trained parameters',
        'input': f'RGB / 255, mean {known.mean}, std {known.std}, '
        + (
            f'resized to {size} x {size} px'
            if size
            else f'padded to multiples of {known.multiple} px'
        ),
        'precision': f'{known.precision} unless told otherwise',
    }
    say(args.name)
    for title, fact in facts.items():
        say(f'  {title:14}{fact}')
    say('  checkpoints, as their authors call them')
    for checkpoint in known.checkpoints:
        say(f'    {checkpoint.name:36}{checkpoint.training}')
    return 0


def _verify(args: argparse.Namespace) -> int:
    from surgseg_ros.networks.checkpoints import identify  # imports torch

    try:
        found = identify(args.file, args.sam, args.key)
    except ValueError as misfit:
        say(f'surgseg models: {misfit}', to=sys.stderr)
        return 1
    digest = _sha256(args.file)
    for one in found:
        options = ', '.join(f'{key}={value}' for key, value in one.options.items())
        say(
            f'{args.file} fits {one.name}: all {one.tensors} tensors'
            f'{options and f" ({options})"}, sha256 {digest}'
        )
    return 0


def _import(args: argparse.Namespace) -> int:
    from surgseg_ros.networks.checkpoints import convert, identify  # imports torch

    if not is_safetensors(args.out):
        raise ValueError(f'{args.out} must end in .safetensors, the format that is written')
    if args.out.exists() and not args.overwrite:
        raise FileExistsError(f'{args.out} exists already; --overwrite replaces it')
    found = _chosen(args.file, args.model, identify(args.file, args.sam, args.key))
    files = [args.file, *filter(None, [args.sam])]
    digests = {file.name: _sha256(file) for file in files}
    card = _card(found, read_card(args.file), {'sources_sha256': digests})
    with whole_file(args.out) as partial:
        convert(args.file, args.sam, partial, card, args.key)
    say(
        f'{args.out}: {found.name} from '
        + ', '.join(f'{name} (sha256 {digest})' for name, digest in digests.items())
    )
    return 0


def _chosen(path: Path, wanted: str | None, found: 'list[Identity]') -> 'Identity':
    """Return the one that is wanted, or the only one; ValueError where it is not clear which."""
    fitting = [one for one in found if wanted in (None, one.name)]
    names = ', '.join(one.name for one in found)
    if not fitting:
        raise ValueError(f'{path} fits {names}, not {wanted}')
    if len(fitting) > 1:
        raise ValueError(f'{path} fits {names}: say which by --model')
    return fitting[0]


def _card(found: 'Identity', before: Card | None, details: dict[str, object]) -> Card:
    """The card to write: that of the file, if it has one, and where the file comes from."""
    if before:
        return replace(before, options=found.options, details={**before.details, **details})
    # who has options has classes of one's own: the predictor knows those that are published
    class_names = () if found.options else networks.spec(found.name).class_names
    return Card(found.name, found.options, class_names, details)


def _sha256(path: Path) -> str:
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()
