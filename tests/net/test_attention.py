"""Our attention in bf16 is attention, whatever its shape, and is there where it is faster."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from da3_ros.net.attention import (
    HEAD_DIM,
    attend,
    attend_bf16,
    has_bf16_products,
    has_bf16_tiles,
    kernel,
)

needs_kernel = pytest.mark.skipif(
    not has_bf16_products(), reason="attention.cpp is for CPUs with AVX512-BF16"
)

ROUNDING = 2**-8
"""Most that a number loses, relatively, when it becomes bf16."""


def tokens(*shape, seed=0, scale=1.0):
    """(B, H, L, 64) in bf16, strided as the layers make them."""
    generator = torch.Generator().manual_seed(seed)
    B, H, L = shape
    x = torch.randn(B, L, 3, H, HEAD_DIM, generator=generator) * scale
    return x.bfloat16()[:, :, 1].transpose(1, 2)


def exact(q, k, v):
    """The same in fp64."""
    return torch.nn.functional.scaled_dot_product_attention(q.double(), k.double(), v.double())


@needs_kernel
def test_the_kernel_was_built():
    assert kernel() is not None


@needs_kernel
@settings(max_examples=150, deadline=None)
@given(
    batch=st.integers(1, 3),
    heads=st.integers(1, 4),
    queries=st.integers(1, 100),
    keys=st.integers(1, 200),
    scale=st.sampled_from((0.0, 0.3, 1.0, 4.0, 30.0)),
    seed=st.integers(0, 1000),
)
def test_it_is_attention(batch, heads, queries, keys, scale, seed):
    q = tokens(batch, heads, queries, seed=seed, scale=scale)
    k = tokens(batch, heads, keys, seed=seed + 1, scale=scale)
    v = tokens(batch, heads, keys, seed=seed + 2)
    found = attend_bf16(q, k, v)
    assert found.shape == q.shape and found.dtype == torch.bfloat16
    assert found.transpose(1, 2).is_contiguous()
    # A weighted mean of values, its weights rounded, then itself.
    largest = v.abs().amax(dim=2, keepdim=True).double()
    assert ((found - exact(q, k, v)).abs() <= 2 * ROUNDING * largest).all()


@needs_kernel
def test_long_sequences_are_no_worse():
    q, k, v = (tokens(1, 2, 4000, seed=seed) for seed in range(3))
    error = (attend_bf16(q, k, v) - exact(q, k, v)).abs().mean()
    assert error < 0.005 * exact(q, k, v).abs().mean()


@needs_kernel
@pytest.mark.parametrize("threads", (1, 2, 3))
def test_a_query_does_not_depend_on_others_nor_on_threads(threads):
    q, k, v = (tokens(2, 3, 333, seed=seed) for seed in range(3))
    together = attend_bf16(q, k, v)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        apart = torch.cat([attend_bf16(part, k, v) for part in q.split(50, dim=2)], dim=2)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(apart, together)


@needs_kernel
def test_far_apart_scores_choose_the_largest():
    q, k, v = (tokens(1, 1, 70, seed=seed) for seed in range(3))
    k[0, 0, 66] = 1000 * q[0, 0, 5]
    assert torch.equal(attend_bf16(q, k, v)[0, 0, 5], v[0, 0, 66])


@needs_kernel
@pytest.mark.parametrize("where", range(3))
def test_what_is_no_number_does_not_turn_into_one(where):
    inputs = [tokens(1, 1, 20, seed=seed) for seed in range(3)]
    inputs[where][0, 0, 7] = torch.nan
    found = attend_bf16(*inputs)
    assert found[0, 0, 7].isnan().all()
    assert found.isnan().all() == (where > 0)


@needs_kernel
def test_any_layout_will_do():
    q, k, v = (tokens(2, 3, 40, seed=seed) for seed in range(3))
    expected = attend_bf16(q, k, v)
    channels_apart = [x.transpose(2, 3).contiguous().transpose(2, 3) for x in (q, k, v)]
    assert torch.equal(attend_bf16(*channels_apart), expected)
    assert torch.equal(attend_bf16(*(x.contiguous() for x in (q, k, v))), expected)


@needs_kernel
@pytest.mark.parametrize("other", (lambda x: x.float(), lambda x: x[..., :32]))
def test_the_kernel_refuses_what_it_was_not_made_for(other):
    inputs = [other(tokens(1, 2, 30, seed=seed)) for seed in range(3)]
    with pytest.raises(ValueError, match="takes bf16 of 64 channels"):
        attend_bf16(*inputs)


@needs_kernel
def test_torch_can_compile_around_it():
    torch.library.opcheck(attend_bf16, tuple(tokens(2, 3, 40, seed=seed) for seed in range(3)))


@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16))
@pytest.mark.parametrize("channels", (32, HEAD_DIM))
def test_attend_takes_any_type_and_size(dtype, channels):
    q, k, v = (tokens(1, 2, 30, seed=seed)[..., :channels].to(dtype) for seed in range(3))
    with torch.no_grad():
        found = attend(q, k, v)
    assert found.dtype == dtype and torch.allclose(found.double(), exact(q, k, v), atol=0.02)


def test_gradients_go_through():
    q, k, v = (tokens(1, 2, 30, seed=seed).requires_grad_() for seed in range(3))
    attend(q, k, v).sum().backward()
    assert all(x.grad.isfinite().all() and x.grad.abs().sum() > 0 for x in (q, k, v))


def test_ours_runs_where_it_is_faster_and_only_there():
    q, k, v = (tokens(1, 2, 30, seed=seed) for seed in range(3))
    with torch.no_grad(), torch.profiler.profile() as profile:
        attend(q, k, v)
    ran = {event.name for event in profile.events()}
    assert ("da3_ros::attend" in ran) == (has_bf16_products() and not has_bf16_tiles())
