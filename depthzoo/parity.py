"""Compare our networks with recorded runs of the published ones, array by array.

A model's folder holds ``manifest.json`` (state-dict key to shape and dtype), ``meta.json``
(options, cases, layouts, tolerances) and ``case_*.npz`` (inputs, intermediate results, outputs).
Weights are not stored: both sides fill their networks from a seed (`depthzoo.seeded`). One adapter
a network (`depthzoo.parity_adapters`) tells how to build it and how to run a case; everything else
is common.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from depthdata.errors import DepthdataError, FormatError, UsageError
from depthzoo.parity_adapters import Adapter, Meta, adapter_of

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ParityResult", "find_models", "iter_parity", "run_parity"]

Status = Literal["ok", "FAIL", "missing", "error"]

DTYPES = ("float32", "float64", "float16", "bfloat16")
HALF = ("float16", "bfloat16")
_THINNED = re.compile(r"^(?P<name>.+)_c(?P<step>\d+)$")  # every step-th channel was stored
_FALLBACK: dict[str, dict[str, float]] = {  # where a folder states no tolerance
    "default": {"rtol": 0.0, "atol": 2e-4},
    "corr_*": {"rtol": 0.0, "atol": 2e-3},
}


@dataclass(frozen=True)
class ParityResult:
    """One line of a parity run.

    Parameters
    ----------
    model, case, name : str
        Folder, case file without its ending, array; empty where the failure is above them.
    status : str
        ``ok``; ``FAIL`` (beyond tolerance); ``missing`` (no network, no array, no file); ``error``.
    max_abs, max_rel : float
        Largest absolute difference; the same over the largest magnitude of the recorded array.
    worst : float
        Largest difference as a fraction of what is tolerated there; at most 1 when ok.
    dtype, correlation : str
        How the network ran.
    message : str
        What is wrong, when it is no matter of numbers.
    """

    model: str
    case: str = ""
    name: str = ""
    status: Status = "ok"
    max_abs: float = float("nan")
    max_rel: float = float("nan")
    worst: float = float("nan")
    dtype: str = "float32"
    correlation: str = "reg"
    message: str = ""

    @property
    def ok(self) -> bool:
        """True when the array agrees."""
        return self.status == "ok"

    def __str__(self) -> str:
        """Return the line: case, name, max abs error, relative error, ok or FAIL."""
        where = "/".join(part for part in (self.model, self.case) if part)
        if self.message:
            return f"{where} {self.name or '-'}: {self.message} FAIL"
        verdict = "ok" if self.ok else "FAIL"
        return f"{where} {self.name} abs {self.max_abs:.2e} rel {self.max_rel:.2e} {verdict}"


def run_parity(
    folder: str | Path,
    models: Iterable[str] | None = None,
    dtype: str = "float32",
    correlation: str = "reg",
    device: str = "cpu",
) -> list[ParityResult]:
    """Run every case below a folder.

    Parameters
    ----------
    folder : path
        One model's folder, a folder of such, or one that has these under ``models``.
    models : iterable of str, optional
        Folder names to run, ``*`` and ``?`` allowed; all when not given.
    dtype : str
        ``float32`` or ``float64``; ``float16`` or ``bfloat16`` for autocast, where only outputs
        are compared, each as a whole, within the bounds that the adapter states.
    correlation : str
        ``reg`` or ``alt``, for networks that have the choice.
    device : str

    Returns
    -------
    list of ParityResult
        One for each recorded array; a model without a network here, or a case without its file,
        is one result that is not ok.

    Raises
    ------
    UsageError
        Nothing to compare under `folder`, or an unknown dtype or filter.
    """
    return list(iter_parity(folder, models, dtype, correlation, device))


def iter_parity(
    folder: str | Path,
    models: Iterable[str] | None = None,
    dtype: str = "float32",
    correlation: str = "reg",
    device: str = "cpu",
) -> Iterator[ParityResult]:
    """Do the same as `run_parity`, handing each result out when it is there."""
    if dtype not in DTYPES:
        raise UsageError(f"parity runs in {', '.join(DTYPES)}; got {dtype!r}")
    if correlation not in ("reg", "alt"):
        raise UsageError(f"correlation is reg or alt; got {correlation!r}")
    for path in find_models(folder, models):
        for result in _run_model(path, dtype, correlation, device):
            yield _labelled(result, dtype, correlation)


def find_models(folder: str | Path, models: Iterable[str] | None = None) -> list[Path]:
    """Return the model folders below `folder` that a filter lets through, sorted by name."""
    root = Path(folder)
    if not root.is_dir():
        raise UsageError(f"no folder {root}; give a folder with meta.json or one of such folders")
    if (root / "meta.json").is_file():
        found = [root]
    else:
        found = sorted(path.parent for path in root.glob("*/meta.json"))
        found = found or sorted(path.parent for path in root.glob("models/*/meta.json"))
    if not found:
        raise UsageError(f"{root}: no meta.json in it or one level below; give a folder of models")
    if models is None:
        return found
    patterns = list(models)
    known = ", ".join(path.name for path in found)
    for pattern in patterns:
        if not any(fnmatchcase(path.name, pattern) for path in found):
            raise UsageError(f"{root}: no model {pattern!r}; there are {known}")
    return [path for path in found if any(fnmatchcase(path.name, p) for p in patterns)]


def _labelled(result: ParityResult, dtype: str, correlation: str) -> ParityResult:
    return replace(result, dtype=dtype, correlation=correlation)


def _run_model(folder: Path, dtype: str, correlation: str, device: str) -> Iterator[ParityResult]:
    name = folder.name
    try:
        meta = _read_json(folder / "meta.json")
        manifest = _read_json(folder / "manifest.json")
    except DepthdataError as error:
        yield ParityResult(name, status="error", message=str(error))
        return
    architecture = str(meta.get("model") or meta.get("network") or "?")
    adapter = adapter_of(architecture)
    if adapter is None:
        yield ParityResult(name, status="missing", message=f"no network for {architecture!r}")
        return
    on_disk = {path.name for path in folder.glob("case_*.npz")}
    cases = _cases(meta) if "cases" in meta else dict.fromkeys(sorted(on_disk), meta)
    for file in sorted(on_disk - set(cases)):
        message = f"{file} is not described in meta.json"
        yield ParityResult(name, Path(file).stem, status="error", message=message)
    for file, case in cases.items():
        stem = Path(file).stem
        if file not in on_disk:
            yield ParityResult(name, stem, status="missing", message=f"no file {file}")
            continue
        try:
            yield from _run_case(
                folder / file, meta, case, manifest, adapter, (dtype, correlation, device)
            )
        except (DepthdataError, RuntimeError, ValueError, KeyError, OSError) as error:
            message = f"{type(error).__name__}: {error}".splitlines()[0]
            yield ParityResult(name, stem, status="error", message=message)


def _run_case(
    path: Path,
    meta: Meta,
    case: Meta,
    manifest: Mapping[str, Any],
    adapter: Adapter,
    how: tuple[str, str, str],
) -> Iterator[ParityResult]:
    import torch

    from depthzoo.seeded import seeded_state
    from depthzoo.weights import load_state

    dtype, correlation, device = how
    seed = case.get("weight_seed", meta.get("seed"))
    gain = case.get("weight_gain", meta.get("gain", 1.0))
    if seed is None:
        raise FormatError(f"{path.name}: meta.json states no weight seed for it")
    prefix = str(meta.get("key_prefix") or "")
    seeded = seeded_state(manifest, int(seed), float(gain))
    seeded |= {alias: seeded[key] for alias, key in meta.get("aliases", {}).items()}
    state = {key.removeprefix(prefix): torch.from_numpy(value) for key, value in seeded.items()}
    network = adapter.build(meta, correlation)
    load_state(network, state, source="manifest.json")
    inside = "float32" if dtype in HALF else dtype
    network.to(device, getattr(torch, inside)).eval()
    if dtype in HALF:
        for part in network.modules():
            if callable(switch := getattr(part, "use_autocast", None)):
                switch(dtype)
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    with torch.inference_mode():
        case = {"file": path.name, **case}
        results = adapter.run(network, {**meta, **case}, arrays, getattr(torch, inside))
    tolerances = meta.get("suggested_tolerance", {}).get(dtype, _FALLBACK)
    for name, want in arrays.items():
        if _fits(name, adapter.inputs) or (dtype in HALF and not _fits(name, adapter.outputs)):
            continue
        got = _thinned(results, name)
        half = adapter.half[dtype] if dtype in HALF else None
        yield _compare(path.parent.name, path.stem, name, got, want, tolerances, half)


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _thinned(results: Mapping[str, Tensor], name: str) -> NDArray[Any] | None:
    """Return the result that an array records, in the layout its name states."""
    value = results.get(name)
    if value is None and (match := _THINNED.match(name)):
        value = results.get(match["name"])
        value = value if value is None else value[:, :: int(match["step"])]
    return None if value is None else value.detach().cpu().double().numpy()


def _compare(
    model: str,
    case: str,
    name: str,
    got: NDArray[Any] | None,
    want: NDArray[Any],
    tolerances: Mapping[str, Mapping[str, float]],
    half: float | None = None,
) -> ParityResult:
    if got is None:
        message = "the network gives no such result"
        return ParityResult(model, case, name, "missing", message=message)
    if got.shape != want.shape:
        message = f"shape {got.shape}, recorded {want.shape}"
        return ParityResult(model, case, name, "FAIL", message=message)
    want = want.astype(np.float64)
    allowed = _tolerance(name, tolerances)
    with np.errstate(invalid="ignore", divide="ignore"):
        same = (got == want) | (np.isnan(got) & np.isnan(want))
        error = np.where(same, 0.0, np.abs(got - want))
        limit = allowed.get("atol", 0.0) + allowed.get("rtol", 0.0) * np.abs(want)
        share = np.where(same, 0.0, error / limit)
    largest = float(error.max(initial=0.0))  # NaN on one side stays NaN, and fails
    scale = float(np.nanmax(np.abs(want), initial=0.0))
    relative = largest / scale if scale else (0.0 if largest == 0.0 else float("inf"))
    worst = float(share.max(initial=0.0))
    if half is not None:  # as a whole: single values may be anywhere at an edge
        worst = float(np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-30)) / half
    status: Status = "ok" if worst <= 1.0 else "FAIL"
    return ParityResult(model, case, name, status, largest, relative, worst)


def _tolerance(name: str, table: Mapping[str, Mapping[str, float]]) -> Mapping[str, float]:
    """Return the entry of an array: its own name, else the longest fitting prefix, else default."""
    if name in table:
        return table[name]
    fitting = [key for key in table if key.endswith("*") and name.startswith(key[:-1])]
    return table[max(fitting, key=len)] if fitting else table.get("default", {"atol": 0.0})


def _cases(meta: Meta) -> dict[str, Meta]:
    """Cases by file name; a folder lists them or keys them by file."""
    cases = meta.get("cases", [])
    if isinstance(cases, Mapping):
        return {str(file): case for file, case in cases.items()}
    return {str(case["file"]): case for case in cases}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(f"{path.name}: cannot be read ({error})") from None
    if not isinstance(content, dict):
        raise FormatError(f"{path.name}: an object expected, found {type(content).__name__}")
    return content
