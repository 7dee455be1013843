"""The scene's truth, checked by geometry that the renderer does not use."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from depthdata.errors import DepthdataError, UsageError
from depthdata.geometry import (
    backproject,
    is_rigid,
    pixel_grid,
    project,
    rigid_flow,
    se3_inverse,
    transform,
)
from depthdata.synthetic import SEMANTIC_CLASSES, SyntheticScene

H, W = 97, 311  # odd on purpose
T = 1


@pytest.fixture(scope="module")
def scene():
    return SyntheticScene(seed=4, frames=3, height=H, width=W, objects=7)


@pytest.fixture(scope="module")
def frame(scene):
    return scene.render(T)


@pytest.fixture(scope="module")
def right(scene):
    return scene.render(T, "right")


@pytest.fixture(scope="module")
def following(scene):
    return scene.render(T + 1)


@pytest.fixture(scope="module")
def before(scene):
    return scene.render(T - 1)


def world_points(scene, frame, t=T, camera="left"):
    X = backproject(scene.intrinsics, pixel_grid(H, W), frame.depth)
    return transform(scene.T_world_cam(camera)[t], X)


def box_pose(scene, t, ident):
    boxes = scene.objects()
    (row,) = np.flatnonzero((boxes.frame == t) & (boxes.id == ident))
    return boxes.T_world_box[row]


def smooth(instances, depth):
    """Pixels whose 3 x 3 neighbours lie on the same object at about the same depth."""
    filled = np.nan_to_num(depth, nan=1e3)
    low, high = cv2.erode(filled, np.ones((3, 3))), cv2.dilate(filled, np.ones((3, 3)))
    ids = instances.astype(np.float32)
    same = cv2.erode(ids, np.ones((3, 3))) == cv2.dilate(ids, np.ones((3, 3)))
    return same & (high - low < 0.1 * low)


def sample(image, u, v):
    return cv2.remap(image, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR)


def test_shapes_and_types(frame):
    assert frame.rgb.shape == (H, W, 3)
    assert frame.rgb.dtype == np.uint8
    for name in ("depth", "disparity"):
        assert getattr(frame, name).shape == (H, W)
        assert getattr(frame, name).dtype == np.float32
    for name in ("flow_forward", "flow_backward"):
        assert getattr(frame, name).shape == (2, H, W)
        assert getattr(frame, name).dtype == np.float32
    assert frame.instances.dtype == np.uint16
    for name in ("occluded_right", "occluded_forward", "occluded_backward", "moving", "semantics"):
        assert getattr(frame, name).dtype == np.uint8
    assert set(np.unique(frame.semantics)) <= set(SEMANTIC_CLASSES)


def test_road_depth_is_the_plane_below_the_vehicle(scene, frame):
    road = frame.semantics == 1
    assert road.mean() > 0.1
    X = world_points(scene, frame)[road]
    assert np.allclose(X[:, 2], -scene.rig.imu_height, atol=1e-4)


def test_sky_has_no_depth_and_everything_else_has(frame):
    sky = frame.semantics == 0
    assert 0 < sky.mean() < 0.3
    for values in (frame.depth, frame.disparity, frame.flow_forward[0], frame.flow_backward[1]):
        assert np.isnan(values[sky]).all()
    assert np.isfinite(frame.depth[~sky]).all()
    assert (frame.instances[sky] == 0).all()
    assert (frame.moving[sky] == 0).all()


def test_disparity_times_depth_is_focal_length_times_baseline(scene, frame):
    solid = frame.semantics != 0
    product = frame.disparity[solid].astype(float) * frame.depth[solid]
    assert np.allclose(product, scene.intrinsics[0, 0] * scene.baseline, rtol=1e-6)


def test_surface_points_of_an_object_lie_in_its_box(scene, frame):
    boxes = scene.objects()
    X = world_points(scene, frame)
    seen = 0
    for row in np.flatnonzero(boxes.frame == T):
        mine = frame.instances == boxes.id[row]
        local = transform(se3_inverse(boxes.T_world_box[row]), X[mine])
        assert (np.abs(local) <= boxes.size[row] / 2 + 1e-4).all()
        names = {SEMANTIC_CLASSES[int(k)] for k in np.unique(frame.semantics[mine])}
        assert names <= {boxes.category[row]}
        seen += mine.any()
    assert seen >= 5


def test_visible_surface_fills_the_box(scene, frame):
    # the rear of the car ahead: the nearest points are at the back end of its box, at its height
    X = world_points(scene, frame)[frame.instances == 1]
    local = transform(se3_inverse(box_pose(scene, T, 1)), X)
    size = scene.objects().size[0]
    assert np.isclose(local[:, 0].min(), -size[0] / 2, atol=0.03)
    assert local[:, 2].max() > 0.9 * size[2] / 2


def test_moving_mask_is_where_boxes_move(scene, frame):
    boxes = scene.objects()
    for ident in np.unique(boxes.id):
        poses = boxes.T_world_box[boxes.id == ident]
        moves = not np.allclose(poses, poses[:1], atol=1e-9)
        assert (boxes.moving[boxes.id == ident] == moves).all()
        assert (frame.moving[frame.instances == ident] == moves).all()
    assert set(boxes.moving.tolist()) == {True, False}
    assert (frame.moving[frame.instances == 0] == 0).all()


def test_moving_objects_turn_too(scene):
    boxes = scene.objects()
    turned = [
        ident
        for ident in np.unique(boxes.id[boxes.moving])
        if not np.allclose(*boxes.T_world_box[boxes.id == ident][[0, 2], :3, :3], atol=1e-3)
    ]
    assert len(turned) >= 3


def test_velocity_is_the_derivative_of_the_box(scene):
    fine = SyntheticScene(seed=4, frames=3, height=H, width=W, objects=7, fps=2000.0)
    boxes = fine.objects()
    for ident in np.unique(boxes.id):
        mine = boxes.id == ident
        centre = boxes.T_world_box[mine, :3, 3]
        difference = (centre[2] - centre[0]) * fine.fps / 2
        assert np.allclose(boxes.velocity[mine][1], difference, atol=1e-4)


def test_flow_of_what_stands_still_comes_from_the_camera_alone(scene, frame):
    poses = scene.T_world_cam("left")
    for other, flow in ((T + 1, frame.flow_forward), (T - 1, frame.flow_backward)):
        expected = rigid_flow(frame.depth, scene.intrinsics, se3_inverse(poses[other]) @ poses[T])
        still = (frame.moving == 0) & np.isfinite(expected[0])
        assert np.allclose(flow[:, still], expected[:, still], atol=2e-3)
        moving = (frame.moving == 1) & np.isfinite(expected[0])
        assert np.abs(flow - expected)[:, moving].max() > 1


def test_flow_of_an_object_by_hand(scene, frame):
    poses = scene.T_world_cam("left")
    X, grid = world_points(scene, frame), pixel_grid(H, W)
    checked = 0
    for ident in np.unique(frame.instances[frame.moving == 1]):
        mine = frame.instances == ident
        local = transform(se3_inverse(box_pose(scene, T, ident)), X[mine])
        moved = transform(box_pose(scene, T + 1, ident), local)
        uv, z = project(scene.intrinsics, transform(se3_inverse(poses[T + 1]), moved))
        assert (z > 0).all()
        assert np.allclose(frame.flow_forward[:, mine].T, uv - grid[mine], atol=2e-3)
        checked += 1
    assert checked >= 3


def test_flow_there_and_back_is_a_cycle(frame, following):
    u, v = np.moveaxis(pixel_grid(H, W), -1, 0)
    there = u + frame.flow_forward[0], v + frame.flow_forward[1]
    seen = (frame.occluded_forward == 0) & smooth(frame.instances, frame.depth)
    back = [sample(np.nan_to_num(f, nan=1e6), *there) for f in following.flow_backward]
    error = np.hypot(frame.flow_forward[0] + back[0], frame.flow_forward[1] + back[1])[seen]
    assert seen.mean() > 0.4
    assert np.median(error) < 1e-3
    assert np.percentile(error, 95) < 0.1


def test_what_both_cameras_see_has_one_depth(frame, right):
    v, u = np.mgrid[:H, :W]
    column = np.rint(u - np.nan_to_num(frame.disparity)).astype(int)
    inside = (column >= 0) & np.isfinite(frame.depth)
    there = right.depth[v, np.maximum(column, 0)]
    seen = (frame.occluded_right == 0) & smooth(frame.instances, frame.depth)
    assert (seen <= inside).all()
    close = np.abs(there - frame.depth) < 0.06 * frame.depth
    assert close[seen].mean() > 0.99
    hidden = inside & (frame.occluded_right == 1)
    assert hidden.sum() > 50
    # something nearer is there, but for the rounding of its outline
    assert (there < frame.depth * 0.995)[hidden].mean() > 0.85


def test_occlusion_over_time_agrees_with_the_next_image(frame, following, before):
    for flow, gone, other in (
        (frame.flow_forward, frame.occluded_forward, following),
        (frame.flow_backward, frame.occluded_backward, before),
    ):
        v, u = np.mgrid[:H, :W]
        with np.errstate(invalid="ignore"):
            x, y = np.rint(np.nan_to_num(u + flow[0], nan=-1)), np.rint(v + flow[1])
            inside = (x >= 0) & (x < W) & (y >= 0) & (y < H)
        x, y = np.where(inside, x, 0).astype(int), np.where(inside, y, 0).astype(int)
        seen = (gone == 0) & inside & smooth(frame.instances, frame.depth)
        same = other.instances[y, x] == frame.instances
        assert same[seen].mean() > 0.99
        assert (gone[~inside] == 1).mean() > 0.99  # pixel borders reach half a pixel further
        nearer = (other.depth[y, x] < frame.depth) | ~same
        hidden = (gone == 1) & inside & np.isfinite(frame.depth)
        assert nearer[hidden].mean() > 0.4


def test_right_image_warped_by_disparity_is_the_left_image(scene, frame, right):
    u, v = np.moveaxis(pixel_grid(H, W), -1, 0)
    warped = sample(right.rgb.astype(np.float32), u - np.nan_to_num(frame.disparity), v)
    error = np.abs(warped - frame.rgb).mean(-1)
    seen = (frame.occluded_right == 0) & smooth(frame.instances, frame.depth)
    assert np.median(error[seen]) < 1.5
    assert error[seen].mean() < 4
    shuffled = np.abs(right.rgb.astype(float) - frame.rgb).mean(-1)[seen].mean()
    assert shuffled > 4 * error[seen].mean()


def test_next_image_warped_by_flow_is_this_image(frame, following):
    u, v = np.moveaxis(pixel_grid(H, W), -1, 0)
    flow = np.nan_to_num(frame.flow_forward)
    error = np.abs(
        sample(following.rgb.astype(np.float32), u + flow[0], v + flow[1]) - frame.rgb
    ).mean(-1)
    for mask in (frame.moving == 0, frame.moving == 1):
        seen = (frame.occluded_forward == 0) & smooth(frame.instances, frame.depth) & mask
        assert np.median(error[seen]) < 2.5


def test_block_matching_finds_the_disparity(frame, right):
    count = 16 * (1 + int(np.nanmax(frame.disparity)) // 16)
    matcher = cv2.StereoSGBM_create(0, count, 5, 200, 800, 1, 63, 10, 100, 2)
    left_gray, right_gray = (
        cv2.copyMakeBorder(
            cv2.cvtColor(f.rgb, cv2.COLOR_RGB2GRAY), 0, 0, count, 0, cv2.BORDER_REPLICATE
        )
        for f in (frame, right)
    )
    found = matcher.compute(left_gray, right_gray)[:, count:] / 16
    seen = (found > 0) & (frame.occluded_right == 0)
    error = np.abs(found - frame.disparity)[seen]
    assert seen.mean() > 0.75
    assert np.median(error) < 0.3
    assert (error > 1).mean() < 0.06


def test_cameras_form_rectified_pairs(scene):
    for left, other in (("left", "right"), ("gray_left", "gray_right")):
        step = se3_inverse(scene.T_world_cam(left)[T]) @ scene.T_world_cam(other)[T]
        expected = np.eye(4)
        expected[0, 3] = scene.baseline
        assert np.allclose(step, expected, atol=1e-12)
    colour = se3_inverse(scene.T_world_cam("gray_left")[T]) @ scene.T_world_cam("left")[T]
    assert np.isclose(colour[0, 3], -0.06)
    assert abs(colour[1, 3]) > 1e-4  # not quite in line, as on the real car


def test_poses_are_rigid_and_start_at_the_world(scene):
    assert np.allclose(scene.T_world_imu[0], np.eye(4))
    assert is_rigid(scene.T_world_cam("right"), 1e-9).all()
    assert is_rigid(scene.objects().T_world_box, 1e-9).all()
    assert np.allclose(
        scene.T_world_velo @ se3_inverse(scene.T_cam_velo), scene.T_world_cam("left")
    )
    driven = scene.T_world_imu[2, 0, 3]
    assert np.isclose(driven, scene.speed * scene.times[2], rtol=1e-2)


def test_same_arguments_same_arrays():
    kwargs = {"frames": 2, "height": 40, "width": 130, "objects": 4}
    a, b = SyntheticScene(7, **kwargs).render(1), SyntheticScene(7, **kwargs).render(1)
    for name, value in vars(a).items():
        assert value.tobytes() == getattr(b, name).tobytes(), name
    other = SyntheticScene(8, **kwargs).render(1)
    assert not np.array_equal(a.rgb, other.rgb)


def test_photograph_is_the_image_of_render(scene, frame):
    assert np.array_equal(scene.photograph(T, "left"), frame.rgb)


def test_supersampling_smooths_outlines_and_leaves_truth(frame):
    fine = SyntheticScene(seed=4, frames=3, height=H, width=W, objects=7, supersample=2).render(T)
    for name, value in vars(frame).items():
        if name != "rgb":
            assert np.array_equal(value, getattr(fine, name), equal_nan=True), name
    difference = np.abs(fine.rgb.astype(float) - frame.rgb).mean()
    assert 0 < difference < 6


@pytest.mark.parametrize(("height", "width"), [(2, 2), (33, 17), (20, 201), (128, 64)])
def test_any_size(height, width):
    scene = SyntheticScene(seed=1, frames=1, height=height, width=width)
    frame = scene.render(0)
    assert frame.rgb.shape == (height, width, 3)
    assert np.isfinite(frame.depth).any()
    # a single frame has no neighbours
    assert np.isnan(frame.flow_forward).all()
    assert (frame.occluded_backward == 1).all()


def test_other_lens_sees_the_same_world(scene, frame):
    K = scene.intrinsics.copy()
    K[:2, 2] += 5, 2  # what was at (u, v) is 5 pixels further right and 2 further down
    shifted = SyntheticScene(**{**scene.arguments, "intrinsics": K}).render(T, colour=False)
    np.testing.assert_array_equal(shifted.instances[2:, 5:], frame.instances[:-2, :-5])
    np.testing.assert_allclose(shifted.disparity[2:, 5:], frame.disparity[:-2, :-5], rtol=1e-6)
    np.testing.assert_array_equal(scene.intrinsics[:2, 2], K[:2, 2] - [5, 2])
    again = SyntheticScene(intrinsics=np.diag([900.0, 800, 1]))
    assert again.arguments["intrinsics"][1][1] == 800 and "intrinsics" not in scene.arguments


@pytest.mark.parametrize(
    "intrinsics",
    [
        np.eye(4),
        np.diag([9.0, 0, 1]),
        np.diag([9.0, 9, 2]),
        np.diag([9, np.nan, 1]),
        [[9, 0.1, 4], [0, 9, 4], [0, 0, 1]],
    ],
)
def test_no_lens(intrinsics):
    with pytest.raises(UsageError, match="synthetic scene: intrinsics should be"):
        SyntheticScene(intrinsics=intrinsics)


def test_standing_still_has_no_flow_but_on_objects():
    scene = SyntheticScene(seed=2, frames=2, height=48, width=160, objects=2, speed=0.0)
    frame = scene.render(0)
    still = (frame.moving == 0) & np.isfinite(frame.depth)
    assert np.abs(frame.flow_forward[:, still]).max() < 1e-4
    assert np.abs(frame.flow_forward[:, frame.moving == 1]).max() > 0.1


def test_no_objects():
    scene = SyntheticScene(seed=2, frames=2, height=24, width=80, objects=0)
    assert scene.render(1).instances.max() == 0
    assert scene.objects().frame.size == 0


def test_timestamps_are_the_frame_times():
    scene = SyntheticScene(frames=4, fps=8.0, height=8, width=8)
    assert np.diff(scene.timestamps).tolist() == [125_000_000] * 3
    assert scene.timestamps.dtype == np.int64


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"frames": 0}, "frames must be an integer >= 1, found 0"),
        ({"height": 1}, "height must be"),
        ({"objects": -1}, "objects must be"),
        ({"baseline": 0.0}, "baseline and fps must be > 0"),
    ],
)
def test_wrong_arguments(kwargs, message):
    with pytest.raises(UsageError, match=message):
        SyntheticScene(**kwargs)


def test_wrong_frame_and_camera(scene):
    with pytest.raises(UsageError, match=r"frame 3 is outside 0 \.\.\. 2"):
        scene.render(3)
    with pytest.raises(DepthdataError, match="no camera 'middle'; name one of"):
        scene.render(0, "middle")


# --- tracks -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tracks(scene):
    return scene.tracks("left", 80)


def test_tracks_reproject(scene, tracks):
    assert tracks.xy.shape == (3, 80, 2)
    for t in range(3):
        T_cam_world = se3_inverse(scene.T_world_cam("left")[t])
        uv, z = project(scene.intrinsics, transform(T_cam_world, tracks.xyz_world[t]))
        assert np.allclose(tracks.xy[t][z > 0], uv[z > 0], atol=1e-3)
        assert np.isnan(tracks.xy[t][z <= 0]).all()


def test_tracks_move_with_their_boxes(scene, tracks):
    assert 20 < (tracks.instance > 0).sum() < 60
    boxes = scene.objects()
    for ident in np.unique(tracks.instance[tracks.instance > 0]):
        mine = tracks.instance == ident
        poses = boxes.T_world_box[boxes.id == ident]
        local = transform(se3_inverse(poses)[:, None], tracks.xyz_world[:, mine])
        assert np.allclose(local, local[:1], atol=1e-9)
    still = tracks.xyz_world[:, tracks.instance == 0]
    assert np.array_equal(still, np.broadcast_to(still[:1], still.shape))


def test_track_visibility_agrees_with_depth(scene, tracks, frame):
    assert tracks.visible.any(0).all()
    xy, visible = tracks.xy[T], tracks.visible[T]
    inside = (xy > 0).all(1) & (xy[:, 0] < W - 1) & (xy[:, 1] < H - 1)
    assert not visible[~((xy > -0.5).all(1) & (xy < [W - 0.5, H - 0.5]).all(1))].any()
    u, v = np.rint(xy[inside]).astype(int).T
    T_cam_world = se3_inverse(scene.T_world_cam("left")[T])
    z = transform(T_cam_world, tracks.xyz_world[T])[inside, 2]
    steady = smooth(frame.instances, frame.depth)[v, u]
    agrees = np.abs(frame.depth[v, u] - z) < 0.06 * z
    assert (agrees == visible[inside])[steady].mean() > 0.95
