"""``depthdata doctor``."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import click

from depthdata.cli.base import EXIT_FAILED, EXIT_OK, Console, common_options

Status = Literal["ok", "note", "warn", "FAIL"]

_CORE = (
    "numpy", "h5py", "hdf5plugin", "zstandard", "xxhash", "simplejpeg", "cv2", "click", "requests",
    "urllib3", "tqdm", "pyquaternion",
)  # fmt: skip
_DISTRIBUTIONS = {"cv2": "opencv-python-headless", "PIL": "Pillow", "rerun": "rerun-sdk"}
_EXTRAS = {
    "zoo": ("torch", "safetensors"),
    "view": ("rerun",),
    "dask": ("distributed",),
    "remote": ("fsspec",),
    "gcs": ("gcsfs",),
    "7z": ("py7zr",),
    "compare": ("PIL",),
    "waymo2": ("pyarrow",),
    "onnx": ("onnx", "onnxruntime"),
}
_LITTLE = 20 << 30  # bytes


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    status: Status
    message: str


@click.command("doctor")
@click.argument("roots", metavar="[FOLDER]...", nargs=-1, type=click.Path(path_type=Path))
@common_options
def command(console: Console, roots: tuple[Path, ...]) -> int:
    """Look at environment, plug-ins, PyTorch, credentials, proxies and disks.

    FOLDERs are places for datasets: their free space is looked at. No server is asked. The exit
    code is 1 where something is wrong that the programs cannot do without.
    """
    findings = [
        finding
        for check in (_python, _packages, _hdf5, _extras, _torch, _seven_zip, _credentials, _proxy)
        for finding in check()
    ]
    findings += _own_folders()
    findings += [_disk(root) for root in roots or (Path.cwd(),)]
    width = max(len(finding.what) for finding in findings)
    failed = sum(finding.status == "FAIL" for finding in findings)
    lines = [f"{f.status:<4}  {f.what:<{width}}  {f.message}" for f in findings]
    lines.append("all that is needed is here" if not failed else f"{failed} things are wrong")
    console.result({"ok": not failed, "findings": [asdict(f) for f in findings]}, "\n".join(lines))
    return EXIT_FAILED if failed else EXIT_OK


def _python() -> Iterator[Finding]:
    good = (3, 10) <= sys.version_info[:2] < (3, 14)
    text = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    advice = "" if good else "; 3.10 to 3.13 are supported"
    yield Finding("python", "ok" if good else "FAIL", f"{text}, {sys.prefix}{advice}")


def _packages() -> Iterator[Finding]:
    with suppress(PackageNotFoundError):
        yield Finding("depthdata", "ok", version("depthdata"))
    found, missing = [], []
    for module in _CORE:
        error = _import_problem(module)
        if error is None:
            found.append(f"{module} {_version(module)}")
        else:
            missing.append(f"{module} ({error})")
    yield Finding("packages", "ok", ", ".join(found))
    if missing:
        advice = "install depthdata again in a fresh environment"
        yield Finding("packages", "FAIL", f"{'; '.join(missing)}: {advice}")


def _hdf5() -> Iterator[Finding]:
    try:
        import h5py

        if find_spec("hdf5plugin") is not None:
            import_module("hdf5plugin")
        there = bool(h5py.h5z.filter_avail(32015))
    except (ImportError, OSError) as error:
        yield Finding("hdf5 zstd", "FAIL", f"{error}")
        return
    text = f"HDF5 {h5py.version.hdf5_version}, zstd plug-in "
    if there:
        yield Finding("hdf5 zstd", "ok", f"{text}there")
    else:
        advice = "pip install --force-reinstall hdf5plugin; `--portable` files need none"
        yield Finding("hdf5 zstd", "FAIL", f"{text}missing: {advice}")


def _extras() -> Iterator[Finding]:
    for extra, modules in _EXTRAS.items():
        missing = [module for module in modules if find_spec(module) is None]
        if missing:
            lacking = ", ".join(_DISTRIBUTIONS.get(module, module) for module in missing)
            advice = f"not installed: {lacking}; pip install 'depthdata[{extra}]' where you need it"
            yield Finding(f"extra {extra}", "note", advice)
        else:
            has = ", ".join(f"{module} {_version(module)}" for module in modules)
            yield Finding(f"extra {extra}", "ok", has)


def _torch() -> Iterator[Finding]:
    if find_spec("torch") is None:
        return
    try:
        torch = import_module("torch")
        built, count = torch.version.cuda, torch.cuda.device_count()
        names = [torch.cuda.get_device_name(k) for k in range(count)]
    except Exception as error:  # a broken driver raises whatever it likes
        yield Finding("cuda", "warn", f"PyTorch does not start: {_one_line(error)}")
        return
    if names:
        yield Finding("cuda", "ok", f"CUDA {built}: {', '.join(names)}")
    elif built and Path("/dev/nvidia0").exists():
        advice = f"a GPU is there, but CUDA {built} does not see it: is the driver new enough?"
        yield Finding("cuda", "warn", advice)
    else:
        text = "PyTorch is built without CUDA" if not built else f"CUDA {built}, no GPU"
        yield Finding("cuda", "note", f"{text}: models run on the CPU")


def _seven_zip() -> Iterator[Finding]:
    program = next((found for name in ("7z", "7zz", "7za") if (found := shutil.which(name))), None)
    if find_spec("py7zr") is None and program is None:
        advice = "neither py7zr nor the program 7z: ETH3D cannot be unpacked"
        yield Finding("7z", "note", f"{advice}; pip install 'depthdata[7z]'")
    else:
        yield Finding("7z", "ok", program or f"py7zr {_version('py7zr')}")


def _credentials() -> Iterator[Finding]:
    yield _netrc()
    from depthdata.downloading.access_login import variables
    from depthdata.sources import dataset_card, list_datasets

    for name in list_datasets():
        login = dataset_card(name).login
        if login is None:
            continue
        from urllib.parse import urlsplit

        import requests

        host = urlsplit(login.page).hostname
        if all(os.environ.get(variable) for variable in variables(name)):
            yield Finding(f"login {name}", "ok", f"{host}: from the environment")
        elif requests.utils.get_netrc_auth(login.page):
            yield Finding(f"login {name}", "ok", f"{host}: from netrc")
        else:
            advice = f"{host}: none in netrc, nor in {' and '.join(variables(name))}; you are asked"
            yield Finding(f"login {name}", "note", advice)
    yield _google()


def _netrc() -> Finding:
    import netrc

    named = os.environ.get("NETRC")
    path = Path(named).expanduser() if named else Path.home() / ".netrc"
    if not path.is_file():
        return Finding("netrc", "note", f"no {path}: logins are asked for")
    try:
        hosts = sorted(netrc.netrc(path).hosts)
    except (netrc.NetrcParseError, OSError) as error:
        return Finding("netrc", "warn", f"{path} cannot be used: {_one_line(error)}")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        return Finding("netrc", "warn", f"others may read {path}: chmod 600 {path}")
    return Finding("netrc", "ok", f"{path}: {', '.join(hosts) or 'no host'}")


def _google() -> Finding:
    named = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    default = Path.home() / ".config" / "gcloud" / "application_default_credentials.json"
    if named and not Path(named).is_file():
        line = f"GOOGLE_APPLICATION_CREDENTIALS names {named}, which is not there"
        return Finding("google", "warn", line)
    if named or default.is_file():
        return Finding("google", "ok", str(named or default))
    advice = "no credentials; for waymo: gcloud auth application-default login"
    return Finding("google", "note", advice)


def _proxy() -> Iterator[Finding]:
    from depthdata.downloading.diagnosis import public_url

    for name in ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy"):
        value = os.environ.get(name)
        if value:
            good = "://" in value
            said = public_url(value) if good else "no address; expected http://host:port"
            yield Finding("proxy", "ok" if good else "warn", f"{name}: {said}")
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        value = os.environ.get(name)
        if value and not Path(value).exists():
            yield Finding("certificates", "FAIL", f"{name} names {value}, which is not there")
    mirror = os.environ.get("DEPTHDATA_MIRROR")
    if mirror:
        from depthdata.downloading.mirror import mirror_from
        from depthdata.errors import UsageError

        try:
            mirror_from(mirror)
            yield Finding("mirror", "ok", f"DEPTHDATA_MIRROR: {public_url(mirror)}")
        except UsageError as error:
            yield Finding("mirror", "FAIL", f"DEPTHDATA_MIRROR: {error}")


def _own_folders() -> Iterator[Finding]:
    from depthdata.downloading.terms import config_folder

    folder = config_folder()
    at = folder
    while not at.exists() and at != at.parent:
        at = at.parent
    if os.access(at, os.W_OK):
        yield Finding("settings", "ok", str(folder))
    else:
        line = f"{folder} cannot be written; name another folder in DEPTHDATA_CONFIG"
        yield Finding("settings", "warn", line)


def _disk(root: Path) -> Finding:
    from depthdata.downloading.diagnosis import human

    at = root.absolute()
    while not at.exists() and at != at.parent:
        at = at.parent
    usage = shutil.disk_usage(at)
    text = f"{root.absolute()}: {human(usage.free)} of {human(usage.total)} free"
    if not os.access(at, os.W_OK):
        return Finding("disk", "warn", f"{text}, but you may not write there")
    if usage.free < _LITTLE:
        return Finding("disk", "warn", f"{text}: little for a dataset")
    return Finding("disk", "ok", text)


def _import_problem(module: str) -> str | None:
    try:
        import_module(module)
    except Exception as error:  # a package that is damaged raises whatever it likes
        return _one_line(error)
    return None


def _version(module: str) -> str:
    for name in (_DISTRIBUTIONS.get(module, module), "opencv-python", "opencv-contrib-python"):
        with suppress(PackageNotFoundError):
            return version(name)
    return ""


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
