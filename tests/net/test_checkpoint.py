"""Official checkpoints load strictly; what does not fit is named."""

import json
import logging
import os
import pickle
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from da3_ros.net import eight_bit
from da3_ros.net.checkpoint import load_checkpoint, load_network, random_network, save_checkpoint
from da3_ros.net.model_folder import CheckpointError
from da3_ros.net.presets import PRESETS, HeadConfig, find_preset
from tools import upstream

TINY = HeadConfig(16, (8, 8, 8, 8))


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


def test_what_lies_in_the_place_of_weights_is_named(tmp_path):
    """A clone without Git LFS, and an engine."""
    note = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 137\n"
    (tmp_path / "model.safetensors").write_text(note)
    with pytest.raises(CheckpointError, match="the note that Git LFS keeps.*'git lfs pull' in "):
        load_network(str(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "engine.json").write_text("{}")
    with pytest.raises(CheckpointError, match="is an engine, which the node and da3_process run"):
        load_network(str(tmp_path))


def test_the_hub_out_of_reach_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CheckpointError, match="use the built-in model da3-demo"):
        load_network("depth-anything/NO-SUCH-MODEL")


def test_without_a_model_name_the_shapes_decide(tmp_path):
    save_checkpoint(random_network(find_preset("da3-small")), tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"config": {}}))
    assert load_checkpoint(tmp_path).preset.name == "da3-small"


def test_names_and_licenses(folder, caplog):
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


# ---- files that change, break or lie ----

CHANGED_UNDER_IT = """
import os, sys, torch
from tests.net.test_checkpoint import load

images = torch.zeros(1, 2, 3, 28, 28)
for folder in sys.argv[1:]:
    network, path = load(folder), folder + "/model.safetensors"
    before = network(images).depth
    with open(path, "r+b") as file:
        file.write(b"\\xff" * os.path.getsize(path))
    assert torch.equal(network(images).depth, before), "overwritten"
    os.truncate(path, 100)
    assert torch.equal(network(images).depth, before), "truncated"
    os.remove(path)
    assert torch.equal(network(images).depth, before), "removed"
print("same")
"""


def test_a_loaded_network_does_not_need_its_file(tmp_path):
    network = random_network(upstream.reduced("da3-large", 64, TINY))
    folders = []
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        folders.append(str(tmp_path / str(dtype)))
        save_checkpoint(network, folders[-1], dtype)
    # In a process of its own: memory that is mapped from a truncated file ends it.
    command = [sys.executable, "-c", CHANGED_UNDER_IT, *folders]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "same\n"), done.stderr


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (torch.tensor([0.0, torch.nan, 0.0]), "fc_t.bias holds NaN or infinity"),
        (torch.tensor([torch.inf, 0.0, -torch.inf]), "fc_t.bias holds NaN or infinity"),
        (torch.tensor([1e300, 0, 0], dtype=torch.float64), "fc_t.bias holds NaN or infinity"),
        (torch.tensor([1, 2, 3]), "fc_t.bias is of type I64; weights are F64, F32, F16, BF16"),
        (torch.tensor([True, False, True]), "fc_t.bias is of type BOOL"),
        (torch.tensor([1, 2, 3], dtype=torch.uint8), "fc_t.bias is of type U8"),
        (torch.zeros(3, dtype=torch.float8_e4m3fn), "fc_t.bias is of type F8_E4M3"),
        (torch.zeros(3, dtype=torch.complex64), "fc_t.bias is of type C64"),
    ],
)
def test_weights_that_are_no_numbers_are_refused(folder, value, said):
    edit(folder, lambda tensors: tensors.update({"model.cam_dec.fc_t.bias": value}))
    with pytest.raises(CheckpointError, match=said):
        load(folder)


def test_large_weights_whose_sum_overflows_are_sound(folder):
    large = torch.full((3,), 3e38)
    edit(folder, lambda tensors: tensors.update({"model.cam_dec.fc_t.bias": large}))
    assert torch.equal(load(folder).cam_dec.fc_t.bias, large)


CONFIGS = {
    "null": "is not a JSON object, but None",
    "3": "is not a JSON object, but 3",
    '["da3-small"]': "is not a JSON object, but ",
    "": "cannot be read",
    "[" * 100_000: "cannot be read",
    '{"a":' * 100_000 + "1" + "}" * 100_000: "cannot be read",
    '{"model_name": null}': "model_name is None, must be text",
    '{"model_name": {"a": [1]}}': "model_name is {'a': .*, must be text",
    '{"model_name": "%s"}' % ("x" * 5000): r"unknown preset 'x{77}\.\.\.'",
    '{"model_name": "a\\nb"}': r"unknown preset 'a\\nb'",
    '{"a": "%s"}' % ("x" * 2_000_000): "cannot be read: it is larger than 1000000 bytes",
    "\ud800": "cannot be read",
}


@pytest.mark.parametrize("number", range(len(CONFIGS)))
def test_a_config_that_is_none_is_one_sentence(folder, number):
    text, said = list(CONFIGS.items())[number]
    (folder / "config.json").write_text(text, errors="surrogatepass")
    with pytest.raises(CheckpointError, match=said) as caught:
        load_checkpoint(folder)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "circle"])
def test_what_is_no_file_is_said_at_once(folder, name, kind):
    path = folder / name
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else path)
    with pytest.raises(CheckpointError, match=f"has no {name}|{name} cannot be read"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    "name", ["x" * 300, "/" + "x" * 300, "a/" * 2000, "a\0b", "", "da3\nsmall"]
)
def test_names_that_cannot_be_are_one_sentence(name, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises((CheckpointError, ValueError)) as caught:
        load_network(name)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 800


@pytest.fixture
def eight_bit_folder(tmp_path):
    network = random_network(upstream.reduced("da3-large", 64, TINY))
    save_checkpoint(network, tmp_path, torch.int8)
    return tmp_path


def test_eight_bits_lose_half_a_step_of_each_channel_at_most(eight_bit_folder):
    expected = random_network(upstream.reduced("da3-large", 64, TINY)).state_dict()
    rounded = set()
    for name, value in load(eight_bit_folder).state_dict().items():
        true = expected[name]
        if value.ndim < 2 or len(value) == 1 or name.startswith("cam_"):
            torch.testing.assert_close(value, true, rtol=1e-3, atol=1e-6)
            continue
        step = true.flatten(1).abs().amax(1) / 127
        error = (value - true).flatten(1).abs().amax(1)
        assert (error <= 0.501 * step).all(), name
        rounded |= {name} if error.any() else set()
    assert "backbone.blocks.0.attn.qkv.weight" in rounded


def test_eight_bits_are_a_quarter_of_fp32(eight_bit_folder, tmp_path):
    save_checkpoint(random_network(upstream.reduced("da3-large", 64, TINY)), tmp_path / "whole")
    small, large = (
        (f / "model.safetensors").stat().st_size for f in (eight_bit_folder, tmp_path / "whole")
    )
    assert small < 0.35 * large


SCALED = "model.backbone.pretrained.blocks.0.attn.qkv.weight"


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.pop(SCALED + ".scale"), "is of type I8; weights are F64"),
        (lambda t: t.update({SCALED: t[SCALED].float()}), "type F32; .* I8, and only that"),
        (lambda t: t.update({SCALED + ".scale": torch.ones(3)}), r"has \(3,\) scales for"),
        (lambda t: t.update({SCALED + ".scale": torch.full((192,), torch.nan)}), "NaN"),
        (lambda t: t.update({"model.no.weight.scale": torch.ones(3)}), "unexpected model.no"),
    ],
)  # fmt: skip
def test_scales_that_do_not_fit_are_named(eight_bit_folder, change, message):
    edit(eight_bit_folder, change)
    with pytest.raises(CheckpointError, match=message):
        load(eight_bit_folder)


def test_channels_of_zeros_stay_zeros():
    weight = torch.tensor([[0.0, 0.0], [1.0, -2.0], [1e-30, 0.0]])
    counts, scale = eight_bit.to_eight_bit(weight)
    restored = eight_bit.from_eight_bit(counts, scale)
    torch.testing.assert_close(restored, weight, rtol=0.01, atol=0)
