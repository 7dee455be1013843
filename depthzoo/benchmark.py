"""How long models take and how much memory, on images of given sizes."""

from __future__ import annotations

import json
import logging
import platform
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from depthdata.errors import UsageError
from depthzoo.models import load, model_card
from depthzoo.models.base import Sample

if TYPE_CHECKING:
    from depthzoo.models import Card, Model

__all__ = ["Timing", "benchmark", "merged", "random_sample", "read_timings", "table"]

logger = logging.getLogger(__name__)

SIZE = (384, 1248)  # where a card names none: that of KITTI, padded to a multiple of 32


@dataclass(frozen=True)
class Timing:
    """One model at one size.

    Parameters
    ----------
    model, device, precision : str
    size : (height, width)
        Of the images that are given to `predict`.
    frames : int
        In a sample.
    seconds : float
        Median of one frame: from uint8 arrays to arrays, everything in between included.
    spread : float
        Distance of the quartiles over the median.
    runs : int
        Calls that were timed, after one that was not.
    peak_bytes : int
        Of tensors beside the weights: counted by the allocator on CUDA, tensor by tensor on a CPU.
    weights_bytes : int
    options : mapping
        What `load` was given.
    machine : str
    versions : mapping
    """

    model: str
    device: str
    precision: str
    size: tuple[int, int]
    frames: int
    seconds: float
    spread: float
    runs: int
    peak_bytes: int
    weights_bytes: int
    options: Mapping[str, Any] = field(default_factory=dict)
    machine: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as a plain dictionary that JSON can hold."""
        return asdict(self)


def benchmark(
    models: Iterable[str],
    *,
    sizes: Iterable[tuple[int, int]] = (),
    frames: int | None = None,
    device: str = "cpu",
    precision: str = "fp32",
    weights: Mapping[str, str | Path] | None = None,
    runs: int = 5,
    seed: int = 0,
    **options: Any,
) -> Iterator[Timing]:
    """Time models on random images, one after the other.

    Parameters
    ----------
    models : iterable of str
        Names as in `depthzoo.list_models`.
    sizes : iterable of (height, width)
        Of the images; by default the size that a model was trained at, or else 384 x 1248.
    frames : int, optional
        In a sample; by default the frames of a model's window.
    device, precision
        As in `depthzoo.load`.
    weights : mapping, optional
        Model to weights. Others stay untrained, which takes the same time and memory.
    runs : int
        Timed calls; 20 or more where a single one is short.
    seed : int
        Of the images.
    **options
        For `depthzoo.load`.

    Yields
    ------
    Timing
        When it is there.
    """
    from depthzoo.models.loading import UNTRAINED

    if runs < 1:
        raise UsageError(f"runs is at least 1; got {runs}")
    sizes = tuple(sizes)
    for name in models:
        card = model_card(name)
        given = (weights or {}).get(name, UNTRAINED if card.weights else None)
        model = load(name, device=device, precision=precision, weights=given, **options)
        for size in sizes or (_usual_size(card),):
            sample = random_sample(card, size, frames or _usual_frames(card), seed)
            yield _measure(model, sample, size, device, precision, runs, options)


def random_sample(card: Card, size: tuple[int, int], frames: int, seed: int = 0) -> Sample:
    """Return a sample that has what a model needs: random images, a camera that moves ahead."""
    rng = np.random.default_rng(seed)
    height, width = size
    sample: dict[str, Any] = {}
    for i, _ in enumerate(card.needs.views):
        coarse = rng.integers(0, 256, (frames, 3, -(-height // 4), -(-width // 4)), np.uint8)
        image = coarse.repeat(4, 2).repeat(4, 3)[..., :height, :width]
        sample["right_rgb" if i else "rgb"] = np.ascontiguousarray(image)
    focal = 0.58 * width
    camera = np.array([[focal, 0, width / 2 - 0.5], [0, focal, height / 2 - 0.5], [0, 0, 1]])
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, 2, 3] = 0.5 * np.arange(frames)
    sample["intrinsics"] = np.tile(camera.astype(np.float32), (frames, 1, 1))
    sample["T_world_cam"] = poses
    return sample


def _usual_size(card: Card) -> tuple[int, int]:
    height, width = card.settings.get("size", SIZE)
    return int(height), int(width)


def _usual_frames(card: Card) -> int:
    return int(card.settings.get("window", len(card.needs.offsets)))


def _measure(
    model: Model,
    sample: Sample,
    size: tuple[int, int],
    device: str,
    precision: str,
    runs: int,
    options: Mapping[str, Any],
) -> Timing:
    import torch

    frames = len(sample["rgb"])
    weights = _tensors(model)
    peak = _peak(model, sample, weights)  # warms up as well
    seconds = []
    for _ in range(runs):
        begin = time.perf_counter()
        model.predict(sample)  # returns arrays, so that nothing is pending
        seconds.append((time.perf_counter() - begin) / frames)
    median = statistics.median(seconds)
    low, high = np.quantile(seconds, [0.25, 0.75])
    on_cuda = device.startswith("cuda")
    machine = torch.cuda.get_device_name(device) if on_cuda else _processor(torch.get_num_threads())
    return Timing(
        model=model.card.name,
        device=device,
        precision=precision,
        size=size,
        frames=frames,
        seconds=median,
        spread=float(high - low) / median,
        runs=runs,
        peak_bytes=peak,
        weights_bytes=sum(tensor.nbytes for tensor in weights),
        options=dict(options),
        machine=machine,
        versions={"torch": torch.__version__, "python": platform.python_version()},
    )


def _tensors(model: Model) -> list[Any]:
    network = getattr(model, "network", None)
    return [] if network is None else [*network.parameters(), *network.buffers()]


def _peak(model: Model, sample: Sample, weights: list[Any]) -> int:
    import torch

    from depthzoo.live_tensors import LiveTensors

    device = weights[0].device if weights else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        model.predict(sample)
        return int(torch.cuda.max_memory_allocated(device) - before)
    with LiveTensors(weights) as meter:
        model.predict(sample)
    return int(meter.peak)


def _processor(threads: int) -> str:
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(x for x in lines if x.startswith("model name")).partition(":")[2].strip()
    except (OSError, StopIteration):
        pass
    return f"{name}, {threads} thread{'s' * (threads > 1)}"


def read_timings(path: str | Path) -> list[Timing]:
    """Return the timings of a file that ``depthzoo bench --out`` wrote.

    Raises
    ------
    UsageError
        It is none.
    """
    try:
        rows = json.loads(Path(path).read_text(encoding="utf-8"))
        return [Timing(**{**row, "size": tuple(row["size"])}) for row in rows]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"{path}: not a file of timings, as depthzoo bench --out writes it ({error}); "
            "name another file"
        ) from None


def merged(old: Iterable[Timing], new: Iterable[Timing]) -> list[Timing]:
    """Return old timings with new ones of the same thing in their place, then those that are new.

    The same thing is the same model with the same options, size, frames, precision, on the same
    machine.
    """
    found = {_what(timing): timing for timing in old}
    found.update({_what(timing): timing for timing in new})
    return list(found.values())


def _what(t: Timing) -> tuple[Any, ...]:
    options = tuple(sorted((key, str(value)) for key, value in t.options.items()))
    return t.model, options, t.size, t.frames, t.precision, t.machine


def table(timings: Iterable[Timing]) -> str:
    """Return timings as a table in Markdown."""
    lines = [
        "| model | size | frames | precision | ms a frame | peak, MiB | weights, MiB | on |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for t in timings:
        changed = "".join(f", {key}={value}" for key, value in t.options.items())
        lines.append(
            f"| `{t.model}`{changed} | {t.size[0]} x {t.size[1]} | {t.frames} | {t.precision} | "
            f"{_digits(1000 * t.seconds)} | {t.peak_bytes / 2**20:.0f} | "
            f"{t.weights_bytes / 2**20:.0f} | {t.machine} |"
        )
    return "\n".join(lines) + "\n"


def _digits(value: float) -> str:
    """Return three digits, and never an exponent.

    >>> [_digits(x) for x in (1.2345, 123.45, 12345.6)]
    ['1.23', '123', '12346']
    """
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"
