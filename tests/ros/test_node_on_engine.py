"""An engine of the built-in model from the command to depth on a topic."""

import json
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from graph import CAMERA, a_robot, start_node
from safetensors.torch import load_file, save_file
from sensor_msgs.msg import Image

from da3_ros.core.config import ConfigError, from_dict
from da3_ros.core.frame import Frame
from da3_ros.core.load_model import ModelError, load_model
from da3_ros.core.pipeline import Pipeline
from da3_ros.net.engine.manifest import EXPECTED, MANIFEST, file_hash

robot = pytest.fixture(a_robot, scope="module")

VIEWS, RES = 2, 56


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engines") / "da3-demo"
    size = ("--views", VIEWS, "--res", RES, "--image-size", f"{CAMERA.width}x{CAMERA.height}")
    words = ("export-onnx", "--model", "da3-demo", "--out", folder, *size)
    done = subprocess.run(
        [sys.executable, "-m", "da3_ros.commands.da3", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert "2 views of 56x42 px" in done.stdout and f"model.name:={folder}" in done.stdout
    return folder


def parameters(folder, **changed):
    values = {"model.name": str(folder), "model.backend": "onnxruntime", "window.size": VIEWS}
    values |= {"window.min_baseline": 0.0, "model.device": "cpu", "model.precision": "auto"}
    return from_dict(values | {k.replace("__", "."): v for k, v in changed.items()})


def frames(count, posed=True):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (CAMERA.height, CAMERA.width + count, 3), np.uint8)
    for i in range(count):
        T = np.eye(4)
        T[0, 3] = 0.1 * i
        image = np.ascontiguousarray(picture[:, i : i + CAMERA.width])
        yield Frame("camera", i * 200_000_000, image, CAMERA, T if posed else None)


@pytest.mark.parametrize("posed", [True, False], ids=["posed", "unposed"])
def test_the_pipeline_does_not_see_the_difference(folder, posed):
    """Windows, reuse of encodings, metres and places in the world."""
    source = "tf" if posed else "none"
    engine = Pipeline(load_model(parameters(folder, pose__source=source)), parameters(folder))
    exact = parameters(
        "da3-demo",
        pose__source=source,
        model__backend="torch",
        model__process_res=RES,
        model__precision="fp32",
    )
    network = Pipeline(load_model(exact), exact)
    windows = 0
    for frame in frames(5, posed):
        steps = [p.push(frame) for p in (engine, network)]
        if steps[0].window is None:
            continue
        found, expected = (p.process(s.window) for p, s in zip((engine, network), steps))
        np.testing.assert_allclose(found.depth, expected.depth, rtol=1e-4)
        np.testing.assert_allclose(found.T_world_cam, expected.T_world_cam, atol=1e-4)
        windows += 1
    assert windows == 4


def test_an_encoding_is_made_once(folder):
    pipeline = Pipeline(load_model(parameters(folder)), parameters(folder))
    pictures, encode = [], pipeline.network.encode
    pipeline.network.encode = lambda images: (pictures.append(images.shape[1]), encode(images))[1]
    for frame in frames(4):
        if window := pipeline.push(frame).window:
            pipeline.process(window)
    assert pictures == [2, 1, 1]


def test_all_views_of_a_window_on_demand(folder):
    pipeline = Pipeline(load_model(parameters(folder)), parameters(folder))
    for frame in frames(2):
        window = pipeline.push(frame).window
    result = pipeline.process(window)
    again = pipeline.look_again(result)
    assert again.depth.shape[0] == VIEWS
    np.testing.assert_allclose(again.depth[window.views[0]], result.depth[0], rtol=1e-5)


def test_a_node_runs_on_it(folder, robot, tmp_path):
    robot.listen(Image, "/da3/depth/image")
    process = start_node(tmp_path, model__name=str(folder), model__backend="onnxruntime")
    try:
        process.wait_for("configured: model da3-demo is ready on cpu, 56 px")
        process.wait_for("active: waiting for images")
        robot.wait_for_node()
        robot.send_until_published()
    finally:
        process.kill()


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"window__size": 4}, "4 views, the engine takes 2: set window.size"),
        ({"model__process_res": 112}, "model.process_res is 112, the engine was made for 56 px"),
        ({"model__precision": "bf16"}, "model.precision is bf16, the engine was made in fp32"),
        ({"model__backend": "torch"}, "an engine, which the node and da3_process run"),
        ({"model__provider": "tensorrt"}, "'tensorrt' is not in this onnxruntime"),
    ],
)
def test_parameters_that_do_not_fit_are_one_sentence(folder, changes, sentence):
    if changes.get("model__provider") and torch.cuda.is_available():
        pytest.skip("TensorRT may be here")
    with pytest.raises((ModelError, ConfigError), match=sentence) as caught:
        load_model(parameters(folder, **changes))
    assert "\n" not in str(caught.value)


def spoilt(folder, tmp_path, change=lambda copy: None, **changes):
    """A copy with another manifest, whose hashes are those of the files that are then there."""
    copy = tmp_path / "spoilt"
    shutil.copytree(folder, copy)
    change(copy)
    values = json.loads((copy / MANIFEST).read_text())
    values["files"] = {name: file_hash(copy / name) for name in values["files"]}
    (copy / MANIFEST).write_text(json.dumps(values | changes))
    return copy


@pytest.mark.parametrize(
    "changes",
    [
        {"height": 10**9},
        {"width": 0},
        {"process_res": 10**6},
        {"precision": "fp64"},
        {"license": "free\x1b[2J"},
        {"source": "a\nb"},
        {"files": {}},
    ],
    ids=lambda changes: "-".join(map(str, *changes.items())),
)
def test_a_manifest_that_cannot_be(folder, tmp_path, changes):
    (name,) = changes
    said = "size" if name in ("height", "width", "process_res") else name
    with pytest.raises(ModelError, match=f"says of {said} is impossible") as caught:
        load_model(parameters(spoilt(folder, tmp_path, **changes)))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "answers",
    [lambda x: {}, lambda x: dict([*x.items()][:1]), lambda x: {k: torch.ones(3) for k in x}],
    ids=["none", "one", "other shapes"],
)
def test_an_engine_that_is_compared_with_nothing_is_refused(folder, tmp_path, answers):
    def change(copy):
        save_file(answers(load_file(folder / EXPECTED)), copy / EXPECTED)

    with pytest.raises(ModelError, match="holds other answers than the engine gives"):
        load_model(parameters(spoilt(folder, tmp_path, change)))


def test_answers_that_are_no_numbers_are_refused(folder, tmp_path):
    def change(copy):
        nothing = {k: x * torch.nan for k, x in load_file(folder / EXPECTED).items()}
        save_file(nothing, copy / EXPECTED)

    with pytest.raises(ModelError, match="differs from torch's by nan"):
        load_model(parameters(spoilt(folder, tmp_path, change)))


def test_graphs_that_are_none_of_ours(folder, tmp_path):
    def change(copy):
        shutil.copy(copy / "decode.onnx", copy / "encode.onnx")

    with pytest.raises(ModelError, match="does not run: .*Export it again"):
        load_model(parameters(spoilt(folder, tmp_path, change)))


def test_weights_of_a_graph_outside_its_folder_are_not_read(folder, tmp_path):
    def change(copy):
        graph = onnx.load(copy / "encode.onnx")
        weights = max(graph.graph.initializer, key=lambda w: len(w.raw_data))
        weights.ClearField("raw_data")
        weights.data_location = onnx.TensorProto.EXTERNAL
        weights.external_data.add(key="location", value="../../../../../../etc/passwd")
        (copy / "encode.onnx").write_bytes(graph.SerializeToString())

    with pytest.raises(ModelError, match="encode.onnx cannot be loaded"):
        load_model(parameters(spoilt(folder, tmp_path, change)))


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"model.backend": "onnxruntime", "model.compile": True}, "model.compile is true"),
        ({"model.provider": "cuda"}, "model.provider is 'cuda', which is for model.backend onnx"),
        ({"model.backend": "tvm"}, "must be one of torch, onnxruntime"),
    ],
)
def test_switches_of_the_other_backend_are_refused(changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        from_dict(changes)


def test_an_engine_whose_scale_wandered_is_refused(folder, tmp_path):
    """As if the runtime's own compiler had made something else of the graphs."""
    copy = tmp_path / "wandered"
    shutil.copytree(folder, copy)
    expected = load_file(copy / EXPECTED)
    before = file_hash(copy / EXPECTED)
    save_file(expected | {"posed_depth": expected["posed_depth"] * 1.05}, copy / EXPECTED)
    text = (copy / MANIFEST).read_text().replace(before, file_hash(copy / EXPECTED))
    (copy / MANIFEST).write_text(text)
    with pytest.raises(
        ModelError, match="the engine is off with the provider 'auto': its posed dep"
    ):
        load_model(parameters(copy))


@pytest.mark.parametrize("name", ["da3-demo", "./no_such_folder"])
def test_a_name_that_is_no_engine(name):
    with pytest.raises(ModelError, match="not the folder of an engine|no such folder"):
        load_model(parameters(name))
