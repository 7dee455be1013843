"""Single frames with known errors, under every protocol of frames."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from truth_models import K, Spoiler, png, stream_of, write_file

from depthdata.aspect_crop import AspectCrop
from depthdata.errors import UsageError
from depthdata.sequence import SequenceWriter, open_sequence
from depthdata.sequence.points import Points
from depthzoo.evaluation import evaluate, get_protocol, list_protocols
from depthzoo.evaluation.targets import truth_map

SIZE = (24, 40)
LIDAR = ["kitti_raw/lidar", "depth/lidar"]
ANNOTATED = "kitti_odometry/annotated"
MULTIFRAME = "kitti_odometry/multiframe"
EIGEN = "kitti_raw/eigen"
DYNAMO = [f"dynamo_depth/depth/{name}" for name in ("kitti", "nuscenes", "waymo")]
RAFT = {
    "stereo/raft/eth3d": 1,
    "stereo/raft/kitti": 3,
    "stereo/raft/things": 1,
    **{f"stereo/raft/middlebury_{size}": 2 for size in "FHQ"},
}
SEEN = ["stereo/eth3d", "stereo/middlebury"]
DISPARITY = ["stereo/epe", "stereo/kitti_2015", *SEEN, *RAFT]
DEPTH = [*LIDAR, ANNOTATED]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sequences with depth (m), disparity (px) and masks, of whole or half numbers."""
    root = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(7)
    for name, count in (("long", 3), ("short", 2)):
        depth = (rng.integers(8, 150, (count, *SIZE)) / 2).astype(np.float32)
        depth[:, :4] = np.nan
        disparity = rng.integers(4, 100, (count, *SIZE)).astype(np.float32)
        # the second image of each file has half of the truth
        depth[1, :, ::2] = disparity[1, :, ::2] = np.nan
        hidden = np.zeros((count, *SIZE), np.uint8)
        hidden[:, :6] = 1
        moving = np.zeros((count, *SIZE), np.uint8)
        moving[:, 10:12] = 1
        write_file(
            root / f"{name}.h5", count, SIZE, images=("rgb", "rgb_final"),
            streams={
                "depth": depth, "depth_annotated": depth, "disparity": disparity,
                "masks/occluded": hidden, "masks/moving": moving,
            },
        )  # fmt: skip
    return root


def truth(protocol: str, factor: float = 1.0, shift: float = 0.0) -> Any:
    """Predict what the protocol compares with, spoiled."""
    rule = get_protocol(protocol).truth

    def make(path: Path, frame: int) -> Any:
        with open_sequence(path) as seq:
            camera = next(iter(seq.cameras))
            return np.asarray(truth_map(rule, seq, camera, frame), np.float64) * factor + shift

    return make


def depths(root: Path, protocol: str, factor: float = 1.0, invariance: str = "metric") -> Spoiler:
    return Spoiler(root, truth(protocol, factor), "depth", invariance)


def test_every_frame_protocol_is_known_here() -> None:
    known = [*DEPTH, MULTIFRAME, EIGEN, *DYNAMO, *DISPARITY]
    assert set(list_protocols("frame")) == {get_protocol(name).id for name in known}


@pytest.mark.parametrize("protocol", [*DEPTH, *DISPARITY])
def test_the_truth_has_no_error(made: Path, protocol: str) -> None:
    quantity = get_protocol(protocol).quantity
    report = evaluate(Spoiler(made, truth(protocol), quantity), made, protocol)
    best = {name: 1.0 if name in ("a1", "a2", "a3") else 0.0 for name in report.aggregate}
    assert report.aggregate == pytest.approx(best, abs=1e-7)
    assert report.coverage == 1
    for region in report.regions.values():
        assert {k: region[k] for k in best} == pytest.approx(best, abs=1e-7)
    assert ("occluded" in report.regions) == (
        protocol in ("stereo/epe", "stereo/kitti_2015", *RAFT)
    )
    assert "static" in report.table()


@pytest.mark.parametrize("factor", [1.1, 1.3, 1.8, 0.7])
@pytest.mark.parametrize("protocol", DEPTH)
def test_depth_that_is_too_large_by_a_factor(made: Path, protocol: str, factor: float) -> None:
    report = evaluate(depths(made, protocol, factor), made, protocol)
    ratio = max(factor, 1 / factor)
    known = [stream_of(made / f"{r.sequence}.h5", "depth", r.frame) for r in report.frames]
    known = [g[g <= 80].astype(float) for g in known]
    wanted = {
        "abs_rel": abs(factor - 1),
        "sq_rel": (factor - 1) ** 2 * np.mean([g.mean() for g in known]),
        "rmse": abs(factor - 1) * np.mean([np.sqrt((g**2).mean()) for g in known]),
        "rmse_log": abs(np.log(factor)),
        **{f"a{k}": float(ratio < 1.25**k) for k in (1, 2, 3)},
    }
    assert report.aggregate == pytest.approx(wanted, rel=1e-6)
    assert report.alignment == "none"
    aligned = evaluate(depths(made, protocol, factor, "scale"), made, protocol)
    assert aligned.alignment == "median"
    assert aligned.aggregate["abs_rel"] == pytest.approx(0, abs=1e-6)
    assert aligned.aggregate["a1"] == 1
    assert [r.score.scale for r in aligned.frames] == pytest.approx([1 / factor] * 5)


def test_means_over_images_and_over_pixels_differ(made: Path) -> None:
    def make(path: Path, frame: int) -> Any:
        return stream_of(path, "depth", frame) * (1.1 if frame == 1 else 1.2)

    report = evaluate(Spoiler(made, make, "depth"), made, "depth/lidar")
    assert report.aggregate["abs_rel"] == pytest.approx((2 * 0.1 + 3 * 0.2) / 5)
    pixels = [r.score.pixels for r in report.frames]
    pooled = np.average([0.2, 0.1, 0.2, 0.2, 0.1], weights=pixels)
    assert report.average("pixels")["abs_rel"] == pytest.approx(pooled)


def test_inverse_depth_under_the_protocol_of_multi_frame_models(tmp_path: Path) -> None:
    size = (64, 128)
    rng = np.random.default_rng(1)
    annotated = (rng.integers(6, 240, (2, *size)) / 2).astype(np.float32)
    annotated[:, ::3] = np.nan
    masks = np.zeros((2, 256, 512), np.uint8)
    masks[0, :128] = 1  # nothing moves in the second image
    write_file(
        tmp_path / "00.h5", 2, size, cameras=("left",),
        streams={"depth_annotated": annotated, "masks/moving_256x512": masks},
    )  # fmt: skip

    def spoiled(path: Path, frame: int, factor: Any = 1.1) -> Any:
        with np.errstate(divide="ignore"):
            return factor / truth(MULTIFRAME)(path, frame)

    report = evaluate(Spoiler(tmp_path, spoiled, "depth"), tmp_path, MULTIFRAME)
    crop = AspectCrop(size, (256, 512))
    for record in report.frames:
        inverse = crop.scatter(annotated[record.frame])
        near = 1 / inverse[inverse >= np.float32(1 / 80)].astype(float)
        shown = np.minimum(1.1 * near, 80)  # farther than 80 m counts as 80 m
        assert record.score.pixels == near.size
        wanted = np.mean(np.abs(shown - near) / near)
        assert record.score.values["abs_rel"] == pytest.approx(wanted, rel=1e-5)
    first = report.frames[0].score.regions
    assert first["moving"].pixels + first["static"].pixels == report.frames[0].score.pixels
    assert report.regions["moving"]["frames"] == 1
    assert report.regions["static"]["frames"] == 2
    means = [r.score.regions["static"].values["rmse"] for r in report.frames]
    assert report.regions["static"]["rmse"] == pytest.approx(np.mean(means))
    scaled = evaluate(Spoiler(tmp_path, spoiled, "depth", "scale"), tmp_path, MULTIFRAME)
    assert scaled.aggregate["abs_rel"] == pytest.approx(0, abs=1e-6)


def test_median_scaling_of_the_published_protocol_of_lidar(tmp_path: Path) -> None:
    far = (5.0, 10, 20, 90)  # each in a row of its own, so that no point hides another
    scan = np.array([[x, y, k * x / 50] for k, x in enumerate(far) for y in (-0.3, 0, 0.4)])
    projection = np.c_[K @ np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]), np.zeros(3)]
    with SequenceWriter(
        tmp_path / "drive.h5", dataset="kitti_raw", sequence="drive", licence="none", citation="",
        converter="test 1", source_fingerprint="none",
    ) as writer:  # fmt: skip
        writer.timeline([0], ["0000000000"])
        cam = writer.camera("left", height=24, width=40, intrinsics=K)
        data = png(24, 40)
        cam.encoded("rgb", [data], [len(data)], encoding="png")
        p = np.c_[scan, np.ones(len(scan))] @ projection.T
        points = Points(
            kind="subpixel", x=p[:, 0] / p[:, 2], y=p[:, 1] / p[:, 2],
            value=p[:, 2].astype(np.float32), sensor=scan.astype(np.float32),
        )  # fmt: skip
        cam.points("depth", [points], unit="m", projection=projection, eigen_size=[24, 40])
    for protocol in (EIGEN, DYNAMO[0]):
        rule = get_protocol(protocol)
        with pytest.raises(UsageError, match="affine"):
            evaluate(Spoiler(tmp_path, lambda p, t: np.ones(SIZE), "depth", "affine"), tmp_path,
                     protocol)  # fmt: skip
        flat = Spoiler(tmp_path, lambda path, t: np.full(SIZE, 3.0), "depth", "scale")
        found = evaluate(flat, tmp_path, dataclasses.replace(rule, crop=(0, 1, 0, 1)))
        # 4 distances of 3 points; 90 m does not count. Everything is scaled to the median
        score = found.frames[0].score
        assert score.pixels == 9
        assert score.scale == pytest.approx(10 / 3)
        assert score.values["abs_rel"] == pytest.approx((1 + 0 + 0.5) / 3)


@pytest.mark.parametrize("name", ["nuscenes", "waymo"])
def test_rows_of_dynamo_depth_with_their_regions(tmp_path: Path, name: str) -> None:
    size, small = (30, 50), {"nuscenes": (288, 512), "waymo": (320, 480)}[name]
    rows = np.array([[4.0, 4], [4.6, 4.4], [12, 12], [12, 22], [22, 32], [24, 7]])
    depth = np.array([10.0, 12, 20, 30, 40, 75])
    stream = {"nuscenes": "depth", "waymo": "depth_undistorted"}[name]
    labels = [1, 1, 0, 0, 2, 3]
    with SequenceWriter(
        tmp_path / "drive.h5", dataset=name, sequence="drive", licence="none", citation="",
        converter="test 1", source_fingerprint="none",
    ) as writer:  # fmt: skip
        writer.timeline(np.arange(2) * 10**8, ["0", "1"])
        cam = writer.camera("front", height=size[0], width=size[1], intrinsics=K)
        data = png(*small)
        cam.encoded(f"rgb_{small[0]}x{small[1]}", [data] * 2, [len(data)] * 2, encoding="png")
        at = rows - (0.5 if name == "waymo" else 0)  # the authors count from a pixel's edge there
        given = Points(kind="subpixel", x=at[:, 1], y=at[:, 0], value=depth.astype(np.float32))
        cam.points(stream, [given] * 2, unit="m", quantity="depth")
        if name == "nuscenes":
            motion = Points(
                kind="subpixel", x=rows[:, 1], y=rows[:, 0], value=np.array(labels, np.float32)
            )
            cam.points("motion_labels", [motion], frame_index=[0], quantity="label")
        else:
            mask = np.zeros((3, *size), np.uint8)
            for (r, c), label in zip(rows.astype(int), labels, strict=True):
                mask[:, r, c] = {0: (0, 0, 0), 1: (2, 1, 1), 2: (2, 1, 0), 3: (2, 1, 255)}[label]
            for part, values in zip(("semantics", "instances", "masks/moving"), mask, strict=True):
                cam.dense(part, [values], dtype="u1", frame_index=[0])
    # right at the median of what counts (20: of 10 12 20 30 40 the third), else 20 everywhere
    model = Spoiler(tmp_path, lambda path, t: np.full(small, 2.0), "depth", "scale")
    report = evaluate(model, tmp_path, f"dynamo_depth/depth/{name}")
    for record in report.frames:
        assert record.score.pixels == 5  # 75 m is not below 75 m
        assert record.score.scale == pytest.approx(10)
        wanted = np.mean([1, 8 / 12, 0, 10 / 30, 0.5])
        assert record.score.values["abs_rel"] == pytest.approx(wanted, rel=1e-6)
    # the second frame has no labels, which says nothing about its pixels
    found = {k: (v["frames"], v["pixels"], v["abs_rel"]) for k, v in report.regions.items()
             if k in ("background", "static", "moving")}  # fmt: skip
    assert found == {
        "background": (1, 2, pytest.approx(1 / 6, rel=1e-6)),
        "static": (1, 1, pytest.approx(0.5, rel=1e-6)),
        "moving": (1, 2, pytest.approx((1 + 8 / 12) / 2, rel=1e-6)),
    }


@pytest.mark.parametrize("protocol", DISPARITY)
@pytest.mark.parametrize("shift", [0.75, -1.5, 2.5, 3.5])
def test_disparity_that_is_shifted(made: Path, protocol: str, shift: float) -> None:
    model = Spoiler(made, lambda path, t: stream_of(path, "disparity", t) + shift)
    report = evaluate(model, made, protocol)
    for name, value in report.aggregate.items():
        if name == "epe":
            assert value == abs(shift)
        elif name.startswith("bad_"):
            assert value == (100 if abs(shift) > float(name[4:]) else 0)
    if protocol in SEEN:
        assert report.frames[0].score.pixels == 18 * 40  # what the right view does not see is out
    elif protocol in RAFT:
        assert report.frames[0].score.pixels == 24 * 40
        assert report.reported == {
            key: value for key, value in zip(
                get_protocol(protocol).reported,
                (abs(shift), 100 if abs(shift) > RAFT[protocol] else 0), strict=True,
            )
        }  # fmt: skip


def test_d1_is_a_share_of_pixels_over_both_limits(tmp_path: Path) -> None:
    disparity = np.full((1, *SIZE), 20.0, np.float32)
    disparity[:, :, 20:] = 100  # an error of 4 px is above 5 % of 20, not of 100
    file = write_file(tmp_path / "one.h5", 1, SIZE, streams={"disparity": disparity})
    report = evaluate(Spoiler(tmp_path, truth("stereo/kitti_2015", 1, 4.0)), file,
                      "stereo/kitti_2015")  # fmt: skip
    assert report.aggregate["d1_all"] == 50
    assert report.aggregate["bad_3"] == 100

    def holes(path: Path, frame: int) -> Any:
        shown = stream_of(path, "disparity", frame) + 4
        shown[:, 20:30] = np.nan
        return shown

    report = evaluate(Spoiler(tmp_path, holes), file, "stereo/kitti_2015")
    assert report.aggregate["d1_all"] == pytest.approx(100 * 20 / 30)
    assert report.aggregate["d1_all_or_missing"] == pytest.approx(100 * 30 / 40)


def test_pixels_that_count_in_the_protocols_of_raft_stereo(tmp_path: Path) -> None:
    disparity = np.full((1, *SIZE), 50.0, np.float32)
    for row, value in enumerate((0.0, 191.5, 192, 511, 512, 700, np.nan)):
        disparity[:, row] = value
    streams = {"disparity": disparity, "masks/occluded": np.ones((1, *SIZE), np.uint8)}
    file = write_file(tmp_path / "one.h5", 1, SIZE, images=("rgb", "rgb_final"), streams=streams)
    rows = {
        name: evaluate(Spoiler(tmp_path, truth(name, 1, 1.0)), file, f"stereo/raft/{key}")
        .frames[0].score.pixels / 40
        for key in ("eth3d", "kitti", "things", "middlebury_F")
        for name in (f"stereo/raft/{key}",)
    }  # fmt: skip
    assert list(rows.values()) == [24 - 3, 24 - 2, 24 - 5, 24 - 1]


def test_d1_pooled_over_pixels_or_over_images(made: Path) -> None:
    def make(path: Path, frame: int) -> Any:
        return stream_of(path, "disparity", frame) + (5.0 if frame == 1 else 0.5)

    # images with frame 1 have half of the pixels of the others
    share = {True: 100 * 2 * 0.5 / (2 * 0.5 + 3), False: 100 * 2 / 5}
    for protocol, pooled in (("kitti", True), ("things", True), ("eth3d", False),
                             ("middlebury_Q", False)):  # fmt: skip
        report = evaluate(Spoiler(made, make), made, f"stereo/raft/{protocol}")
        epe, d1 = report.reported.values()
        assert d1 == pytest.approx(share[pooled])
        assert epe == pytest.approx((2 * 5 + 3 * 0.5) / 5)  # always a mean over images


def test_an_image_without_truth_makes_the_mean_of_the_references_undefined(tmp_path: Path) -> None:
    disparity = np.full((2, *SIZE), 20.0, np.float32)
    disparity[1] = np.nan
    file = write_file(tmp_path / "two.h5", 2, SIZE, streams={"disparity": disparity})
    model = Spoiler(tmp_path, lambda path, t: np.full(SIZE, 21.0))
    assert np.isnan(evaluate(model, file, "stereo/raft/kitti").aggregate["epe"])
    report = evaluate(model, file, "stereo/epe")
    assert report.aggregate["epe"] == 1
    assert report.empty_frames == 1
