"""The checks of trajectories: against the images, the flow, the poses, and the depth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from depthdata.checks.report import Finding, at_least, at_most, skipped
from depthdata.checks.samples import Sampler, spread
from depthdata.checks.warping import MATCH, correlation, patch_offsets
from depthdata.geometry import project, se3_inverse, transform

__all__ = ["check_tracks"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

FOUND_SHARE, SURE_SHARE = 0.6, 0.8
FLOW_PX, PROJECTION_PX, NEAR_SHARE = 0.5, 0.5, 0.8
DEPTH_SHARE, VISIBLE_SHARE, HIDDEN_SHARE = 0.03, 0.8, 0.7
FRAMES, POINTS, LEAST = 16, 2000, 20
EXPLAINS = 0.12

_AXES = {
    "y up and z backward (OpenGL)": np.diag([1.0, -1, -1, 1]),
    "x left and y up (PyTorch3D)": np.diag([-1.0, -1, 1, 1]),
}


def check_tracks(sampler: Sampler, camera: str, frames: int | None) -> list[Finding]:
    """Check the trajectories of a camera against whatever else the file has.

    Parameters
    ----------
    sampler : Sampler
        Of the sequence.
    camera : str
    frames : int or None
        At most so many frames, and at most 16; None: all.
    """
    if camera not in sampler.sequence.tracks:
        return []
    checker = _Checker(sampler, camera, None if frames is None else min(frames, FRAMES))
    return [checker.images(), checker.flow(), checker.poses(), checker.depth()]


class _Checker:
    """The tracks of one camera, thinned to what is looked at."""

    def __init__(self, sampler: Sampler, camera: str, frames: int | None) -> None:
        self.sampler, self.camera, self.most = sampler, camera, frames
        self.cam = sampler.sequence.cameras[camera]
        tracks = sampler.sequence.tracks[camera]
        rng = np.random.default_rng(sampler.seed)
        chosen = np.sort(rng.permutation(tracks.xy.shape[1])[:POINTS])
        self.xy = tracks.xy[:, chosen].astype(np.float64)
        self.visible = tracks.visible[:, chosen] & np.isfinite(self.xy).all(-1)
        world = tracks.xyz_world
        self.world = None if world is None else world[:, chosen].astype(np.float64)

    def images(self) -> Finding:
        """Compare patches at the points of t with those of t+1."""
        name = "tracks vs images"
        pairs = self._frames(
            lambda t: (
                t + 1 < len(self.xy)
                and self.sampler.has_image(self.camera, t)
                and self.sampler.has_image(self.camera, t + 1)
            )
        )
        top = self.cam.height - 1.0
        readings: dict[str, Callable[[int, Mask], tuple[Floats, Floats]]] = {
            "": lambda t, use: (self.xy[t, use], self.xy[t + 1, use]),
            "columns and rows of the points look swapped": lambda t, use: (
                self.xy[t, use, ::-1],
                self.xy[t + 1, use, ::-1],
            ),
            "rows of the points look counted from below": lambda t, use: (
                self.xy[t, use] * [1, -1] + [0, top],
                self.xy[t + 1, use] * [1, -1] + [0, top],
            ),
            "points look shifted by one frame: those of t+1 fit the images of t": lambda t, use: (
                self.xy[min(t + 1, len(self.xy) - 1), use],
                self.xy[min(t + 2, len(self.xy) - 1), use],
            ),
        }
        found: dict[str, list[npt.NDArray[np.bool_]]] = {text: [] for text in readings}
        worst = (2.0, 0)
        for t in pairs:
            use = self.visible[t] & self.visible[t + 1]
            if int(use.sum()) < LEAST:
                continue
            for text, reading in readings.items():
                value = self._correlation(t, *reading(t, use))
                found[text].append(value[np.isfinite(value)] > MATCH)
            worst = min(worst, (float(found[""][-1].mean()), t))
        if not found[""]:
            return skipped(name, f"no two images with {LEAST} points that both see", self.camera)
        shares = {text: float(np.concatenate(parts).mean()) for text, parts in found.items()}
        share = shares.pop("")
        best = max(shares, key=lambda text: shares[text])
        better = shares[best] >= max(SURE_SHARE, share + EXPLAINS)
        ok = share >= FOUND_SHARE and not better
        message = f"{share:.0%} of the patches around visible points are found again at t+1"
        if not ok:
            message = f"only {message} (worst frame {worst[1]}: {worst[0]:.0%})"
            if better:
                message = f"{best}: {shares[best]:.0%} are then found again, not {share:.0%}"
        return at_least(
            name, share, FOUND_SHARE, "", message=message, camera=self.camera, frame=worst[1], ok=ok
        )

    def flow(self) -> Finding:
        """Compare the steps of the points with the flow at their pixels."""
        name = "tracks vs flow"
        if "flow_forward" not in self.cam.streams:
            return skipped(name, "no flow_forward", self.camera)
        results = []
        for t in self._frames(
            lambda t: t + 1 < len(self.xy) and self.sampler.has(self.camera, "flow_forward", t)
        ):
            flow = self.sampler.values(self.camera, "flow_forward", t)
            use, rows, columns = self._pixels(t, self.visible[t] & self.visible[t + 1])
            step = self.xy[t + 1, use] - self.xy[t, use]
            off = np.linalg.norm(step - flow[:, rows, columns].T, axis=-1)
            results.append((t, off[np.isfinite(off)]))
        message = "points move as the flow says"
        wrong = "points do not move as the flow says: tracks or flow are of another frame or scale"
        return self._distances(name, results, FLOW_PX, message, wrong)

    def poses(self) -> Finding:
        """Compare world points, projected by pose and intrinsics, with the pixels."""
        name = "tracks vs poses"
        poses = self.cam.poses
        if self.world is None or poses is None or not self.sampler.calibrated(self.camera):
            return skipped(name, "needs world points, poses and intrinsics", self.camera)
        frames = self._frames(lambda t: bool(np.isfinite(poses[t]).all()))
        changes: dict[str, Callable[[Floats], Floats]] = {
            "": se3_inverse,
            "poses look inverted for these points": np.asarray,
            **{
                f"points look as of a camera with {text}": lambda pose, flip=flip: (  # type: ignore[misc]
                    flip @ se3_inverse(pose)
                )
                for text, flip in _AXES.items()
            },
        }
        results = {
            text: [(t, self._projected(t, change(poses[t]))) for t in frames]
            for text, change in changes.items()
        }
        now = results.pop("")
        wrong = "world points do not project to their pixels: pose, intrinsics or unit is wrong"
        median = _median(now)
        for text, other in results.items():
            if _median(other) < min(PROJECTION_PX, median / 2):
                wrong = f"{text}: they then project to their pixels"
        message = "world points project to their pixels"
        return self._distances(name, now, PROJECTION_PX, message, wrong)

    def depth(self) -> Finding:
        """Compare visible points with the depth of their pixels; hidden ones lie behind it."""
        name = "tracks vs depth"
        poses = self.cam.poses
        source = self.sampler.depth_source(self.camera)
        if (
            self.world is None
            or poses is None
            or source not in ("depth", "disparity")
            or self.cam[source].kind == "points"
        ):
            return skipped(name, "needs world points, poses and dense depth", self.camera)
        seen: list[tuple[int, Floats]] = []
        behind: list[tuple[int, Floats]] = []
        for t in self._frames(
            lambda t: self.sampler.has(self.camera, source, t) and np.isfinite(poses[t]).all()
        ):
            depth = self.sampler.values(self.camera, "depth", t)
            z = transform(se3_inverse(poses[t]), self.world[t])[:, 2]
            for visible, out in ((True, seen), (False, behind)):
                wanted = self.visible[t] if visible else ~self.visible[t]
                use, rows, columns = self._pixels(t, wanted & (z > 0))
                ratio = z[use] / depth[rows, columns]
                out.append((t, ratio[np.isfinite(ratio)]))
        shown = np.concatenate([ratio for _, ratio in seen]) if seen else np.zeros(0)
        hidden = np.concatenate([ratio for _, ratio in behind]) if behind else np.zeros(0)
        if len(shown) + len(hidden) < LEAST:
            return skipped(name, f"fewer than {LEAST} points on known depth", self.camera)
        if len(shown) < len(hidden) / 20:
            message = "hardly any point is marked visible on known depth: is visibility inverted?"
            return Finding(name, False, message, self.camera)
        share = float((np.abs(shown - 1) < DEPTH_SHARE).mean())
        numbers = {"visible_share": share, "median_ratio": float(np.median(shown))}
        ok = share >= VISIBLE_SHARE
        message = f"{share:.0%} of the visible points lie on the surface of their pixel"
        if len(hidden) >= LEAST:
            numbers["hidden_share"] = float((hidden > 1 + DEPTH_SHARE / 10).mean())
            ok &= numbers["hidden_share"] >= HIDDEN_SHARE
            message += f", {numbers['hidden_share']:.0%} of the hidden ones behind it"
        if not ok:
            message = f"visibility or place of the points does not agree with depth: {message}"
            if abs(numbers["median_ratio"] - 1) > DEPTH_SHARE:
                message += f"; their depth is {numbers['median_ratio']:.3g} times that of the pixel"
        return at_least(
            name,
            share,
            VISIBLE_SHARE,
            "",
            message=message,
            camera=self.camera,
            numbers=numbers,
            ok=ok,
        )

    def _frames(self, usable: Callable[[int], bool]) -> list[int]:
        found = [t for t in range(len(self.xy)) if usable(t)]
        return [found[i] for i in spread(len(found), self.most)]

    def _pixels(
        self, t: int, wanted: Mask
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Return the wanted points that lie in the image: their numbers, rows and columns."""
        with np.errstate(invalid="ignore"):
            whole = np.rint(np.nan_to_num(self.xy[t], nan=-9)).astype(np.intp)
        inside = (whole >= 0).all(-1) & (whole[:, 0] < self.cam.width)
        inside &= whole[:, 1] < self.cam.height
        use = np.flatnonzero(wanted & inside)
        return use, whole[use, 1], whole[use, 0]

    def _correlation(self, t: int, here: Floats, there: Floats) -> npt.NDArray[np.float32]:
        around = patch_offsets()
        images = self.sampler.smoothed(self.camera, t), self.sampler.smoothed(self.camera, t + 1)
        first, second = ((xy[:, None] + around).astype(np.float32) for xy in (here, there))
        return correlation(*images, first, second)

    def _projected(self, t: int, T_cam_world: Floats) -> Floats:
        assert self.world is not None
        uv, z = project(self.cam.intrinsics(t), transform(T_cam_world, self.world[t]))
        off = np.linalg.norm(uv - self.xy[t], axis=-1)
        off = np.where(z > 0, off, float(self.cam.width))
        return np.asarray(off[self.visible[t] & np.isfinite(off)])

    def _distances(
        self, name: str, results: list[tuple[int, Floats]], limit: float, message: str, wrong: str
    ) -> Finding:
        results = [(t, off) for t, off in results if len(off) >= LEAST]
        if not results:
            return skipped(name, f"no frame with {LEAST} such points", self.camera)
        medians = [(float(np.median(off)), t) for t, off in results]
        value, frame = max(medians)
        share = float((np.concatenate([off for _, off in results]) < 1).mean())
        ok = value <= limit and share >= NEAR_SHARE
        return at_most(
            name,
            value,
            limit,
            "px",
            message=(message if ok else wrong)
            + f": {share:.0%} within 1 px, frames: {len(results)}",
            camera=self.camera,
            frame=frame,
            numbers={"share_below_1px": share},
            ok=ok,
        )


def _median(results: list[tuple[int, Floats]]) -> float:
    off = [values for _, values in results]
    joined = np.concatenate(off) if off else np.zeros(0)
    return float(np.median(joined)) if len(joined) else float("inf")
