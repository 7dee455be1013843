"""Pure networks: one module an architecture, its state-dict keys and shapes those of its authors.

>>> from depthzoo import networks
>>> "raft_stereo" in networks.names()
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

__all__ = ["create", "names"]

# name -> module, class, the options in which a published variant differs from the defaults
_NETWORKS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "raft_stereo": ("raft_stereo", "RAFTStereo", {}),
    "raft_stereo_realtime": (
        "raft_stereo",
        "RAFTStereo",
        {"shared_backbone": True, "n_downsample": 3, "n_gru_layers": 2, "slow_fast_gru": True},
    ),
    "iraftstereo_rvc": ("raft_stereo", "RAFTStereo", {"context_norm": "instance"}),
    "monodepth2": ("monodepth2", "Monodepth2", {}),
    "lite_mono": ("lite_mono", "LiteMono", {}),
    "dynamo_depth": ("dynamo_depth", "DynamoDepth", {}),
    "dynamic_stereo": ("dynamic_stereo", "DynamicStereo", {}),
    "insta_dm": ("insta_dm", "InstaDM", {}),
    "insta_dm_disp": ("insta_dm", "DispResNet", {}),
    "insta_dm_ego_pose": ("insta_dm", "EgoPoseNet", {}),
    "insta_dm_obj_pose": ("insta_dm", "ObjPoseNet", {}),
    "dynamic_multiframe_depth": ("dynamic_multiframe_depth", "DynamicMultiframeDepth", {}),
    "dymultidepth_resnet18": ("dynamic_multiframe_depth", "DynamicMultiframeDepth", {}),
    "dymultidepth_efficientnet_b5": (
        "dynamic_multiframe_depth",
        "DynamicMultiframeDepth",
        {"backbone_type": "efficientnetb5"},
    ),
}


def names() -> tuple[str, ...]:
    """Names that `create` knows."""
    return tuple(_NETWORKS)


def create(name: str, **options: Any) -> nn.Module:
    """Build a network in eval mode, weights as its initialisation leaves them.

    Parameters
    ----------
    name : str
        One of `names()`.
    **options
        Options of the architecture; they override those of the named variant.

    Returns
    -------
    torch.nn.Module
        `state_dict()` has the authors' keys and shapes.

    Raises
    ------
    ValueError
        Unknown name, unknown option, or a value the architecture does not have.
    """
    if name not in _NETWORKS:
        raise ValueError(f"no network {name!r}; there are {', '.join(_NETWORKS)}")
    module, cls, preset = _NETWORKS[name]
    factory = getattr(import_module(f"{__name__}.{module}"), cls)
    network: nn.Module = factory(**{**preset, **options})
    return network.eval()
