"""Stereo videos with known errors, under every protocol of clips."""

from __future__ import annotations

import json
import tracemalloc
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import golden_cases
from truth_models import Spoiler, VideoSpoiler, stream_of, write_file

from depthdata.errors import UsageError
from depthdata.windows import load_windows
from depthzoo.evaluation import evaluate, get_protocol, list_protocols

BAD = (0.5, 1, 2, 3)
DR = [f"stereo/dynamic_stereo/{name}" for name in ("dynamic_replica_150", "dynamic_replica_40")]
SINTEL = [f"stereo/dynamic_stereo/sintel_{name}" for name in ("clean", "final")]
THINGS = "stereo/dynamic_stereo/flyingthings3d_10"
PUBLISHED = [*DR, *SINTEL, THINGS]
CORRECTED = "stereo/video"
EVERY = [*PUBLISHED, CORRECTED]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 4 frames and one of 3 with whole numbers, so that sums are exact."""
    root = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(3)
    for name, count in (("long", 4), ("short", 3)):
        disparity = rng.integers(8, 60, (count, 24, 40)).astype(np.float32)
        seen = np.zeros((count, 24, 40), np.uint8)
        write_file(
            root / f"{name}.h5", count, images=("rgb", "rgb_final"),
            streams={"disparity": disparity, "masks/occluded": seen},
        )  # fmt: skip
    return root


def off_by(*shifts: float) -> Any:
    """Spoil frame t by the t-th shift, again and again."""
    return lambda path, t: stream_of(path, "disparity", t) + shifts[t % len(shifts)]


def test_every_clip_protocol_is_known_here() -> None:
    assert set(list_protocols("sequence")) == {get_protocol(name).id for name in EVERY}


@pytest.mark.parametrize("protocol", EVERY)
@pytest.mark.parametrize("model", [Spoiler, VideoSpoiler])
def test_the_true_disparity_has_no_error(made: Path, protocol: str, model: Any) -> None:
    report = evaluate(model(made, off_by(0)), made, protocol)
    assert set(report.aggregate.values()) == {0.0}
    assert report.coverage == 1
    assert report.number_of_frames == 7
    assert all(value == 0 for value in report.reported.values())


@pytest.mark.parametrize("protocol", EVERY)
@pytest.mark.parametrize("shift", [1.0, -2.5])
def test_a_constant_shift_does_not_flicker(made: Path, protocol: str, shift: float) -> None:
    report = evaluate(VideoSpoiler(made, off_by(shift)), made, protocol)
    assert report.aggregate["epe"] == abs(shift)
    assert report.aggregate["tepe"] == 0
    for k in BAD:
        assert report.aggregate[f"bad_{k}"] == (100 if abs(shift) > k else 0)
        assert report.aggregate[f"temp_bad_{k}"] == 0


@pytest.mark.parametrize("protocol", EVERY)
@pytest.mark.parametrize("size", [0.25, 0.75, 1.0, 4.0])
def test_flicker_counts_twice(made: Path, protocol: str, size: float) -> None:
    report = evaluate(VideoSpoiler(made, off_by(size, -size)), made, protocol)
    assert report.aggregate["epe"] == size
    assert report.aggregate["tepe"] == 2 * size
    for k in BAD:
        assert report.aggregate[f"bad_{k}"] == (100 if size > k else 0)
        assert report.aggregate[f"temp_bad_{k}"] == (100 if 2 * size > k else 0)


def _a_quarter(path: Path, t: int) -> Any:
    """Be right everywhere but in a quarter of the columns, which are 2 px off in even frames."""
    shown = stream_of(path, "disparity", t)
    shown[:, :10] += 2 * (t % 2 == 0)
    return shown


@pytest.mark.parametrize("protocol", PUBLISHED)
def test_published_protocols_do_not_count_perfect_pixels(made: Path, protocol: str) -> None:
    report = evaluate(VideoSpoiler(made, _a_quarter), made, protocol)
    assert report.aggregate["epe"] == report.aggregate["tepe"] == 2
    assert report.aggregate["bad_1"] == report.aggregate["temp_bad_1"] == 100
    assert report.aggregate["bad_2"] == 0


def test_the_corrected_protocol_counts_every_pixel(made: Path) -> None:
    report = evaluate(VideoSpoiler(made, _a_quarter), made, CORRECTED)
    by_clip = {r.sequence: r.score for r in report.frames}
    # 2 of 4 frames, and 2 of 3; every pair of neighbours changes
    assert by_clip["long"].values["epe"] == 0.25 * 2 * 2 / 4
    assert by_clip["short"].values["epe"] == pytest.approx(0.25 * 2 * 2 / 3)
    assert by_clip["long"].values["tepe"] == by_clip["short"].values["tepe"] == 0.5
    assert [r.score.weight for r in report.frames] == [4, 3]
    assert report.aggregate["epe"] == pytest.approx((4 * 0.25 + 3 / 3) / 7)
    assert report.aggregate["temp_bad_1"] == 25
    assert by_clip["long"].series["epe"] == [0.5, 0, 0.5, 0]


def test_clips_are_weighted_by_their_frames(made: Path) -> None:
    def by_name(path: Path, t: int) -> Any:
        return stream_of(path, "disparity", t) + {"long": 1, "short": -3}[path.stem] * (-1.0) ** t

    for protocol in EVERY:
        report = evaluate(VideoSpoiler(made, by_name), made, protocol)
        assert report.aggregate["epe"] == pytest.approx((4 * 1 + 3 * 3) / 7)
        # the temporal measures too, although a clip of T frames has T - 1 pairs
        assert report.aggregate["tepe"] == pytest.approx((4 * 2 + 3 * 6) / 7)
        assert report.average("images")["epe"] == pytest.approx(2)


def test_pixels_without_prediction_are_counted_and_not_measured(made: Path) -> None:
    def holes(path: Path, t: int) -> Any:
        shown = stream_of(path, "disparity", t) + (1.0 if t % 2 else -1.0)
        shown[:, :: 2 + t % 2] = np.nan
        return shown

    for protocol in EVERY:
        report = evaluate(VideoSpoiler(made, holes), made, protocol)
        assert report.aggregate["epe"] == 1 and report.aggregate["tepe"] == 2
        share = (4 * 20 + 3 * 26) / (7 * 40)
        assert report.coverage == pytest.approx(share, abs=0.02)
        assert any("no prediction" in why for why in report.limits)
    nothing = VideoSpoiler(made, lambda path, t: np.full((24, 40), np.nan))
    assert np.isnan(evaluate(nothing, made, THINGS).aggregate["epe"])
    assert np.isnan(evaluate(nothing, made, CORRECTED).aggregate["epe"])


def test_limits_of_the_truth(tmp_path: Path) -> None:
    disparity = np.full((2, 24, 40), 10.0, np.float32)
    disparity[:, 0], disparity[:, 1], disparity[:, 2], disparity[:, 3] = 0, 511, 512, 600
    disparity[:, 4] = np.nan
    hidden = np.zeros((2, 24, 40), np.uint8)
    hidden[:, 5:7], hidden[:, 7] = 1, 255
    file = write_file(
        tmp_path / "clip.h5", 2, images=("rgb", "rgb_final"),
        streams={"disparity": disparity, "masks/occluded": hidden},
    )  # fmt: skip
    model = VideoSpoiler(tmp_path, off_by(1))
    which = (*SINTEL, THINGS, CORRECTED)
    rows = {p: evaluate(model, file, p).frames[0].score.pixels / 80 for p in which}
    # not 0, below 512, not NaN; of Sintel seen by the other view, and without a limit
    assert rows == {SINTEL[0]: 19, SINTEL[1]: 19, THINGS: 20, CORRECTED: 22}


def test_disparity_of_a_clip_by_the_calibration_of_its_first_frame(tmp_path: Path) -> None:
    from truth_models import K, png

    from depthdata.sequence import SequenceWriter

    lens = np.stack([K, K * [[2], [1], [1]]])
    with SequenceWriter(
        tmp_path / "zoom.h5", dataset="dynamic_replica", sequence="zoom", split="test",
        licence="none", citation="", converter="test 1", source_fingerprint="none",
    ) as writer:  # fmt: skip
        writer.timeline(np.arange(2) * 10**8, ["0", "1"])
        writer.stereo_pair("left", "right", baseline=0.5)
        for name in ("left", "right"):
            cam = writer.camera(name, height=24, width=40, intrinsics=lens)
            data = png(24, 40)
            cam.encoded("rgb", [data] * 2, [len(data)] * 2, encoding="png")
            if name == "left":
                cam.dense("depth", np.full((2, 24, 40), 2.5, np.float32), missing="nan")
    shown = {0: 10.0, 1: 20.0}  # 0.5 m * 50 px / 2.5 m; then with twice the focal length
    model = VideoSpoiler(tmp_path, lambda path, t: np.full((24, 40), shown[t]))
    assert evaluate(model, tmp_path, CORRECTED).aggregate["epe"] == pytest.approx(0, abs=1e-5)
    report = evaluate(model, tmp_path, DR[0])
    assert report.frames[0].score.series["epe"] == pytest.approx([0, 10], abs=1e-5)
    assert report.aggregate["tepe"] == pytest.approx(10, abs=1e-5)


def test_a_model_is_given_the_pass_that_the_protocol_names(made: Path) -> None:
    for protocol, stream in zip(SINTEL, ("rgb", "rgb_final"), strict=True):
        assert get_protocol(protocol).images == (stream,)
    plain = made.parent / "plain"
    plain.mkdir(exist_ok=True)
    streams = {
        "disparity": np.full((2, 24, 40), 9.0, np.float32),
        "masks/occluded": np.zeros((2, 24, 40), np.uint8),
    }
    file = write_file(plain / "clip.h5", 2, streams=streams)
    model = VideoSpoiler(plain, off_by(1))
    assert evaluate(model, file, SINTEL[0]).aggregate["epe"] == 1
    with pytest.raises(UsageError, match=r"nothing to evaluate .* no image") as raised:
        evaluate(model, file, SINTEL[1])
    assert "\n" not in str(raised.value)


def test_the_first_frames_of_each_clip(tmp_path: Path) -> None:
    for protocol in map(get_protocol, DR):
        rule = load_windows(protocol.splits[0]).describe()
        assert rule["windows"]["length"] == protocol.clip
    for name, count in (("a", 41), ("b", 6)):
        write_file(
            tmp_path / f"{name}.h5", count, (8, 12),
            streams={"disparity": np.full((count, 8, 12), 9.0, np.float32)},
        )  # fmt: skip
    report = evaluate(VideoSpoiler(tmp_path, off_by(1)), tmp_path, DR[1])
    assert [(r.sequence, r.frames) for r in report.frames] == [("a", 40), ("b", 6)]
    assert "1 clips are shorter than 40 frames" in report.limits
    some = evaluate(VideoSpoiler(tmp_path, off_by(1)), tmp_path, CORRECTED, limit=43)
    assert [(r.sequence, r.frames) for r in some.frames] == [("a", 41), ("b", 2)]


def test_clips_of_a_published_rule(tmp_path: Path) -> None:
    for name, count, split in (("x_obj_source_left", 150, "test"), ("y_obj", 150, "valid")):
        write_file(
            tmp_path / f"{name}.h5", count, (4, 6), dataset="dynamic_replica", split=split,
            streams={"disparity": np.full((count, 4, 6), 9.0, np.float32)},
        )  # fmt: skip
    model = VideoSpoiler(tmp_path, off_by(1), name="dynamic_stereo/sf")
    report = evaluate(model, tmp_path, DR[0], split="dynamic_replica/test_150")
    assert [(r.sequence, r.frames) for r in report.frames] == [("x_obj_source_left", 150)]
    assert report.split is not None and report.split["name"] == "dynamic_replica/test_150"
    with pytest.raises(UsageError, match="lists single frames"):
        evaluate(model, tmp_path, CORRECTED, split="eigen/test")


def test_frames_without_truth_belong_to_the_clip(tmp_path: Path) -> None:
    truth = {1: np.full((24, 40), 9.0, np.float32), 2: np.full((24, 40), 9.0, np.float32)}
    file = write_file(tmp_path / "gaps.h5", 4, streams={"disparity": truth})
    model = VideoSpoiler(tmp_path, lambda path, t: np.full((24, 40), 9.0 + t))
    report = evaluate(model, file, CORRECTED)
    assert len(model.seen) == 4
    assert report.aggregate["epe"] == pytest.approx(1.5)
    assert report.aggregate["tepe"] == pytest.approx(1)
    assert np.isnan(report.frames[0].score.series["epe"][0])


def test_predictions_that_cannot_be_compared_are_refused(made: Path, tmp_path: Path) -> None:
    for invariance in ("scale", "affine"):
        model = VideoSpoiler(made, off_by(0), invariance=invariance)
        for protocol in EVERY:
            with pytest.raises(UsageError, match=f"'{invariance}'"):
                evaluate(model, made, protocol)
    small = VideoSpoiler(made, lambda path, t: np.ones((12, 20)))
    with pytest.raises(UsageError, match="size of its input"):
        evaluate(small, made, CORRECTED)
    with pytest.raises(UsageError, match="predicts no disparity"):
        evaluate(VideoSpoiler(made, off_by(0), "motion_mask"), made, CORRECTED)
    mono = write_file(tmp_path / "mono.h5", 2, cameras=("left",))
    with pytest.raises(UsageError, match="stereo pair") as raised:
        evaluate("sgbm", mono, CORRECTED)
    assert "\n" not in str(raised.value)
    bare = write_file(tmp_path / "bare.h5", 2)
    with pytest.raises(UsageError, match=r"nothing to evaluate .* no truth"):
        evaluate("sgbm", bare, CORRECTED)
    depth = write_file(
        tmp_path / "depth.h5", 2, streams={"disparity": np.full((2, 24, 40), 9.0, np.float32)}
    )
    with pytest.raises(UsageError, match="no masks/occluded"):
        evaluate("sgbm", depth, SINTEL[0])


def test_windows_that_are_not_complete_leave_frames_without_prediction(made: Path) -> None:
    model = Spoiler(made, off_by(1), offsets=(-1, 0))
    report = evaluate(model, made, CORRECTED)
    assert report.aggregate["epe"] == 1
    assert report.coverage == pytest.approx(5 / 7)
    assert report.number_of_frames == 7


def test_semi_global_matching_under_the_protocol_of_videos(streets: Path) -> None:
    report = evaluate("sgbm", streets, CORRECTED)
    assert 0 < report.aggregate["epe"] < 5
    assert {"static", "moving", "occluded", "visible"} == set(report.regions)


class Watched(VideoSpoiler):
    """Counts how many of the frames it was given are still alive somewhere."""

    most = 0

    def stream(self, samples: Iterable[Any]) -> Iterator[Any]:
        known: list[weakref.ref[Any]] = []

        def watch(array: Any) -> None:
            known.append(weakref.ref(array))
            self.most = max(self.most, sum(ref() is not None for ref in known))

        def watched() -> Iterator[Any]:
            for sample in samples:
                watch(sample["rgb"])
                yield sample

        for found in super().stream(watched()):
            watch(found.disparity)
            yield found


def test_memory_does_not_grow_with_a_clip(tmp_path: Path) -> None:
    size, peaks = (150, 400), {}
    for count in (6, 48):
        (tmp_path / str(count)).mkdir()
        file = write_file(
            tmp_path / f"{count}/clip.h5", count, size,
            streams={"disparity": (np.full(size, 20, np.float32) for _ in range(count))},
        )  # fmt: skip
        model = Watched(file.parent, lambda path, t: np.full((150, 400), 21.0))
        evaluate(model, file, CORRECTED)  # everything is imported
        tracemalloc.start()
        evaluate(model, file, CORRECTED)
        peaks[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert model.most <= 4
    one_frame = 150 * 400 * 4
    assert peaks[48] - peaks[6] < one_frame


@pytest.mark.golden
@pytest.mark.parametrize("path", golden_cases("eval", "stereo_dynamic_stereo*.json"))
def test_golden_videos_from_sequence_files(path: Path, tmp_path: Path) -> None:
    arrays = np.load(path.with_suffix(".npz"), allow_pickle=False)
    expected = json.loads(path.read_text(encoding="utf-8"))
    names = [name for name in expected if f"{name}_gt" in arrays]
    assert names
    for name in names:
        truth, mask = arrays[f"{name}_gt"][:, 0], arrays[f"{name}_mask"][:, 0]
        valid = (mask > 0.5) & np.isfinite(truth)
        write_file(
            tmp_path / f"{name}.h5", len(truth), truth.shape[1:], dataset="sintel",
            streams={
                "disparity": np.where(valid, truth, np.nan).astype(np.float32),
                "masks/occluded": (mask <= 0.5).astype(np.uint8),
            },
        )  # fmt: skip
        assert (truth[valid] > 0).all(), "what the reader of Sintel calls valid"
    model = VideoSpoiler(tmp_path, lambda file, t: arrays[f"{file.stem}_pred"][t, 0])
    report = evaluate(model, tmp_path, SINTEL[0])
    reported = get_protocol(SINTEL[0]).reported
    for record in report.frames:
        wanted = expected[record.sequence]
        found = {theirs: record.score.values[ours] for theirs, ours in reported.items()}
        assert found | {"frames": record.frames} == pytest.approx(wanted, rel=1e-5, abs=1e-5)
    assert report.reported == pytest.approx(expected["aggregate"], rel=1e-5, abs=1e-5)
