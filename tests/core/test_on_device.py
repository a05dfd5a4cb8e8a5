"""What runs on a GPU says what the CPU says. On a machine without one these tests compare the
CPU with itself, which shows that they would run; `-m gpu` picks the others."""

from queue import Queue

import numpy as np
import pytest
import torch

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.config import from_dict
from da3_ros.core.export import splat
from da3_ros.core.frame import Frame
from da3_ros.core.pipeline import Pipeline
from da3_ros.core.scene.surface import surface_points
from da3_ros.core.scene.tsdf import TsdfVolume
from da3_ros.core.worker import Worker
from da3_ros.net.camera import Cameras
from da3_ros.net.checkpoint import load_network, random_network
from da3_ros.net.gaussians import Gaussians
from da3_ros.net.precision import pack_weights, set_precision
from da3_ros.net.presets import HeadConfig
from tools.upstream import random_cameras, randomise, reduced, relative_error

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
SIZE, VIEWS = (42, 56), 3
CAMERA = CameraModel(56, 42, np.array([[40.0, 0, 27.5], [0, 40.0, 20.5], [0, 0, 1]]))
RES = 56


@pytest.fixture(autouse=True)
def whole_products():
    """TF32 would hide a fault as rounding."""
    backends = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [b.allow_tf32 for b in backends]
    for backend in backends:
        backend.allow_tf32 = False
    yield
    for backend, value in zip(backends, before):
        backend.allow_tf32 = value


def frames(count):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (42, 56 + count, 3), np.uint8)
    for i in range(count):
        T = np.eye(4)
        T[0, 3] = 0.1 * i
        image = np.ascontiguousarray(picture[:, i : i + 56])
        yield Frame("camera", i * 200_000_000, image, CAMERA, T)


def demo_pipeline(device, precision="fp32"):
    network = load_network("da3-demo", device)
    set_precision(network, precision)
    pack_weights(network)
    values = {"model.process_res": RES, "window.size": VIEWS, "window.min_baseline": 0.0}
    return Pipeline(network, from_dict(values | {"scale.source": "cameras"}))


def windows_of(pipeline, count=5):
    steps = [pipeline.push(frame) for frame in frames(count)]
    return [step.window for step in steps if step.window]


def on(device, cameras):
    return cameras and Cameras(cameras.T_cam_ref.to(device), cameras.K.to(device))


@pytest.mark.parametrize("name", ["da3-small", "da3nested-giant-large"])
@pytest.mark.parametrize("posed", [True, False], ids=["posed", "unposed"])
@pytest.mark.parametrize("device", DEVICES)
@torch.inference_mode()
def test_the_network_is_the_cpus(device, posed, name):
    network = randomise(random_network(reduced(name, 64, HeadConfig(32, (16, 24, 32, 48)))))
    images = torch.randn(1, VIEWS, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    cameras = random_cameras(VIEWS, SIZE) if posed else None
    expected = network(images, cameras, reference="middle")
    network.to(device)
    found = network(images.to(device), on(device, cameras), reference="middle")
    for what in ("depth", "conf", "T_cam_ref", "K"):
        assert relative_error(getattr(found, what).cpu(), getattr(expected, what)) < 1e-4, what


@pytest.mark.parametrize("device", DEVICES)
def test_bf16_is_within_its_bound(device):
    exact, lowered = demo_pipeline("cpu"), demo_pipeline(device, "bf16")
    for a, b in zip(windows_of(exact), windows_of(lowered), strict=True):
        error = np.abs(lowered.process(b).depth / exact.process(a).depth - 1)
        assert 0 < error.mean() < 0.02 and error.max() < 0.1  # of noise; kitchens: a tenth of it


@pytest.mark.parametrize("device", DEVICES)
def test_encodings_are_reused(device):
    """A stream says what single windows say, and what the CPU says, in the worker's thread too."""
    stream, cpu = demo_pipeline(device), demo_pipeline("cpu")
    windows = windows_of(stream)
    done: Queue = Queue()
    worker = Worker(lambda w: done.put(stream.process(w)), newest_wins=False)
    for window in windows:
        worker.submit(window)
    results = [done.get(timeout=60) for _ in windows]
    assert worker.stop(60) and len(windows) == 3
    for window, result in zip(windows, results):
        alone, expected = demo_pipeline(device).process(window), cpu.process(window)
        np.testing.assert_allclose(result.depth, alone.depth, rtol=1e-4)
        np.testing.assert_allclose(result.depth, expected.depth, rtol=1e-3)


@pytest.mark.gpu
def test_a_window_too_large_for_the_memory_becomes_smaller():
    network = load_network("da3-base", "cuda")
    set_precision(network, "bf16")
    values = {"window.size": 24, "window.min_baseline": 0.0, "scale.source": "cameras"}
    pipeline = Pipeline(network, from_dict(values | {"model.process_res": 504}))
    (window,) = windows_of(pipeline, 24)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    allowed = (torch.cuda.memory_reserved() + 400 * 2**20) / total
    torch.cuda.set_per_process_memory_fraction(allowed)
    try:
        result = pipeline.process(window)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert result.limit is not None and np.isfinite(result.depth).any()
    assert (result.limit.views or 24) < 24


@pytest.mark.parametrize("device", DEVICES)
def test_the_map_is_the_cpus(device):
    points = []
    for where in ("cpu", device):
        volume = TsdfVolume(0.05, truncation=4.0, max_range=5.0, max_blocks=2000, device=where)
        for i, frame in enumerate(frames(4)):
            v, u = np.mgrid[:42, :56]
            depth = (1.5 + 0.3 * np.sin(u / 9 + i) + 0.01 * v).astype(np.float32)
            volume.integrate(depth, frame.T_world_cam, CAMERA, frame.image)
        points.append(surface_points(volume))
    (a, a_colors), (b, b_colors) = points
    assert len(a) == len(b) > 500
    a_order, b_order = np.lexsort(a.T.round(3)), np.lexsort(b.T.round(3))
    np.testing.assert_allclose(a[a_order], b[b_order], atol=2e-3)
    assert np.abs(a_colors[a_order].astype(int) - b_colors[b_order]).mean() < 1


@pytest.mark.parametrize("device", DEVICES)
def test_splats_are_the_cpus(device):
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.rand(*shape, generator=generator)

    gaussians = Gaussians(
        means=random(300, 3) * 2 + torch.tensor([-1.0, -1, 2]),
        scales=0.05 * random(300, 3) + 0.01,
        rotations=torch.nn.functional.normalize(random(300, 4) - 0.5, dim=1),
        harmonics=random(300, 3, 9) - 0.3,
        opacities=random(300),
    )
    T, K = torch.eye(4), torch.from_numpy(CAMERA.K).float()
    expected = splat.render(gaussians, T, K, 42, 56)
    moved = Gaussians(**{k: v.to(device) for k, v in vars(gaussians).items()})
    found = splat.render(moved, T.to(device), K.to(device), 42, 56)
    assert (found.rgb.cpu() - expected.rgb).abs().max() < 1e-3
    assert (found.depth.cpu() - expected.depth).abs().max() < 1e-2
