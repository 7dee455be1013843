"""`check`: every check of one sequence file, and the picture of the worst frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from depthdata.checks import disparities, structure
from depthdata.checks.dense import check_flow, check_lidar_depth
from depthdata.checks.picture import Overlay, write_picture
from depthdata.checks.report import CheckReport, Finding, skipped
from depthdata.checks.reprojection import check_reprojection
from depthdata.checks.samples import Sampler
from depthdata.checks.stereo_pair import check_stereo
from depthdata.checks.tracks import check_tracks
from depthdata.checks.warps import check_warps
from depthdata.errors import FormatError
from depthdata.geometry import se3_inverse
from depthdata.sequence import Sequence, StereoPair, open_sequence, verify

__all__ = ["check"]

_SHOWN, _PROBLEMS = 2, 5


def check(
    path: str | Path,
    *,
    picture: str | Path | None = None,
    frames: int | None = 32,
    verify_file: bool = True,
    seed: int = 0,
) -> CheckReport:
    """Check that images, depth, poses, calibration, flow and times of a sequence file agree.

    Every number is measured from the file alone. A check that fails is measured again under other
    hypotheses (poses inverted, cameras swapped, a frame displaced by one ...), so that its message
    names the likely fault. What cannot be checked is reported as skipped, with the reason.

    Parameters
    ----------
    path : str or Path
        A sequence file.
    picture : str or Path, optional
        Where to write a PNG of the worst frame: its image with the error at every point measured.
    frames : int or None
        At most so many frames (or pairs of frames) are looked at by each check that reads images,
        spread evenly over the sequence; None: all. Poses and times are always checked completely.
    verify_file : bool
        Compare every byte with its checksum first.
    seed : int
        Fixes which points are drawn, so that a report can be reproduced.

    Returns
    -------
    CheckReport
        Never raises for a damaged file: the finding "file" says what is wrong with it.

    Examples
    --------
    >>> report = check("drive.h5", picture="drive.png")    # doctest: +SKIP
    >>> print(report.table())                              # doctest: +SKIP
    """
    path = Path(path)
    try:
        problems = list(verify(path).problems) if verify_file else []
        if problems:
            return _damaged(path, problems)
        with open_sequence(path) as sequence:
            findings, overlays = _inspect(sequence, frames, seed)
            drawn = _draw(sequence, overlays, picture)
    except FormatError as error:
        return _damaged(path, [str(error)])
    word = "every checksum is right" if verify_file else "opens as a complete sequence"
    whole = Finding("file", True, word)
    return CheckReport(str(path), (whole, *findings), drawn)


def _damaged(path: Path, problems: list[str]) -> CheckReport:
    shown = problems[:_PROBLEMS]
    if len(problems) > len(shown):
        shown = [*shown, f"and {len(problems) - len(shown)} more problems; see verify"]
    findings = [Finding("file", False, problem) for problem in shown]
    rest = skipped("content", "the file is damaged: convert or copy it again")
    return CheckReport(str(path), (*findings, rest))


def _inspect(
    sequence: Sequence, frames: int | None, seed: int
) -> tuple[list[Finding], list[Overlay]]:
    findings = [structure.monotone_times(sequence.timestamps)]
    overlays: list[Overlay] = []
    sampler = Sampler(sequence, seed=seed)
    for name, camera in sequence.cameras.items():
        stack = np.stack([camera.intrinsics(t) for t in _intrinsics_frames(sequence, name)])
        plausible = structure.intrinsics_plausible(name, stack, camera.height, camera.width)
        if not sampler.calibrated(name):
            plausible = skipped(
                "intrinsics", "the source gives none: those stored are nominal", name
            )
        findings += [
            plausible,
            structure.poses_rigid(name, camera.poses),
            structure.pose_steps(name, camera.poses, sequence.timestamps),
            structure.camera_times(name, camera.timestamps, sequence.timestamps),
        ]
        if sampler.has_images(name):
            digests = [
                hash(sampler.blob(name, t)) if sampler.has_image(name, t) else None
                for t in range(len(sequence))
            ]
            findings.append(structure.images_differ(name, digests, camera.poses))
    for pair in sequence.stereo_pairs:
        findings += _rig(sequence, pair)
        found, drawn = check_stereo(sampler, pair.left, pair.right, frames)
        findings += found
        overlays += drawn
        findings += disparities.check_left_right(sampler, pair.left, pair.right, frames)
    for name in sequence.cameras:
        for agree in (
            disparities.check_depth_disparity,
            disparities.check_occluded,
            disparities.check_out_of_frame,
            disparities.check_disparity_change,
        ):
            findings += agree(sampler, name, frames)
        findings += check_tracks(sampler, name, frames)
        findings += check_lidar_depth(sampler, name, frames)
        for measure in (check_warps, check_reprojection, check_flow):
            found, drawn = measure(sampler, name, frames)
            findings += found
            overlays += drawn
    return findings, overlays


def _intrinsics_frames(sequence: Sequence, camera: str) -> range:
    first = sequence.cameras[camera].intrinsics(0)
    last = sequence.cameras[camera].intrinsics(len(sequence) - 1)
    return range(1) if np.array_equal(first, last) else range(len(sequence))


def _rig(sequence: Sequence, pair: StereoPair) -> list[Finding]:
    """Check the geometry of a pair by its rig, else by the poses of the first frame with both."""
    a, b = sequence.cameras[pair.left], sequence.cameras[pair.right]
    name, t = f"{pair.left}/{pair.right}", 0
    if not (a.calibrated and b.calibrated and pair.baseline > 0):
        return [skipped("baseline", "the source gives no calibration of the pair", name)]
    if a.T_rig_cam is not None and b.T_rig_cam is not None:
        T = se3_inverse(a.T_rig_cam) @ b.T_rig_cam
    elif a.poses is None or b.poses is None:
        return [skipped("baseline", "neither rig nor poses of both cameras", name)]
    else:
        stack = se3_inverse(a.poses) @ b.poses
        stated = np.array([pair.at(i) for i in range(len(sequence))])
        off = np.nan_to_num(np.abs(stack[:, 0, 3] - stated), nan=-1.0)
        t = int(off.argmax()) if pair.baselines is not None else int(np.argmax(off >= 0))
        if off[t] < 0:
            return [skipped("baseline", "no frame with poses of both cameras", name)]
        T = stack[t]
    return structure.stereo_rig(name, np.asarray(T), pair.at(t), a.intrinsics(t), b.intrinsics(t))


def _draw(sequence: Sequence, overlays: list[Overlay], picture: str | Path | None) -> str | None:
    """Draw the worst frames: what failed before what passed, by how far over the threshold."""
    if picture is None or not overlays:
        return None

    def badness(overlay: Overlay) -> tuple[bool, float]:
        return overlay.finding.ok is False, overlay.finding.severity

    ranked = sorted(overlays, key=badness, reverse=True)
    kinds = [overlay.finding.name for overlay in ranked]
    worst = [o for i, o in enumerate(ranked) if kinds.index(o.finding.name) == i][:_SHOWN]
    images = [sequence.cameras[o.camera]["rgb"][o.frame] for o in worst]
    headings = [_heading(sequence, o) for o in worst]
    target = Path(picture)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_picture(target, worst, images, headings)
    return str(target)


def _heading(sequence: Sequence, overlay: Overlay) -> str:
    mark = {True: "ok", False: "FAILED", None: "skipped"}[overlay.finding.ok]
    return (
        f"{sequence.name} | {overlay.camera} | frame {overlay.frame} "
        f"({sequence.frame_ids[overlay.frame]}) | {overlay.title}: {mark}"
    )
