"""What the training of da3-demo teaches the tokens about distance is true."""

import numpy as np
import pytest
import torch

from da3_ros.net.network import Network
from da3_ros.net.presets import PRESETS
from da3_ros.synthetic.textures import Atlas
from tools.training import samples
from tools.training.matching import true_matches
from tools.training.triangulation import (
    Readings,
    TriangulationProbe,
    log_length,
    motion_of,
    triangulation_losses,
    true_cameras,
)  # fmt: skip
from tools.training.windows import random_windows

VIEWS = 3


@pytest.fixture(scope="module", params=[True, False], ids=["posed", "unposed"])
def room(request):
    windows = random_windows(np.random.default_rng(5), Atlas.procedural(1, 8), 4, VIEWS, 56, 70)
    return samples.make_sample(windows, posed=request.param)


def true_readings(room) -> Readings:
    motion = motion_of(room.T_ref_cam, room.K, *room.depth.shape[-2:])
    lever = motion.lever
    said = torch.cat([motion.turn, lever, log_length(lever)[..., None]], dim=-1)
    flow = true_matches(room).flow[..., 0, :]
    parallax = log_length(flow - motion.turn)
    log_depth = samples.patch_centres(room.depth).log()
    flow = torch.cat([flow, parallax[..., None]], dim=-1)
    return Readings(said, [flow] * 2, [log_depth] * 4, [true_cameras(room)] * 4)


def test_distance_is_the_lever_over_the_flow_that_is_not_turn(room):
    matches = true_matches(room)
    motion = motion_of(room.T_ref_cam, room.K, *room.depth.shape[-2:])
    parallax = matches.flow[..., 0, :] - motion.turn
    points = samples.points_in_reference(room.depth, room.T_ref_cam, room.K)
    distance = samples.patch_centres(points)[..., 2]
    clear = matches.seen[..., 0] & motion.ahead & (parallax.norm(dim=-1) > 0.05)
    ratio = motion.lever.norm(dim=-1) / parallax.norm(dim=-1) / distance
    assert clear.sum() > 50
    torch.testing.assert_close(ratio[clear], torch.ones_like(ratio[clear]), atol=0.01, rtol=0)


def test_the_reference_view_neither_turns_nor_moves(room):
    motion = motion_of(room.T_ref_cam, room.K, *room.depth.shape[-2:])
    assert motion.turn[:, 0].abs().amax() < 1e-3 and motion.lever[:, 0].abs().amax() < 1e-3


def test_the_truth_costs_nothing(room):
    losses = triangulation_losses(true_readings(room), true_matches(room), room)
    posed = {"turn", "lever", "parallax"} if room.cameras else set()
    assert set(losses) == {"flow", "distance", "place"} | posed, "nothing is known without poses"
    assert max(losses.values()) < 1e-5


def test_every_error_costs(room):
    truth = true_readings(room)
    lists = (truth.flow, truth.log_depth, truth.cameras)
    wrong = Readings(truth.motion + 1, *([x + 1 for x in said] for said in lists))
    losses = triangulation_losses(wrong, true_matches(room), room)
    assert all(losses[k] == pytest.approx(1) for k in ("flow", "distance", "place"))
    assert min(losses.values()) > 0.1


def test_the_probe_reads_all_blocks_and_only_in_training(room):
    torch.manual_seed(0)
    network = Network(PRESETS["da3-demo"])
    probe = TriangulationProbe(network.backbone)
    network.eval()
    network.aggregate(network.encode(room.images), room.cameras, reference="first")
    with pytest.raises(KeyError):
        probe.read(4, VIEWS)
    network.train()
    network.aggregate(network.encode(room.images), room.cameras, reference="first")
    readings = probe.read(4, VIEWS)
    assert readings.motion.shape == (4, VIEWS, 20, 5)
    assert [r.shape for r in readings.flow] == [(4, VIEWS, 20, 3)] * 2
    assert [r.shape for r in readings.log_depth] == [(4, VIEWS, 20)] * 4
    assert [r.shape for r in readings.cameras] == [(4, VIEWS, 6)] * 4
    losses = triangulation_losses(readings, true_matches(room), room)
    sum(losses.values()).backward()
    assert all(p.grad.abs().amax() > 0 for p in probe.log_depth.parameters())
