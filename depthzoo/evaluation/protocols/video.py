"""Disparity of stereo videos: DynamicStereo's evaluations, and the same counted rightly."""

from __future__ import annotations

from collections.abc import Mapping

from depthzoo.evaluation.protocols.depth import METRIC
from depthzoo.evaluation.protocols.protocol import Protocol, Published, Range

__all__ = ["PROTOCOLS"]

_BAD = ("0.5", "1", "2", "3")
METRICS = ("epe", *(f"bad_{k}" for k in _BAD), "tepe", *(f"temp_bad_{k}" for k in _BAD))
_REPORTED = {
    "disp_epe_mean": "epe",
    **{f"disp_epe_bad_{k}px": f"bad_{k}" for k in _BAD},
    "disp_temp_epe_mean": "tepe",
    **{f"disp_temp_epe_bad_{k}px": f"temp_bad_{k}" for k in _BAD},
}
_TEXT = (
    "Sequence protocol of DynamicStereo. One video per sequence: {clip}. Truth: {truth} EPE map "
    "e[t] = |prediction - truth| of the left view; TEPE map |(p[t] - p[t+1]) - (g[t] - g[t+1])| "
    "where both frames are valid at the SAME pixel (no motion compensation). Mean and bad-k "
    "(percentage with an error above k px) of a sequence are sums over all of its frames divided "
    "by the number of pixels whose error is NOT ZERO: a perfect pixel is not counted, so numbers "
    "are slightly too large (the corrected protocol counts it). No errors at all: 0. Sequences are "
    "averaged with their numbers of frames T as weights, the temporal measures with T too, not T - "
    "1. The foreground mask has no effect in the reference, and has none here. A negative "
    "prediction is used as it is. Pixels without prediction are left out and counted (coverage); "
    "the reference would give NaN. Regions are not in the reference: they count every valid pixel, "
    "perfect ones too. {note}"
)
_CORRECTED = (
    "As DynamicStereo's protocol with its counting put right: EPE and bad-k are means over all "
    "valid pixels with a prediction of a sequence, perfect ones included, TEPE and its bad-k over "
    "all pixels that are valid and predicted in both frames; sequences are averaged by their "
    "numbers of frames. Truth: the left view's disparity, stored or from depth with each frame's "
    "own calibration, > 0. Regions: static, moving, occluded and visible where the file has masks, "
    "EPE and bad-k pooled over the pixels of a sequence. Whole sequences unless a selection is "
    "asked for. A model that takes videos is given the whole one, others frame by frame. Pixels "
    "without prediction are left out and counted (coverage)."
)
_ISSUE = (
    "issue 11 of the authors' repository: a user's run of dynamic_stereo_sf.pth, test split, "
    "first 150 frames, kernel 20, setting confirmed by the author"
)
_TABLE5 = "paper (arXiv 2305.02296), table 5, quoted from memory"
_OTHERS = (
    "issue tracker of another project: dynamic_stereo_sf.pth, kernel 10, clean pass, 10 frames, "
    "40 sequences"
)

_WHERE = {"dr": ("bad_1", "tepe"), "sintel": ("bad_3", "tepe")}
_ROWS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "CODD (Scene Flow)": {"clean": (8.68, 1.44), "final": (17.46, 2.32), "dr": (6.59, 0.105)},
    "raft_stereo/sceneflow": {"clean": (6.12, 0.92), "final": (10.40, 2.10), "dr": (5.51, 0.145)},
    "dynamic_stereo/sf": {"clean": (6.10, 0.77), "final": (8.97, 1.45), "dr": (3.44, 0.087)},
    "RAFT-Stereo (Dynamic Replica, Scene Flow)": {
        "clean": (5.71, 0.84),
        "final": (9.15, 1.67),
        "dr": (1.89, 0.075),
    },
    "dynamic_stereo/dr_sf": {"clean": (5.77, 0.76), "final": (8.68, 1.42), "dr": (3.32, 0.075)},
}


def _table5(column: str) -> tuple[Published, ...]:
    names = _WHERE["dr" if column == "dr" else "sintel"]
    return tuple(
        Published(model, dict(zip(names, row[column], strict=True)), _TABLE5, verified=False)
        for model, row in _ROWS.items()
    )


_ISSUE_11 = Published(
    "dynamic_stereo/sf",
    dict(
        zip(
            METRICS,
            (
                *(0.238692, 8.04176, 3.39895, 1.49977, 0.96465),
                *(0.082913, 1.52825, 0.731156, 0.363196, 0.238875),
            ),
            strict=True,
        )
    ),
    _ISSUE,
    options={"window": 20},
)


def _video(
    name: str,
    title: str,
    dataset: str,
    split: str,
    clip: int | None,
    truth: str,
    rule: str,
    *,
    high: float = 512.0,
    images: tuple[str, ...] = ("rgb",),
    note: str = "",
    published: tuple[Published, ...] = (),
) -> Protocol:
    frames = "all of its frames" if clip is None else f"its first {clip} frames"
    return Protocol(
        id=f"stereo/dynamic_stereo@1/{name}",
        kind="sequence",
        title=f"DynamicStereo sequence protocol, {title}",
        text=_TEXT.format(clip=frames, truth=rule, note=note).strip(),
        source="DynamicStereo, evaluation/ (Karaev et al. 2023, arXiv 2305.02296)",
        quantity="disparity",
        truth=truth,
        valid=Range(0.0, high),
        metrics=METRICS,
        alignment=METRIC,
        average=dict.fromkeys(METRICS, "weighted"),
        empty="nan",
        options={"count": "nonzero"},
        images=images,
        clip=clip,
        reported=_REPORTED,
        datasets=(dataset,),
        splits=(split,),
        corrected="stereo/video@1",
        published=published,
    )


_DR = (
    "fx * baseline of the clip's FIRST frame and the left camera, over the depth of each frame; "
    "valid where 0 < disparity < 512 px."
)
_SINTEL = (
    "the left view's disparity; valid where it is above 0 and the occlusion mask says that the "
    "right view sees it (out-of-frame pixels that are not marked occluded count); no limit of 512."
)

PROTOCOLS = (
    _video(
        "dynamic_replica_150",
        "Dynamic Replica test, first 150 frames",
        "dynamic_replica",
        "dynamic_replica/test_150",
        150,
        "disparity_first_frame",
        _DR,
        note=(
            "The paper's setting; the reference's configuration of that name says 'valid', its "
            "author confirms test."
        ),
        published=(_ISSUE_11, *_table5("dr")),
    ),
    _video(
        "dynamic_replica_40",
        "Dynamic Replica, first 40 frames",
        "dynamic_replica",
        "dynamic_replica/valid_40",
        40,
        "disparity_first_frame",
        _DR,
        note="The reference's program takes the split valid.",
    ),
    *(
        _video(
            f"sintel_{name}",
            f"Sintel training, {name} pass",
            "sintel",
            "sintel/all",
            None,
            "disparity_seen",
            _SINTEL,
            high=float("inf"),
            images=(stream,),
            note="The configuration's length of 30 frames has no effect: sequences are whole.",
            published=_table5(name),
        )
        for name, stream in (("clean", "rgb"), ("final", "rgb_final"))
    ),
    _video(
        "flyingthings3d_10",
        "FlyingThings3D TEST, 40 sequences of 10 frames, clean pass",
        "sceneflow",
        "flyingthings3d/dynamic_stereo_test_10",
        10,
        "disparity_stream",
        "the left view's disparity; valid where 0 < disparity < 512 px.",
        note=(
            "The reference's own evaluation of this set does not run (a misspelt class name); the "
            "40 sequences are drawn with its seed, and numbers of others are of them."
        ),
        published=(
            Published(
                "dynamic_stereo/sf",
                {"epe": 0.74, "bad_1": 7.73, "bad_3": 3.51},
                _OTHERS,
                options={"window": 10},
            ),
        ),
    ),
    Protocol(
        id="stereo/video@1",
        kind="sequence",
        title="Disparity of stereo videos over space and time",
        text=_CORRECTED,
        source="depthzoo; the measures of DynamicStereo (Karaev et al. 2023)",
        quantity="disparity",
        truth="disparity",
        valid=Range(0.0),
        metrics=METRICS,
        alignment=METRIC,
        average=dict.fromkeys(METRICS, "weighted"),
        options={"count": "valid"},
    ),
)
