"""Lower precision changes depth by less than what is promised, and only where it is fast."""

import threading
from functools import partial

import pytest
import torch
from torch import nn

from da3_ros.net.checkpoint import load_network
from da3_ros.net.precision import Linear, compile_stages, pack_weights, set_precision
from tools.upstream import random_cameras

MEAN_ERRORS, MAX_ERROR = {"da3-small": 0.002, "da3-demo": 0.004}, 0.02
"""Largest relative difference of depth that bf16 may make on noise: stated in docs/speed.md.
Trained weights, which look for what noise does not have, magnify rounding more than random ones."""

SIZE = (112, 154)


def depth(network, seed=0):
    images = torch.randn(1, 3, 3, *SIZE, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        return network(images, random_cameras(3, SIZE)).depth


@pytest.mark.parametrize("name, mean", MEAN_ERRORS.items())
def test_bf16_keeps_depth(name, mean):
    exact = depth(load_network(name))
    lowered = load_network(name)
    assert set_precision(lowered, "bf16") == torch.bfloat16
    error = (depth(lowered) / exact - 1).abs()
    assert 0 < error.mean() < mean and error.max() < MAX_ERROR
    pack_weights(lowered)
    error = (depth(lowered) / exact - 1).abs()
    assert 0 < error.mean() < mean and error.max() < MAX_ERROR


def test_only_lowered_weights_are_packed():
    network = load_network("da3-demo")
    pack_weights(network)
    assert not any(p.is_mkldnn for p in network.parameters())
    set_precision(network, "bf16")
    pack_weights(network)
    pack_weights(network)
    packed = {name for name, p in network.named_parameters() if p.is_mkldnn}
    assert len(packed) == 4 * 8 and "backbone.blocks.0.mlp.fc1.weight" in packed


def test_what_is_lowered_and_what_is_not():
    network = load_network("da3-small")
    set_precision(network, "bf16")
    kinds = {name: p.dtype for name, p in network.named_parameters()}
    assert kinds["backbone.blocks.5.attn.qkv.weight"] == torch.bfloat16
    assert kinds["head.scratch.refinenet1.out_conv.weight"] == torch.bfloat16
    for name in (
        "backbone.blocks.5.norm1.weight",
        "backbone.blocks.5.ls1.gamma",
        "backbone.pos_embed",
        "head.scratch.output_conv2.2.weight",
        "cam_enc.pose_branch.fc1.weight",
        "cam_dec.fc_t.weight",
    ):
        assert kinds[name] == torch.float32, name


def test_fp32_is_fp32_everywhere():
    network = load_network("da3-small")
    before = depth(network)
    assert set_precision(network, "fp32") == torch.float32
    assert torch.allclose(depth(network), before, rtol=1e-5)


def test_auto_follows_the_processor(monkeypatch):
    for fast, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr("da3_ros.net.precision.has_bf16_products", lambda fast=fast: fast)
        assert set_precision(load_network("da3-demo"), "auto") == expected
    with pytest.raises(ValueError, match="precision is 'fp16', must be one of auto, fp32, bf16"):
        set_precision(load_network("da3-demo"), "fp16")


def test_blocks_and_head_are_what_is_compiled():
    """Not run here: compiling takes minutes."""
    network = load_network("da3-demo")
    compile_stages(network)
    compiled = [name for name, m in network.named_modules() if m._compiled_call_impl is not None]
    blocks = [f"backbone.blocks.{i}" for i in range(network.preset.backbone.depth)]
    assert compiled == [*blocks, "head"]


def test_a_second_picture_size_is_compiled_too():
    """One kind of window needs five versions of a block, and torch's bound is eight."""
    with torch._dynamo.config.patch(cache_size_limit=8):
        compile_stages(load_network("da3-demo"))
        assert torch._dynamo.config.recompile_limit >= 4 * 7
    with torch._dynamo.config.patch(cache_size_limit=1000):
        compile_stages(load_network("da3-demo"))
        assert torch._dynamo.config.recompile_limit == 1000


def test_every_thread_compiles_as_many_versions(monkeypatch):
    """What is configured in one thread does not hold in another, as that of the network."""
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    network = nn.ModuleDict({"head": Linear(1, 1)})
    compile_stages(network)
    torch._dynamo.reset()
    kinds = [torch.zeros([1] * dims) for dims in range(1, 13)]  # more than torch's bound
    thread = threading.Thread(target=lambda: [network["head"](x) for x in kinds])
    thread.start()
    thread.join()
    assert len(compiled) == len(kinds)


def test_convolutions_in_fp32_are_not_tf32(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    set_precision(load_network("da3-demo"), "fp32")
    assert not torch.backends.cudnn.allow_tf32
