"""Time and peak tensor memory of RAFT-Stereo, correlation volume against row-by-row.

    python tools/bench/raft_stereo.py --size 384x1248 --iterations 8
    python tools/bench/raft_stereo.py --size 1024x1536 --device cuda --precision fp16

Two tables: the whole network, and the correlation alone (construction and lookups), which is where
the implementations differ; a large image can need more in the encoder than in a volume. Weights are
random: neither time nor memory depends on them. Memory counts tensors: on the CPU every storage
that an operation returns, while it lives; on CUDA the allocator's peak. Time is that of the
processor on the CPU (other processes disturb it less), wall time on CUDA.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch

from depthzoo import networks
from depthzoo.live_tensors import LiveTensors
from depthzoo.networks.correlation import CorrelationOnDemand, CorrelationVolume, volume_bytes


def measure(work: Callable[[], object], args: argparse.Namespace) -> tuple[float, float]:
    """Seconds and peak MiB of what `work` makes."""
    cuda = args.device.startswith("cuda")
    clock = time.perf_counter if cuda else time.process_time
    seconds = []
    with torch.inference_mode():
        for _ in range(args.repeats + 1):  # the first warms up
            start = clock()
            work()
            if cuda:
                torch.cuda.synchronize()
            seconds.append(clock() - start)
        if cuda:
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
        with nullcontext() if cuda else LiveTensors() as live:
            work()
    peak = torch.cuda.max_memory_allocated() - before if cuda else live.peak
    return min(seconds[1:]), peak / 2**20


def whole_network(name: str, args: argparse.Namespace) -> Callable[[], object]:
    network = networks.create(args.network, corr_implementation=name).to(args.device)
    if args.precision != "fp32":
        network.use_autocast({"fp16": "float16", "bf16": "bfloat16"}[args.precision])
    images = [255 * torch.rand(1, 3, *args.size, device=args.device) for _ in range(2)]
    return lambda: network(*images, iterations=args.iterations)


def correlation_alone(name: str, args: argparse.Namespace) -> Callable[[], object]:
    factor = networks.create(args.network).factor
    h, w = args.size[0] // factor, args.size[1] // factor
    maps = [torch.rand(1, 256, h, w, device=args.device) for _ in range(2)]
    x = torch.arange(float(w), device=args.device).expand(1, h, w) - 7.3
    build = CorrelationVolume if name == "reg" else CorrelationOnDemand

    def work() -> None:
        corr = build(*maps, levels=4, radius=4)
        for _ in range(args.iterations):
            corr(x)

    return work


def size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    return int(height), int(width)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=size, default=(384, 1248), help="HxW, multiples of 32")
    parser.add_argument(
        "--network", choices=[n for n in networks.names() if "raft" in n], default="raft_stereo"
    )
    parser.add_argument("--iterations", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["fp32", "fp16", "bf16"], default="fp32")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    tables = {}
    for title, make in (("network", whole_network), ("correlation", correlation_alone)):
        reg, alt = (measure(make(name, args), args) for name in ("reg", "alt"))
        tables[title] = {
            "reg": {"seconds": reg[0], "peak_mib": reg[1]},
            "alt": {"seconds": alt[0], "peak_mib": alt[1]},
            "time_alt_over_reg": alt[0] / reg[0],
            "memory_reg_over_alt": reg[1] / alt[1],
        }
    factor = networks.create(args.network).factor
    volume = volume_bytes(1, args.size[0] // factor, args.size[1] // factor) / 2**20
    if args.json:
        print(json.dumps({"volume_mib": volume, **tables}))
        return
    height, width = args.size
    print(
        f"{args.network} {height}x{width}, {args.iterations} iterations, {args.device}, "
        f"{args.precision}; correlation volume {volume:.0f} MiB"
    )
    for title, table in tables.items():
        for name in ("reg", "alt"):
            row = table[name]
            print(f"{title:11} {name} {row['seconds']:8.3f} s {row['peak_mib']:9.1f} MiB peak")
        print(
            f"{title:11} alt takes {table['time_alt_over_reg']:.2f} x the time of reg, "
            f"reg {table['memory_reg_over_alt']:.2f} x the memory of alt"
        )


if __name__ == "__main__":
    main()
