"""The street: road, pavements, houses, trees and lamp posts, laid out from a seed."""

from __future__ import annotations

import numpy as np

from depthdata.synthetic.actors import Body, cast_actors
from depthdata.synthetic.materials import Material
from depthdata.synthetic.motion import Path
from depthdata.synthetic.solids import Solid, ball, box, ground, prism, tapered_box

__all__ = ["HALF_WIDTH", "build_street"]

HALF_WIDTH = 5.6
"""Half of the road with its parking lanes, metres."""
_LANE = 1.75
_BEHIND, _AHEAD = 48.0, 105.0
Generator = np.random.Generator
Colour = tuple[float, float, float]

_WALLS: list[Colour] = [
    (0.83, 0.77, 0.64),
    (0.74, 0.58, 0.42),
    (0.66, 0.38, 0.30),
    (0.80, 0.80, 0.76),
    (0.62, 0.66, 0.66),
    (0.86, 0.72, 0.46),
]
_TRIMS: list[Colour] = [(0.55, 0.50, 0.44), (0.45, 0.42, 0.40), (0.68, 0.62, 0.54)]
_ROOFS: list[Colour] = [(0.50, 0.24, 0.18), (0.36, 0.30, 0.29), (0.44, 0.28, 0.22)]


def _house(rng: Generator, x0: float, x1: float, side: int, setback: float) -> list[Solid]:
    storeys = int(rng.integers(2, 5))
    storey = float(rng.uniform(2.9, 3.4))
    height = storeys * storey + 1.1
    bays = max(2, round((x1 - x0) / 2.7))
    near, far = HALF_WIDTH + 2.7 + setback, HALF_WIDTH + 14.0 + setback
    y0, y1 = (near, far) if side > 0 else (-far, -near)
    trim = _TRIMS[int(rng.integers(len(_TRIMS)))]
    wall = Material(
        "facade",
        _WALLS[int(rng.integers(len(_WALLS)))],
        1.0,
        (x0, y0, 0.0),
        {
            "height": height,
            "storey": storey,
            "bay": (x1 - x0) / bays,
            "phase": float(rng.uniform(0, 6)),
            "trim_r": trim[0],
            "trim_g": trim[1],
            "trim_b": trim[2],
        },
    )
    tiles_colour = _ROOFS[int(rng.integers(len(_ROOFS)))]
    darker = [0.8 * c for c in tiles_colour]
    tiles = Material(
        "stripes",
        tiles_colour,
        1.2,
        (x0, y0, height),
        {"period": 0.42, "second_r": darker[0], "second_g": darker[1], "second_b": darker[2]},
    )
    middle, top = (y0 + y1) / 2, height + float(rng.uniform(2.0, 3.6))
    return [
        box((x0, y0, 0.0), (x1, y1, height), wall, 3),
        tapered_box(
            (x0 - 0.1, y0 - 0.35, height),
            (x1 + 0.1, y1 + 0.35, top),
            ((x0 + 1.5, middle - 1.0, 0), (x1 - 1.5, middle + 1.0, 0)),
            tiles,
            3,
        ),
    ]


def _row_of_houses(rng: Generator, side: int, start: float, end: float) -> list[Solid]:
    solids: list[Solid] = []
    x = start + float(rng.uniform(0, 4))
    while x < end:
        width = float(rng.uniform(10, 19))
        solids += _house(rng, x, x + width, side, float(rng.uniform(0, 0.9)))
        x += width + (float(rng.uniform(3, 6)) if rng.random() < 0.3 else 0.0)
    return solids


def _tree(rng: Generator, x: float, y: float) -> list[Solid]:
    bark = Material("plain", (0.34, 0.26, 0.20), 1.6, (x, y, 0.0))
    green = float(rng.uniform(0.9, 1.1))
    leaves = Material("plain", (0.26 * green, 0.42 * green, 0.17), 2.6, (x, y, 1.0))
    height = float(rng.uniform(3.9, 4.8))
    solids = [prism((x, y, height / 2), 2, 0.12, height / 2, bark, 4, sides=8)]
    for dx, dy, dz, radius in ((0, 0, 0.4, 1.25), (0.7, 0.3, -0.3, 0.85), (-0.7, -0.2, -0.2, 0.9)):
        solids.append(ball((x + dx, y + dy, height + dz), radius, leaves, 4))
    return solids


def _lamp(x: float, y: float) -> list[Solid]:
    metal = Material("plain", (0.40, 0.43, 0.42), 1.0, (x, y, 0.0))
    arm = 0.9 if y < 0 else -0.9
    low, high = sorted((y, y + arm))
    return [
        prism((x, y, 2.9), 2, 0.07, 2.9, metal, 5, sides=8),
        box((x - 0.09, low, 5.72), (x + 0.09, high, 5.84), metal, 5),
    ]


def _roadside(rng: Generator, end: float) -> list[Solid]:
    solids: list[Solid] = []
    stone = Material("pavement", (0.58, 0.56, 0.53), 0.9, (0.0, 0.0, 0.0))
    outer = HALF_WIDTH + 2.6
    for low, high in ((HALF_WIDTH, outer), (-outer, -HALF_WIDTH)):
        solids.append(box((-_BEHIND, low, 0.0), (end, high, 0.12), stone, 2))
    hedge = Material("plain", (0.24, 0.37, 0.18), 2.2, (3.0, 5.0, 0.0))
    solids += [
        box((-_BEHIND, y, 0.0), (end, y + 1.0, 3.2), hedge, 4)
        for y in (HALF_WIDTH + 13.5, -HALF_WIDTH - 14.5)
    ]
    for side in (1, -1):
        x = 9.0 + float(rng.uniform(0, 6))
        while x < end - 20:
            solids += _tree(rng, x, side * (HALF_WIDTH + 1.9))
            solids += _lamp(x + 7.0, side * (HALF_WIDTH + 0.5))
            x += float(rng.uniform(15, 22))
    return solids


def _closing_house(rng: Generator, x: float) -> list[Solid]:
    facts = {"height": 12.0, "storey": 3.6, "bay": 3.0, "phase": 1.0}
    trim = {"trim_r": 0.52, "trim_g": 0.46, "trim_b": 0.40}
    wall = Material("facade", _WALLS[0], 1.2, (x, -35.0, 0.0), {**facts, **trim})
    tower = Material(
        "facade", (0.70, 0.60, 0.48), 1.2, (x, -3.0, 0.0), {**facts, **trim, "height": 21.0}
    )
    spire = Material("plain", (0.30, 0.42, 0.38), 1.2, (x, 0.0, 21.0))
    y = float(rng.uniform(-3, 1))
    return [
        box((x, -35.0, 0.0), (x + 10, 35.0, 12.0), wall, 3),
        box((x - 1, y - 3, 0.0), (x + 5, y + 3, 21.0), tower, 3),
        tapered_box(
            (x - 1.2, y - 3.2, 21.0),
            (x + 5.2, y + 3.2, 29.0),
            ((x + 1.8, y - 0.2, 0), (x + 2.2, y + 0.2, 0)),
            spire,
            3,
        ),
        box((-_BEHIND - 10, -35.0, 0.0), (-_BEHIND, 35.0, 11.0), wall, 3),
    ]


def build_street(
    seed: int, count: int, *, travel: float, speed: float, ground_z: float
) -> list[Body]:
    """Lay out a street and everybody in it.

    Parameters
    ----------
    seed : int
    count : int
        Objects with an identity, moving or parked.
    travel : float
        Metres that the measuring vehicle drives; the street is that much longer.
    speed : float
        Speed of the measuring vehicle, metres per second.
    ground_z : float
        Height of the road in world coordinates.

    Returns
    -------
    list of Body
        The street (instance 0, whose frame has z = 0 on the road) and the objects 1 ... `count`.
    """
    rng = np.random.default_rng([seed, 1])
    end = travel + _AHEAD
    asphalt = Material(
        "road",
        (0.335, 0.335, 0.35),
        1.1,
        (0.0, 0.0, 0.0),
        {"half_width": HALF_WIDTH, "zebra_x": 8.6},
    )
    solids = [ground(asphalt, 1), *_roadside(rng, end)]
    for side in (1, -1):
        solids += _row_of_houses(rng, side, -_BEHIND, end - 12.0)
    solids += _closing_house(rng, end)
    street = Body(0, "street", tuple(solids), Path(y=_LANE, z=ground_z), np.full(3, np.nan))
    actors = cast_actors(
        np.random.default_rng([seed, 2]), count, _LANE, HALF_WIDTH, ground_z, speed
    )
    return [street, *actors]
