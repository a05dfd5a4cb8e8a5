"""What "configure" does with weights that load and are worth nothing, and with little memory."""

import logging

import numpy as np
import pytest
import torch

from da3_ros.core import load_model as module
from da3_ros.core.config import ConfigError, from_dict
from da3_ros.core.frame import Frame
from da3_ros.core.load_model import ModelError, load_model
from da3_ros.core.pipeline import Pipeline
from da3_ros.core.warm_up import warm_up
from da3_ros.net.checkpoint import load_network, save_checkpoint
from da3_ros.net.cuda_graphs import GraphedNetwork
from da3_ros.synthetic.room import render_room_frame


@pytest.fixture(scope="module")
def room():
    return [render_room_frame(i) for i in range(7)]


def config(name, **values):
    return from_dict({"model.name": str(name), "model.process_res": 28} | values)


def test_finite_weights_of_infinite_output_are_refused(tmp_path):
    network = load_network("da3-demo")
    network.head.scratch.output_conv2[-1].bias += 1000  # depth is its exponential
    save_checkpoint(network, tmp_path)
    with pytest.raises(ModelError, match="depth of a grey picture is NaN or infinite; the weights"):
        load_model(config(tmp_path))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "auto"])
def test_sound_weights_pass_in_every_precision(precision):
    network = load_model(config("da3-demo", **{"model.precision": precision}))
    with torch.inference_mode():
        assert np.isfinite(network(torch.zeros(1, 1, 3, 28, 28)).depth.numpy()).all()


@pytest.mark.parametrize("name", ["x" * 300, "/" + "x" * 300, "./no/such", "a\0b"])
def test_names_that_cannot_be_are_one_sentence(name):
    with pytest.raises((ModelError, ConfigError), match="model.name is ") as caught:
        load_model(config(name))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "parameters, sentence",
    [
        ({"scale.source": "cameras"}, "da3mono-large sees no poses.*set scale.source to auto"),
        ({"window.size": 1}, "window.size is 1.*set window.size to 2 or more, or scale.source"),
    ],
)
def test_poses_promise_metres(parameters, sentence):
    """Before any weights are read."""
    config = from_dict({"model.name": "da3mono-large", "model.device": "cpu", **parameters})
    with pytest.raises(ModelError, match=sentence):
        load_model(config)


NO_MEMORY = "CUDA out of memory. Tried to allocate 2.00 GiB"


@pytest.mark.parametrize("stage", ["load_network", "encode"])
def test_a_model_that_does_not_fit_is_one_sentence(stage, monkeypatch):
    """Its weights, or the smallest window."""

    def too_much(*args, **options):
        raise torch.OutOfMemoryError(NO_MEMORY)

    network = load_network("da3-demo")
    if stage == "load_network":
        monkeypatch.setattr(module, stage, too_much)
    else:
        monkeypatch.setattr(network, stage, too_much)
        monkeypatch.setattr(module, "load_network", lambda *_: network)
    with pytest.raises(ModelError, match="da3-demo.*does not fit into the memory.*smaller model"):
        load_model(config("da3-demo"))


def test_what_cannot_be_recorded_is_one_sentence(monkeypatch):
    def capture(function):
        raise RuntimeError("operation not permitted when stream is capturing\nand more lines")

    graphed = GraphedNetwork(load_network("da3-demo"), capture)
    monkeypatch.setattr(module, "load_network", lambda *_: graphed)
    with pytest.raises(
        ModelError, match=r"\(operation not permitted .* capturing\): set model.cuda"
    ):
        load_model(config("da3-demo"))


def test_a_window_that_does_not_fit_is_said_at_configure(monkeypatch, caplog):
    network = load_network("da3-demo")
    aggregate = network.aggregate

    def at_most_two(encoded, *args, **options):
        if encoded.tokens.shape[1] > 2:
            raise torch.OutOfMemoryError(NO_MEMORY)
        return aggregate(encoded, *args, **options)

    monkeypatch.setattr(network, "aggregate", at_most_two)
    monkeypatch.setattr(module, "load_network", lambda *_: network)
    with caplog.at_level(logging.WARNING):
        load_model(config("da3-demo"))
    assert "out of memory: windows go on with at most 2 views" in caplog.text


@pytest.mark.parametrize("publish", ["reference", "all"])
@pytest.mark.parametrize("cameras, stride", [(("",), 1), (("",), 2), (("left", "right"), 1)])
@torch.inference_mode()
def test_what_comes_is_recorded_at_configure(room, cameras, stride, publish):
    """A recording takes seconds, in which images would be dropped."""
    recorded = []

    def capture(function):
        recorded.append(function())
        return lambda: None, recorded[-1]

    values = {"input.cameras": list(cameras), "window.stride": stride, "window.publish": publish}
    values |= {"window.size": 3, "window.min_baseline": 0.0, "model.cuda_graphs": True}
    parameters = config("da3-demo", **values)
    network = GraphedNetwork(load_network("da3-demo"), capture)
    warm_up(network, parameters)
    before, pipeline, windows = len(recorded), Pipeline(network, parameters), 0
    for i, v in enumerate(room):
        instant = [Frame(n, i * 10**8, v.image, v.camera, v.T_world_cam) for n in cameras]
        if window := pipeline.push(*instant).window:
            pipeline.process(window)
            windows += 1
    assert windows > 2 and len(recorded) == before > 0
