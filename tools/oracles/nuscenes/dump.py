"""What the official devkit reads from a nuScenes tree, as JSON and npz. Runs in the oracle's venv.

usage: dump.py DATAROOT VERSION OUT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.data_classes import LidarPointCloud
from nuscenes.utils.data_io import load_bin_file
from nuscenes.utils.geometry_utils import BoxVisibility, transform_matrix, view_points
from pyquaternion import Quaternion

CAMERAS = [
    f"CAM_{name}"
    for name in ("FRONT", "FRONT_LEFT", "FRONT_RIGHT", "BACK", "BACK_LEFT", "BACK_RIGHT")
]


def matrix(row: dict) -> list:
    return transform_matrix(row["translation"], Quaternion(row["rotation"])).tolist()


def records(kit: NuScenes, scene: dict, channel: str) -> list[dict]:
    sample = kit.get("sample", scene["first_sample_token"])
    found = []
    token = sample["data"].get(channel, "")
    while token:
        row = kit.get("sample_data", token)
        calibrated = kit.get("calibrated_sensor", row["calibrated_sensor_token"])
        found.append(
            {
                "token": token,
                "sample": row["sample_token"],
                "key": row["is_key_frame"],
                "timestamp": row["timestamp"],
                "file": row["filename"],
                "size": [row["height"], row["width"]],
                "T_world_ego": matrix(kit.get("ego_pose", row["ego_pose_token"])),
                "T_ego_sensor": matrix(calibrated),
                "K": calibrated["camera_intrinsic"],
            }
        )
        token = row["next"]
    return found


def projected(kit: NuScenes, lidar_token: str, camera_token: str) -> tuple[np.ndarray, np.ndarray]:
    """The devkit's own projection of a scan into a picture (its explorer does the same)."""
    kit_points, depth, _ = kit.explorer.map_pointcloud_to_image(
        lidar_token, camera_token, render_intensity=False
    )
    return kit_points, depth


def main() -> None:
    root, version, out = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    kit = NuScenes(version=version, dataroot=root, verbose=False)
    arrays: dict[str, np.ndarray] = {}
    scenes = {}
    for scene in kit.scene:
        channels = {name: records(kit, scene, name) for name in [*CAMERAS, "LIDAR_TOP"]}
        samples, token = [], scene["first_sample_token"]
        while token:
            sample = kit.get("sample", token)
            boxes = []
            for box_token in sample["anns"]:
                row = kit.get("sample_annotation", box_token)
                box = kit.get_box(box_token)
                boxes.append(
                    {
                        "token": box_token,
                        "instance": row["instance_token"],
                        "category": box.name,
                        "T_world_box": transform_matrix(box.center, box.orientation).tolist(),
                        "wlh": list(map(float, box.wlh)),
                        "velocity": kit.box_velocity(box_token).tolist(),
                        "attributes": [
                            kit.get("attribute", t)["name"] for t in row["attribute_tokens"]
                        ],
                        "visibility": kit.get("visibility", row["visibility_token"])["level"],
                        "lidar_points": row["num_lidar_pts"],
                    }
                )
            lidar = sample["data"]["LIDAR_TOP"]
            path = kit.get_sample_data_path(lidar)
            arrays[f"scan_{token}"] = LidarPointCloud.from_file(path).points.T.copy()
            for channel in CAMERAS:
                if channel in sample["data"]:
                    camera = sample["data"][channel]
                    points, depth = projected(kit, lidar, camera)
                    arrays[f"points_{camera}"] = np.vstack([points[:2], depth]).T
                    _, seen, K = kit.get_sample_data(camera, box_vis_level=BoxVisibility.ANY)
                    for box in seen:
                        corner = view_points(box.corners(), K, normalize=True)[:2].T
                        arrays[f"corners_{camera}_{box.token}"] = corner
            if hasattr(kit, "panoptic"):
                file = kit.get("panoptic", lidar)["filename"]
                arrays[f"panoptic_{token}"] = load_bin_file(str(Path(root) / file), "panoptic")
            samples.append(
                {"token": token, "timestamp": sample["timestamp"], "lidar": lidar, "boxes": boxes}
            )
            token = sample["next"]
        log = kit.get("log", scene["log_token"])
        scenes[scene["name"]] = {
            "token": scene["token"],
            "location": log["location"],
            "channels": channels,
            "samples": samples,
        }
    (out / "devkit.json").write_text(json.dumps({"version": version, "scenes": scenes}))
    np.savez(out / "devkit.npz", **arrays)


if __name__ == "__main__":
    main()
