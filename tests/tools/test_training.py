"""The training of da3-demo: what is taught is true, and a run can be resumed."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

from da3_ros.net.camera import encode_cameras
from da3_ros.net.checkpoint import load_checkpoint, load_network, save_checkpoint
from da3_ros.net.network import Network
from da3_ros.net.presets import PRESETS
from da3_ros.synthetic.textures import Atlas
from tools.training import losses, samples, train
from tools.training.camera_stage import finish_cameras
from tools.training.evaluate import camera_errors, constant_depth, measure
from tools.training.initialise import initialise
from tools.training.motion_stage import random_cameras, teach_motion
from tools.training.optimizers import make_optimizers
from tools.training.predict import predict
from tools.training.run import MOST_SKIPPED, Run
from tools.training.schedule import Schedule
from tools.training.sizes import SIZES
from tools.training.small_things import loudness
from tools.training.sources import LiveSource, PoolSource
from tools.training.windows import Windows, random_windows


@pytest.fixture(scope="module")
def windows():
    return random_windows(np.random.default_rng(4), Atlas.procedural(1, 8), 2, 4, 28, 42)


def perfect_output(sample, factor=1.0):
    """What a network would say that knows everything, times a factor in depth."""
    encoded = encode_cameras(sample.true_cameras, sample.images.shape[-2:])
    R, t = sample.T_ref_cam[..., :3, :3], sample.T_ref_cam[..., :3, 3]
    local = samples.camera_rays(sample.K, 16, 24, 28, 42)
    direction = torch.einsum("bnij,bnhwj->bnhwi", R, local)
    ray = torch.cat([direction, t[:, :, None, None].expand_as(direction)], dim=-1)
    return {
        "depth": sample.depth * factor, "conf": torch.ones_like(sample.depth),
        "position": encoded[..., :3], "quat": encoded[..., 3:7], "fov": encoded[..., 7:],
        "ray": ray,
    }  # fmt: skip


@pytest.mark.parametrize("decoded", [2, 4])
@pytest.mark.parametrize("posed", [True, False])
def test_the_truth_costs_nothing(windows, posed, decoded):
    sample = samples.make_sample(windows, posed=posed)
    out = perfect_output(sample)
    out |= {name: out[name][:, :decoded] for name in ("depth", "conf", "ray")}
    _, parts = losses.total_loss(out, sample)
    # Points are compared on a coarser grid, which cuts corners at depth edges.
    point = parts.pop("point")
    assert point < 0.05
    assert all(abs(v) < 1e-4 for v in parts.values()), parts


def test_a_wrong_scale_costs_its_logarithm(windows):
    sample = samples.make_sample(windows, posed=True)
    _, parts = losses.total_loss(perfect_output(sample, 1.5), sample)
    assert parts["scale"] == pytest.approx(np.log(1.5), rel=1e-3)
    assert [parts["depth"], parts["gradient"]] == pytest.approx([0, 0], abs=1e-5)


@pytest.mark.parametrize("posed", [True, False])
def test_where_shape_alone_is_taught_no_scale_costs_anything(windows, posed):
    sample = samples.make_sample(windows, posed=posed)
    right, _ = losses.total_loss(perfect_output(sample), sample, shape_only=True)
    wrong, parts = losses.total_loss(perfect_output(sample, 1.5), sample, shape_only=True)
    assert wrong.item() == pytest.approx(right.item(), abs=1e-5)
    assert set(parts) == {"depth", "gradient", "camera", "ray"}


def wall_with_things():
    """A slanted wall (84, 112) and before it, up to the border, a large and a small box, a pole."""
    depth = 2 + 0.02 * torch.arange(112.0).expand(84, 112)
    things = {
        "large": (slice(20, 70), slice(5, 50)), "small": (slice(40, 50), slice(64, 74)),
        "pole": (slice(0, 84), slice(90, 94)), "cut": (slice(60, 84), slice(104, 112)),
    }  # fmt: skip
    depth = depth.clone()
    for place in things.values():
        depth[place] = 1.5
    return depth[None, None], things


def test_the_smaller_a_thing_the_louder():
    depth, things = wall_with_things()
    loud = loudness(depth, torch.ones_like(depth, dtype=torch.bool))[0, 0]
    expected = {"large": 1, "small": 4, "pole": 8, "cut": 1}
    assert {name: loud[place].unique().tolist() for name, place in things.items()} == {
        name: [value] for name, value in expected.items()
    }
    for place in things.values():
        loud[place] = 1
    assert (loud == 1).all()  # the slanted wall, up to the border


def test_a_mistake_about_a_small_thing_costs_more_where_shape_is_taught():
    depth, things = wall_with_things()
    valid = torch.ones_like(depth, dtype=torch.bool)
    loud = loudness(depth, valid)
    costs = {}
    for name in ("large", "small"):
        error = torch.zeros_like(depth)
        error[0, 0][things[name]] = 0.3
        costs[name] = [
            (losses.shape_loss(error, torch.ones_like(error), w) / error.sum()).item()
            for w in (valid.float(), loud)
        ]
    assert costs["small"][0] == pytest.approx(costs["large"][0])
    assert costs["small"][1] == pytest.approx(4 * costs["large"][1])


def test_unit_is_that_of_inference(windows):
    sample = samples.make_sample(windows, posed=True)
    T = windows.T_world_cam
    distance = (T[:, :, :3, 3] - T[:, :1, :3, 3]).norm(dim=-1)
    expected = np.maximum(np.sort(distance.numpy(), axis=1)[:, 1], samples.MIN_DIVISOR)
    np.testing.assert_allclose(sample.unit, expected, rtol=1e-5)
    torch.testing.assert_close(
        sample.depth * sample.unit[:, None, None, None],
        torch.where(sample.valid, windows.depth.float(), sample.unit[:, None, None, None]),
        rtol=1e-4, atol=1e-4,
    )  # fmt: skip


@pytest.mark.parametrize("posed", [True, False])
def test_a_picture_of_the_sky_alone_teaches_nothing_wrong(windows, posed):
    sky = replace(windows, depth=torch.full_like(windows.depth, torch.inf))
    sample = samples.make_sample(sky, posed=posed)
    loss, parts = losses.total_loss(perfect_output(sample), sample)
    assert not sample.valid.any() and sample.T_ref_cam.isfinite().all()
    assert loss.isfinite(), parts


def test_points_of_different_views_are_the_same_surface(windows):
    """Depth, K and poses belong together: every view's centre pixel seen from view 0."""
    sample = samples.make_sample(windows, posed=True)
    points = samples.points_in_reference(sample.depth, sample.T_ref_cam, sample.K)
    T = sample.T_ref_cam[0, 1]
    own = samples.camera_rays(sample.K[0, 1], 28, 42, 28, 42)[5, 7] * sample.depth[0, 1, 5, 7]
    torch.testing.assert_close(points[0, 1, 5, 7], T[:3, :3] @ own + T[:3, 3])


def test_mirrored_twice_is_the_same_and_once_is_consistent(windows):
    once = samples.mirror(windows)
    twice = samples.mirror(once)
    torch.testing.assert_close(twice.T_world_cam, windows.T_world_cam)
    torch.testing.assert_close(twice.K, windows.K)
    before = samples.make_sample(windows, posed=True)
    after = samples.make_sample(once, posed=True)
    a = samples.points_in_reference(before.depth, before.T_ref_cam, before.K)
    b = samples.points_in_reference(after.depth, after.T_ref_cam, after.K).flip(3)
    torch.testing.assert_close(a * torch.tensor([-1.0, 1, 1]), b, rtol=1e-3, atol=1e-3)


def test_zoomed_windows_show_the_same_points(windows):
    """Their depth, seen through their intrinsics, lies on the surfaces of the windows."""
    zoomed = samples.zoom(windows, torch.Generator().manual_seed(0))
    assert (zoomed.K[..., 0, 0] > windows.K[..., 0, 0]).all()
    exact, near = (samples.make_sample(w, posed=True) for w in (windows, zoomed))
    rays = samples.camera_rays(near.K, 28, 42, 28, 42)
    u = rays[..., 0] * exact.K[..., 0, 0, None, None] + exact.K[..., 0, 2, None, None]
    v = rays[..., 1] * exact.K[..., 1, 1, None, None] + exact.K[..., 1, 2, None, None]
    assert u.min() > -0.5 and u.max() < 41.5 and v.min() > -0.5 and v.max() < 27.5
    b, n = torch.arange(2)[:, None, None, None], torch.arange(4)[:, None, None]
    truth = exact.depth[b, n, v.round().long(), u.round().long()]
    assert ((near.depth - truth).abs() < 1e-3 * truth).float().mean() > 0.98


def test_changed_pictures_keep_geometry(windows):
    changed = samples.change_pictures(windows, torch.Generator().manual_seed(0))
    assert changed.images.dtype == torch.uint8
    assert not torch.equal(changed.images, windows.images)
    assert changed.depth is windows.depth and changed.T_world_cam is windows.T_world_cam


def test_chosen_views_are_neighbours_in_any_order():
    stamps = torch.arange(6.0).view(1, 6, 1, 1, 1).expand(3, 6, 2, 2, 3)
    windows = Windows(
        stamps, stamps[..., 0], torch.eye(4).expand(3, 6, 4, 4), torch.eye(3).expand(3, 6, 3, 3)
    )
    generator = torch.Generator().manual_seed(1)
    for count in (1, 2, 4, 6):
        chosen = samples.choose_views(windows, count, generator).images[..., 0, 0, 0]
        assert chosen.shape == (3, count)
        assert all(len(set(row.tolist())) == count for row in chosen)
        assert (chosen.amax(1) - chosen.amin(1) <= count).all()


def test_camera_errors_of_a_scaled_copy_are_none():
    rng = np.random.default_rng(0)
    T = np.tile(np.eye(4), (4, 1, 1))
    T[1:, :3, 3] = rng.normal(size=(3, 3))
    said = np.linalg.inv(T)[:, :3]
    said[..., 3] *= 0.5
    errors = camera_errors(T, said)
    assert errors["scale"] == pytest.approx(2.0)
    assert errors["translation"] == pytest.approx(0, abs=1e-9)
    assert errors["rotation_deg"] == pytest.approx(0, abs=1e-4)


def test_constant_guess_is_measured_as_by_hand(windows):
    row = constant_depth(windows, 2.0)
    truth = windows.depth[:, 0].float()
    by_hand = [((2 - d[d.isfinite()]).abs() / d[d.isfinite()]).mean() for d in truth]
    assert row["abs_rel"] == pytest.approx(float(np.mean(by_hand)), rel=1e-4)


@pytest.fixture
def arguments(tmp_path, windows):
    pool = tmp_path / "pool"
    pool.mkdir()
    six = random_windows(np.random.default_rng(1), Atlas.procedural(1, 8), 3, 6, 28, 42)
    six.save(pool / "28x42_0_0.pt")
    (tmp_path / "run").mkdir()
    windows.save(tmp_path / "run" / "held_out_84x112_2.pt")
    return [str(tmp_path / "run"), "--pool", str(pool), "--views-per-step", "4", "--threads", "1",
            "--held-out", "2", "--motion-steps", "3"]  # fmt: skip


def state_of(folder):
    return torch.load(folder / "state.pt", weights_only=True)


def test_a_run_trains_and_resumes_where_it_was(arguments, tmp_path):
    train.main([*arguments, "--minutes", "0.001"])
    state = state_of(tmp_path / "run")
    assert state["steps"] > 0
    train.main([*arguments, "--minutes", str(state["minutes"] + 0.001)])
    later = state_of(tmp_path / "run")
    assert later["steps"] > state["steps"] and later["minutes"] > state["minutes"]
    rows = list(csv.DictReader((tmp_path / "run" / "curves.csv").open()))
    assert [int(r["step"]) for r in rows] == [state["steps"], later["steps"]]
    assert all(np.isfinite(float(r["posed_abs_rel"])) for r in rows)


def test_saved_every_minute_and_evaluated_for_a_twentieth_of_the_time():
    schedule = Schedule(allowed=100.0)
    saved, evaluated = [], []
    for minute in range(1, 61):
        schedule.spent = float(minute)
        if schedule.evaluation_is_due:
            evaluated.append(minute)
            schedule.has_evaluated(0.5)
        elif schedule.saving_is_due:
            saved.append(minute)
            schedule.saved = schedule.spent
    assert evaluated == [1, 11, 21, 31, 41, 51]
    assert sorted(saved + evaluated) == list(range(1, 61))
    schedule.spent = 99.0
    assert schedule.has_time
    schedule.spent = 99.3  # the last evaluation would come after the end
    assert not schedule.has_time


def test_a_batch_without_a_finite_loss_teaches_nothing_and_many_are_an_error(arguments):
    run = Run(train._arguments([*arguments, "--minutes", "1", "--start", "da3-demo"]))
    run.resume()
    sample = run.draw(2, posed=True)
    broken = replace(sample, images=torch.full_like(sample.images, torch.nan))
    before = {k: v.clone() for k, v in run.network.state_dict().items()}
    run.learn(broken)
    assert all(torch.equal(v, before[k]) for k, v in run.network.state_dict().items())
    assert run.skips == run.skipped == 1
    run.learn(sample)
    assert run.skipped == 0 and run.skips == 1
    assert not all(torch.equal(v, before[k]) for k, v in run.network.state_dict().items())
    run.skipped = MOST_SKIPPED
    with pytest.raises(FloatingPointError, match="loss is not finite at step 3"):
        run.learn(broken)


def test_the_best_of_smaller_pictures_does_not_stand_in_the_way(arguments, tmp_path):
    train.main([*arguments, "--minutes", "0.001", "--start", "da3-demo"])
    best = state_of(tmp_path / "run")["best"]
    for scale, expected in (("1", best), ("0.5", float("inf"))):
        run = Run(train._arguments([*arguments, "--minutes", "1", "--scale", scale]))
        run.resume()
        assert run.best == expected


def test_trained_weights_are_a_start(arguments, tmp_path):
    arguments = [*arguments, "--minutes", "1", "--start", "da3-demo"]
    run = Run(train._arguments(arguments))
    run.resume()
    trained = load_network("da3-demo").state_dict()
    assert all(torch.equal(v, trained[k]) for k, v in run.network.state_dict().items())
    assert all(torch.equal(v, trained[k]) for k, v in run.average.items())
    with pytest.raises(SystemExit, match="not a trained network of size large"):
        Run(train._arguments([*arguments, "--size", "large"])).resume()


def test_a_large_network_fits_into_the_package_in_eight_bits(tmp_path):
    network = Network(SIZES["large"])
    save_checkpoint(network, tmp_path, torch.int8)
    assert (tmp_path / "model.safetensors").stat().st_size < 20e6
    found = load_checkpoint(tmp_path, preset=SIZES["large"])
    assert sum(p.numel() for p in found.parameters()) > 17e6


def test_eight_bits_cost_the_shipped_network_less_than_a_percent(tmp_path):
    network = load_network("da3-demo")
    atlas = Atlas.procedural(1, 8)
    windows = random_windows(np.random.default_rng(8), atlas, 4, 4, 84, 112)
    whole = measure(network, windows, posed=True)
    save_checkpoint(network, tmp_path, torch.int8)
    small = measure(load_checkpoint(tmp_path), windows, posed=True)
    assert small["abs_rel_aligned"] == pytest.approx(whole["abs_rel_aligned"], rel=0.01)
    assert small["abs_rel"] == pytest.approx(whole["abs_rel"], rel=0.01)


def test_the_dry_run_reaches_the_last_step(arguments, tmp_path):
    run = tmp_path / "run" / "dry_run"
    text = train.dry_run(train._arguments([*arguments, "--dry-run", "--scale", "0.34"]))
    rows = [line for line in text.splitlines() if line.startswith(("| 1 ", "| 4 ", "| 6 "))]
    assert len(rows) == 4
    assert "Expected, not measured" in text and "nan" not in text
    assert {"state.pt", "best.pt", "curves.csv"} <= {f.name for f in run.iterdir()}
    for name in ("model_float16", "model_int8"):
        assert load_checkpoint(run / name).preset.name == "da3-demo"
    sizes = [(run / f"model_{n}" / "model.safetensors").stat().st_size for n in ("int8", "float16")]
    assert sizes[0] < 0.7 * sizes[1]


def test_scenes_thought_up_by_workers_are_rendered_here():
    source = LiveSource(3, "cpu", fresh=2, scale=0.34, workers=1)
    generator = torch.Generator().manual_seed(0)
    windows = source.sample(3, generator)
    assert len(windows) == 3 and windows.depth.isfinite().any()
    alone = LiveSource(3, "cpu", fresh=2, scale=0.34)
    expected = alone.sample(3, torch.Generator().manual_seed(0))
    torch.testing.assert_close(windows.depth, expected.depth)
    assert not torch.equal(source.sample(3, generator).depth, windows.depth)


def test_random_cameras_are_cameras():
    T, K = random_cameras(50, 4, (28, 42), torch.Generator().manual_seed(0))
    eye = torch.eye(4).expand(50, 4, 4)
    torch.testing.assert_close(T[:, 0], eye)
    torch.testing.assert_close(samples.invert(T) @ T, eye[:, None].expand(50, 4, 4, 4))
    assert torch.linalg.det(T[..., :3, :3]).sub(1).abs().max() < 1e-4
    wide = 2 * torch.atan(21 / K[..., 0, 0]).rad2deg()
    assert 42 <= wide.min() < 50 and 90 < wide.max() <= 97.01


class OnePicture:
    """A source that draws the same windows again and again."""

    def __init__(self, windows):
        self.windows = windows

    def sample(self, count, generator):
        return self.windows


def test_motion_is_learned_from_poses_alone(windows):
    torch.manual_seed(0)
    network = Network(PRESETS["da3-demo"])
    images = samples.make_sample(windows, posed=False).images
    initialise(network, images.flatten(0, 1), seed=0)
    kept = {k: v.clone() for k, v in network.state_dict().items()}
    readout, generator = torch.nn.Linear(192, 5), torch.Generator().manual_seed(0)
    first, later = (
        teach_motion(network, readout, OnePicture(windows), generator, steps)
        for steps in (2, 100)
    )  # fmt: skip
    assert later["turn"] + later["lever"] < 0.8 * (first["turn"] + first["lever"])
    changed = {k for k, v in network.state_dict().items() if not torch.equal(v, kept[k])}
    assert changed and all(k.startswith(("cam_enc.", "backbone.blocks.2.")) for k in changed)


def test_steps_lower_the_loss_on_one_batch(windows):
    network = Network(PRESETS["da3-demo"])
    sample = samples.make_sample(windows, posed=True)
    initialise(network, sample.images.flatten(0, 1), seed=0)
    optimizers = make_optimizers(network, torch.nn.Module(), "muon", 1e-3)
    seen = []
    for _ in range(12):
        loss, parts = losses.total_loss(predict(network, sample, rays=True), sample)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        seen.append(loss.item())
    assert np.mean(seen[-3:]) < 0.8 * seen[0]


def test_finishing_the_cameras_teaches_the_decoder_and_nothing_else(arguments, tmp_path):
    torch.manual_seed(0)
    network = Network(PRESETS["da3-demo"]).eval()
    source = PoolSource(tmp_path / "pool", "cpu")
    images = samples.make_sample(
        source.sample(3, torch.Generator().manual_seed(0)), posed=True
    ).images
    initialise(network, images.flatten(0, 1), seed=0)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    windows = source.sample(8, torch.Generator().manual_seed(3))
    ordinary = measure(network, windows, posed=True)["translation"]
    finish_cameras(network, source, torch.Generator().manual_seed(1), windows=80, steps=300)
    finished = measure(network, windows, posed=True)["translation"]
    assert finished < 0.5 * ordinary
    changed = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and all(k.startswith("cam_dec.") for k in changed)


def test_measured_numbers_are_those_of_the_reference_view(windows):
    network = Network(PRESETS["da3-demo"]).eval()
    posed = measure(network, windows, posed=True)
    unposed = measure(network, windows, posed=False)
    assert posed["abs_rel_aligned"] <= posed["abs_rel"] * 1.5
    assert set(posed) - set(unposed) == {"abs_rel", "delta1", "scale_error"}
