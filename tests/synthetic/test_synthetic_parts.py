"""Solids, rays, motion and texture on their own, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthdata.geometry import is_rigid, rigid_transform, rotation_from_euler
from depthdata.synthetic.materials import Material, Patch, grain, periodic_pulse, pulse
from depthdata.synthetic.motion import Path
from depthdata.synthetic.raycast import View, cast, hidden
from depthdata.synthetic.solids import ball, box, ground, prism, tapered_box

PLAIN = Material("plain", (0.5, 0.5, 0.5))
SHAPES = {
    "box": box((-1, -0.5, -0.7), (1, 0.5, 0.7), PLAIN, 1),
    "tapered": tapered_box((-1, -1, -1), (1, 1, 1), ((-0.4, -0.6, 0), (0.3, 0.5, 0)), PLAIN, 1),
    "prism": prism((0.1, 0, 0), 1, 0.8, 0.5, PLAIN, 1),
    "ball": ball((0, 0.2, 0), 0.9, PLAIN, 1),
}


def inside(solid, points):
    return (points @ solid.normals.T <= solid.offsets + 1e-9).all(1)


@pytest.mark.parametrize("name", SHAPES)
def test_cast_finds_the_first_point_inside(name):
    rng = np.random.default_rng(3)
    solid = SHAPES[name].moved(rigid_transform(rotation_from_euler(0.3, -0.5, 1.0), [5.0, 1, 0.5]))
    origin = np.array([0.2, -0.1, 0.3])
    target = np.array([5.0, 1, 0.5]) + rng.normal(0, 0.7, (200, 3))
    directions = (target - origin).T
    hits = cast([solid], origin, directions)
    steps = np.linspace(0, 2, 4001)
    for k in range(200):
        points = origin + steps[:, None] * directions[:, k]
        entered = np.flatnonzero(inside(solid, points))
        if hits.solid[k] < 0:
            assert entered.size < 3  # a corner may be cut between two steps
        else:
            surface = origin + hits.s[k] * directions[:, k]
            assert np.isclose(solid.normals[hits.face[k]] @ surface, solid.offsets[hits.face[k]])
            if entered.size:
                assert abs(steps[entered[0]] - hits.s[k]) <= 6e-4


@pytest.mark.parametrize("name", SHAPES)
def test_corners_enclose_the_solid(name):
    solid = SHAPES[name]
    rng = np.random.default_rng(0)
    points = rng.uniform(-2, 2, (20000, 3))
    kept = points[inside(solid, points)]
    assert len(kept) > 100
    assert (kept >= solid.corners.min(0) - 1e-9).all()
    assert (kept <= solid.corners.max(0) + 1e-9).all()


def test_nearest_solid_wins_with_and_without_a_view():
    rng = np.random.default_rng(1)
    solids = [ground(PLAIN, 1).moved(rigid_transform(np.eye(3), [0, 0, -1.0]))]
    for _ in range(12):
        place = rigid_transform(
            rotation_from_euler(*rng.uniform(-1, 1, 3)), [*rng.uniform([4, -4], [20, 4]), 0.0]
        )
        solids.append(SHAPES["box"].moved(place))
    T_world_cam = rigid_transform([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], [0.1, 0.2, 0.3])
    K = np.array([[60.0, 0, 40], [0, 60, 20], [0, 0, 1]])
    v, u = np.divmod(np.arange(80 * 40), 80)
    uv = np.stack([u, v]).astype(float)
    d = T_world_cam[:3, :3] @ np.stack([(u - 40) / 60, (v - 20) / 60, np.ones(u.size)])
    view = View(K, np.linalg.inv(T_world_cam))
    culled = cast(solids, T_world_cam[:3, 3], d, uv=uv, view=view)
    plain = cast(solids, T_world_cam[:3, 3], d)
    assert np.array_equal(culled.s, plain.s)
    assert np.array_equal(culled.solid, plain.solid)
    alone = np.stack([cast([s], T_world_cam[:3, 3], d).s for s in solids])
    assert np.array_equal(plain.s, alone.min(0))
    assert len(np.unique(plain.solid)) > 4
    # what is seen is not hidden; a step further in is
    seen = np.flatnonzero(np.isfinite(plain.s))
    points = T_world_cam[:3, 3:] + plain.s[seen] * d[:, seen]
    origin = T_world_cam[:3, 3]
    assert not hidden(solids, origin, points, uv[:, seen], view).any()
    deeper = T_world_cam[:3, 3:] + 1.001 * plain.s[seen] * d[:, seen]
    assert hidden(solids, origin, deeper, uv[:, seen], view).all()


@settings(deadline=None, max_examples=60)
@given(
    st.builds(
        Path,
        x=st.floats(-9, 9),
        heading=st.floats(-3, 3),
        speed=st.just(0.0) | st.floats(1, 12),
        turn=st.floats(-0.5, 0.5),
        weave=st.floats(-0.5, 0.5),
        weave_rate=st.floats(0, 3),
        roll=st.floats(-0.1, 0.1),
        pitch=st.floats(-0.1, 0.1),
        bounce=st.floats(-0.1, 0.1),
        sway_rate=st.floats(0, 5),
    ),
    st.floats(0, 4),
)
def test_paths_are_rigid_smooth_and_start_where_they_say(path, time):
    start = rigid_transform(rotation_from_euler(0, 0, path.heading), [path.x, path.y, path.z])
    assert np.allclose(path.pose(0.0), start, atol=1e-12)
    assert is_rigid(path.pose([time, 2 * time]), 1e-9).all()
    step = np.abs(path.pose(time + 1e-6) - path.pose(time)).max()
    assert step < 1e-3
    if not path.moving:
        assert np.array_equal(path.pose(time), path.pose(0.0))


def test_a_car_looks_where_it_goes():
    path = Path(speed=5.0, turn=0.3, weave=0.3, weave_rate=1.5, heading=0.4)
    velocity = path.velocity(1.7)
    nose = path.pose(1.7)[:3, 0]
    assert np.allclose(nose, velocity / np.linalg.norm(velocity), atol=1e-6)


def test_an_arc_closes_to_a_circle():
    path = Path(speed=2.0, turn=0.5)
    assert np.allclose(path.pose(2 * np.pi / 0.5), np.eye(4), atol=1e-12)
    assert np.allclose(path.pose(np.pi / 0.5)[:3, 3], [0, 8.0, 0], atol=1e-12)


def test_pulse_is_the_mean_of_the_indicator():
    x = np.linspace(-1, 7, 33, dtype=np.float32)
    fine = x[:, None] + np.linspace(-0.5, 0.5, 2001)
    width = np.ones_like(x)
    assert np.allclose(pulse(x, 1.2, 3.1, width), ((fine > 1.2) & (fine < 3.1)).mean(1), atol=2e-3)
    repeated = ((fine % 2.0) > 0.3) & ((fine % 2.0) < 0.8)
    assert np.allclose(periodic_pulse(x, 2.0, 0.3, 0.8, width), repeated.mean(1), atol=2e-3)


def test_grain_fades_where_pixels_are_large():
    rng = np.random.default_rng(0)
    p = rng.uniform(0, 30, (3, 5000)).astype(np.float32)

    def deviation(size):
        step = np.zeros_like(p)
        step[0], other = size, np.zeros_like(p)
        other[1] = size
        return grain(Patch(p, step, other, np.array([0, 0, 1.0])), (1, 2, 3))[0].std()

    assert 0.7 < deviation(0.001) < 1.4
    assert deviation(0.001) > deviation(0.5) > deviation(20.0)
