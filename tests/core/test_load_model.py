"""What "configure" does with weights that load and are worth nothing."""

import numpy as np
import pytest
import torch

from da3_ros.core.config import ConfigError, from_dict
from da3_ros.core.load_model import ModelError, load_model
from da3_ros.net.checkpoint import load_network, save_checkpoint


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
