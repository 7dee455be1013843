"""Trajectories against images, flow, poses and depth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthdata.checks.samples import Sampler
from depthdata.checks.tracks import check_tracks
from depthdata.codecs.images import encode_png
from depthdata.geometry import se3_inverse
from depthdata.sequence import SequenceWriter, open_sequence
from depthdata.synthetic import SyntheticScene

FRAMES = 4
FACTS = dict(licence="x", citation="x", converter="test 1", source_fingerprint="xxh3:0")


@pytest.fixture(scope="module")
def material() -> tuple[SyntheticScene, list[Any], Any]:
    scene = SyntheticScene(seed=2, frames=FRAMES)
    return scene, [scene.render(t) for t in range(FRAMES)], scene.tracks("left", 300)


@pytest.fixture
def found(material: Any, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Write tracks that a test has changed, and check them."""
    scene, frames, tracks = material

    def make(change: Callable[..., dict[str, Any]] | None = None, **leave: Any) -> dict[str, Any]:
        parts = {
            "xy": tracks.xy.copy(),
            "visible": tracks.visible.copy(),
            "world": tracks.xyz_world.astype(np.float32),
            "poses": np.array(scene.T_world_cam("left")),
        }
        if change is not None:
            parts |= change(parts, scene)
        path = tmp_path / "tracks.h5"
        with SequenceWriter(path, dataset="test", sequence="x", split=None, **FACTS) as writer:
            writer.timeline(scene.timestamps, scene.frame_ids)
            camera = writer.camera(
                "left",
                height=scene.height,
                width=scene.width,
                intrinsics=scene.intrinsics,
                T_world_cam=parts["poses"],
            )
            blobs = [encode_png(frame.rgb) for frame in frames]
            camera.encoded("rgb", blobs, [len(b) for b in blobs], encoding="png", channels=3)
            camera.dense("depth", [f.depth for f in frames], dtype="f4", missing="nan")
            camera.dense(
                "flow_forward",
                [f.flow_forward for f in frames[:-1]],
                dtype="f4",
                missing="nan",
                frame_index=np.arange(FRAMES - 1),
            )
            writer.tracks("left", parts["xy"], parts["visible"], parts["world"])
        with open_sequence(path) as sequence:
            return {f.name: f for f in check_tracks(Sampler(sequence), "left", None)}

    return make


def test_truth_passes(found):
    findings = found()
    assert set(findings) == {f"tracks vs {what}" for what in ("images", "flow", "poses", "depth")}
    assert all(f.ok for f in findings.values()), findings
    assert findings["tracks vs depth"].value > 0.95
    assert findings["tracks vs poses"].value < 0.01 and findings["tracks vs flow"].value < 0.1


def shifted(parts, scene):
    later = np.minimum(np.arange(FRAMES) + 1, FRAMES - 1)
    return {name: parts[name][later] for name in ("xy", "visible", "world")}


@pytest.mark.parametrize(
    "change, name, words",
    [
        (lambda p, s: {"xy": p["xy"][..., ::-1]}, "images", "look swapped"),
        (lambda p, s: {"xy": p["xy"] * [1, -1] + [0, s.height - 1]}, "images", "from below"),
        (lambda p, s: {"xy": p["xy"] * 2}, "flow", "do not move as the flow says"),
        (lambda p, s: {"poses": se3_inverse(p["poses"])}, "poses", "look inverted"),
        (
            lambda p, s: {"poses": p["poses"] @ np.diag([1.0, -1, -1, 1])},
            "poses",
            "y up and z backward",
        ),
        (lambda p, s: {"poses": p["poses"] @ np.diag([-1.0, -1, 1, 1])}, "poses", "PyTorch3D"),
        (lambda p, s: {"visible": ~p["visible"]}, "depth", "visib"),
        (shifted, "poses", "do not project to their pixels"),
        (shifted, "depth", "does not agree with depth"),
    ],
)
def test_faults_are_named(found, change, name, words):
    finding = found(change)[f"tracks vs {name}"]
    assert finding.ok is False and words in finding.message, finding


def test_without_world_points_the_images_and_the_flow_remain(found):
    findings = found(lambda p, s: {"world": None})
    assert findings["tracks vs poses"].ok is None and findings["tracks vs depth"].ok is None
    assert findings["tracks vs images"].ok and findings["tracks vs flow"].ok
