"""Official checkpoints load strictly; what does not fit is named."""

import json
import logging
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from da3_ros.net.checkpoint import load_checkpoint, load_network, random_network, save_checkpoint
from da3_ros.net.model_folder import CheckpointError
from da3_ros.net.presets import PRESETS, Head, find_preset
from tools import upstream

TINY = Head(16, (8, 8, 8, 8))


@pytest.fixture
def folder(tmp_path):
    """A checkpoint of a narrow network, as we save it."""
    save_checkpoint(random_network(upstream.reduced("da3-large", 64, TINY)), tmp_path)
    return tmp_path


def load(folder):
    return load_checkpoint(folder, preset=upstream.reduced("da3-large", 64, TINY))


def edit(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_round_trip_keeps_every_value(folder):
    expected = random_network(upstream.reduced("da3-large", 64, TINY)).state_dict()
    for name, value in load(folder).state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_files_hold_the_names_upstream_publishes(folder, tmp_path):
    theirs = upstream.build("da3-large", 64, TINY)
    upstream.save_official(theirs, tmp_path / "theirs", "da3-large")
    published = load_file(tmp_path / "theirs" / "model.safetensors")
    ours = load_file(folder / "model.safetensors")
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in published.items()}


def test_the_ray_levels_share_one_normalisation(folder):
    levels = load(folder).head.scratch.output_conv2_aux
    assert all(level[2].weight is not None for level in levels)
    assert all(torch.equal(level[2].weight, levels[0][2].weight) for level in levels)


def test_missing_and_unexpected_tensors_are_listed(folder):
    def change(tensors):
        del tensors["model.cam_dec.fc_t.bias"]
        tensors["model.extra"] = torch.zeros(1)

    edit(folder, change)
    with pytest.raises(CheckpointError, match="missing model.cam_dec.fc_t.bias; unexpected model"):
        load(folder)


def test_a_wrong_shape_is_named(folder):
    edit(folder, lambda tensors: tensors.update({"model.cam_dec.fc_t.bias": torch.zeros(4)}))
    with pytest.raises(CheckpointError, match=r"fc_t.bias is \(4,\), must be \(3,\)"):
        load(folder)


def test_the_wrong_preset_lists_at_most_twenty_and_counts_the_rest(folder):
    with pytest.raises(CheckpointError, match=r"does not fit da3-large: .*; and \d+ more"):
        load_checkpoint(folder)


def test_a_pickle_is_refused(tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(pickle.dumps({}))
    with pytest.raises(CheckpointError, match="is a pickle, which can run code"):
        load_network(str(path))


def test_a_folder_without_weights_and_a_broken_file(tmp_path):
    with pytest.raises(CheckpointError, match="has no model.safetensors"):
        load_network(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_network(str(tmp_path))


def test_the_hub_out_of_reach_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CheckpointError, match="use the built-in model da3-demo"):
        load_network("depth-anything/NO-SUCH-MODEL")


def test_without_a_model_name_the_shapes_decide(tmp_path):
    save_checkpoint(random_network(find_preset("da3-small")), tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"config": {}}))
    assert load_checkpoint(tmp_path).preset.name == "da3-small"


def test_names_and_licences(folder, caplog):
    assert find_preset("DA3-LARGE-1.1") is PRESETS["da3-large"]
    with pytest.raises(ValueError, match="unknown preset 'da3-huge'; there are da3-demo"):
        find_preset("da3-huge")
    with caplog.at_level(logging.WARNING):
        load(folder)
    assert "CC BY-NC 4.0: not for commercial use" in caplog.text


def test_random_weights_are_seeded_and_said(tmp_path):
    a, b = load_network("da3-small"), load_network("da3-small")
    assert torch.equal(a.backbone.blocks[3].attn.qkv.weight, b.backbone.blocks[3].attn.qkv.weight)
    assert a.weights.random and "random" in a.weights.source
    save_checkpoint(a, tmp_path)
    assert not load_network(str(tmp_path)).weights.random
