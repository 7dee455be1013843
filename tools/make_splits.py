"""Write splits/ from CSV lists (header ``sequence,camera,frame``, published order).

    python tools/make_splits.py eigen_test.csv nuscenes_train.csv ... --out splits

The stem of a CSV says which lists of `LISTS` are made from it. A list with the same rows as
one that is already there is written as a reference to it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from depthdata.splits import FORMAT, VERSION, Split, format_ranges, load_split, pack_order

KITTI_LINE = "{date}/{sequence} {frame} {side}"
KITTI_LINE_PADDED = "{date}/{sequence} {frame:010d} {side}"
NUSCENES_LINE = "scenes/{sequence} {frame}"
WAYMO_LINE = "{sequence} {frame}"
INSTA_LINE = "{date}/{sequence}/image_02/data/{frame:010d}.png"

KITTI_TRAIN = "00173a231642151c4693274e701ddd4cae7916520a757c7a94eae8e1173f7b0c"
KITTI_TEST = "e226d4ca16e0e6e9695435014347dcf973588531330536fd8a68d298ef091a6b"
INSTA_TEST = "0d9d0dc4ba492bef41d449ee7a8a1751b55f46042e0f8d278c09f16cef462fda"
NUSCENES_TRAIN = "bdd85ec44b654d5d4a6c30feea3bb8bb536f515c47f655fd6e5288cb793dd7a6"
NUSCENES_TEST = "1d29918d8bdc950f8338eb331bb8a8c7d462584816b155e2df31d2c7c7117035"
DAYCLEAR_TEST = "5756b845f63802e1de967605fc8fe2c0f6ef31ac10101f90d20a9f4df20a8a44"
WAYMO_TEST = "302e020395c3cb8dcf3f01c7360e15af8b5926c774dd13095fea4e74e8cdcca8"
WAYMO_MASK = "635cfcb64d308be60771ac96dfd0247b95967ab79eea618f4c5384ff304a0b22"


class List(NamedTuple):
    """What is known of one list beside its rows."""

    name: str
    csv: str
    source: str
    frame_refers_to: str = "index"
    texts: dict[str, tuple[str, str]] = {}  # noqa: RUF012 - never changed


LISTS = (
    List(
        "eigen/test",
        "eigen_test",
        "Eigen 2014, order of Monodepth2, Dynamo-Depth and Insta-DM",
        "frame_id",
        {"insta_dm": (INSTA_LINE, INSTA_TEST), "dynamo_depth": (KITTI_LINE_PADDED, KITTI_TEST)},
    ),
    List(
        "eigen_zhou/train",
        "eigen_zhou_train",
        "Zhou 2017; Monodepth2 splits/eigen_zhou and Dynamo-Depth splits/eigen_zhou",
        "frame_id",
        {"dynamo_depth": (KITTI_LINE, KITTI_TRAIN), "monodepth2": (KITTI_LINE, KITTI_TRAIN)},
    ),
    List("eigen_zhou/val", "eigen_zhou_val", "Monodepth2 splits/eigen_zhou", "frame_id"),
    List(
        "eigen_zhou/test",
        "eigen_test",
        "Dynamo-Depth splits/eigen_zhou/test_files (the Eigen 2014 test frames)",
        "frame_id",
        {"dynamo_depth": (KITTI_LINE_PADDED, KITTI_TEST)},
    ),
    List(
        "eigen_benchmark/test",
        "eigen_benchmark_test",
        "Monodepth2 splits/eigen_benchmark (Eigen test frames with improved ground truth)",
        "frame_id",
    ),
    List("eigen_full/train", "eigen_full_train", "Monodepth2 splits/eigen_full", "frame_id"),
    List("eigen_full/val", "eigen_full_val", "Monodepth2 splits/eigen_full", "frame_id"),
    List("kitti_odom/train", "kitti_odom_train", "Monodepth2 splits/odom", "frame_id"),
    List("kitti_odom/val", "kitti_odom_val", "Monodepth2 splits/odom", "frame_id"),
    List(
        "nuscenes/train",
        "nuscenes_train",
        "Dynamo-Depth splits/nuscenes/train_files",
        texts={"dynamo_depth": (NUSCENES_LINE, NUSCENES_TRAIN)},
    ),
    List(
        "nuscenes/test",
        "nuscenes_test",
        "Dynamo-Depth splits/nuscenes/test_files",
        texts={"dynamo_depth": (NUSCENES_LINE, NUSCENES_TEST)},
    ),
    List(
        "nuscenes/test_mask",
        "nuscenes_test_mask",
        "Dynamo-Depth splits/nuscenes/test_mask_files",
        texts={"dynamo_depth": (NUSCENES_LINE, NUSCENES_TEST)},
    ),
    List(
        "nuscenes_dayclear/test",
        "nuscenes_dayclear_test",
        "Dynamo-Depth splits/nuscenes_dayclear/test_files",
        texts={"dynamo_depth": (NUSCENES_LINE, DAYCLEAR_TEST)},
    ),
    List(
        "nuscenes_dayclear/test_mask",
        "nuscenes_dayclear_test_mask",
        "Dynamo-Depth splits/nuscenes_dayclear/test_mask_files",
        texts={"dynamo_depth": (NUSCENES_LINE, DAYCLEAR_TEST)},
    ),
    List(
        "waymo/test",
        "waymo_test",
        "Dynamo-Depth splits/waymo/test_files",
        texts={"dynamo_depth": (WAYMO_LINE, WAYMO_TEST)},
    ),
    List(
        "waymo/test_mask",
        "waymo_test_mask",
        "Dynamo-Depth splits/waymo/test_mask_files",
        texts={"dynamo_depth": (WAYMO_LINE, WAYMO_MASK)},
    ),
)


def write(item: List, split: Split, out: Path, same_as: str | None) -> Path:
    """Write one list; every value plain, one group per line."""
    facts: dict[str, object] = {
        "format": FORMAT,
        "version": VERSION,
        "name": item.name,
        "source": item.source,
        "rows": len(split),
        "sha256": split.sha256,
    }
    if item.texts:
        facts["texts"] = {k: {"line": v[0], "sha256": v[1]} for k, v in item.texts.items()}
    if same_as:
        facts["same_as"] = same_as
    else:
        facts["frame_refers_to"] = item.frame_refers_to
        rank = np.lexsort((split.frame, split.group))
        order = np.empty_like(rank)
        order[rank] = np.arange(len(rank))
        is_sorted = bool((order == np.arange(len(order))).all())
        facts["order"] = "sorted" if is_sorted else pack_order(order)
        facts["groups"] = [
            [s, c, format_ranges(np.sort(split.frame[split.group == g]))]
            for g, (s, c) in enumerate(split.groups)
        ]
    file = out / f"{item.name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(_dump(facts), encoding="utf-8")
    return file


def _dump(facts: dict[str, object]) -> str:
    lines = []
    for key, value in facts.items():
        if key == "groups" and isinstance(value, list):
            rows = ",\n".join("  " + json.dumps(row) for row in value)
            lines.append(f" {json.dumps(key)}: [\n{rows}\n ]")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> int:
    """Convert the CSV files of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("splits"))
    arguments = parser.parse_args()
    files = {path.stem: path for path in arguments.csv}
    unknown = sorted(set(files) - {item.csv for item in LISTS})
    if unknown:
        parser.error(f"no list of LISTS is made from {', '.join(unknown)}")
    first: dict[str, str] = {}
    for item in LISTS:
        if item.csv not in files:
            continue
        split = Split.from_csv(files[item.csv], item.name)
        file = write(item, split, arguments.out, first.get(split.sha256))
        first.setdefault(split.sha256, item.name)
        again = load_split(item.name, arguments.out)
        if again.as_csv() != files[item.csv].read_text(encoding="utf-8"):
            raise SystemExit(f"{file} does not expand to {files[item.csv]}")
        for project in again.texts:
            again.as_text(project)
        print(f"{file}: {len(split)} rows, {file.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
