#!/usr/bin/env python
"""Time and memory of reading the nuScenes tables: ours against the official devkit.

usage: tools/bench/nuscenes.py [--scenes N] [--rounds N] [--devkit PYTHON] [--keep FOLDER]

Writes tables as of N scenes (40 samples each; per sample 36 camera, 10 lidar and 30 radar records
and 20 boxes, in the proportions of the published set), 3,040 sample_data rows a scene, and reads
them with both, each in a process of its own, in turn. Peak memory is that of the process above what
its imports take. `--devkit` is the interpreter of an environment with nuscenes-devkit
(tools/oracles/nuscenes/run makes one).
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
CAMERAS = ("FRONT", "FRONT_LEFT", "FRONT_RIGHT", "BACK", "BACK_LEFT", "BACK_RIGHT")
RADARS = ("FRONT", "FRONT_LEFT", "FRONT_RIGHT", "BACK_LEFT", "BACK_RIGHT")
CHANNELS = {  # channel -> records a sample
    **{f"CAM_{name}": 6 for name in CAMERAS},
    "LIDAR_TOP": 10,
    **{f"RADAR_{name}": 6 for name in RADARS},
}
SAMPLES, BOXES, CATEGORIES = 40, 20, 23
LOG = "n015-2018-07-24-11-22-45+0800"

MEASURE = """
import json, re, sys, time
{imports}

def peak():  # ru_maxrss would count what the parent held
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
before = peak()
start, cpu = time.perf_counter(), time.process_time()
{read}
seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
print(json.dumps([seconds, cpu, (peak() - before) / 1024, {count}]))
"""
OURS = MEASURE.format(
    imports="from depthdata.codecs.nuscenes_tables import read_tables",
    read="tables = read_tables(sys.argv[1] + '/v1.0-trainval')",
    count="len(tables.records.tokens)",
)
SCENES = MEASURE.format(
    imports="from depthdata.sources import nuscenes, nuscenes_tree",
    read="specs = nuscenes.sequences(sys.argv[1])",
    count="len(specs)",
)
DEVKIT = MEASURE.format(
    imports="from nuscenes.nuscenes import NuScenes",
    read="kit = NuScenes(version='v1.0-trainval', dataroot=sys.argv[1], verbose=False)",
    count="len(kit.sample_data)",
)


class Tables:
    """Rows of a table set with random tokens, as large as the published ones."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.rows: dict[str, list[dict[str, Any]]] = {}

    def token(self) -> str:
        return f"{self._random.getrandbits(128):032x}"

    def add(self, table: str, **fields: Any) -> str:
        row = {"token": self.token(), **fields}
        self.rows.setdefault(table, []).append(row)
        return row["token"]

    def vector(self, width: int) -> list[float]:
        return [self._random.uniform(0.1, 1000) for _ in range(width)]

    def chain(self, table: str, tokens: list[str], rows: list[dict[str, Any]]) -> None:
        """Add rows that follow each other."""
        for i, row in enumerate(rows):
            prev = tokens[i - 1] if i else ""
            following = tokens[i + 1] if i + 1 < len(tokens) else ""
            self.rows.setdefault(table, []).append(
                {"token": tokens[i], **row, "prev": prev, "next": following}
            )


def write_tables(root: Path, scenes: int) -> None:
    made = Tables(0)
    for level in range(4):
        made.add("visibility", level=f"v{level}", description="")
    attributes = [made.add("attribute", name=f"vehicle.{k}", description="") for k in range(8)]
    categories = [
        made.add("category", name=f"vehicle.{k}", description="") for k in range(CATEGORIES)
    ]
    calibrated = {}
    for channel in CHANNELS:
        kind = channel.partition("_")[0].lower().replace("cam", "camera")
        sensor = made.add("sensor", channel=channel, modality=kind)
        calibrated[channel] = made.add(
            "calibrated_sensor",
            sensor_token=sensor,
            translation=made.vector(3),
            rotation=made.vector(4),
            camera_intrinsic=[[1266.4, 0, 816.2], [0, 1266.4, 491.5], [0, 0, 1]]
            if kind == "camera"
            else [],
        )
    log = made.add("log", logfile=LOG, vehicle="n015", date_captured="2018-07-24", location="x")
    made.add("map", log_tokens=[log], category="semantic_prior", filename="maps/none.png")
    for k in range(scenes):
        _scene(made, k, log, calibrated, categories, attributes)
    for table, rows in made.rows.items():
        path = root / "v1.0-trainval" / f"{table}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows, indent=0))
    for channel in CHANNELS:
        for part in ("samples", "sweeps"):
            (root / part / channel).mkdir(parents=True, exist_ok=True)
    (root / "maps").mkdir()
    (root / "maps/none.png").write_bytes(b"")


def _scene(
    made: Tables,
    k: int,
    log: str,
    calibrated: dict[str, str],
    categories: list[str],
    attributes: list[str],
) -> None:
    start = 1_532_402_927_000_000 + k * 20_000_000
    samples = [made.token() for _ in range(SAMPLES)]
    scene = made.add(
        "scene",
        log_token=log,
        nbr_samples=SAMPLES,
        first_sample_token=samples[0],
        last_sample_token=samples[-1],
        name=f"scene-{k + 1:04d}",
        description="made for a benchmark",
    )
    times = [start + 500_000 * i for i in range(SAMPLES)]
    made.chain("sample", samples, [{"timestamp": t, "scene_token": scene} for t in times])
    for channel, count in CHANNELS.items():
        tokens = [made.token() for _ in range(SAMPLES * count)]
        suffix = {"CAM": "jpg", "LIDAR": "pcd.bin"}.get(channel.partition("_")[0], "pcd")
        rows = []
        for i, token in enumerate(tokens):
            time, key = start + 500_000 * i // count, i % count == 0
            folder = "samples" if key else "sweeps"
            rows.append(
                {
                    "sample_token": samples[i // count],
                    "ego_pose_token": token,
                    "calibrated_sensor_token": calibrated[channel],
                    "timestamp": time,
                    "fileformat": suffix.partition(".")[0],
                    "is_key_frame": key,
                    "height": 900 if suffix == "jpg" else 0,
                    "width": 1600 if suffix == "jpg" else 0,
                    "filename": f"{folder}/{channel}/{LOG}__{channel}__{time}.{suffix}",
                }
            )
            pose = {"rotation": made.vector(4), "translation": made.vector(3)}
            made.rows.setdefault("ego_pose", []).append({"token": token, "timestamp": time, **pose})
        made.chain("sample_data", tokens, rows)
    for b in range(BOXES):
        tokens = [made.token() for _ in samples]
        instance = made.add(
            "instance",
            category_token=categories[b % CATEGORIES],
            nbr_annotations=SAMPLES,
            first_annotation_token=tokens[0],
            last_annotation_token=tokens[-1],
        )
        made.chain(
            "sample_annotation",
            tokens,
            [
                {
                    "sample_token": sample,
                    "instance_token": instance,
                    "visibility_token": made.rows["visibility"][b % 4]["token"],
                    "attribute_tokens": [attributes[b % 8]],
                    "translation": made.vector(3),
                    "size": made.vector(3),
                    "rotation": made.vector(4),
                    "num_lidar_pts": b,
                    "num_radar_pts": 0,
                }
                for sample in samples
            ],
        )


def measure(python: str, code: str, root: Path) -> tuple[float, float, float, int]:
    done = subprocess.run(
        [python, "-c", code, str(root)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    seconds, cpu, megabytes, count = json.loads(done.stdout.splitlines()[-1])
    return seconds, cpu, megabytes, count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--devkit", default=str(PROJECT / "build/oracles/nuscenes/bin/python"))
    parser.add_argument("--keep", type=Path, help="Folder for the tables, to be used again.")
    arguments = parser.parse_args()
    if not Path(arguments.devkit).exists():
        sys.exit(f"{arguments.devkit} is missing: run tools/oracles/nuscenes/run first")
    with tempfile.TemporaryDirectory(prefix="nuscenes.") as folder:
        root = arguments.keep or Path(folder)
        if not (root / "v1.0-trainval").is_dir():
            write_tables(root, arguments.scenes)
        tasks = {
            "devkit": (arguments.devkit, DEVKIT),
            "ours": (sys.executable, OURS),
            "ours, scenes": (sys.executable, SCENES),
        }
        found: dict[str, list[tuple[float, float, float, int]]] = {name: [] for name in tasks}
        for round_number in range(arguments.rounds):
            order = list(tasks) if round_number % 2 == 0 else list(tasks)[::-1]
            for name in order:
                found[name].append(measure(*tasks[name], root))
    report(found)


def report(found: dict[str, list[tuple[float, float, float, int]]]) -> None:
    print(
        f"{found['devkit'][0][3]} rows of sample_data, {found['ours'][0][3]} of them kept by ours"
    )
    medians = {}
    for name, rows in found.items():
        medians[name] = [statistics.median(row[i] for row in rows) for i in range(3)]
        seconds, cpu, megabytes = medians[name]
        print(f"{name:<13} {seconds:8.2f} s {cpu:8.2f} s CPU {megabytes:9.1f} MiB")
    for name in ("ours", "ours, scenes"):
        ratios = [a / b for a, b in zip(medians["devkit"], medians[name], strict=True)]
        print(
            f"devkit / {name:<13} time {ratios[0]:.2f}, CPU {ratios[1]:.2f}, memory {ratios[2]:.1f}"
        )


if __name__ == "__main__":
    main()
