"""Small training images exactly as published preparation scripts made them.

Trained models saw these pixels: filter, library and JPEG quality are part of the recipe. Bytes are
the same as the published ones where library versions agree; decoded they differ by two levels at
most.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt

from depthdata.errors import FormatError, MissingDependencyError

__all__ = ["KITTI_SIZE", "area_jpeg", "bicubic_jpeg"]

KITTI_SIZE = (192, 640)
"""Height and width of the images that Dynamo-Depth and Monodepth2 train on for KITTI."""


def bicubic_jpeg(blob: bytes, size: tuple[int, int]) -> bytes:
    """Resize an image file with Pillow's bicubic filter and default JPEG settings (quality 75).

    Parameters
    ----------
    blob : bytes
        PNG or JPEG.
    size : (height, width)

    Returns
    -------
    bytes
        The JPEG that Dynamo-Depth's preparation of KITTI makes (``rgb/downsample``).

    Raises
    ------
    MissingDependencyError
        Pillow is not installed.
    FormatError
        The image does not decode.
    """
    try:
        from PIL import Image
    except ImportError:
        raise MissingDependencyError(
            "preset dynamo_depth of kitti_raw needs Pillow: pip install 'depthdata[compare]'"
        ) from None
    try:
        with Image.open(io.BytesIO(blob)) as image, io.BytesIO() as out:
            image.resize((size[1], size[0])).save(out, "JPEG")
            return out.getvalue()
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises for damaged images
        raise FormatError(f"image of {len(blob)} bytes does not decode: {error}") from error


def area_jpeg(image: npt.NDArray[np.uint8], size: tuple[int, int]) -> bytes:
    """Reduce an image with OpenCV's area filter and write OpenCV's default JPEG (quality 95).

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB.
    size : (height, width)

    Returns
    -------
    bytes
        The JPEG that Dynamo-Depth's preparation of nuScenes and Waymo makes.

    Examples
    --------
    >>> area_jpeg(np.zeros((8, 12, 3), np.uint8), (4, 6))[:2].hex()
    'ffd8'
    """
    import cv2

    small: npt.NDArray[Any] = cv2.resize(
        image[..., ::-1], (size[1], size[0]), interpolation=cv2.INTER_AREA
    )
    done, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 95])
    if not done:
        raise FormatError(f"OpenCV did not encode {small.dtype} {small.shape} as JPEG")
    return encoded.tobytes()
