"""From pictures in to maps out a GPU is never waited for, and nothing is computed elsewhere.

Shown without one: on torch's meta device there are no numbers, so that whoever asks for one
(`.item()`, `if`, a mask as index) fails; and every tensor that an operation takes or makes is
looked at, since a copy from the computer is a wait, too.
"""

import functools
from contextlib import contextmanager

import pytest
import torch
from small_networks import in_stages, shallow
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from da3_ros.core.device_resize import prepare_on_device
from da3_ros.core.preprocess import METHODS, plan_resize
from da3_ros.net.checkpoint import random_network
from da3_ros.net.network import Cameras
from da3_ros.net.precision import set_precision
from da3_ros.net.presets import HeadConfig
from da3_ros.net.sky import MIN_PIXELS, fill_sky, quantile_where
from tools.upstream import random_cameras, reduced

SIZE, VIEWS = (28, 42), 4
HEAD = HeadConfig(32, (16, 24, 32, 48))


class OnlyOn(TorchDispatchMode):
    """While active, `AssertionError` for a tensor of another device."""

    def __init__(self, device: str):
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        found = operation(*args, **(kwargs or {}))
        for x in tree_leaves((args, kwargs, found)):
            if torch.is_tensor(x):
                assert x.device.type == self.device, f"{operation} has a tensor on {x.device}"
        return found


class NoLists(TorchFunctionMode):
    """While active, `AssertionError` for numbers of Python that become a tensor: a copy."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.Tensor.__getitem__:
            index = args[1] if isinstance(args[1], tuple) else args[1:]
            assert not any(isinstance(i, list) for i in index), f"index {index} is a list"
        assert function not in (torch.tensor, torch.as_tensor), f"{function} copies to the device"
        return function(*args, **(kwargs or {}))


@contextmanager
def nothing_waited_for():
    with torch.inference_mode(), NoLists(), OnlyOn("meta"):
        yield


class OneType(TorchDispatchMode):
    """While active, `AssertionError` for operations whose tensors a GPU wants in one type."""

    WANT_IT = ("layer_norm", "convolution", "mm", "attention")

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if any(name in str(operation) for name in self.WANT_IT):
            floats = [x for x in tree_leaves((args, kwargs)) if torch.is_tensor(x)]
            found = {x.dtype for x in floats if x.is_floating_point()}
            assert len(found) == 1, f"{operation} is given {found}"
        return operation(*args, **(kwargs or {}))


@functools.cache
def network(name, precision):
    found = random_network(shallow(reduced(name, 64, HEAD)))
    set_precision(found, precision)
    return found.to("meta")


@pytest.mark.parametrize(
    "views, posed, precision",
    [([0], True, "bf16"), ([1, 3], False, "bf16"), ([0, 1, 2, 3], True, "fp32")],
    ids=str,
)
@pytest.mark.parametrize(
    "name", ["da3-small", "da3-giant", "da3metric-large", "da3nested-giant-large"]
)
def test_nothing_is_waited_for(name, views, posed, precision):
    net = network(name, precision)
    cameras = random_cameras(VIEWS, SIZE) if posed and net.preset.any_view else None
    cameras = cameras and Cameras(cameras.T_cam_ref.to("meta"), cameras.K.to("meta"))
    images = torch.empty(1, VIEWS, 3, *SIZE, device="meta")
    with torch.inference_mode():
        # Tables are made once, and may come from the computer.
        in_stages(net, images, cameras, views)
    with nothing_waited_for():
        out = in_stages(net, images, cameras, views)
    assert out.depth.shape == (1, len(views), *SIZE)


@pytest.mark.parametrize(
    "name", ["da3-small", "da3-giant", "da3metric-large", "da3nested-giant-large"]
)
def test_bf16_meets_no_other_type(name):
    """The processor mixes types in its normalisations, a GPU raises."""
    net = network(name, "bf16")
    images = torch.empty(1, VIEWS, 3, *SIZE, device="meta")
    with torch.inference_mode(), OneType():
        features = net.aggregate(net.encode(images), None, reference="middle")
        net.decode(features, rays=net.preset.any_view)
        net(images, gaussians=name == "da3-giant")


@pytest.mark.parametrize("strategy", ["middle", "saddle_balanced", "saddle_sim_range"])
def test_nor_for_the_choice_of_a_reference(strategy):
    images = torch.empty(1, VIEWS, 3, *SIZE, device="meta")
    with nothing_waited_for():
        network("da3-small", "fp32")(images, reference=strategy)


@pytest.mark.parametrize("method", METHODS)
def test_nor_for_the_making_of_pictures(method):
    plan = plan_resize(90, 120, 63, method)
    image = torch.empty(90, 120, 3, dtype=torch.uint8, device="meta")
    prepare_on_device(image, plan, plan.size)  # tables are made once
    with nothing_waited_for():
        assert prepare_on_device(image, plan, plan.size).shape == (3, *plan.size)


def test_what_waits_is_found():
    x = torch.empty(1, 4, 2, device="meta")
    with nothing_waited_for():
        with pytest.raises(AssertionError, match="is a list"):
            x[:, [1, 0]]
        with pytest.raises(AssertionError, match="copies to the device"):
            torch.tensor([1, 0], device="meta")
        with pytest.raises(RuntimeError):
            x.sum().item()
        with pytest.raises(NotImplementedError):
            x[x > 0]
        with pytest.raises(AssertionError, match="cpu"):
            torch.ones(2).to("meta")


@pytest.mark.parametrize("quantile", [0.0, 0.3, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("count", [1, 2, 11, 5000])
def test_quantile_is_that_of_torch(quantile, count):
    generator = torch.Generator().manual_seed(count)
    values = torch.rand(3, 2000, generator=generator) * 50
    mask = torch.zeros(6000, dtype=torch.bool)
    mask[torch.randperm(6000, generator=generator)[:count]] = True
    mask = mask.view(3, 2000)
    expected = torch.quantile(values[mask], quantile)
    torch.testing.assert_close(quantile_where(mask, values, quantile), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("sky_pixels", [0, MIN_PIXELS, MIN_PIXELS + 1, 100, 200 - MIN_PIXELS, 200])
def test_sky_is_filled_where_there_is_enough_of_both(sky_pixels):
    depth, score = torch.rand(10, 20) + 1, torch.zeros(200)
    score[:sky_pixels] = 1
    score = score.view(10, 20)
    found = fill_sky(depth, score)
    expected = depth.clone()
    if MIN_PIXELS < sky_pixels < 200 - MIN_PIXELS:
        expected[score > 0] = torch.quantile(depth[score == 0], 0.99)
    torch.testing.assert_close(found, expected)


def test_a_picture_of_sky_alone_has_no_metres():
    """The nested model's scale comes from what is no sky."""
    net = random_network(shallow(reduced("da3nested-giant-large", 64, HEAD)))
    net.da3_metric.head.scratch.sky_output_conv2[2].bias += 100
    with torch.inference_mode():
        out = net(torch.randn(1, 2, 3, *SIZE))
        own = net.da3(torch.randn(1, 2, 3, *SIZE))
    assert out.depth.isnan().all() and out.scale_factor.isnan().all()
    assert out.T_cam_ref.isfinite().all() and own.depth.isfinite().all()
