"""How each kind of material looks: one small function per kind, patch in, colours out.

A painter gets the `Patch` in coordinates relative to the material's origin and returns RGB
(3, n) in [0, 1] before grain and light are applied.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from depthdata.synthetic.materials import Material, Patch, grain, periodic_pulse, pulse

__all__ = ["paint"]

Float32 = npt.NDArray[np.float32]
Colour = tuple[float, float, float]
_SUN = np.array([-0.45, 0.55, 0.70]) / np.linalg.norm([-0.45, 0.55, 0.70])


def _fill(colour: Colour, n: int) -> Float32:
    return np.tile(np.asarray(colour, np.float32)[:, None], (1, n))


def _over(base: Float32, colour: Colour, cover: Float32) -> Float32:
    return base + (np.asarray(colour, np.float32)[:, None] - base) * cover


def _plain(material: Material, patch: Patch) -> Float32:
    return _fill(material.colour, patch.p.shape[1])


def _road(material: Material, patch: Patch) -> Float32:
    x, y = patch.p[0], patch.p[1]
    wx, wy = patch.width(0), patch.width(1)
    half = material.facts["half_width"]
    grass = 1 - pulse(y, -half - 2.6, half + 2.6, wy)
    out = _over(_fill(material.colour, x.size), (0.33, 0.40, 0.22), grass)
    dash = pulse(y, -0.07, 0.07, wy) * periodic_pulse(x, 6.0, 0.0, 3.0, wx)
    edge = pulse(y, half - 2.2, half - 2.08, wy) + pulse(y, -half + 2.08, -half + 2.2, wy)
    edge *= periodic_pulse(x, 6.0, 0.0, 5.4, wx)
    zebra_x = material.facts["zebra_x"]
    zebra = pulse(x, zebra_x, zebra_x + 3.0, wx) * periodic_pulse(y, 1.0, 0.2, 0.7, wy)
    zebra *= pulse(y, -half + 0.2, half - 0.2, wy)
    dash *= 1 - pulse(x, zebra_x - 1.0, zebra_x + 4.0, wx)
    paint_cover = np.clip(dash + edge + zebra, 0, 1) * np.float32(0.85)
    repaired = periodic_pulse(x, 37.0, 4.0, 9.0, wx) * pulse(y, -half + 2.6, -0.4, wy)
    out = out * (1 - np.float32(0.18) * repaired)
    return _over(out, (0.86, 0.86, 0.83), paint_cover)


def _pavement(material: Material, patch: Patch) -> Float32:
    wx, wy = patch.width(0), patch.width(1)
    joint = periodic_pulse(patch.p[0], 0.6, 0.0, 0.03, wx)
    joint = np.maximum(joint, periodic_pulse(patch.p[1], 0.6, 0.0, 0.03, wy))
    out = _fill(material.colour, joint.size)
    if abs(patch.normal[2]) < 0.5:
        return _over(out, (0.0, 0.0, 0.0), np.full_like(joint, 0.1))
    return _over(out, (0.32, 0.31, 0.30), joint * np.float32(0.7))


def _facade(material: Material, patch: Patch) -> Float32:
    f = material.facts
    out = _fill(material.colour, patch.p.shape[1])
    if patch.normal[2] > 0.5:
        return _over(out, (0.0, 0.0, 0.0), np.full_like(out[0], 0.4))
    axis = 0 if abs(patch.normal[1]) > 0.5 else 1
    s, z = patch.p[axis], patch.p[2]
    ws, wz = patch.width(axis), patch.width(2)
    top = f["height"]
    storey, bay = f["storey"], f["bay"]
    out = out * (np.float32(0.82) + np.float32(0.18) * np.clip(z / np.float32(2.5), 0, 1))
    out = _over(out, (f["trim_r"], f["trim_g"], f["trim_b"]), pulse(z, -1.0, 0.9, wz))
    ledge = periodic_pulse(z, storey, 0.0, 0.16, wz) * pulse(z, storey - 0.1, top, wz)
    cornice = pulse(z, top - 0.5, top + 1.0, wz)
    out = _over(out, (f["trim_r"], f["trim_g"], f["trim_b"]), np.maximum(ledge, cornice))
    rows = pulse(z, 0.9, top - 0.7, wz)

    def windows(margin: float) -> Float32:
        across = periodic_pulse(s, bay, bay * 0.27 - margin, bay * 0.73 + margin, ws)
        up = periodic_pulse(z, storey, storey * 0.30 - margin, storey * 0.80 + margin, wz)
        return np.asarray(across * up * rows)

    out = _over(out, (0.93, 0.92, 0.88), windows(0.12))
    cell = np.floor(s / np.float32(bay)) * 7 + np.floor(z / np.float32(storey)) * 13
    shade = np.mod(np.sin(cell + np.float32(f["phase"])) * np.float32(43.7), 1)
    glass = np.stack([0.13 + 0.22 * shade, 0.17 + 0.22 * shade, 0.24 + 0.20 * shade])
    pane = windows(0.0)
    out = out + (glass.astype(np.float32) - out) * pane
    bar = periodic_pulse(s, bay, bay * 0.5 - 0.035, bay * 0.5 + 0.035, ws)
    return _over(out, (0.93, 0.92, 0.88), bar * pane)


def _car_body(material: Material, patch: Patch) -> Float32:
    f = material.facts
    x, y, z = patch.p
    wx, wy, wz = patch.width(0), patch.width(1), patch.width(2)
    out = _fill(material.colour, x.size)
    if abs(patch.normal[2]) > 0.5:
        return out
    out = _over(out, (0.09, 0.09, 0.10), pulse(z, -9.0, f["sill"], wz))
    if abs(patch.normal[0]) < 0.5:
        seams = sum(
            pulse(x, at - 0.012, at + 0.012, wx) for at in (-0.62, 0.38, f["half_length"] * 0.62)
        )
        handles = sum(pulse(x, at, at + 0.2, wx) for at in (-0.55, 0.45))
        out = _over(out, (0.08, 0.08, 0.09), np.clip(np.asarray(seams), 0, 1))
        return _over(
            out, (0.75, 0.75, 0.76), handles * pulse(z, f["belt"] - 0.2, f["belt"] - 0.15, wz)
        )
    w = f["half_width"]
    lamp = pulse(z, f["belt"] - 0.32, f["belt"] - 0.14, wz) * (
        pulse(y, -w + 0.06, -w + 0.42, wy) + pulse(y, w - 0.42, w - 0.06, wy)
    )
    plate = pulse(z, f["sill"] + 0.04, f["sill"] + 0.16, wz) * pulse(y, -0.28, 0.28, wy)
    lamp_colour = (0.95, 0.94, 0.85) if patch.normal[0] > 0 else (0.72, 0.06, 0.05)
    out = _over(out, lamp_colour, lamp)
    if patch.normal[0] > 0:
        grille = pulse(z, f["sill"] + 0.2, f["belt"] - 0.16, wz) * pulse(y, -w + 0.5, w - 0.5, wy)
        out = _over(out, (0.10, 0.10, 0.11), grille)
    return _over(out, (0.92, 0.92, 0.90), plate)


def _car_cabin(material: Material, patch: Patch) -> Float32:
    f = material.facts
    x, y, z = patch.p
    out = _fill(material.colour, x.size)
    if patch.normal[2] > 0.9:
        return out
    rows = pulse(z, f["belt"] + 0.06, f["roof"] - 0.07, patch.width(2))
    if abs(patch.normal[1]) > 0.5:
        posts = sum(pulse(x, at - 0.05, at + 0.05, patch.width(0)) for at in (-0.75, 0.15))
        glass = rows * (1 - np.clip(np.asarray(posts), 0, 1))
    else:
        w = f["half_width"]
        glass = rows * pulse(y, -w + 0.16, w - 0.16, patch.width(1))
    return _over(out, (0.14, 0.18, 0.22), glass)


def _wheel(material: Material, patch: Patch) -> Float32:
    out = _fill(material.colour, patch.p.shape[1])
    if abs(patch.normal[1]) < 0.5:
        return out
    distance = np.hypot(patch.p[0], patch.p[2])
    rim = pulse(distance, -1.0, material.facts["rim"], patch.width(0))
    return _over(out, (0.62, 0.63, 0.65), rim)


def _stripes(material: Material, patch: Patch) -> Float32:
    f = material.facts
    out = _fill(material.colour, patch.p.shape[1])
    band = periodic_pulse(patch.p[2], f["period"], 0.0, f["period"] * 0.4, patch.width(2))
    return _over(out, (f["second_r"], f["second_g"], f["second_b"]), band)


_PAINTERS: dict[str, Callable[[Material, Patch], Float32]] = {
    "plain": _plain,
    "road": _road,
    "pavement": _pavement,
    "facade": _facade,
    "car_body": _car_body,
    "car_cabin": _car_cabin,
    "wheel": _wheel,
    "stripes": _stripes,
}


def paint(material: Material, patch: Patch, light_normal: npt.NDArray[np.float64]) -> Float32:
    """Colour of a patch with grain and Lambert light, RGB (3, n) in [0, 1].

    Parameters
    ----------
    material : Material
    patch : Patch
        In body coordinates.
    light_normal : float64, (3,)
        Normal of the face when the light was fixed to the body (at time 0), world axes. The light
        turns with the body, so that a surface keeps its brightness.
    """
    origin = np.asarray(material.origin, np.float32)[:, None]
    local = Patch(patch.p - origin, patch.du, patch.dv, patch.normal)
    colour = _PAINTERS[material.kind](material, local)
    fine, broad = grain(local, np.asarray(material.origin) * 17.0 + len(material.kind))
    contrast = np.float32(0.105 * material.grain)
    tint = np.asarray([0.04, 0.0, -0.05], np.float32)[:, None] * np.float32(material.grain)
    light = 0.56 + 0.44 * max(float(light_normal @ _SUN), -0.35)
    lit = colour * (1 + contrast * fine + tint * broad) * np.float32(light)
    # a faint additive part, so that dark glass and tyres have texture too
    out: Float32 = np.clip(lit + np.float32(0.018 * min(material.grain, 1.0)) * fine, 0, 1)
    return out
