"""``python -m depthzoo.evaluation.markdown``: the protocols as the page ``docs/protocols.md``."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from depthzoo.evaluation.measures import MEASURES, measure_named
from depthzoo.evaluation.protocols import KINDS, Protocol, get_protocol, list_protocols

__all__ = ["protocols_page"]

_INTRO = """\
# Evaluation protocols

A protocol is data: `depthzoo.evaluation.get_protocol("kitti_raw/eigen")`, or
`depthzoo info kitti_raw/eigen`. Everything that changes a number is in it. A change that moves a
number gives the protocol a new version; a result names the version it was made under.

```
depthzoo evaluate sgbm SEQUENCES --protocol kitti_raw/lidar --html report.html
depthzoo evaluate sgbm SEQUENCES --protocol kitti_raw/eigen --split eigen/test --json
```

What holds for all of them:

* **Alignment.** A prediction says up to what it is determined. `metric` depth (m) and
  `disparity` (px) may be measured as they are or after median scaling; depth up to `scale` only
  after median scaling; `affine` predictions are refused: no alignment here removes a shift. A path
  of the camera that is known up to scale may be aligned by a scale or a similarity, one in metres
  also by a rigid motion.
* **Missing predictions.** A pixel whose truth counts but that has no prediction is left out of the
  measures and counted: *coverage* is the share of the truth's pixels that have a prediction.
  Numbers with a coverage below 1 are not called comparable with published ones.
* **Empty images.** A measure without pixels is NaN (null in JSON) and the image is counted. It is
  left out of the averages, or makes them NaN where the protocol's authors did so.
* **Averages.** The protocol says for each measure whether it is a mean over images (or clips, or
  sequences), pooled over all pixels, weighted by length, or made from counts summed over all;
  results give the other ways too (`averages`).
* **Quirks.** Where the authors' evaluation has a defect, the protocol reproduces it and says so;
  `corrected` names the protocol without it.
* **Training data.** What a model was trained on is compared with what it is evaluated on; the
  result is stamped where it has seen these frames or others of the same recordings.
* **Comparable.** A difference to a published number is given only for the same model on the
  protocol's own data: its dataset, its whole split, coverage 1. Else the result says what is
  missing.

## Results

`Report.to_json()`, or `--json`, gives plain JSON (no NaN: null), the same for any number of
processes and on every run except for `timing`:

| Key | Content |
|---|---|
| `protocol` | id, text and every rule as data |
| `model` | name, invariance, `weights_sha256`, precision |
| `data` | each sequence with its dataset, content digest and converter |
| `split` | name and SHA-256 of the list of frames, or null |
| `alignment` | method, and median and relative spread of the factors |
| `aggregate`, `averages` | by the protocol's rule; by both rules |
| `reported` | the aggregate under the names of the protocol's authors |
| `counts` | frames, empty frames, pixels, missing pixels, coverage, frames left out and why |
| `comparable`, `published` | whether and why not; numbers with `delta` where comparable |
| `training` | what the model was trained on, and what of it was evaluated |
| `regions` | static, moving, occluded, by distance; pooled over pixels if the text is silent |
| `per_sequence`, `per_frame` | the same measures; a row for each frame, clip or sequence |
| `series`, `statistics` | errors over time of clips and paths; mean, spread, extremes of them |
| `curves` | histogram of the headline error; by distance or disparity; precision, recall |
| `versions`, `timing` | software; seconds |
"""

_AVERAGES = {
    "images": "mean",
    "pixels": "all pixels",
    "weighted": "weighted mean",
    "counts": "from summed counts",
}


def protocols_page() -> str:
    """Return the page; it is made from the protocols themselves."""
    return "\n".join([_INTRO, *_measures(), *(line for p in _all() for line in _protocol(p))])


def _all() -> list[Protocol]:
    return [get_protocol(name) for name in list_protocols()]


def _measures() -> Iterator[str]:
    yield "## Measures\n"
    yield "| Name | Title | Unit | Better | Defined by |"
    yield "|---|---|---|---|---|"
    for one in MEASURES.values():
        better = {True: "lower", False: "higher", None: "-"}[one.lower_is_better]
        yield f"| `{one.name}` | {one.title} | {one.unit or '-'} | {better} | {one.source} |"
    yield ""


def _protocol(protocol: Protocol) -> Iterator[str]:
    yield f"## `{protocol.id}`\n"
    yield f"{protocol.title}.\n"
    yield f"{protocol.text}\n"
    averages = ", ".join(f"`{n}` ({_AVERAGES[protocol.average_of(n)]})" for n in protocol.metrics)
    yield f"* Compared: {KINDS[protocol.kind]}"
    yield f"* Measures: {averages}"
    alignments = ", ".join(f"{k}: {v}" for k, v in protocol.alignment.items())
    yield f"* Alignment: {alignments}"
    if protocol.reported:
        reported = ", ".join(f"`{theirs}` = `{ours}`" for theirs, ours in protocol.reported.items())
        yield f"* The authors' names: {reported}"
    if protocol.splits:
        yield f"* Splits: {', '.join(f'`{name}`' for name in protocol.splits)}"
    if protocol.preset:
        yield f"* Conversion: `--preset {protocol.preset}`"
    if protocol.corrected:
        yield f"* Without its defects: `{protocol.corrected}`"
    yield f"* Source: {protocol.source}\n"
    if protocol.published:
        names = [n for n in protocol.metrics if any(n in row.values for row in protocol.published)]
        yield f"| Published | {' | '.join(measure_named(n).title for n in names)} | Source |"
        yield f"|---|{'---|' * len(names)}---|"
        for row in protocol.published:
            values = " | ".join(f"{row.values[n]:g}" if n in row.values else "-" for n in names)
            part = "" if row.region == "all" else f", {row.region}"
            several = f" ({row.split})" if row.split and len(protocol.splits) > 1 else ""
            doubt = "" if row.verified else "; not compared with its source"
            yield f"| `{row.model}`{part}{several} | {values} | {row.source}{doubt} |"
        yield ""


if __name__ == "__main__":
    sys.stdout.write(protocols_page())
