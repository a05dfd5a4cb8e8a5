"""What the training of da3-demo teaches attention about where points are seen is true."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from da3_ros.net.network import Network
from da3_ros.net.presets import PATCH, PRESETS
from da3_ros.synthetic.textures import Atlas
from tools.training import samples
from tools.training.matching import AttentionListener, matching_loss, true_matches
from tools.training.windows import Windows, random_windows

ROWS, COLUMNS = 3, 5


def wall(shift: float, depth=(2.0, 2.0)) -> samples.Sample:
    """Two views of a wall, the second to the left by so much that all moves right by `shift` px."""
    height, width, focal = ROWS * PATCH, COLUMNS * PATCH, 50.0
    T = torch.eye(4, dtype=torch.float64).repeat(1, 2, 1, 1)
    T[0, 1, 0, 3] = -shift * depth[0] / focal
    K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]).repeat(1, 2, 1, 1)
    depths = torch.tensor(depth).view(1, 2, 1, 1).expand(1, 2, height, width).half()
    images = torch.zeros(1, 2, height, width, 3, dtype=torch.uint8)
    return samples.make_sample(Windows(images, depths, T, K), posed=True)


def test_what_moves_by_a_patch_is_seen_in_the_next():
    matches = true_matches(wall(PATCH))
    seen, target = matches.seen, matches.attention()
    grid = target[0, 0, :, 1].view(ROWS, COLUMNS, ROWS, COLUMNS)
    for row in range(ROWS):
        for column in range(COLUMNS - 1):
            assert grid[row, column, row, column + 1] == pytest.approx(1, abs=1e-4)
    visible = seen[0, 0, :, 1].view(ROWS, COLUMNS)
    assert visible[:, :-1].all() and not visible[:, -1].any()
    assert not seen[0, 0, :, 0].any(), "a view is not compared with itself"


def test_between_two_patches_both_are_looked_at():
    target = true_matches(wall(0.25 * PATCH)).attention()
    grid = target[0, 0, :, 1].view(ROWS, COLUMNS, ROWS, COLUMNS)
    torch.testing.assert_close(grid[1, 2, 1, 2:4], torch.tensor([0.75, 0.25]), atol=1e-4, rtol=0)


def test_what_is_hidden_is_not_taught():
    assert not true_matches(wall(PATCH, depth=(2.0, 1.0))).seen[0, 0].any()


def test_flow_goes_on_beyond_the_outer_patch_centres():
    """Half a patch from the edge only one patch can be looked at, but the place is known."""
    flow = true_matches(wall(0.25 * PATCH)).flow[0, 0, :, 1]
    torch.testing.assert_close(flow, torch.tensor([0.25, 0]).expand(15, 2), atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def room():
    windows = random_windows(np.random.default_rng(5), Atlas.procedural(1, 8), 2, 3, 42, 56)
    return samples.make_sample(windows, posed=False)


def test_matched_points_are_the_same_points(room):
    """Looking a matched place up in the other view gives the same point of the world."""
    points = samples.points_in_reference(room.depth, room.T_ref_cam, room.K)
    mine = samples.patch_centres(points)
    matches = true_matches(room)
    target, seen = matches.attention(), matches.seen
    theirs = torch.einsum("bipjq,bjqx->bipjx", target, mine)
    inner = seen & (target.amax(-1) > 0.8)
    error = (theirs - mine[:, :, :, None]).norm(dim=-1)[inner]
    assert len(error) > 50
    assert error.median() < 0.03 * mine.norm(dim=-1).median()


def test_the_truth_costs_nothing_and_the_opposite_much(room):
    matches = true_matches(room)
    target = matches.attention()
    assert matching_loss([target.clamp_min(1e-12).log()], matches) == pytest.approx(0, abs=1e-4)
    assert matching_loss([-10 * target], matches) > 2


def test_one_head_of_each_global_block_is_taught_and_only_in_training(room):
    torch.manual_seed(0)
    network = Network(PRESETS["da3-demo"])
    listener = AttentionListener(network.backbone)
    for training in (False, True):
        network.train(training)
        network.aggregate(network.encode(room.images), room.cameras, reference="first")
        attention = listener.read(3)
        assert len(attention) == (3 if training else 0)
    assert attention[0].shape == (2, 3, 12, 3, 12)
    matching_loss(attention, true_matches(room)).backward()
    last = network.backbone.blocks[7].attn.qkv.weight.grad.view(3, 3, 64, 192)
    assert last[:2, 0].abs().amax() > 0
    assert last[:, 1:].abs().amax() == 0 and last[2].abs().amax() == 0


def test_logits_are_those_of_the_attention_itself(room):
    """The listener recomputes what the block does: softmax of its logits weighs the values."""
    torch.manual_seed(0)
    network = Network(PRESETS["da3-demo"]).train()
    heard = {}
    attn = network.backbone.blocks[3].attn
    listener = AttentionListener(network.backbone)
    attn.register_forward_pre_hook(lambda module, args: heard.update(x=args[0]))
    attn.proj.register_forward_pre_hook(lambda module, args: heard.update(out=args[0]))
    network.aggregate(network.encode(room.images), None, reference="first")
    logits = listener.read(3)[0]
    with torch.no_grad():
        value = attn.qkv(heard["x"])[..., 2 * 192 : 2 * 192 + 64]
        # With equal values at all patches and none elsewhere the head's output is their share.
        weights = logits.flatten(3).softmax(-1)
    said = heard["out"].view(2, 3, 13, 192)[:, :, 1:, :64]
    patches = value.view(2, 3, 13, 64)[:, :, 1:].flatten(1, 2)
    cameras = value.view(2, 3, 13, 64)[:, :, 0]
    mixed = torch.einsum("bipq,bqd->bipd", weights, patches)
    # What remains is the camera tokens' part: a mixture of three known values per patch.
    share = torch.linalg.lstsq(
        torch.cat([cameras.mT, mixed[:, 0, :1].mT], dim=2), said[:, 0, :1].mT
    )
    assert share.solution[:, 3].min() > 0
    torch.testing.assert_close(
        torch.cat([cameras.mT, mixed[:, 0, :1].mT], dim=2) @ share.solution,
        said[:, 0, :1].mT, atol=1e-4, rtol=1e-3,
    )  # fmt: skip


RANKS = """
import torch
from torch import distributed
from tools.training.ranks import Ranks
ranks = Ranks("cpu")
weights = torch.full((3,), float(ranks.rank))
ranks.share([weights])
assert weights.eq(0).all()
used, unused = torch.nn.Parameter(torch.zeros(2, 2)), torch.nn.Parameter(torch.zeros(3))
used.grad = torch.full((2, 2), 1.0 + 2 * ranks.rank)
ranks.mean_gradients([used, unused])
assert used.grad.eq(2).all() and unused.grad is None
assert ranks.mean_number(4.0 * ranks.rank) == 2 and ranks.count == 2
assert ranks.is_first == (ranks.rank == 0)
distributed.destroy_process_group()
"""


def test_ranks_step_together(tmp_path):
    script = tmp_path / "ranks.py"
    script.write_text(RANKS)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    subprocess.run([*torchrun, "--nproc-per-node", "2", str(script)], check=True, timeout=120)
