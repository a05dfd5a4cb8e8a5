"""Pictures, cameras and models with random weights for the tests of the public API."""

import numpy as np
from PIL import Image

from da3_ros.api import DepthAnything3
from da3_ros.core import poses
from da3_ros.net.checkpoint import random_network
from da3_ros.net.presets import HeadConfig, find_preset
from tools import upstream

NARROW_HEAD = HeadConfig(32, (16, 24, 32, 48))
RES = 98


def picture(seed, height=75, width=100):
    """Smooth random colors: resizing then has something to get right."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def pictures(count):
    return [picture(i) for i in range(count)]


def cameras(centres, seed=0):
    """World-to-camera (N, 4, 4) at centres (N, 3), looking roughly one way; K (N, 3, 3)."""
    rng = np.random.default_rng(seed)
    T = []
    for centre in centres:
        q = np.append(0.1 * rng.normal(size=3), 1)
        T.append(poses.from_quat_xyzw(q / np.linalg.norm(q), centre))
    K = np.array([[90.0, 0, 50], [0, 95.0, 37], [0, 0, 1]])
    return poses.inverse(np.stack(T)), np.tile(K, (len(T), 1, 1))


def spread_cameras(count):
    return cameras(np.random.default_rng(1).normal(size=(count, 3)))


def with_network(name):
    """The API around a network of that preset at reduced width, with random weights."""
    model = DepthAnything3("da3-demo")
    preset = upstream.reduced(name, 128, NARROW_HEAD)
    model.model = upstream.randomise(random_network(preset)).requires_grad_(False)
    return model


def small_model():
    """Any-view, small; random weights, spread so that differences show."""
    found = DepthAnything3("da3-demo")
    found.model = upstream.randomise(random_network(find_preset("da3-demo"))).requires_grad_(False)
    return found
