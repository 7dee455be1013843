"""What a model is given for a frame: images, calibration and poses out of a sequence file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depthdata.aspect_crop import AspectCrop
from depthdata.errors import MissingDependencyError, UsageError
from depthdata.sequence import StereoGeometry

if TYPE_CHECKING:
    from depthdata.sequence import Sequence
    from depthzoo.evaluation.protocols import Protocol

__all__ = ["Inputs", "build_sample", "cameras_of", "complete_windows", "image_stream",
           "prepared_geometry"]  # fmt: skip

PLAIN_IMAGES = ("rgb",)


@dataclass(frozen=True)
class Inputs:
    """Which images a model sees.

    Parameters
    ----------
    images : tuple of str
        Streams; the first that a camera has.
    prepare : str
        ``""`` or ``"HxW"``: the middle of the image of that shape, resized (Pillow, bilinear).
    poses : str or None
        Name of a trajectory of the file; None: the camera's poses.
    """

    images: tuple[str, ...] = PLAIN_IMAGES
    prepare: str = ""
    poses: str | None = None

    @classmethod
    def of(cls, protocol: Protocol) -> Inputs:
        """Return what a protocol says."""
        return cls(protocol.images, protocol.prepare, protocol.poses)

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of prepared images."""
        if not self.prepare:
            return None
        height, _, width = self.prepare.partition("x")
        return int(height), int(width)


def image_stream(seq: Sequence, camera: str, images: Iterable[str] = PLAIN_IMAGES) -> str | None:
    """Return the first of the streams that a camera has."""
    streams = seq.cameras[camera].streams
    return next((name for name in images if name in streams), None)


def cameras_of(seq: Sequence, camera: str, needs: Any) -> list[str]:
    """Return the cameras whose images the model needs: `camera` and, for a pair, its right one."""
    if camera not in seq.cameras:
        raise UsageError(
            f"{seq.path}: no camera {camera!r}; it has {', '.join(seq.cameras) or 'none'}"
        )
    if len(needs.views) < 2:
        return [camera][: len(needs.views)]
    right = [pair.right for pair in seq.stereo_pairs if pair.left == camera]
    if not right:
        raise UsageError(
            f"{seq.path}: camera {camera!r} is not the left one of a stereo pair, which the model "
            "needs; choose a monocular model"
        )
    return [camera, right[0]]


def complete_windows(
    seq: Sequence, camera: str, needs: Any, images: Iterable[str] = PLAIN_IMAGES
) -> NDArray[np.bool_]:
    """Return (T,) bool: the frames around which every image that the model needs is there."""
    complete = np.ones(len(seq), bool)
    names = cameras_of(seq, camera, needs)
    for offset in needs.offsets if names else ():
        at = np.arange(len(seq)) + offset
        complete &= (at >= 0) & (at < len(seq))
        for name in names:
            stream = image_stream(seq, name, images)
            cam = seq.cameras[name]
            present = np.zeros(len(seq), bool) if stream is None else cam[stream].present
            complete &= np.asarray(present, bool)[np.clip(at, 0, len(seq) - 1)]
    return complete


def build_sample(
    seq: Sequence,
    camera: str,
    frame: int,
    needs: Any,
    inputs: Inputs | None = None,
    offsets: Iterable[int] | None = None,
) -> dict[str, Any]:
    """Return the images and facts around a frame, as a `SequenceDataset` of full size would.

    Parameters
    ----------
    needs : Needs
        The model's; `views` and `offsets` decide.
    inputs : Inputs, optional
        Which images; the whole ones of ``rgb`` when not given.
    offsets : iterable of int, optional
        Other frames than the model's.

    Returns
    -------
    dict
        ``rgb`` (K,3,H,W) uint8, ``intrinsics`` (K,3,3) float32, ``timestamps`` (K,) int64; for a
        stereo model also ``right_rgb``, ``right_intrinsics`` and ``baseline`` (m); with poses
        ``T_world_cam`` (K,4,4) float64; ``index``.
    """
    given = inputs or Inputs()
    cameras = cameras_of(seq, camera, needs)
    at = [frame + offset for offset in (needs.offsets if offsets is None else offsets)]
    sample: dict[str, Any] = {"index": {"sequence": seq.name, "camera": camera, "frame": frame,
                                        "frame_id": str(seq.frame_ids[frame])}}  # fmt: skip
    for prefix, name in zip(("", "right_"), cameras, strict=False):
        cam = seq.cameras[name]
        stream = image_stream(seq, name, given.images)
        if stream is None:
            raise UsageError(
                f"{seq.path}: camera {name!r} has no images {' or '.join(given.images)}; convert "
                "with the preparation that the protocol names"
            )
        images = [np.asarray(cam[stream][t]) for t in at]
        intrinsics = [_scaled(cam, t, images[0].shape) for t in at]
        if given.size is not None:
            crop = AspectCrop((images[0].shape[0], images[0].shape[1]), given.size)
            images = [_cropped(image, crop) for image in images]
            intrinsics = [crop.intrinsics(K) for K in intrinsics]
        coloured = [np.stack([i] * 3) if i.ndim == 2 else i.transpose(2, 0, 1) for i in images]
        sample[f"{prefix}rgb"] = np.ascontiguousarray(np.stack(coloured))
        sample[f"{prefix}intrinsics"] = np.stack(intrinsics).astype(np.float32)
        poses = _poses(seq, name, at, given.poses)
        if poses is not None:
            sample[f"{prefix}T_world_cam"] = poses
    sample["timestamps"] = np.asarray(seq.timestamps)[at]
    for pair in seq.stereo_pairs:
        if pair.left == camera:
            sample["baseline"] = np.float32(pair.baseline)
    return sample


def prepared_geometry(
    seq: Sequence, camera: str, frame: int, inputs: Inputs
) -> StereoGeometry | None:
    """Return the geometry of the pair as prepared images have it; None without a pair."""
    if inputs.size is None or all(pair.left != camera for pair in seq.stereo_pairs):
        return None
    cam, stored = seq.cameras[camera], seq.stereo_geometry(camera, frame)
    K = AspectCrop((cam.height, cam.width), inputs.size).intrinsics(np.eye(3))
    return StereoGeometry(stored.fx * K[0, 0], stored.baseline, stored.offset * K[0, 0])


def _scaled(cam: Any, t: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the intrinsics for an image of another size than the camera's."""
    K: NDArray[np.float64] = np.array(cam.intrinsics(t), np.float64)
    if shape[:2] != (cam.height, cam.width):
        K[0] *= shape[1] / cam.width
        K[1] *= shape[0] / cam.height
    return K


def _cropped(image: NDArray[np.uint8], crop: AspectCrop) -> NDArray[np.uint8]:
    try:
        from PIL import Image
    except ImportError:
        raise MissingDependencyError(
            "images of this protocol are resized with Pillow: pip install 'depthdata[compare]'"
        ) from None
    left, top, right, bottom = crop.box
    height, width = crop.target
    part = Image.fromarray(np.ascontiguousarray(image[top:bottom, left:right]))
    return np.asarray(part.resize((width, height), Image.Resampling.BILINEAR))


def _poses(
    seq: Sequence, camera: str, at: list[int], name: str | None
) -> NDArray[np.float64] | None:
    cam = seq.cameras[camera]
    if name is not None and name in seq.pose_sets and cam.T_rig_cam is not None:
        return seq.pose_sets[name].of(cam.T_rig_cam, at)
    return None if cam.poses is None else np.stack([cam.pose(t) for t in at])
