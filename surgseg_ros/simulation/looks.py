"""What a simulated operation looks like, as opposed to what happens in it: one sampled dataclass.

- classic: evenly lit salmon tissue to the picture's edge, grey shafts and steel. The default.
- surgery: the variety of real frames. Every kind below can be left out, for ablations.
- unseen: a drape, light and tool colours of its own, for tests; no training set may have it.

Each kind has a random generator of its own: leaving one out changes nothing of the others.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

Colour = tuple[float, float, float]

LOOKS = ('classic', 'surgery', 'unseen')
KINDS = {
    'border': 'content area: bars, circle or octagon, hard or soft, a box of text',
    'light': 'lamps, their fall-off, exposure, white balance, brightness of the right eye',
    'tissue': 'colours of tissue: pale, dark, yellow, bluish; blood, gloss',
    'backdrop': 'drapes, phantoms and benches instead of tissue',
    'tools': 'colours of the instruments; how far they reach into the picture',
    'count': 'from no instrument at all to four (where num_tools is not given)',
    'degradation': 'smoke, defocus, motion blur, noise, JPEG, interlacing',
    'distance': 'how far away tissue and instruments are',
}


class Lamps(NamedTuple):
    """Two lamps beside the endoscope's lens, mm in the camera frame; the key casts shadows."""

    key: Colour = (5.0, -10.0, -2.0)
    fill: Colour = (-9.0, 3.0, -2.0)
    key_power: float = 0.84
    fill_power: float = 0.30


@dataclass(frozen=True)
class Light:
    """exposure, white: gains of all and of each channel. falloff: share of light lost towards
    the corners, around `centre` (share of the picture's half size). right: gain of the right
    camera.
    """

    lamps: Lamps = Lamps()
    exposure: float = 1.0
    white: Colour = (1.0, 1.0, 1.0)
    falloff: float = 0.0
    centre: tuple[float, float] = (0.0, 0.0)
    right: float = 1.0

    @property
    def neutral(self) -> bool:
        """Whether pictures are as the lamps make them."""
        return self == Light(self.lamps)


@dataclass(frozen=True)
class Border:
    """The content area: 'full', 'bars', 'circle' or 'octagon'.

    size: its half height (of bars, half width) as a share of the picture's. height: half height
    between bars. shift: of its centre, as a share of the picture's half size. soft: width of its
    edge, share of the half height. level: of the border, 0..255. text: whether a box of text lies
    in a corner.
    """

    shape: str = 'full'
    size: float = 1.0
    height: float = 1.2
    shift: tuple[float, float] = (0.0, 0.0)
    soft: float = 0.0
    level: int = 0
    text: bool = False


@dataclass(frozen=True)
class TissueLook:
    """Palette by name (see tissue.PALETTES); gain of each channel; share of grey; blood: share of
    pools; gloss: subtracted from the roughness.
    """

    palette: str = 'classic'
    gain: Colour = (1.0, 1.0, 1.0)
    grey: float = 0.0
    blood: float = 0.0
    gloss: float = 0.0


@dataclass(frozen=True)
class Backdrop:
    """What lies there instead of tissue: linear colour, weave and folds in mm (0 none)."""

    colour: Colour = (0.02, 0.15, 0.20)
    second: Colour = (0.02, 0.15, 0.20)
    weave: float = 0.0
    folds: float = 0.0
    rough: float = 0.5


class ToolColours(NamedTuple):
    """Linear colours of one instrument: shaft times streaks; bright and dark steel; tint."""

    shaft: float = 0.047
    shaft_tint: Colour = (1.06, 1.0, 0.92)
    streaks: float = 1.0
    bright: float = 0.62
    dark: float = 0.28
    steel_tint: Colour = (1.0, 0.97, 0.93)
    rough: float = 0.40


@dataclass(frozen=True)
class Degradation:
    """smoke: 0..1. defocus: px at 640 px width. motion: greatest motion blur, px at that width,
    and the share of frames that have any. noise: factor. jpeg: quality, 0 none. interlaced.
    """

    smoke: float = 0.0
    defocus: float = 0.0
    motion: float = 0.0
    moved: float = 0.0
    noise: float = 1.0
    jpeg: int = 0
    interlaced: bool = False


@dataclass(frozen=True)
class Look:
    """All that decides how a simulated operation looks; see the classes of its fields.

    tools: by slot, four. retract: mm by which each instrument stays back. num_tools: where the
    caller gives none. articulated: whether wrists are da Vinci's where the caller does not say.
    distance: of the tissue, as a share of the classic look's.
    """

    name: str = 'classic'
    border: Border = Border()
    light: Light = Light()
    tissue: TissueLook = TissueLook()
    backdrop: Backdrop | None = None
    tools: tuple[ToolColours, ...] = (ToolColours(),) * 4
    retract: tuple[float, ...] = (0.0,) * 4
    num_tools: int = 2
    articulated: bool = False
    degradation: Degradation = field(default_factory=Degradation)
    distance: float = 1.0


def sample_look(name: str, seed: int, without: Collection[str] = ()) -> Look:
    """Return the look of a seed without these KINDS; ValueError for unknown names."""
    if name not in LOOKS:
        raise ValueError(f'look is {name!r}, expected {", ".join(LOOKS)}')
    for kind in without:
        if kind not in KINDS:
            raise ValueError(f'without names {kind!r}, expected some of {", ".join(KINDS)}')
    if name == 'classic':
        return Look()
    look = Look(name, articulated=True)
    for index, kind in enumerate(KINDS):
        rng = np.random.default_rng([seed, 6, index])
        if kind not in without:
            look = _DRAW[kind](look, rng)
    return look


def _border(look: Look, rng: np.random.Generator) -> Look:
    shape = str(rng.choice(['full', 'bars', 'circle', 'octagon'], p=(0.35, 0.2, 0.3, 0.15)))
    border = Border(
        shape,
        float(rng.uniform(0.6, 0.92) if shape == 'bars' else rng.uniform(0.85, 1.2)),
        float(rng.uniform(0.9, 1.2)),
        (float(rng.normal(0.0, 0.04)), float(rng.normal(0.0, 0.04))),
        float(rng.uniform(0.0, 0.15) * (rng.random() < 0.5)),
        int(rng.integers(1, 20) * (rng.random() < 0.5)),
        bool(rng.random() < 0.15),
    )
    return replace(look, border=border)


def _light(look: Look, rng: np.random.Generator) -> Look:
    lamps = Lamps(
        tuple(np.add(Lamps().key, rng.uniform(-4.0, 4.0, 3)).tolist()),
        tuple(np.add(Lamps().fill, rng.uniform(-4.0, 4.0, 3)).tolist()),
        float(rng.uniform(0.5, 1.0)),
        float(rng.uniform(0.1, 0.5)),
    )
    warmth, green = rng.normal(0.0, 0.13), rng.normal(0.0, 0.05)
    if look.name == 'unseen':  # colder than any of surgery's
        warmth, green = -0.45 + 0.05 * rng.standard_normal(), 0.15
    light = Light(
        lamps,
        float(np.exp(rng.normal(0.05, 0.30))),
        (float(np.exp(warmth)), float(np.exp(green)), float(np.exp(-warmth))),
        float(rng.uniform(0.0, 0.85)),
        (float(rng.normal(0.0, 0.2)), float(rng.normal(0.0, 0.2))),
        float(np.exp(rng.normal(0.0, 0.04))),
    )
    return replace(look, light=light)


def _tissue(look: Look, rng: np.random.Generator) -> Look:
    names = ('classic', 'pale', 'dark', 'yellow', 'bluish', 'liver')
    tissue = TissueLook(
        str(rng.choice(names)),
        tuple(np.exp(rng.normal(0.0, (0.15, 0.12, 0.15))).tolist()),
        float(rng.uniform(0.0, 0.45)),
        float(rng.uniform(0.05, 0.4) * (rng.random() < 0.4)),
        float(rng.uniform(-0.12, 0.12)),
    )
    return replace(look, tissue=tissue)


def _backdrop(look: Look, rng: np.random.Generator) -> Look:
    if (
        look.name == 'unseen'
    ):  # orange and violet; surgery's drapes are green to blue, benches grey to beige
        orange, violet = (0.55, 0.16, 0.03), (0.18, 0.05, 0.30)
        return replace(look, backdrop=Backdrop(orange, violet, weave=2.5, folds=3.0, rough=0.55))
    if rng.random() > 0.25:
        return look
    drape = rng.random() < 0.5
    hue = rng.uniform(0.0, 1.0)
    if drape:
        colour = np.array([0.02, 0.10 + 0.12 * hue, 0.10 + 0.20 * (1 - hue)])
    else:
        colour = np.array([1.0, rng.uniform(0.8, 1), rng.uniform(0.6, 1)])
        colour *= rng.uniform(0.15, 0.7)
    second = colour * rng.uniform(0.6, 1.3)
    backdrop = Backdrop(
        tuple(colour.tolist()),
        tuple(second.tolist()),
        weave=float(rng.uniform(0.4, 1.5)) if drape else 0.0,
        folds=float(rng.uniform(1.0, 5.0)) if drape else float(rng.uniform(0.0, 0.5)),
        rough=float(rng.uniform(0.25, 0.6)),
    )
    return replace(look, backdrop=backdrop)


_SHAFTS: dict[str, tuple[float, Colour, float]] = {  # grey, tint, streaks
    'grey': (0.047, (1.06, 1.0, 0.92), 1.0),
    'black': (0.008, (1.0, 1.0, 1.0), 0.5),
    'blue-black': (0.018, (0.7, 0.9, 1.5), 0.6),
    'green': (0.10, (0.35, 1.0, 0.55), 0.3),
    'steel': (0.30, (1.0, 0.98, 0.95), 0.5),
    'white-hot': (0.9, (1.0, 1.0, 1.0), 0.2),
}


def _tools(look: Look, rng: np.random.Generator) -> Look:
    colours = tuple(_bronze() if look.name == 'unseen' else _tool(rng) for _ in range(4))
    back = rng.uniform(0.0, 25.0, 4) * (rng.random(4) < 0.35)
    return replace(look, tools=colours, retract=tuple(back.tolist()))


def _tool(rng: np.random.Generator) -> ToolColours:
    name = rng.choice(list(_SHAFTS), p=(0.3, 0.25, 0.15, 0.06, 0.16, 0.08))
    grey, tint, streaks = _SHAFTS[str(name)]
    steel = np.exp(rng.normal(-0.05, 0.3))
    warm = rng.normal(0.0, 0.06)
    return ToolColours(
        float(grey * np.exp(rng.normal(0.0, 0.3))),
        tint,
        streaks,
        float(min(0.62 * steel, 0.95)),
        float(0.28 * steel * np.exp(rng.normal(0.0, 0.3))),
        (1.0 + float(warm), 0.97, 0.93 - float(warm)),
        float(rng.uniform(0.25, 0.5)),
    )


def _bronze() -> ToolColours:
    """White shafts with golden jaws."""
    return ToolColours(0.5, (1.0, 0.85, 0.75), 0.2, 0.6, 0.4, (1.0, 0.72, 0.35), 0.35)


def _count(look: Look, rng: np.random.Generator) -> Look:
    return replace(look, num_tools=int(rng.choice(5, p=(0.15, 0.25, 0.35, 0.15, 0.10))))


def _degradation(look: Look, rng: np.random.Generator) -> Look:
    degradation = Degradation(
        smoke=float(rng.uniform(0.1, 0.5)) if rng.random() < 0.2 else 0.0,
        defocus=float(abs(rng.normal(0.0, 0.9))),
        motion=float(rng.uniform(2.0, 12.0)),
        moved=float(rng.uniform(0.0, 0.4)),
        noise=float(np.exp(rng.normal(0.0, 0.5))),
        jpeg=int(rng.integers(35, 96)) if rng.random() < 0.6 else 0,
        interlaced=bool(rng.random() < 0.05),
    )
    return replace(look, degradation=degradation)


def _distance(look: Look, rng: np.random.Generator) -> Look:
    return replace(look, distance=float(rng.uniform(0.85, 1.7)))


_DRAW = {
    'border': _border,
    'light': _light,
    'tissue': _tissue,
    'backdrop': _backdrop,
    'tools': _tools,
    'count': _count,
    'degradation': _degradation,
    'distance': _distance,
}
