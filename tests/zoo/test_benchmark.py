"""``depthzoo bench``: models run without weights; time and memory are those of the run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import depthzoo
from depthdata.errors import UsageError
from depthzoo.benchmark import benchmark, random_sample, table
from depthzoo.cli import main
from depthzoo.live_tensors import LiveTensors


def test_a_meter_sees_what_is_alive_at_a_time_and_not_what_was_given():
    given = torch.ones(1 << 20)
    with LiveTensors([given]) as meter:
        total = given.sum()
        for _ in range(3):
            total = total + (given * 2).relu_().sum()
    assert given.nbytes < meter.peak < 1.01 * given.nbytes
    assert meter.live < 100


def test_memory_grows_with_the_size_of_the_network():
    small, large = (
        next(benchmark(["lite_mono/tiny_640x192"], sizes=[(90, 130)], runs=2, size=size))
        for size in ((64, 96), (128, 192))
    )
    assert small.weights_bytes == large.weights_bytes > 1 << 20
    assert 3 * small.peak_bytes < large.peak_bytes < 5 * small.peak_bytes
    assert 0 < small.seconds < 5 and small.runs == 2 and small.options == {"size": (64, 96)}
    text = table([small, large])
    assert "| `lite_mono/tiny_640x192`, size=(128, 192) | 90 x 130 | 1 | fp32 |" in text


def test_samples_have_what_models_need():
    card = depthzoo.model_card("dynamic_stereo/sf")
    sample = random_sample(card, (50, 70), 3)
    assert sample["rgb"].shape == sample["right_rgb"].shape == (3, 3, 50, 70)
    assert sample["rgb"].dtype == np.uint8 and sample["intrinsics"].shape == (3, 3, 3)
    assert not np.array_equal(sample["rgb"], sample["right_rgb"])


def test_the_command_prints_a_table_and_writes_json(tmp_path: Path):
    out = tmp_path / "bench.json"
    command = ["bench", "sgbm", "--size", "48", "80", "--runs", "2", "-o", str(out)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert "| `sgbm` | 48 x 80 | 1 | fp32 |" in result.output
    (facts,) = json.loads(out.read_text())
    assert facts["model"] == "sgbm" and facts["seconds"] > 0 and facts["versions"]["torch"]
    CliRunner().invoke(main, [*command, "--size", "60", "90"])
    assert [row["size"] for row in json.loads(out.read_text())] == [[48, 80], [60, 90]]
    out.write_text("[1]")
    result = CliRunner().invoke(main, command)
    assert result.exit_code != 0 and "not a file of timings" in result.output
    assert out.read_text() == "[1]"


def test_what_cannot_be_timed_is_refused():
    with pytest.raises(UsageError, match="runs is at least 1"):
        list(benchmark(["sgbm"], runs=0))
    result = CliRunner().invoke(main, ["bench", "nothing*"])
    assert result.exit_code != 0 and "no model 'nothing*'" in result.output
