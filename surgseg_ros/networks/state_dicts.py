"""The weights in what trainers save: below one of many names, with prefixes before the keys."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeGuard

import torch

StateDict = Mapping[str, torch.Tensor]

# where trainers put them, the most usual first
_USUAL = (
    'state_dict',
    'model_state_dict',
    'model_state',
    'model',
    'net',
    'network',
    'weights',
    'params',
)
# whole words in names of averaged weights (EMA, SWA)
_AVERAGED = re.compile(r'(^|[_.])(ema|swa|averaged|average|shadow)([_.]|$)', re.IGNORECASE)
_WRAPPERS = ('module', '_orig_mod')  # of DataParallel, AveragedModel and torch.compile
_ATTRIBUTES = ('model', 'net', 'network')  # of a LightningModule that holds the network
_COUNTERS = ('n_averaged',)  # of AveragedModel
# SurgicalSAM's model_ckp.pth: what it calls the parts, and what they are in the network
_PARTS = {
    'prototype_prompt_encoder_state_dict': 'prototype_prompt_encoder.',
    'sam_decoder_state_dict': 'mask_decoder.',
    'prototypes_state_dict': 'prototypes.',
}


def state_dict_of(content: object, key: str | None = None) -> StateDict:
    """The tensors by the keys that the network itself gives them.

    content: what was saved: a state_dict, or dicts that hold some. key: which of these, such as
    'ema' or 'model.ema', where it is not the usual one; averaged weights only come when asked
    for. Raises ValueError with the end of a sentence that begins with the file.
    """
    return cleaned(_chosen(content, key))


def cleaned(tensors: StateDict) -> StateDict:
    """Without what wrappers put before the keys."""
    words = {key: [w for w in key.split('.') if w not in _WRAPPERS] for key in tensors}
    words = {key: left for key, left in words.items() if '.'.join(left) not in _COUNTERS}
    while any(words and all(x[0] == a and x[1:] for x in words.values()) for a in _ATTRIBUTES):
        words = {key: left[1:] for key, left in words.items()}
    named = {'.'.join(left): tensors[key] for key, left in words.items()}
    if len(named) < len(words):
        raise ValueError('has several tensors with the same key once their prefixes are removed')
    return named


def _chosen(content: object, key: str | None) -> StateDict:
    if isinstance(content, Mapping) and set(content) == set(_PARTS):
        content = _joined(content)
    if key is None and _is_state_dict(content):
        return content
    found = dict(_below(content))
    if key is not None:
        if key not in found:
            raise ValueError(f'has no weights called {key!r}; it has {_names(found, content)}')
        return found[key]
    plain = {name: tensors for name, tensors in found.items() if not _AVERAGED.search(name)}
    usual = [name for name in _USUAL if name in plain] or list(plain)
    if not found:
        raise ValueError(
            f'holds no state_dict: expected tensors by their keys, it has {_names({}, content)}'
        )
    if not plain:
        raise ValueError(
            f'holds averaged weights only: say by name (--key) which of {_list(found)}'
        )
    if len(usual) > 1 and usual[0] not in _USUAL:
        raise ValueError(f'holds several state_dicts: say by name (--key) which of {_list(plain)}')
    return plain[usual[0]]


def _below(content: object, prefix: str = '', depth: int = 2) -> 'Iterator[tuple[str, StateDict]]':
    """State dicts inside, by their names; those further inside as 'outer.inner'."""
    if not isinstance(content, Mapping) or depth == 0:
        return
    for name, value in content.items():
        if _is_state_dict(value):
            yield f'{prefix}{name}', value
        else:
            yield from _below(value, f'{prefix}{name}.', depth - 1)


def _is_state_dict(content: object) -> 'TypeGuard[StateDict]':
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(key, str) and torch.is_tensor(x) for key, x in content.items())
    )


def _joined(content: Mapping[str, Any]) -> dict[str, Any]:
    """One state_dict of several that SurgicalSAM publishes as one file."""
    return {
        prefix + key.removeprefix('module.'): tensor
        for name, prefix in _PARTS.items()
        for key, tensor in content[name].items()
    }


def _names(found: Mapping[str, StateDict], content: object) -> str:
    if not isinstance(content, Mapping):
        return f'a {type(content).__name__}'
    return _list(found or content)


def _list(names: Iterable[object], most: int = 5) -> str:
    known = [str(name) for name in names]
    return (', '.join(known[:most]) or 'nothing') + (', ...' if len(known) > most else '')
