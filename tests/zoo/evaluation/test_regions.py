"""Errors that differ by region are found in the regions, pooled rightly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from truth_models import Spoiler, VideoSpoiler, stream_of, write_file

from depthzoo.evaluation import evaluate

FRAMES = 4


def masks(path: Path, frame: int) -> tuple[Any, Any]:
    return tuple(stream_of(path, f"masks/{n}", frame) == 1 for n in ("moving", "occluded"))


def by_region(path: Path, frame: int) -> Any:
    """Be off by 1 px, what moves by 3 more, what the right view does not see by 8 more."""
    moving, occluded = masks(path, frame)
    return stream_of(path, "disparity", frame) + 1 + 3 * moving + 8 * occluded


def pooled(streets: Path, inside: Any) -> tuple[float, int]:
    """Mean error of `by_region` over all pixels of a region in all frames, and their number."""
    total = count = 0
    for path in sorted(streets.glob("*.h5")):
        for t in range(FRAMES):
            moving, occluded = masks(path, t)
            known = stream_of(path, "disparity", t) > 0
            own = (1 + 3 * moving + 8 * occluded)[known & inside(moving, occluded)]
            total, count = total + own.sum(), count + own.size
    return total / count, count


REGIONS = {
    "moving": lambda moving, occluded: moving,
    "static": lambda moving, occluded: ~moving,
    "occluded": lambda moving, occluded: occluded,
    "visible": lambda moving, occluded: ~occluded,
}


@pytest.mark.parametrize("protocol", ["stereo/epe", "stereo/video", "stereo/raft/kitti"])
@pytest.mark.parametrize("model", [Spoiler, VideoSpoiler])
def test_disparity_by_region(streets: Path, protocol: str, model: Any) -> None:
    report = evaluate(model(streets, by_region), streets, protocol)
    assert set(report.regions) == set(REGIONS)
    for name, inside in REGIONS.items():
        found = report.regions[name]
        mean, count = pooled(streets, inside)
        assert (found["pixels"], found["missing"]) == (count, 0)
        assert found["epe"] == pytest.approx(mean, rel=1e-5)
        assert count > 0
    assert report.regions["moving"]["epe"] >= 4 - 1e-5
    assert report.regions["occluded"]["bad_3"] == 100
    pixels = sum(record.score.pixels for record in report.frames)
    for one, other in (("moving", "static"), ("occluded", "visible")):
        assert report.regions[one]["pixels"] + report.regions[other]["pixels"] == pixels


def test_depth_by_distance_and_motion(streets: Path) -> None:
    share = {(0, 10): 0.05, (10, 20): -0.1, (20, 40): 0.2, (40, 80): -0.3}

    def spoiled(path: Path, frame: int) -> Any:
        depth = stream_of(path, "lidar_depth", frame).astype(float)
        shown = depth.copy()
        for (low, high), part in share.items():
            shown[(depth >= low) & (depth < high)] *= 1 + part
        return shown

    report = evaluate(Spoiler(streets, spoiled, "depth"), streets, "depth/lidar")
    for (low, high), part in share.items():
        found = report.regions[f"{low}-{high} m"]
        assert found["abs_rel"] == pytest.approx(abs(part), rel=1e-5)
        assert found["rmse_log"] == pytest.approx(abs(np.log(1 + part)), rel=1e-5)
        assert found["pixels"] > 0
    assert {"static", "moving"} <= set(report.regions)
    assert "occluded" not in report.regions  # from the other camera: not a matter of depth


def test_measures_are_pooled_over_the_pixels_of_all_images(tmp_path: Path) -> None:
    depth = np.full((2, 24, 40), 10.0, np.float32)
    moving = np.zeros((2, 24, 40), np.uint8)
    moving[0, 0, :1] = 1  # a single pixel in the first image, a row in the second
    moving[1, 0] = 1
    file = write_file(
        tmp_path / "two.h5", 2, streams={"depth": depth, "masks/moving": moving}
    )  # fmt: skip
    model = Spoiler(tmp_path, lambda path, t: np.full((24, 40), (14.0, 11.0)[t]), "depth")
    report = evaluate(model, file, "depth/lidar")
    found = report.regions["moving"]
    assert found["abs_rel"] == pytest.approx((0.4 + 40 * 0.1) / 41)
    assert found["rmse"] == pytest.approx(np.sqrt((16 + 40) / 41))
    assert found["a1"] == pytest.approx(40 / 41)
    assert (found["frames"], found["pixels"]) == (2, 41)


def test_pixels_of_unknown_motion_are_in_no_region(tmp_path: Path) -> None:
    disparity = np.full((1, 24, 40), 10.0, np.float32)
    moving = np.zeros((1, 24, 40), np.uint8)
    moving[:, :3], moving[:, 3:10] = 255, 1
    file = write_file(
        tmp_path / "one.h5", 1, streams={"disparity": disparity, "masks/moving": moving}
    )  # fmt: skip
    model = Spoiler(tmp_path, lambda path, t: np.full((24, 40), 11.0))
    for protocol in ("stereo/epe", "stereo/video"):
        regions = evaluate(model, file, protocol).regions
        assert {name: part["pixels"] for name, part in regions.items()} == {
            "moving": 7 * 40,
            "static": 14 * 40,
        }


def test_missing_predictions_are_counted_in_their_region(streets: Path) -> None:
    def without_moving(path: Path, frame: int) -> Any:
        moving, _ = masks(path, frame)
        return np.where(moving, np.nan, stream_of(path, "disparity", frame) + 1)

    for protocol in ("stereo/epe", "stereo/video"):
        regions = evaluate(Spoiler(streets, without_moving), streets, protocol).regions
        assert regions["moving"]["pixels"] == 0 and regions["moving"]["missing"] > 0
        assert np.isnan(regions["moving"]["epe"])
        assert regions["static"]["missing"] == 0
        assert regions["static"]["epe"] == pytest.approx(1, rel=1e-5)
    stereo = evaluate(Spoiler(streets, without_moving), streets, "stereo/epe").regions["moving"]
    assert stereo["d1_all_or_missing"] == 100
