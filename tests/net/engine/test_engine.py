"""The graphs of an engine say what the network says, stage by stage; wrong ones are refused.

The nested model, shallow and narrow: its any-view branch and its metric one are all the kinds of
network there are. True sizes: python -m tools.bench.engines.
"""

import json
import shutil

import pytest
import torch
from small_networks import HEAD, NARROW, in_stages, noise, shallow

from da3_ros.net.camera import Cameras
from da3_ros.net.checkpoint import random_network
from da3_ros.net.engine import session
from da3_ros.net.engine.check import BuiltInWindow, refuse_if_off
from da3_ros.net.engine.engine import open_engine
from da3_ros.net.engine.export import EngineSize, export_engine
from da3_ros.net.engine.manifest import ENCODE, MANIFEST, EngineError, read_manifest
from da3_ros.net.engine.precisions import ENGINE_PRECISIONS
from tools.upstream import random_cameras, randomise, reduced, relative_error

SIZE, VIEWS = (28, 42), 3
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network():
    preset = shallow(reduced("da3nested-giant-large", NARROW, HEAD))
    return randomise(random_network(preset))


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("engines") / "engine"
    errors = export_engine(network, folder, EngineSize(VIEWS, SIZE, 42, (640, 480)))
    assert max(errors.values()) < 1e-4
    return folder


@pytest.fixture(scope="module")
def engine(folder):
    return open_engine(folder, "cpu", CPU)


@pytest.fixture(scope="module")
def images():
    return noise(VIEWS, SIZE, seed=3)


@pytest.mark.parametrize("views", [[0], [2, 1], [0, 1, 2]], ids=str)
@pytest.mark.parametrize("posed", [True, False], ids=["posed", "unposed"])
def test_stages_say_what_torch_says(network, engine, images, posed, views):
    """Within 1e-4; it is rounding."""
    cameras = random_cameras(VIEWS, SIZE) if posed else None
    expected, found = (in_stages(net, images, cameras, views) for net in (network, engine))
    for name in ("depth", "conf", "T_cam_ref", "K", "sky", "scale_factor"):
        assert relative_error(getattr(found, name), getattr(expected, name)) < 1e-4, name


def test_cameras_matter(engine, images):
    """Posed and unposed are one graph: its switch is not ignored."""
    depth = [
        engine(images, c, reference="first").depth for c in (random_cameras(VIEWS, SIZE), None)
    ]
    assert relative_error(*depth) > 1e-2


def test_the_manifest_says_what_it_is(folder, network):
    manifest = read_manifest(folder)
    assert (manifest.preset, manifest.license) == ("da3nested-giant-large", "CC BY-NC 4.0")
    assert (manifest.views, manifest.size, manifest.precision) == (VIEWS, SIZE, "fp32")
    assert manifest.random and len(manifest.weights_sha256) == 64
    assert set(manifest.files) == {
        *("encode.onnx", "aggregate.onnx", "decode.onnx", "expected.safetensors")
    }


def test_weights_that_are_not_for_commercial_use_are_named(folder, caplog):
    open_engine(folder, "cpu", CPU)
    assert "da3nested-giant-large is licensed CC BY-NC 4.0: not for commercial use" in caplog.text


def test_other_sizes_are_named(engine, images):
    with pytest.raises(EngineError, match="42x42 px in the network, the engine takes 42x28"):
        engine.encode(torch.zeros(1, 1, 3, 42, 42))
    two = engine.encode(images[:, :2])
    with pytest.raises(EngineError, match="2 views, the engine takes 3.*--views 2"):
        engine.aggregate(two, reference="first")


@pytest.mark.parametrize(
    "asked, name",
    [
        ({"gaussians": True}, "gaussians"),
        ({"ray_pose": True}, "rays"),
        ({"feature_layers": [2]}, "features"),
    ],
)
def test_what_graphs_do_not_give_is_refused(engine, images, asked, name):
    with pytest.raises(EngineError, match=f"an engine gives no {name}"):
        engine.da3(images, None, **asked)


def test_another_reference_is_refused(engine, images):
    with pytest.raises(EngineError, match="reference is 'middle', an engine takes the first view"):
        engine.da3(images, None, reference="middle")


def spoil(folder, tmp_path, **changes):
    copy = tmp_path / "spoilt"
    shutil.copytree(folder, copy)
    values = json.loads((copy / MANIFEST).read_text()) | changes
    (copy / MANIFEST).write_text(json.dumps(values))
    return copy


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"format": 99}, "has format 99, must be 1"),
        ({"views": "three"}, "views is 'three', must be int"),
        ({"files": None}, "files is None, must be dict"),
        ({"preset": "da3-tiny"}, "unknown preset 'da3-tiny'"),
        ({"image_size": 4}, "image_size is 4, must be tuple"),
    ],
)
def test_a_spoilt_manifest_is_one_sentence(folder, tmp_path, changes, sentence):
    with pytest.raises(EngineError, match=sentence) as caught:
        open_engine(spoil(folder, tmp_path, **changes), "cpu", CPU)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spoiler", ["cut", "gone", "metric"])
def test_files_that_were_changed_are_refused(folder, tmp_path, spoiler):
    copy = spoil(folder, tmp_path)
    file = (copy / "metric" if spoiler == "metric" else copy) / ENCODE
    file.unlink() if spoiler == "gone" else file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(EngineError, match=f"{file} is not the file that engine.json names"):
        open_engine(copy, "cpu", CPU)


def test_a_folder_of_something_else(tmp_path):
    with pytest.raises(EngineError, match="not the folder of an engine.*da3 export-onnx"):
        read_manifest(tmp_path)


def test_an_engine_that_is_off_is_refused():
    refuse_if_off({"posed_depth": 1e-6, "posed_K": 1e-6}, "fp32", "cpu")
    for wrong in (2 * ENGINE_PRECISIONS["fp32"].largest_error, float("nan"), float("inf")):
        with pytest.raises(EngineError, match="off with the provider 'cpu': its posed depth of"):
            refuse_if_off({"posed_depth": wrong, "posed_K": 1e-6}, "fp32", "cpu")


def test_a_folder_that_is_there_is_not_overwritten(network, tmp_path):
    with pytest.raises(EngineError, match="is there already"):
        export_engine(network, tmp_path, EngineSize(VIEWS, SIZE, 42, (640, 480)))


def test_providers_that_are_not_there(folder):
    assert session.find_provider("auto") == "cpu" or torch.cuda.is_available()
    have = session.import_runtime().get_available_providers()
    here = {name for name, provider in session.PROVIDERS.items() if provider in have}
    for name in set(session.PROVIDERS) - here:
        with pytest.raises(
            EngineError, match=f"'{name}' is not in this onnxruntime, which has cpu"
        ):
            open_engine(folder, name, CPU)


def test_the_built_in_window_is_a_window():
    window = BuiltInWindow.of(4, SIZE, CPU)
    assert window.images.shape == (1, 4, 3, *SIZE) and isinstance(window.cameras, Cameras)
    assert not torch.equal(window.images[0, 0], window.images[0, 1])
    assert torch.equal(window.cameras.T_cam_ref[0, 0], torch.eye(4))
