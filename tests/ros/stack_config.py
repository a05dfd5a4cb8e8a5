"""The parameter files for the mapping stacks, read node by node."""

from pathlib import Path

import yaml

from da3_ros.core.config import Config, from_dict

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config"
STACKS = ("nvblox", "rtabmap", "octomap", "nav2_voxel_layer")


def load(name: str) -> dict:
    return yaml.safe_load((CONFIG / f"{name}.yaml").read_text())


def flatten(values: dict, prefix: str = "") -> dict:
    flat = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def of_node(name: str, node: str) -> dict:
    """The parameters of one node in config/<name>.yaml, with dotted names."""
    return flatten(load(name)[f"/**/{node}"]["ros__parameters"])


def da3(name: str) -> Config:
    return from_dict(of_node(name, "da3"))
