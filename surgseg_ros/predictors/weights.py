"""The file of weights that a predictor was given, and what it says about itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from surgseg_ros import networks
from surgseg_ros.networks.bundled import bundled_weights, find_weights
from surgseg_ros.networks.card import Card, read_card


def existing_weights(name: str, weights: str | Path | None) -> Path:
    """The file of weights for the network `name`; None: those that come with the package.

    Raises FileNotFoundError, or ValueError that says where the authors publish weights, if they
    do, where none were given and none come with the package.
    """
    found = find_weights(weights) if weights else bundled_weights(name)
    if found is None:
        raise ValueError(f'{name} needs weights: {where_published(name)}')
    return found


def where_published(name: str) -> str:
    """Where weights of the network `name` are, and under which licence."""
    known = networks.spec(name)
    if not known.checkpoints:
        return 'its authors publish none, train some'
    others = ' and others' if len(known.checkpoints) > 1 else ''
    return (
        f'the authors publish them at {known.homepage} '
        f'(licence: {known.licence}; {known.checkpoints[0].name}{others})'
    )


def card_of(name: str, weights: Path) -> Card | None:
    """Read the card of weights of the network `name`, None where they have none.

    Raises ValueError where it is another network's, or broken.
    """
    card = read_card(weights)
    if card and card.network != name:
        raise ValueError(f'{weights} are weights of {card.network}, not of {name}')
    return card


def card_or_shapes(name: str, weights: Path) -> Card:
    """Read the card of weights of the network `name`, or what their shapes tell: imports torch.

    Raises what card_of and networks.load_checkpoint raise.
    """
    card = card_of(name, weights)
    if card:
        return card
    from surgseg_ros.networks.checkpoints import read

    return Card(name, networks.options_of(name, read(weights)))


def options_and_names(
    name: str, card: Card, class_names: Sequence[str], options: Mapping[str, Any] | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Options for networks.create of a network of instances, and names by class id.

    class_names, options: as given to its predictor, before which the card counts. Raises
    ValueError where there are not as many names as classes.
    """
    named, published = tuple(class_names) or card.class_names, networks.spec(name).class_names
    known = {'num_classes': len(named or published) - 1, **card.options, **(options or {})}
    return known, names_of_classes(named, published, known['num_classes'] + 1)


def names_of_classes(
    given: tuple[str, ...], published: tuple[str, ...], count: int
) -> tuple[str, ...]:
    """Names by class id for `count` classes, the background included.

    Those given, else the published ones if they are as many, else numbers. Raises ValueError
    where others are given than `count`.
    """
    if given and len(given) != count:
        raise ValueError(
            f'class_names has {len(given)} name{"s" if len(given) > 1 else ""}, the '
            f'network {count} classes, the background included'
        )
    numbered = ('background', *(f'class {i}' for i in range(1, count)))
    return given or (published if len(published) == count else numbered)
