"""Results beside one another: what is best, by how much, and what does not compare."""

from __future__ import annotations

import copy
import json
import math
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from depthdata.errors import FormatError, UsageError
from depthzoo.cli import main
from depthzoo.evaluation.report.comparison import compare_results
from depthzoo.evaluation.report.comparison_page import render_comparison, write_comparison
from depthzoo.evaluation.report.page_pictures import read_pictures
from depthzoo.evaluation.report.stored import StoredResult

METRICS = ["abs_rel", "a1"]
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElF"
    "TkSuQmCC"
)


def result(name: str, errors: dict[str, list[float]], good: float = 0.9) -> dict:
    """A result whose frames have these errors, by sequence."""
    every = [e for values in errors.values() for e in values]
    columns = ["sequence", "camera", "frame", "frame_id", "pixels", "missing", "scale", *METRICS]
    return {
        "format": "depthzoo.evaluation",
        "version": 1,
        "protocol": {"id": "kitti_raw/lidar@1", "title": "Lidar", "metrics": METRICS},
        "model": {"name": name, "weights_sha256": None},
        "split": None,
        "alignment": {"method": "none"},
        "aggregate": {"abs_rel": sum(every) / len(every), "a1": good},
        "counts": {"frames": len(every), "coverage": 1.0},
        "comparable": {"published": True, "because": []},
        "per_sequence": {
            s: {"abs_rel": sum(v) / len(v), "a1": good, "frames": len(v)} for s, v in errors.items()
        },
        "per_frame": {
            "columns": columns,
            "rows": [
                [s, "left", t, f"{t:03d}", 10, 0, 1.0, e, good]
                for s, values in errors.items()
                for t, e in enumerate(values)
            ],
        },
        "data": [{"sequence": s, "digest": f"digest-{s}"} for s in errors],
        "versions": {"depthdata": "0"},
    }


A = result("alpha", {"near": [0.1, 0.2], "far": [0.3, 0.4]}, good=0.9)
B = result("beta", {"near": [0.2, 0.2], "far": [0.1, 0.1]}, good=0.95)


def compare(*data: dict, mixed: bool = False):
    return compare_results([StoredResult(one) for one in data], mixed=mixed)


def test_best_deltas_and_frames():
    found = compare(A, B)
    assert found.comparable and found.names == ("alpha", "beta")
    assert found.best("abs_rel") == (1,) and found.best("a1") == (1,)
    data = found.to_dict()
    assert data["results"][1]["delta"]["abs_rel"] == pytest.approx(0.15 - 0.25)
    assert data["results"][1]["best"] == METRICS and data["results"][0]["best"] == []
    pair = data["results"][1]["against_first"]
    gaps = [0.1, 0.0, -0.2, -0.3]
    mean = sum(gaps) / 4
    assert pair["frames"] == 4 and pair["wins"] == 0.5 and pair["ties"] == 0.25
    assert pair["mean"] == pytest.approx(mean)
    spread = math.sqrt(sum((g - mean) ** 2 for g in gaps) / 3)
    assert pair["error"] == pytest.approx(spread / 2)
    json.dumps(data, allow_nan=False)


def test_equally_good_results_are_both_best():
    same = copy.deepcopy(A)
    same["model"]["name"] = "gamma"
    assert compare(A, same).best("abs_rel") == (0, 1)


def test_sequences_come_by_difference_and_frames_by_error():
    found = compare(A, B)
    assert [name for name, _ in found.sequences()] == ["far", "near"]
    assert found.sequences()[0][1] == pytest.approx([0.35, 0.1])
    worst = found.worst(0, 2)
    assert [key for key, _ in worst] == [("far", "left", "1", "001"), ("far", "left", "0", "000")]
    assert worst[0][1] == [0.4, 0.1]


def test_frames_without_a_value_are_left_out():
    lost = copy.deepcopy(B)
    lost["per_frame"]["rows"][0][-2] = None
    found = compare(A, lost)
    assert found.pairs[1].frames == 3
    assert len(found.worst(1, 9)) == 3
    assert not re.search(r"[>\s]nan\b", render_comparison(found).lower())


def test_protocol_and_split_must_be_the_same():
    other = copy.deepcopy(B)
    other["protocol"]["id"] = "kitti_raw/eigen@1"
    with pytest.raises(
        UsageError, match=r"protocol: kitti_raw/lidar@1 \| kitti_raw/eigen@1.*--mixed"
    ):
        compare(A, other)
    found = compare(A, other, mixed=True)
    assert not found.comparable and found.best("abs_rel") == ()
    assert "not comparable: protocol: kitti_raw/lidar@1" in found.table()
    split = copy.deepcopy(B)
    split["split"] = {"name": "eigen/test", "sha256": "ab" * 32}
    with pytest.raises(UsageError, match=r"split: none \| eigen/test \(abababab\)"):
        compare(A, split)


def test_other_data_are_said_and_nothing_is_best():
    other = copy.deepcopy(B)
    other["data"][0]["digest"] = "another"
    found = compare(A, other)
    assert found.best("abs_rel") == ()
    assert found.differences == ("data: the content of 1 sequences differs, such as near",)
    fewer = compare(A, result("beta", {"near": [0.2, 0.2]}))
    assert any(d.startswith("sequences: 1 are not in all") for d in fewer.differences)
    assert any(d == "frames: not the same (4 | 2)" for d in fewer.differences)
    row = dict(fewer.sequences())["far"]
    assert row[0] == pytest.approx(0.35) and math.isnan(row[1])


def test_results_of_one_model_get_names_of_their_own(tmp_path):
    weighted = copy.deepcopy(A)
    weighted["model"]["weights_sha256"] = "12345678" * 8
    paths = []
    for name, data in (("first", A), ("second", A), ("third", weighted)):
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(json.dumps(data))
    assert compare_results(paths).names == ("alpha first", "alpha second", "alpha 12345678")
    assert compare(A, A).names == ("alpha #1", "alpha #2")


def test_no_common_measure_and_one_result():
    other = copy.deepcopy(B)
    other["protocol"]["metrics"] = ["epe"]
    other["aggregate"] = {"epe": 1.0}
    with pytest.raises(UsageError, match="no measure in common"):
        compare(A, other)
    with pytest.raises(UsageError, match="two results or more, found 1"):
        compare(A)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expected a result of an evaluation"),
        ("[]", "with format 'depthzoo.evaluation'"),
        ('{"format": "depthzoo.evaluation", "version": 9}', "expected version 1 or 2 of"),
        ('{"format": "depthzoo.evaluation", "version": 1}', "lacks protocol, model"),
    ],
)  # fmt: skip
def test_what_is_no_result_is_one_line(tmp_path, text, message):
    bad = tmp_path / "bad.json"
    bad.write_text(text)
    with pytest.raises(FormatError, match=message):
        compare_results([bad, bad])
    outcome = CliRunner().invoke(main, ["compare", str(bad), str(bad)])
    assert outcome.exit_code == 1 and outcome.stderr.count("\n") == 1


def test_the_page_needs_nothing_else_and_shows_the_numbers():
    evil = copy.deepcopy(B)
    evil["model"]["name"] = "<script>alert(1)</script>"
    evil["per_sequence"]["<b>"] = {"abs_rel": 1.0, "a1": 0.0, "frames": 1}
    text = render_comparison(compare(A, evil))
    assert "<script>alert" not in text and "<b>far" not in text
    assert not re.search(r"url\(|@import|https?://| src=\"(?!data:image)", text)
    page = render_comparison(compare(A, B))
    for fact in ("0.2500", "0.1500", "-0.1000", "far left 001", "kitti_raw/lidar@1",
                 "better than alpha on 50.0 % of 4 frames (equal on 25.0 %)"):  # fmt: skip
        assert fact in page, fact
    assert page.count("<svg") == 2
    assert page.count('class="best"') == 2 + 2  # both measures; each sequence


def report_page(uri: str) -> str:
    return (
        '<div data-example="worst" data-sequence="far" data-camera="left" data-frame="1" '
        f'data-name="001"><img data-part="prediction" src="{uri}"><img src="{PIXEL}"></div>'
    )


def test_worst_frames_stand_side_by_side_where_pages_are_there(tmp_path):
    for name, data in (("a", A), ("b", B)):
        (tmp_path / f"{name}.json").write_text(json.dumps(data))
        (tmp_path / f"{name}.html").write_text(report_page(PIXEL))
    out = tmp_path / "deep" / "page.html"
    write_comparison(compare_results([tmp_path / "a.json", tmp_path / "b.json"]), out)
    text = out.read_text()
    assert text.count(PIXEL) == 2 and "Abs Rel 0.4000" in text and "Abs Rel 0.1000" in text


@pytest.mark.parametrize("uri", ["http://x/y.png", "data:text/html;base64,AAAA", PIXEL + '"x', "#"])
def test_only_pictures_are_taken_from_a_page(tmp_path: Path, uri: str):
    (tmp_path / "a.html").write_text(report_page(uri.replace('"', "&quot;")))
    (found,) = read_pictures(tmp_path / "a.json")
    assert found.key == ("far", "left", "1", "001") and found.figures == []


def test_from_the_shell(tmp_path):
    paths = []
    for name, data in (("a", A), ("b", B)):
        paths.append(str(tmp_path / f"{name}.json"))
        Path(paths[-1]).write_text(json.dumps(data))
    run = CliRunner().invoke
    table = run(main, ["compare", *paths])
    assert table.exit_code == 0 and "0.1500*" in table.stdout and "0.2500 " in table.stdout
    page = str(tmp_path / "page.html")
    both = run(main, ["compare", *paths, "--json", "--html", page])
    assert json.loads(both.stdout)["comparable"] is True and Path(page).is_file()
    assert run(main, ["compare", paths[0]]).exit_code == 2
