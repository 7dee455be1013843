"""``depthdata info``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from depthdata.cli.base import Console, common_options
from depthdata.errors import UsageError

if TYPE_CHECKING:
    from depthdata.sequence import Sequence


@click.command("info")
@click.argument("names", metavar="NAME|FILE...", nargs=-1, required=True)
@common_options
def command(console: Console, names: tuple[str, ...]) -> None:
    """Print what a dataset is (by NAME), or what a sequence FILE holds."""
    described = [_describe(name) for name in names]
    data = [record for record, _ in described]
    console.result(data[0] if len(data) == 1 else data, "\n\n".join(text for _, text in described))


def _describe(name: str) -> tuple[dict[str, Any], str]:
    from depthdata.sequence import open_sequence
    from depthdata.sources import dataset_card, list_datasets

    if name in list_datasets():
        record = asdict(dataset_card(name))
        shown = {**record, "archives": f"{len(record['archives'])} files"}
        return record, "\n".join(f"{key:<14} {_plain(value)}" for key, value in shown.items())
    if not Path(name).is_file():
        raise UsageError(
            f"{name}: neither a dataset ({', '.join(list_datasets())}) nor a sequence file; "
            "see `depthdata list`"
        )
    with open_sequence(name) as sequence:
        record = describe_sequence(sequence)
    return record, _sequence_text(record)


def describe_sequence(sequence: Sequence) -> dict[str, Any]:
    """Return what a sequence file holds, as plain data."""
    cameras = {}
    for name, camera in sequence.cameras.items():
        cameras[name] = {
            "size": [camera.height, camera.width],
            "model": camera.model,
            "poses": camera.poses is not None,
            "streams": {
                stream: {
                    "kind": camera[stream].kind,
                    "unit": camera[stream].unit,
                    "frames": len(camera[stream].frames),
                }
                for stream in (*camera.streams, *camera.derived)
            },
        }
    return {
        "path": str(sequence.path),
        "dataset": sequence.dataset,
        "sequence": sequence.name,
        "split": sequence.split,
        "frames": len(sequence),
        "bytes": Path(sequence.path).stat().st_size,
        "digest": sequence.digest,
        "converter": sequence.converter,
        "licence": sequence.licence,
        "stereo_pairs": [[p.left, p.right, p.baseline] for p in sequence.stereo_pairs],
        "pose_sets": list(sequence.pose_sets),
        "tracks": sorted(sequence.tracks),
        "objects": sequence.objects is not None,
        "cameras": cameras,
    }


def _sequence_text(record: dict[str, Any]) -> str:
    lines = [f"{key:<14} {_plain(value)}" for key, value in record.items() if key != "cameras"]
    for name, camera in record["cameras"].items():
        height, width = camera["size"]
        poses = "with poses" if camera["poses"] else "no poses"
        lines.append(f"camera {name}: {height}x{width}, {camera['model']}, {poses}")
        for stream, facts in camera["streams"].items():
            unit = f" [{facts['unit']}]" if facts["unit"] else ""
            lines.append(f"  {stream:<18} {facts['kind']:<8} {facts['frames']} frames{unit}")
    return "\n".join(lines)


def _plain(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "; ".join(_plain(item) for item in value) or "-"
    return "-" if value in (None, "") else str(value)
