"""Models with known errors, evaluated on synthetic sequences with exact truth."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthdata.errors import UsageError
from depthdata.sequence import open_sequence
from depthdata.splits import Split
from depthdata.synthetic import SyntheticScene, write_sequence
from depthzoo.evaluation import evaluate
from depthzoo.models import Card, Needs, load
from depthzoo.prediction import Prediction

HEIGHT, WIDTH, FRAMES = 48, 160, 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sequences")
    for seed in (1, 2):
        scene = SyntheticScene(
            seed=seed, frames=FRAMES, height=HEIGHT, width=WIDTH, lidar_rows=48, lidar_steps=1200
        )
        write_sequence(scene, root / f"street_{seed:04d}.h5", tracks=0)
    return root


class Oracle:
    """A model that knows the truth and spoils it in a way that is given."""

    weights_sha256 = None

    def __init__(
        self,
        folder: Path,
        spoil: Callable[[np.ndarray, int], np.ndarray],
        *,
        stream: str = "disparity",
        invariance: Any = "disparity",
        offsets: tuple[int, ...] = (0,),
        views: tuple[str, ...] = ("left", "right"),
    ) -> None:
        self.folder, self.spoil, self.stream, self.invariance = folder, spoil, stream, invariance
        self.needs = Needs(views=views, offsets=offsets)
        gives = "disparity" if stream == "disparity" else "depth"
        self.card = Card(
            "oracle", "oracle", "Oracle", "none", "", "", self.needs, (gives,), invariance
        )
        self.seen: list[tuple[str, int]] = []

    def predict(self, sample: Any) -> Prediction:
        index = sample["index"]
        self.seen.append((index["sequence"], int(index["frame"])))
        expected = {"rgb"} | ({"right_rgb"} if len(self.needs.views) == 2 else set())
        assert expected <= set(sample)
        assert sample["rgb"].shape[0] == len(self.needs.offsets)
        with open_sequence(self.folder / f"{index['sequence']}.h5") as seq:
            truth = seq.cameras["left"][self.stream][int(index["frame"])]
        values = self.spoil(np.asarray(truth, np.float64), int(index["frame"]))[None]
        if self.stream == "disparity":
            return Prediction(disparity=values, invariance=self.invariance)
        return Prediction(depth=values, invariance=self.invariance)


def test_disparity_that_is_off_by_a_known_amount(folder: Path) -> None:
    # frame t is off by t + 0.4 px everywhere
    model = Oracle(folder, lambda d, t: d + t + 0.4)
    report = evaluate(model, folder, "stereo/epe")
    offsets = np.arange(FRAMES) + 0.4
    assert len(report.frames) == 2 * FRAMES
    assert report.aggregate["epe"] == pytest.approx(offsets.mean(), abs=1e-5)
    for k in (1, 2, 3):
        assert report.aggregate[f"bad_{k}"] == pytest.approx(100 * (offsets > k).mean())
    for record in report.frames:
        assert record.score.values["epe"] == pytest.approx(record.frame + 0.4, abs=1e-5)
    assert report.coverage == 1
    assert report.limits == []
    weights = [r.score.pixels for r in report.frames]
    pooled = np.average([r.frame + 0.4 for r in report.frames], weights=weights)
    assert report.average("pixels")["epe"] == pytest.approx(pooled, abs=1e-5)
    assert report.curves.errors.sum() == sum(weights)


def _lidar_truth(scene: SyntheticScene, t: int) -> np.ndarray:
    """Project the scan by hand, nearest point wins."""
    scan = scene.lidar(t)[:, :3].astype(np.float64)
    p = np.c_[scan, np.ones(len(scan))] @ scene.projection("left").T
    z = p[:, 2]
    u, v = np.rint(p[:, 0] / z), np.rint(p[:, 1] / z)
    keep = (z > 0) & (scan[:, 0] >= 0) & (u >= 0) & (u < WIDTH) & (v >= 0) & (v < HEIGHT)
    depth = np.full((HEIGHT, WIDTH), np.inf)
    np.minimum.at(depth, (v[keep].astype(int), u[keep].astype(int)), z[keep])
    return depth


def test_lidar_protocol_against_a_scan_projected_by_hand(folder: Path) -> None:
    model = Oracle(folder, lambda d, t: np.full(d.shape, 12.0), stream="depth", invariance="metric")
    report = evaluate(model, folder / "street_0001.h5", "kitti_raw/lidar")
    scene = SyntheticScene(
        seed=1, frames=FRAMES, height=HEIGHT, width=WIDTH, lidar_rows=48, lidar_steps=1200
    )
    for record in report.frames:
        depth = _lidar_truth(scene, record.frame)
        truth = depth[(depth > 0) & (depth <= 80)]
        assert record.score.pixels == truth.size
        expected = np.mean(np.abs(12.0 - truth) / truth)
        assert record.score.values["abs_rel"] == pytest.approx(expected, rel=1e-5)
        rmse = math.sqrt(np.mean((12.0 - truth) ** 2))
        assert record.score.values["rmse"] == pytest.approx(rmse, rel=1e-5)
    assert report.alignment == "none"
    assert "data are synthetic, not kitti_raw" in report.limits


@pytest.mark.parametrize("protocol", ["kitti_raw/lidar", "kitti_raw/eigen"])
def test_median_scaling_removes_the_scale_and_nothing_else(folder: Path, protocol: str) -> None:
    def spoiled(d: np.ndarray, t: int) -> np.ndarray:
        return np.where(np.isnan(d), 30.0, d) * (1 + 0.2 * np.sin(np.arange(d.shape[1])))

    reports = [
        evaluate(
            Oracle(
                folder,
                lambda d, t, f=factor: f * spoiled(d, t),
                stream="depth",
                invariance="scale",
                views=("left",),
            ),
            folder,
            protocol,
        )
        for factor in (1.0, 37.0)
    ]
    assert [r.alignment for r in reports] == ["median", "median"]
    assert reports[0].aggregate == pytest.approx(reports[1].aggregate, rel=1e-5)
    assert 0.02 < reports[0].aggregate["abs_rel"] < 0.6
    scales = [r.frames[0].score.scale for r in reports]
    assert scales[0] / scales[1] == pytest.approx(37, rel=1e-5)


def test_disparity_is_turned_to_depth_with_the_pairs_geometry(folder: Path) -> None:
    dense = evaluate(Oracle(folder, lambda d, t: d), folder, "kitti_raw/lidar")
    direct = evaluate(
        Oracle(folder, lambda d, t: d, stream="depth", invariance="metric"),
        folder,
        "kitti_raw/lidar",
    )
    assert dense.aggregate == pytest.approx(direct.aggregate, rel=1e-4)
    assert dense.aggregate["abs_rel"] < 0.05


def test_missing_predictions_are_reported_and_not_measured(folder: Path) -> None:
    def holes(d: np.ndarray, t: int) -> np.ndarray:
        d = d + 1.5
        d[:, ::2] = np.nan
        return d

    report = evaluate(Oracle(folder, holes), folder, "stereo/epe")
    assert report.aggregate["epe"] == pytest.approx(1.5, abs=1e-5)
    assert report.coverage == pytest.approx(0.5, abs=0.02)
    assert report.aggregate["d1_all"] == 0
    shares = [1 - r.score.coverage for r in report.frames]
    assert report.aggregate["d1_all_or_missing"] == pytest.approx(100 * np.mean(shares))
    assert any("no prediction" in why for why in report.limits)


def test_predictions_that_cannot_be_compared_are_refused(folder: Path) -> None:
    affine = Oracle(folder, lambda d, t: d, stream="depth", invariance="affine")
    with pytest.raises(UsageError, match="affine"):
        evaluate(affine, folder, "kitti_raw/lidar")
    scale = Oracle(folder, lambda d, t: d, stream="depth", invariance="scale")
    with pytest.raises(UsageError, match="scale"):
        evaluate(scale, folder, "stereo/epe")
    small = Oracle(folder, lambda d, t: d[::2, ::2], stream="depth", invariance="metric")
    with pytest.raises(UsageError, match="size of its input"):
        evaluate(small, folder, "kitti_raw/lidar")


def test_windows_at_the_ends_are_left_out_and_counted(folder: Path) -> None:
    model = Oracle(folder, lambda d, t: d, offsets=(-1, 0, 1))
    report = evaluate(model, folder, "stereo/epe")
    assert [r.frame for r in report.frames] == 2 * list(range(1, FRAMES - 1))
    assert report.left_out == {"no image": 4}
    assert model.seen == [(r.sequence, r.frame) for r in report.frames]


def test_limit_takes_the_first_frames(folder: Path) -> None:
    report = evaluate(Oracle(folder, lambda d, t: d), folder, "stereo/epe", limit=FRAMES + 1)
    assert [r.frame for r in report.frames] == [*range(FRAMES), 0]
    assert report.aggregate["epe"] == 0
    assert report.limits == [f"only the first {FRAMES + 1} frames were asked for"]


def test_the_result_does_not_depend_on_the_number_of_processes(folder: Path) -> None:
    steps: list[tuple[int, int, str]] = []
    one = evaluate(
        "sgbm", folder, "kitti_raw/lidar", progress=lambda *step: steps.append(step)
    ).to_dict()
    two = evaluate("sgbm", folder, "kitti_raw/lidar", jobs=2).to_dict()
    assert one.pop("timing").keys() == two.pop("timing").keys()
    assert json.dumps(one) == json.dumps(two)
    assert [done for done, _, _ in steps] == list(range(1, 2 * FRAMES + 1))
    assert {total for _, total, _ in steps} == {2 * FRAMES}


def test_semi_global_matching_sees_the_street(folder: Path) -> None:
    report = evaluate(load("sgbm"), folder, "stereo/epe")
    assert report.coverage > 0.4
    assert report.aggregate["bad_3"] < 30
    assert report.model["name"] == "sgbm"


def test_json_says_everything_that_is_needed_to_repeat_it(folder: Path, tmp_path: Path) -> None:
    report = evaluate("sgbm", folder, "kitti_raw/lidar")
    report.to_json(tmp_path / "result.json")
    data = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert data["protocol"]["id"] == "kitti_raw/lidar@1"
    assert data["protocol"]["text"] == report.protocol.text
    assert data["alignment"]["method"] == "none"
    assert data["model"]["name"] == "sgbm"
    for entry in data["data"]:
        with open_sequence(folder / entry["file"]) as seq:
            assert (entry["digest"], entry["dataset"]) == (seq.digest, seq.dataset)
    assert {"depthdata", "numpy", "opencv"} <= set(data["versions"])
    columns, rows = data["per_frame"]["columns"], data["per_frame"]["rows"]
    assert len(rows) == 2 * FRAMES and {len(row) for row in rows} == {len(columns)}
    mean = np.mean([row[columns.index("abs_rel")] for row in rows])
    assert data["aggregate"]["abs_rel"] == pytest.approx(mean)
    assert set(data["per_sequence"]) == {"street_0001", "street_0002"}
    assert "synthetic" in " ".join(data["comparable"]["because"])
    table = report.table()
    assert "abs_rel" in table and "street_0002" in table and "not comparable" in table


def test_a_split_gives_the_frames_and_their_order(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [("street_0002", "left", 3), ("street_0001", "left", 1), ("street_0002", "left", 0)]
    lines.append(("street_0009", "left", 0))
    split = Split.from_entries("mine/test", lines)
    monkeypatch.setattr("depthdata.splits.load_split", lambda name: split)
    model = Oracle(folder, lambda d, t: d + t)
    report = evaluate(model, folder, "stereo/epe", split="mine/test")
    assert [(r.sequence, r.camera, r.frame) for r in report.frames] == lines[:3]
    assert report.split == {"name": "mine/test", "sha256": split.sha256}
    assert report.left_out == {"sequence not there": 1}
    assert report.limits == ["1 frames left out: sequence not there"]


def test_a_split_of_other_data_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="none of the 2 sequence files is in split eigen/test"):
        evaluate("sgbm", folder, "kitti_raw/eigen", split="eigen/test")


def test_data_that_lack_something_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        evaluate("sgbm", tmp_path / "nowhere", "stereo/epe")
    with pytest.raises(UsageError, match=r"no sequence files \(\*\.h5\)"):
        evaluate("sgbm", tmp_path, "stereo/epe")
    scene = SyntheticScene(seed=3, frames=1, height=24, width=64)
    alone = write_sequence(scene, tmp_path / "mono.h5", cameras=("left",), tracks=0, lidar=False)
    with pytest.raises(UsageError, match="stereo pair"):
        evaluate("sgbm", alone, "stereo/epe")
    for bad in ({"jobs": 0}, {"limit": 0}):
        with pytest.raises(UsageError, match="at least 1"):
            evaluate("sgbm", folder, "stereo/epe", **bad)  # type: ignore[arg-type]


def test_a_dataset_brings_its_own_frames(folder: Path) -> None:
    torch = pytest.importorskip("torch")
    from depthdata.loading import SequenceDataset, Window

    dataset = SequenceDataset(folder, window=Window(offsets=(0,)), cameras=("left", "right"))
    from_files = evaluate("sgbm", folder, "stereo/epe").to_dict()
    from_dataset = evaluate("sgbm", dataset, "stereo/epe").to_dict()
    assert from_files["per_frame"] == from_dataset["per_frame"]
    subset = SequenceDataset(
        folder,
        split=Split.from_entries("mine", [("street_0002", "left", 2)]),
        cameras=("left", "right"),
    )
    report = evaluate("sgbm", subset, "stereo/epe")
    assert [(r.sequence, r.frame) for r in report.frames] == [("street_0002", 2)]
    mono = SequenceDataset(folder, cameras=("left",))
    with pytest.raises(UsageError, match="the model needs"):
        evaluate("sgbm", mono, "stereo/epe")
    assert torch is not None
