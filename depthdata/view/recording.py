"""Recordings for the interactive viewer (rerun): a whole sequence, or unified visual odometry."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from depthdata.codecs.images import encode_png
from depthdata.errors import UsageError
from depthdata.geometry import backproject
from depthdata.sequence import MISSING_TIME, Sequence, open_sequence
from depthdata.sequence.schema import stream_size
from depthdata.view import colors
from depthdata.view.moments import Moment, cloud, displacements, with_next
from depthdata.view.odometry import MOVING_RGB, PATH_RGB
from depthdata.view.painting import Painter, default_streams
from depthdata.view.rerun_file import RerunLog, rerun_file

__all__ = ["odometry_recording", "recording"]

_SCALE_FRAMES = 8
_MEDIA = {"png": "image/png", "jpeg": "image/jpeg"}
_MOST_MOVING = 20_000


def recording(
    sequence: str | Path | Sequence, out: str | Path, *, frames: Iterable[int] | None = None
) -> Path:
    """Write a recording (.rrd) of a sequence; open it with ``rerun FILE``.

    Every camera is ``world/<camera>`` (pose and pinhole; axes x right, y down, z forward), its
    streams are ``world/<camera>/<stream>``: images as they are stored, depth in metres, labels and
    masks as class numbers, disparity and flow in colours, tracks. Lidar is
    ``world/points/<camera>/<stream>``, boxes ``world/objects``, the way of a camera
    ``world/paths/<camera>``. The timelines are ``time`` (seconds since the first) and ``frame``.

    Principal points and tracks are moved by half a pixel, as the viewer counts from pixel corners.
    Lens distortion is not applied. Where a pose is unknown none is written: the camera stays where
    it was last, or at the origin.

    Parameters
    ----------
    sequence : path or Sequence
    out : path
        The file to write; it appears when it is whole.
    frames : iterable of int, optional
        Indices on the timeline; default: all.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    MissingDependencyError
        rerun is not installed.
    UsageError
        No such frame, or no such folder to write to.
    """
    opened = nullcontext(sequence) if isinstance(sequence, Sequence) else open_sequence(sequence)
    with opened as seq:
        chosen = _chosen(seq, frames)
        with rerun_file(out, f"{seq.dataset} {seq.name}") as log:
            _Recorder(log, seq, chosen).run()
    return Path(out)


def odometry_recording(found: Iterable[Moment], out: str | Path, *, title: str = "") -> Path:
    """Write unified visual odometry as a recording (.rrd): depth, way of the camera, what moves.

    ``world/camera`` has pose, pinhole and under it ``image``, ``depth``, ``moving`` (1 where a
    pixel moves by itself) and ``flow`` in colours; ``world/path`` is the way of the camera so far,
    ``world/moving/points`` what moves, ``world/moving/displacements`` its arrows to the next frame
    and ``world/objects`` the boxes. Timelines and pixel positions as in `recording`.

    Parameters
    ----------
    found : iterable of Moment
        Of a sequence (`moments`) or of a model's predictions.
    out : path
        The file to write; it appears when it is whole.
    title : str
        The recording's name.

    Raises
    ------
    MissingDependencyError
        rerun is not installed.
    UsageError
        No such folder to write to.
    """
    with rerun_file(out, title or "visual odometry") as log:
        places: list[npt.NDArray[np.float64]] = []
        for now, after in with_next(found):
            log.at(now.frame, now.seconds)
            places.append(np.full(3, np.nan) if now.pose is None else now.pose[:3, 3])
            log.way("world/path", np.array(places), colors=[PATH_RGB])
            _images(log, now)
            _movers(log, now, after)
    return Path(out)


def _images(log: RerunLog, now: Moment) -> None:
    rr, height, width = log.rr, *now.image.shape[:2]
    log.pinhole("world/camera", now.intrinsics, width, height)
    if now.pose is not None:
        log.pose("world/camera", now.pose)
    log.put("world/camera/image", rr.Image(now.image).compress(jpeg_quality=90))
    for name, value in (("depth", now.depth), ("moving", now.moving), ("flow", now.flow)):
        path = f"world/camera/{name}"
        if value is None:
            log.clear(path)
        elif name == "depth":
            log.put(path, rr.DepthImage(np.asarray(value, np.float32), meter=1.0))
        elif name == "moving":
            log.put(path, rr.SegmentationImage((value > 0.5).astype(np.uint8)))
        else:
            shown = encode_png(colors.colorize_flow(value))
            log.put(path, rr.EncodedImage(contents=shown, media_type="image/png"))


def _movers(log: RerunLog, now: Moment, after: Moment | None) -> None:
    rr, path = log.rr, "world/moving"
    points = None if now.pose is None else cloud(now, 10 * _MOST_MOVING)
    if points is None or not points.moving.any():
        log.clear(f"{path}/points")
    else:
        some = np.flatnonzero(points.moving)[:_MOST_MOVING]
        radii = 0.5 * points.widths[some]
        log.put(
            f"{path}/points", rr.Points3D(points.points[some], colors=[MOVING_RGB], radii=radii)
        )
    starts, ends = np.zeros((2, 0, 3)) if after is None else displacements(now, after)
    if len(starts):
        arrows = rr.Arrows3D(origins=starts, vectors=ends - starts, colors=[MOVING_RGB])
        log.put(f"{path}/displacements", arrows)
    else:
        log.clear(f"{path}/displacements")
    if now.solids is not None:
        solids = now.solids
        shades = colors.colorize_instances(solids.id + 1)
        log.boxes("world/objects", solids.T_world_box, solids.size, shades)


def _chosen(sequence: Sequence, frames: Iterable[int] | None) -> list[int]:
    last = len(sequence) - 1
    chosen = list(range(last + 1)) if frames is None else sorted({int(t) for t in frames})
    wrong = [t for t in chosen if not 0 <= t <= last]
    if wrong or not chosen:
        found = wrong[0] if wrong else "none"
        raise UsageError(f"{sequence.path}: expected frames from 0 to {last}, found {found}")
    return chosen


@dataclass
class _Recorder:
    """Logs a sequence frame by frame."""

    log: RerunLog
    sequence: Sequence
    frames: list[int]
    _painters: dict[tuple[str, str], Painter] = field(default_factory=dict)

    def run(self) -> None:
        objects, tracks = self.sequence.objects, dict(self.sequence.tracks)
        streams = {name: self._streams(name) for name in self.sequence.cameras}
        for name in streams:
            poses = [self.sequence.cameras[name].pose(t)[:3, 3] for t in self.frames]
            self.log.way(f"world/paths/{name}", np.array(poses), static=True)
        times = self.sequence.timestamps
        known = times[times != MISSING_TIME]
        for t in self.frames:
            since = None if times[t] == MISSING_TIME else (int(times[t]) - int(known[0])) * 1e-9
            self.log.at(t, since)
            for name, chosen in streams.items():
                self._camera(name, t)
                for stream in chosen:
                    self._stream(name, stream, t)
                if name in tracks:
                    self._tracks(name, tracks[name].xy[t], tracks[name].visible[t])
            if objects is not None:
                self._boxes(objects.at(t))

    def _streams(self, name: str) -> list[str]:
        """Choose the streams that have the size of the camera, and say what classes mean."""
        cam = self.sequence.cameras[name]
        hw = (cam.height, cam.width)
        chosen = [s for s in default_streams(self.sequence, name) if stream_size(s, *hw) == hw]
        for stream in chosen:
            classes = cam[stream].attrs.get("classes")
            if isinstance(classes, dict):
                rows = [(int(k), str(v)) for k, v in classes.items()]
                context = self.log.rr.AnnotationContext(rows)
                self.log.put(f"world/{name}/{stream}", context, static=True)
        return chosen

    def _painter(self, name: str, stream: str) -> Painter:
        """Return the painter whose scale covers some frames, looked at one by one."""
        if (name, stream) not in self._painters:
            cam = self.sequence.cameras[name]
            have = [t for t in self.frames if cam[stream].present[t]]
            some = [have[i] for i in np.linspace(0, len(have) - 1, _SCALE_FRAMES).astype(int)]
            size = (cam.height, cam.width)
            each = [Painter.of(self.sequence, name, stream, [t], size) for t in sorted({*some})]
            low, high = min(p.low for p in each), max(p.high for p in each)
            self._painters[name, stream] = replace(each[0], low=low, high=high)
        return self._painters[name, stream]

    def _camera(self, name: str, t: int) -> None:
        cam = self.sequence.cameras[name]
        self.log.pinhole(f"world/{name}", cam.intrinsics(t), cam.width, cam.height)
        pose = cam.pose(t)
        if np.isfinite(pose).all():
            self.log.pose(f"world/{name}", pose)
            self.log.pose(f"world/points/{name}", pose)  # 3-D data cannot lie under a pinhole

    def _stream(self, name: str, stream: str, t: int) -> None:
        source = self.sequence.cameras[name][stream]
        rr, put = self.log.rr, self.log.put
        spatial = source.kind == "points" and stream.endswith("depth")
        path = f"world/points/{name}/{stream}" if spatial else f"world/{name}/{stream}"
        if not source.present[t]:
            self.log.clear(path)
        elif spatial:
            put(path, self._points(name, stream, t))
        elif source.kind == "encoded":
            media = _MEDIA[source.attrs["encoding"]]
            put(path, rr.EncodedImage(contents=source.blob(t), media_type=media))
        elif source.kind in ("dense", "derived") and stream.endswith("depth"):
            put(path, rr.DepthImage(source[t], meter=1.0))
        elif source.kind == "dense" and source.dtype.kind in "biu" and len(source.shape) == 2:
            labels = source[t]
            small = labels.astype(np.uint8 if labels.dtype.itemsize == 1 else np.uint16)
            put(path, rr.SegmentationImage(small))
        else:
            picture = encode_png(self._painter(name, stream).paint(t))
            put(path, rr.EncodedImage(contents=picture, media_type="image/png"))

    def _points(self, name: str, stream: str, t: int) -> Any:
        cam = self.sequence.cameras[name]
        points = cam[stream].points(t)
        z = np.asarray(points.value, np.float64)
        uv = np.stack([np.asarray(a, np.float64) for a in points.positions()], -1)
        ahead = np.isfinite(z) & (z > 0) & np.isfinite(uv).all(-1)
        painter = self._painter(name, stream)
        shades = colors.colorize(1 / z[ahead], painter.low, painter.high)
        places = backproject(cam.intrinsics(t), uv[ahead], z[ahead])
        return self.log.rr.Points3D(places, colors=shades)

    def _tracks(self, name: str, xy: npt.NDArray[Any], visible: npt.NDArray[np.bool_]) -> None:
        ids = np.flatnonzero(visible & np.isfinite(xy).all(-1))
        self.log.dots(f"world/{name}/tracks", xy[ids], colors.colorize_instances(ids + 1))

    def _boxes(self, objects: Any) -> None:
        known = np.flatnonzero(np.isfinite(objects.T_world_box).all((1, 2)))
        labels = [f"{objects.category[i]} {objects.id[i]}" for i in known]
        shades = colors.colorize_instances(objects.id[known] + 1)
        poses = objects.T_world_box[known]
        self.log.boxes("world/objects", poses, objects.size[known], shades, labels)
