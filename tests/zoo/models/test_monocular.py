"""Monodepth2, Lite-Mono and Dynamo-Depth as models, weights in the files of their authors."""

from __future__ import annotations

import logging
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import depthzoo
from depthdata.errors import FormatError, UsageError
from depthzoo import networks
from depthzoo.models import model_card
from depthzoo.networks.disparity import depth_of
from depthzoo.seeded import seeded_state

SMALL = (64, 96)
KITTI = "dynamo_depth/kitti"


def write_weights(name: str, folder: Path, **extra) -> Path:
    """Write the files of a card as its authors do: a flat dict, the size among the tensors."""
    card = model_card(name)
    chosen = {k: v for k, v in card.settings.items() if k in ("variant", "depth_model", "pose")}
    if "trained_width" in card.settings:
        chosen["trained_width"] = card.settings["trained_width"]
    network = networks.create(card.network, **chosen)
    manifest = {
        key: [list(value.shape), str(value.dtype).removeprefix("torch.")]
        for key, value in network.state_dict().items()
    }
    seeded = {k: torch.from_numpy(v) for k, v in seeded_state(manifest, seed=5).items()}
    network.load_state_dict(seeded)
    state = network.state_dict()  # aliases are equal again
    folder.mkdir(parents=True, exist_ok=True)
    for file in card.weights:
        part = {k[len(file.prefix) :]: v for k, v in state.items() if k.startswith(file.prefix)}
        if "enc" in file.file:
            height, width = card.settings["size"]
            part |= {"height": height, "width": width, **extra}
        torch.save(part, folder / file.file)
    return folder


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Weights of a model, written once."""
    root = tmp_path_factory.mktemp("weights")

    def folder(name: str) -> Path:
        if name in ("dynamo_depth/nuscenes", "dynamo_depth/waymo"):
            name = KITTI  # the same networks, which take a while to write
        at = root / name
        return at if at.exists() else write_weights(name, at)

    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("DEPTHZOO_CACHE", str(tmp_path_factory.getbasetemp() / "monocular_cache"))


def video(frames: int, height: int = 70, width: int = 131, seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (frames, 3, 1 + height // 8, 1 + width // 8), dtype=np.uint8)
    rgb = coarse.repeat(8, 2).repeat(8, 3)[:, :, :height, :width]
    matrix = np.array([[80.0, 0, 60], [0, 90, 30], [0, 0, 1]])
    return {"rgb": rgb, "intrinsics": np.tile(matrix, (frames, 1, 1)).astype(np.float32)}


FAMILIES = ("monodepth2/mono_640x192", "lite_mono/tiny_640x192", KITTI)


@pytest.mark.parametrize("name", FAMILIES)
def test_depth_of_any_size_and_length(published, name):
    model = depthzoo.load(name, weights=published(name), size=SMALL)
    assert isinstance(model, depthzoo.Model) and len(model.weights_sha256) == 64
    sample = video(2)
    prediction = model.predict(sample)
    assert prediction.depth.shape == (2, 70, 131)
    assert prediction.invariance == "scale"
    assert ((prediction.depth > 0.099) & (prediction.depth < 100.1)).all()
    one = model.predict({"rgb": torch.from_numpy(sample["rgb"][1])})
    assert one.given == ("depth",)
    np.testing.assert_array_equal(one.depth[0], prediction.depth[1])


@pytest.mark.parametrize("name", FAMILIES)
def test_frames_of_the_networks_size_pass_as_they_are(published, name):
    model = depthzoo.load(name, weights=published(name), size=SMALL)
    sample = video(1, *SMALL)
    with torch.inference_mode():
        disparity = model.network(torch.from_numpy(sample["rgb"]).float() / 255)[0]
    np.testing.assert_allclose(
        model.predict(sample).depth, depth_of(disparity)[:, 0].numpy(), rtol=1e-6
    )


def test_frames_that_pass_together_give_the_same_depth(published):
    name = "lite_mono/tiny_640x192"
    one = depthzoo.load(name, weights=published(name), size=SMALL)
    three = depthzoo.load(name, weights=published(name), size=SMALL, batch_size=3)
    sample = video(4)
    np.testing.assert_allclose(
        three.predict(sample).depth, one.predict(sample).depth, rtol=1e-5, atol=0
    )


def test_images_are_resized_as_pillow_does(published):
    image = pytest.importorskip("PIL.Image")
    name = "lite_mono/tiny_640x192"
    model = depthzoo.load(name, weights=published(name))
    frame = video(1, 133, 421)["rgb"][0]
    want = image.fromarray(frame.transpose(1, 2, 0)).resize((640, 192), image.Resampling.BICUBIC)
    got = (255 * model._image(frame)[0]).round().permute(1, 2, 0).numpy()
    off = np.abs(got - np.asarray(want, np.float32))
    assert off.max() <= 2 and (off > 0).mean() < 0.02


@pytest.mark.parametrize("name", ["monodepth2/mono_640x192", KITTI])
def test_poses_are_a_chain_of_steps(published, name):
    model = depthzoo.load(name, weights=published(name), size=SMALL)
    sample = video(4)
    pose = model.predict(sample).pose
    np.testing.assert_array_equal(pose[0], np.eye(4))
    np.testing.assert_allclose(pose[:, 3], np.tile([0, 0, 0, 1], (4, 1)))
    np.testing.assert_allclose(
        pose[:, :3, :3] @ pose[:, :3, :3].transpose(0, 2, 1),
        np.tile(np.eye(3), (4, 1, 1)),
        atol=1e-5,
    )
    for t in (1, 2):
        two = model.predict({"rgb": sample["rgb"][t : t + 2]}).pose
        np.testing.assert_allclose(np.linalg.inv(pose[t]) @ pose[t + 1], two[1], atol=1e-7)


def test_monodepth2_orders_images_by_time_and_dynamo_depth_puts_the_target_last(published):
    frames = video(2, *SMALL)
    first, second = (torch.from_numpy(f)[None].float() / 255 for f in frames["rgb"])
    model = depthzoo.load(FAMILIES[0], weights=published(FAMILIES[0]), size=SMALL)
    with torch.inference_mode():
        step = model.network.relative_pose(first, second).matrix()[0].double().numpy()
    np.testing.assert_allclose(model.predict(frames).pose[1], np.linalg.inv(step), atol=1e-6)
    model = depthzoo.load(KITTI, weights=published(KITTI), size=SMALL)
    with torch.inference_mode():
        step = model.network.relative_pose(second, first).matrix()[0].double().numpy()
    np.testing.assert_allclose(model.predict(frames).pose[1], step, atol=1e-7)


def test_motion_is_told_where_a_frame_has_both_neighbours(published):
    model = depthzoo.load(KITTI, weights=published(KITTI), size=SMALL)
    prediction = model.predict(video(4))
    assert set(prediction.given) == {"depth", "flow", "pose", "motion_mask"}
    for values in (prediction.flow, prediction.motion_mask):
        assert np.isnan(values[[0, -1]]).all() and np.isfinite(values[1:-1]).all()
    assert prediction.flow.shape == (4, 2, 70, 131)
    assert ((prediction.motion_mask[1:-1] > 0) & (prediction.motion_mask[1:-1] < 1)).all()
    assert prediction.meta["intrinsics"] == "of the training"


def test_flow_is_that_of_the_network_in_pixels_of_the_frames(published):
    name = "dynamo_depth/waymo"
    model = depthzoo.load(name, weights=published(name), size=SMALL)
    sample = video(3, *SMALL)
    images = [torch.from_numpy(f)[None].float() / 255 for f in sample["rgb"]]
    with torch.inference_mode():
        scene = model.network.scene(*images, torch.from_numpy(sample["intrinsics"][:1]))
    prediction = model.predict(sample)
    np.testing.assert_allclose(prediction.flow[1], scene.optical_flow[0].numpy(), atol=1e-4)
    np.testing.assert_allclose(prediction.motion_mask[1], scene.mask[0, 0].numpy(), atol=1e-6)
    large = {"rgb": sample["rgb"].repeat(2, 2).repeat(2, 3), "intrinsics": sample["intrinsics"]}
    large["intrinsics"] = large["intrinsics"] * np.array([2, 2, 1])[:, None]
    twice = model.predict(large).flow[1]
    assert twice.shape == (2, 128, 192)
    # resizing the doubled frames gives other pixels, so only the size of the flow is compared
    assert np.abs(twice).mean() == pytest.approx(2 * np.abs(prediction.flow[1]).mean(), rel=0.2)


def test_uneven_time_scales_the_flow_of_the_scene_alone(published):
    name = "dynamo_depth/nuscenes"
    model = depthzoo.load(name, weights=published(name), size=SMALL)
    sample = video(3)
    even = {**sample, "timestamps": np.array([0, 1, 2]) * 100_000_000}
    uneven = {**sample, "timestamps": np.array([0, 2, 3]) * 50_000_000}
    without = model.predict(sample)
    np.testing.assert_array_equal(model.predict(even).flow, without.flow)
    other = model.predict(uneven)
    assert not np.allclose(other.flow[1], without.flow[1])
    np.testing.assert_array_equal(other.pose, without.pose)


def test_named_outputs_say_what_the_model_needs_and_spare_the_rest(published, tmp_path):
    folder = published("dynamo_depth/waymo")
    for file in ("depth_enc.pth", "depth_dec.pth"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    depth = depthzoo.load("dynamo_depth/waymo", weights=tmp_path, size=SMALL, outputs=["depth"])
    assert depth.needs.offsets == (0,)
    assert depth.predict(video(3)).given == ("depth",)
    mask = depthzoo.load(
        "dynamo_depth/waymo", weights=folder, size=SMALL, outputs="depth,motion_mask"
    )
    assert mask.needs.offsets == (-1, 0, 1) and not mask.needs.intrinsics
    assert mask.predict(video(3)).given == ("depth", "motion_mask")
    flow = depthzoo.load("dynamo_depth/waymo", weights=folder, size=SMALL, outputs=("flow",))
    assert flow.needs.intrinsics
    with pytest.raises(UsageError, match="needs 'intrinsics'"):
        flow.predict({"rgb": video(3)["rgb"]})
    with pytest.raises(UsageError, match=r"needs pose_enc\.pth"):
        depthzoo.load("dynamo_depth/waymo", weights=tmp_path, size=SMALL)


def test_weights_in_the_published_archive(published, tmp_path):
    name = "monodepth2/mono_640x192"
    archive = tmp_path / "mono_640x192.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for file in published(name).iterdir():
            out.write(file, f"mono_640x192/{file.name}")
    a = depthzoo.load(name, weights=archive, size=SMALL)
    b = depthzoo.load(name, weights=published(name), size=SMALL)
    assert a.weights_sha256 == b.weights_sha256


def test_pose_weights_by_number_alone_take_effect(published, tmp_path):
    folder = Path(shutil.copytree(published(KITTI), tmp_path / "w"))
    state = torch.load(folder / "pose_dec.pth", weights_only=True)
    numbered = {k: v for k, v in state.items() if k.startswith("net.")}
    assert len(numbered) == 8 and len(state) == 16
    torch.save(numbered, folder / "pose_dec.pth")
    options = {"size": SMALL, "outputs": "depth,pose"}
    a = depthzoo.load(KITTI, weights=folder, **options).predict(video(2)).pose
    b = depthzoo.load(KITTI, weights=published(KITTI), **options).predict(video(2)).pose
    np.testing.assert_array_equal(a, b)


def test_another_training_size_is_told(published, tmp_path, caplog):
    name = "lite_mono/tiny_640x192"
    with caplog.at_level(logging.WARNING):
        depthzoo.load(name, weights=published(name))
    assert "trained at" not in caplog.text
    folder = write_weights(name, tmp_path, height=320, width=1024)
    with caplog.at_level(logging.WARNING):
        depthzoo.load(name, weights=folder)
    assert "trained at 320 x 1024, images are resized to 192 x 640; give size=" in caplog.text


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_other_arithmetic_stays_near(published, precision):
    name = "monodepth2/mono_640x192"
    full = depthzoo.load(name, weights=published(name), size=SMALL).predict(video(1)).depth
    half = depthzoo.load(name, weights=published(name), size=SMALL, precision=precision)
    np.testing.assert_allclose(half.predict(video(1)).depth, full, rtol=0.05)


def test_weights_of_another_model_are_refused_in_one_line(published):
    with pytest.raises(FormatError, match="does not fit") as caught:
        depthzoo.load("dynamo_depth/kitti_md2", weights=published(KITTI), outputs="depth")
    assert "\n" not in str(caught.value)
    with pytest.raises(FormatError, match="does not fit"):
        depthzoo.load("lite_mono/8m_640x192", weights=published("lite_mono/tiny_640x192"))
    with pytest.raises(UsageError, match=r"found no encoder\.pth"):
        depthzoo.load("lite_mono/base_640x192", weights=published(KITTI))


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("lite_mono/tiny_640x192", {"size": (100, 200)}, "multiples of 32 from 64 on"),
        ("lite_mono/tiny_640x192", {"outputs": "depth"}, "has no option outputs"),
        ("lite_mono/tiny_640x192", {"batch_size": -1}, "batch_size is at least 1"),
        ("lite_mono/tiny_640x192", {"precision": "fp8"}, "precision is one of"),
        ("monodepth2/stereo_640x192", {"outputs": ("pose",)}, "outputs are some of depth"),
        (KITTI, {"outputs": "colour"}, "outputs are some of depth, pose, flow, motion_mask"),
        (KITTI, {}, "download https://drive.google.com/uc"),
        ("dynamo_depth/waymo", {}, "forms.gle"),
    ],
)
def test_wrong_options_are_refused_in_one_line(name, options, said):
    with pytest.raises(UsageError) as caught:
        depthzoo.load(name, **options)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_cards_state_the_published_numbers():
    cards = [model_card(n) for n in depthzoo.list_models()]
    ours = [c for c in cards if c.family in ("monodepth2", "lite_mono", "dynamo_depth")]
    assert len(ours) >= 20
    for card in ours:
        assert card.invariance == "scale" and card.settings["size"] and card.licence
        assert all(number.value > 0 and number.source for number in card.numbers)
