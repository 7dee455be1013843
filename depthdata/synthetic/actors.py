"""Things with an identity: cars, vans and people, each a rigid body on a path of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from depthdata.synthetic.materials import Material
from depthdata.synthetic.motion import Path
from depthdata.synthetic.solids import Solid, ball, box, prism, tapered_box

__all__ = ["SEMANTIC_CLASSES", "Body", "cast_actors"]

SEMANTIC_CLASSES = {
    0: "sky",
    1: "road",
    2: "pavement",
    3: "building",
    4: "vegetation",
    5: "pole",
    6: "car",
    7: "van",
    8: "pedestrian",
}
"""Class of every value of the semantics stream."""

Generator = np.random.Generator
Colour = tuple[float, float, float]

_PAINTS: list[Colour] = [
    (0.62, 0.10, 0.09),
    (0.13, 0.24, 0.48),
    (0.78, 0.78, 0.80),
    (0.20, 0.37, 0.27),
    (0.85, 0.62, 0.16),
    (0.33, 0.34, 0.37),
]
_JACKETS: list[Colour] = [(0.72, 0.20, 0.16), (0.16, 0.35, 0.60), (0.84, 0.66, 0.20)]


@dataclass(frozen=True, eq=False)
class Body:
    """A rigid body; its origin is the centre of its box, x forward, y left, z up.

    Parameters
    ----------
    id : int
        Instance number; 0 is the street itself.
    category : str
    solids : tuple of Solid
        In body coordinates.
    path : Path
    size : float64, (3,)
        Length x, width y, height z of the box, metres.
    """

    id: int
    category: str
    solids: tuple[Solid, ...]
    path: Path
    size: npt.NDArray[np.float64]


def _vehicle(colour: Colour, size: tuple[float, float, float], semantic: int) -> list[Solid]:
    length, width, height = size
    low = -height / 2
    belt, roof, radius = 0.56 * height, height, 0.22 * height
    half, side = length / 2, width / 2 - 0.01
    boxy = semantic == 7
    facts = {
        "sill": 0.24 * height,
        "belt": belt,
        "roof": roof,
        "half_length": half,
        "half_width": side,
    }
    origin = (0.0, 0.0, low)
    body = Material("car_body", colour, 0.55, origin, facts)
    cabin = Material("car_cabin", colour, 0.55, origin, facts)
    nose, tail = (0.40, -0.49) if boxy else (0.25, -0.45)
    nose_top, tail_top = (0.28, -0.48) if boxy else (0.08, -0.31)
    solids = [
        tapered_box(
            (-half, -side, low + 0.13 * height),
            (half, side, low + belt),
            ((-half + 0.06, -side + 0.04, 0), (half - 0.12, side - 0.04, 0)),
            body,
            semantic,
        ),
        tapered_box(
            (tail * length, -side + 0.05, low + belt),
            (nose * length, side - 0.05, low + roof),
            ((tail_top * length, -side + 0.2, 0), (nose_top * length, side - 0.2, 0)),
            cabin,
            semantic,
        ),
    ]
    for x in (-0.31 * length, 0.32 * length):
        tyre = Material(
            "wheel", (0.10, 0.10, 0.11), 0.8, (x, 0.0, low + radius), {"rim": 0.6 * radius}
        )
        inner = radius * np.cos(np.pi / 14)
        solids.append(prism((x, 0.0, low + radius), 1, inner, width / 2, tyre, semantic, sides=14))
    return solids


def _person(jacket: Colour, size: tuple[float, float, float]) -> list[Solid]:
    height = size[2]
    low = -height / 2
    legs = Material("plain", (0.17, 0.20, 0.29), 0.9, (0.3, 0.0, low))
    coat = Material(
        "stripes",
        jacket,
        0.9,
        (0.0, 0.0, low),
        {"period": 0.34, "second_r": 0.85, "second_g": 0.84, "second_b": 0.80},
    )
    skin = Material("plain", (0.80, 0.60, 0.48), 0.7, (0.0, 0.2, low))
    hair = Material("plain", (0.22, 0.15, 0.10), 0.9, (0.1, 0.2, low))
    hip, neck = low + 0.47 * height, low + 0.83 * height
    top = low + height
    return [
        box((-0.02, 0.02, low), (0.14, 0.17, hip), legs, 8),
        box((-0.14, -0.17, low), (0.02, -0.02, hip), legs, 8),
        tapered_box(
            (-0.13, -0.24, hip), (0.13, 0.24, neck), ((-0.1, -0.2, 0), (0.1, 0.2, 0)), coat, 8
        ),
        ball((0.02, 0.0, top - 0.15), 0.115, skin, 8),
        ball((-0.01, 0.0, top - 0.12), 0.12, hair, 8),
    ]


def _car(rng: Generator, ident: int, path: Path, category: str = "car") -> Body:
    semantic = {"car": 6, "van": 7}[category]
    size = (4.3, 1.82, 1.48) if category == "car" else (5.3, 2.02, 2.35)
    colour = _PAINTS[(int(rng.integers(len(_PAINTS))) + ident) % len(_PAINTS)]
    return Body(ident, category, tuple(_vehicle(colour, size, semantic)), path, np.array(size))


def _walker(rng: Generator, ident: int, path: Path) -> Body:
    size = (0.36, 0.56, 1.68 + 0.16 * float(rng.random()))
    jacket = _JACKETS[(int(rng.integers(len(_JACKETS))) + ident) % len(_JACKETS)]
    return Body(ident, "pedestrian", tuple(_person(jacket, size)), path, np.array(size))


def cast_actors(
    rng: Generator, count: int, lane: float, half_width: float, ground: float, speed: float
) -> list[Body]:
    """Make `count` bodies with instance numbers from 1.

    The first three are a car ahead that weaves, an oncoming car and a parked car; then a person
    who crosses, a parked van, a car that pulls out in an arc, a person on the pavement, and more
    parked cars.

    Parameters
    ----------
    rng : numpy Generator
    count : int
    lane : float
        y of the middle of the road, metres; we drive at y = 0.
    half_width : float
        Half the road with its parking lanes.
    ground : float
        z of the road.
    speed : float
        Speed of the measuring vehicle, metres per second.
    """
    kerb_right, kerb_left = lane - half_width + 1.05, lane + half_width - 1.05

    def jitter(width: float) -> float:
        return float(rng.uniform(-width, width))

    def parked(x: float, left: bool) -> Path:
        heading = (np.pi if left else 0.0) + jitter(0.03)
        return Path(x + jitter(0.8), kerb_left if left else kerb_right, 0.0, heading)

    recipes: list[Callable[[int], Body]] = [
        lambda i: _car(
            rng,
            i,
            Path(
                14.0 + jitter(1),
                0.15,
                0.0,
                0.0,
                speed + 0.6,
                weave=0.22,
                weave_rate=1.5,
                roll=0.02,
                pitch=0.008,
                bounce=0.012,
                sway_rate=3.1,
            ),
        ),
        lambda i: _car(
            rng,
            i,
            Path(
                31.0 + jitter(2),
                2 * lane + 0.1,
                0.0,
                np.pi,
                8.0 + jitter(1),
                weave=0.2,
                weave_rate=1.7,
                roll=0.015,
                pitch=0.01,
                sway_rate=2.6,
            ),
        ),
        lambda i: _car(rng, i, parked(17.0, left=False)),
        lambda i: _walker(
            rng,
            i,
            Path(
                10.1 + jitter(0.4),
                1.7 + jitter(0.2),
                0.0,
                np.pi / 2,
                1.35,
                weave=0.05,
                weave_rate=4.0,
                roll=0.04,
                pitch=0.03,
                bounce=0.02,
                sway_rate=9.0,
            ),
        ),
        lambda i: _car(rng, i, parked(23.0, left=True), "van"),
        lambda i: _car(
            rng,
            i,
            Path(
                13.0 + jitter(0.5),
                kerb_left - 0.3,
                0.0,
                np.pi + 0.1,
                1.6,
                turn=0.22,
                roll=0.01,
                sway_rate=2.0,
            ),
        ),
        lambda i: _walker(
            rng,
            i,
            Path(
                11.0 + jitter(1),
                lane - half_width - 1.2,
                0.12,
                0.0,
                1.4,
                weave=0.06,
                weave_rate=4.0,
                roll=0.03,
                bounce=0.02,
                sway_rate=9.0,
            ),
        ),
    ]
    bodies = []
    for k in range(count):
        if k < len(recipes):
            body = recipes[k](k + 1)
        else:
            more = k - len(recipes)
            body = _car(rng, k + 1, parked(25.0 + 6.5 * (more // 2), left=more % 2 == 1))
        bodies.append(_standing(body, ground))
    return bodies


def _standing(body: Body, ground: float) -> Body:
    """Put the box of a body, whose path runs along the road, onto the ground."""
    facts = {**vars(body.path), "z": body.path.z + ground + float(body.size[2]) / 2}
    return Body(body.id, body.category, body.solids, Path(**facts), body.size)
