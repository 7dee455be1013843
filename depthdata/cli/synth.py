"""``depthdata synth``."""

from __future__ import annotations

from pathlib import Path

import click

from depthdata.cli.base import Console, common_options
from depthdata.errors import UsageError


@click.command("synth")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--layout",
    metavar="DATASET",
    help="Write its raw layout, not a sequence file: kitti_raw, sintel ... (? lists them all).",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--frames", type=click.IntRange(1), default=8, show_default=True)
@click.option("--size", type=(int, int), default=(120, 400), show_default=True, metavar="H W")
@click.option("--objects", type=click.IntRange(0), default=3, show_default=True)
@click.option("--portable", is_flag=True, help="gzip instead of zstd: no HDF5 plug-in needed.")
@common_options
def command(
    console: Console,
    out: Path,
    layout: str | None,
    seed: int,
    frames: int,
    size: tuple[int, int],
    objects: int,
    portable: bool,
) -> None:
    """Render a synthetic street scene with exact truth to the sequence file OUT.

    With --layout, OUT is a folder that gets the scene as the named dataset publishes it.
    """
    from depthdata.synthetic import SyntheticScene, write_raw, write_sequence
    from depthdata.synthetic.layouts import LAYOUTS

    height, width = size
    scene = SyntheticScene(seed=seed, frames=frames, height=height, width=width, objects=objects)
    if layout is None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_sequence(scene, out, portable=portable)
    elif layout in LAYOUTS:
        write_raw(layout, scene, out)
    else:
        raise UsageError(f"--layout {layout}: not known; there are {', '.join(sorted(LAYOUTS))}")
    console.result({"path": str(out), "frames": frames, "seed": seed}, str(out))
