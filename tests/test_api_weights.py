"""What the public API says of weights: which there are, and in which type."""

import numpy as np
import pytest
import torch

from da3_ros.api import DepthAnything3

PICTURE = np.zeros((56, 56, 3), np.uint8)


def test_random_weights_name_the_trained_ones(caplog):
    DepthAnything3("da3-small")
    said = "da3-small has random weights, and its depth means nothing; the trained ones are "
    assert said + "'depth-anything/DA3-SMALL'" in caplog.text


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_that_were_lowered_as_a_whole_are_named(dtype):
    model = DepthAnything3("da3-demo").to(dtype)
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(ValueError, match=f"weights are {name}: leave out half.*precision='bf16'"):
        model.inference([PICTURE], process_res=56)
    assert model.float().inference([PICTURE], process_res=56).depth.shape == (1, 56, 56)


def test_precision_may_be_changed_until_it_is_taken():
    model = DepthAnything3("da3-demo", precision="fp32")
    with pytest.raises(ValueError, match="precision is 'fp16', must be one of"):
        model.precision = "fp16"
    model.precision = "bf16"
    for _ in range(2):
        model.inference([PICTURE], process_res=56)
    model.precision = "bf16"
    with pytest.raises(ValueError, match="cannot become 'fp32'.*load the model again"):
        model.precision = "fp32"
    assert model.precision == "bf16"


@pytest.mark.parametrize("first", [None, "fp32"])
def test_precision_may_be_lowered_where_nothing_was(first):
    model = DepthAnything3("da3-demo", precision=first)
    model.inference([PICTURE], process_res=56)
    model.precision = "bf16"
    model.inference([PICTURE], process_res=56)
    with pytest.raises(ValueError, match="an inference with 'bf16' has lowered the weights"):
        model.precision = first
