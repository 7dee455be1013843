"""Peak memory of the stereo networks at any size, counted tensor by tensor without computing them.

    python tools/bench/memory.py                                       the sizes of the table below
    python tools/bench/memory.py --network dynamic_stereo --size 720x1280 --frames 20
    python tools/bench/memory.py --check                               small, and computed as well

The networks run on tensors that have a size and no content (PyTorch's fake tensors), so that the
figures of a 2000x3000 image come from any machine within seconds. Counted is every storage that an
operation returns, from its making until it is freed: features, volumes, states, results; not the
weights, the images, nor what a kernel takes and gives back inside. No figure is extrapolated: the
second iteration of a stage needs what every later one needs. `--check` computes a small size on the
CPU: counts must be equal, outputs near.

``plain`` is the network as its description says it (tests/zoo/plain): all images at once, the full
volume. ``reg`` keeps the volume, ``alt`` forms it row by row and, of large images, encodes some
rows at a time.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from depthzoo.live_tensors import LiveTensors

GIB = 2**30
SIZES = {
    "dynamic_stereo": [(720, 1280, 20), (384, 512, 5)],
    "raft_stereo": [(2000, 3000, 1), (720, 1280, 1), (384, 1248, 1)],
}
CHECK = {"dynamic_stereo": (96, 640, 4), "raft_stereo": (96, 640, 1)}
ITERATIONS = 4


def network_of(name: str):
    from depthzoo import networks

    torch.manual_seed(0)
    network = networks.create(name)
    for part in network.parameters():  # what starts as zero would hide a difference
        if part.dim() > 1:
            torch.nn.init.normal_(part, std=part[0].numel() ** -0.5)
    return network


def dynamic_stereo(network, images, how: str, positions: int):
    if how == "plain":
        from zoo.plain.dynamic_stereo import plain

        return plain(network, *images, ITERATIONS)
    network.use_correlation(how)
    network.use_pieces(positions)
    return network(*(view[None] for view in images), ITERATIONS)[0]


def raft_stereo(network, images, how: str, positions: int):
    if how == "plain":
        from zoo.plain.raft_stereo import plain

        return plain(network, *images, ITERATIONS)
    network.use_correlation(how)
    return network(*images, ITERATIONS).up


WAYS: dict[str, tuple[Callable, tuple[str, ...]]] = {
    "dynamic_stereo": (dynamic_stereo, ("plain", "reg", "alt")),
    "raft_stereo": (raft_stereo, ("plain", "reg", "alt")),
}


def count(name: str, how: str, size: tuple[int, int, int], positions: int, *, fake: bool):
    """Peak bytes, and the result."""
    height, width, frames = size[0] + -size[0] % 32, size[1] + -size[1] % 32, size[2]
    with FakeTensorMode() if fake else nullcontext(), torch.inference_mode():
        network = network_of(name)
        images = [255 * torch.rand(frames, 3, height, width) for _ in range(2)]
        with LiveTensors([*network.parameters(), *network.buffers(), *images]) as live:
            result = WAYS[name][0](network, images, how, positions)
    return live.peak, result


def report(name: str, size: tuple[int, int, int], positions: int, *, check: bool) -> dict:
    """Figures of one network at one size; the first way is what the others are compared with."""
    row: dict = {"network": name, "size": size[:2], "frames": size[2]}
    first = None
    for how in WAYS[name][1]:
        peak, _ = count(name, how, size, positions, fake=True)
        row[how] = {"gib": peak / GIB}
        if check:
            computed, result = count(name, how, size, positions, fake=False)
            first = result if first is None else first
            row[how]["computed_gib"] = computed / GIB
            row[how]["largest_difference_px"] = float((result - first).abs().max())
        row[how]["share"] = row[how]["gib"] / row[WAYS[name][1][0]]["gib"]
    return row


def size_of(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    return int(height), int(width)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=list(WAYS), help="both when not given")
    parser.add_argument("--size", type=size_of, help="HxW; padded to multiples of 32")
    parser.add_argument("--frames", type=int, default=1)
    parser.add_argument(
        "--positions", type=int, default=2**16, help="worked on at a time (DynamicStereo)"
    )
    parser.add_argument("--check", action="store_true", help="small sizes, computed as well")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    root = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(root), str(root / "tests")]
    rows = []
    for name in [args.network] if args.network else WAYS:
        sizes = [(*args.size, args.frames)] if args.size else SIZES[name]
        positions = args.positions
        if args.check:
            sizes, positions = [CHECK[name]], 2000
        rows += [report(name, size, positions, check=args.check) for size in sizes]
    if args.json:
        print(json.dumps(rows))
        return
    for row in rows:
        height, width = row["size"]
        print(f"{row['network']} {height}x{width}, {row['frames']} frames, float32")
        for how in WAYS[row["network"]][1]:
            figures = row[how]
            more = ""
            if args.check:
                more = (
                    f"; computed {figures['computed_gib']:.4f} GiB, "
                    f"differs by {figures['largest_difference_px']:.1e} px"
                )
            print(f"  {how:6} {figures['gib']:8.4f} GiB  {figures['share']:.3f}{more}")


if __name__ == "__main__":
    main()
