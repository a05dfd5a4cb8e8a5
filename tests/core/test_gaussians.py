"""Gaussians in another frame, on devices that have less than a CPU."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from da3_ros.core.gaussians import moved
from da3_ros.core.scale.align import Similarity
from da3_ros.net.gaussians import Gaussians


class WithoutFloat64(TorchDispatchMode):
    """While active, torch's device for shapes alone has no float64."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        made = operation(*args, **(kwargs or {}))
        for x in tree_leaves(made):
            if isinstance(x, torch.Tensor) and x.device.type == "meta":
                assert x.dtype != torch.float64, operation
        return made


def gaussians(device):
    shapes = {"means": (5, 3), "scales": (5, 3), "rotations": (5, 4), "harmonics": (5, 3, 9)}
    made = {name: torch.rand(shape, device=device) for name, shape in shapes.items()}
    return Gaussians(**made, opacities=torch.rand(5, device=device))


def test_near_the_origin_no_float64_is_needed():
    with WithoutFloat64():
        found = moved(gaussians("meta"), Similarity(np.eye(3), np.array([1.0, 2.0, 3.0]), 2.0))
    assert found.means.device.type == "meta" and found.means.dtype == torch.float32


@pytest.mark.parametrize("metres, dtype", [(10.0, torch.float32), (5e5, torch.float64)])
def test_means_are_float64_far_from_the_origin(metres, dtype):
    before = gaussians("cpu")
    found = moved(before, Similarity(np.eye(3), np.full(3, metres), 2.0))
    assert found.means.dtype == dtype
    torch.testing.assert_close(found.means, (2 * before.means).to(dtype) + metres)
