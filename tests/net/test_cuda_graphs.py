"""Recorded stages say what the network says. Without a GPU the recording is a stand-in that runs
the function again on the same tensors: buffers, keys and copies are the same."""

import logging

import pytest
import torch
from small_networks import HEAD, NARROW, in_stages, noise

from da3_ros.net.checkpoint import random_network
from da3_ros.net.cuda_graphs import (
    MOST_RECORDINGS,
    GraphedNetwork,
    RecordedGraph,
    RecordingError,
    tensors,
)
from da3_ros.net.network import Cameras, EncodedViews
from tools.upstream import random_cameras, randomise, reduced

SIZE, VIEWS = (28, 42), 3


def run_again(function):
    """A capture on the CPU: every run writes into what the first one returned."""
    output = function()

    def again():
        for kept, new in zip(tensors(output), tensors(function()), strict=True):
            kept.copy_(new)

    return again, output


def forbidden(function):
    raise AssertionError("this must not be recorded")


CAPTURES = [("cpu", run_again), pytest.param("cuda", None, marks=pytest.mark.gpu)]


@pytest.fixture(scope="module", params=["da3-small", "da3nested-giant-large"])
def network(request):
    preset = reduced(request.param, NARROW, HEAD)
    return randomise(random_network(preset))


@pytest.mark.parametrize("device, capture", CAPTURES)
@torch.inference_mode()
def test_every_window_gets_its_own_numbers(network, device, capture):
    network.to(device)
    graphed = GraphedNetwork(network, capture)
    found = []
    for seed, posed, views in ((0, True, [0]), (1, True, [0]), (2, False, [0]), (3, True, [2, 1])):
        cameras = random_cameras(VIEWS, SIZE, seed) if posed else None
        cameras = cameras and Cameras(cameras.T_cam_ref.to(device), cameras.K.to(device))
        pictures = noise(VIEWS, SIZE, seed).to(device)
        out = in_stages(graphed, pictures, cameras, views)
        expected = in_stages(network, pictures, cameras, views)
        found.append((out, expected))
    network.to("cpu")
    # Compared at the end: a later replay must not have changed an earlier result.
    for out, expected in found:
        for name in ("depth", "conf", "T_cam_ref", "K"):
            torch.testing.assert_close(
                getattr(out, name), getattr(expected, name), rtol=1e-4, atol=1e-4
            )
    assert len(graphed._recordings) == 4  # encode, and three kinds of windows
    assert all(graphed._recordings.values())


@torch.inference_mode()
def test_what_is_asked_for_besides_is_not_recorded(network):
    graphed = GraphedNetwork(network, forbidden)
    pictures = noise(VIEWS, SIZE)
    expected = network(pictures, reference="middle", feature_layers=[1])
    encoded = graphed.encode(pictures, [1])
    features = graphed.aggregate(encoded, reference="middle", feature_layers=[1])
    torch.testing.assert_close(graphed.decode(features).depth, expected.depth)
    torch.testing.assert_close(graphed(pictures, reference="middle").depth, expected.depth)


@torch.inference_mode()
def test_rays_and_fewer_views_of_a_window_that_is_decoded(network):
    graphed = GraphedNetwork(network, run_again)
    encoded = graphed.encode(noise(VIEWS, SIZE))
    features = graphed.aggregate(encoded, reference="first", views=[0, 2])
    both, one = graphed.decode(features), graphed.decode(features, [2], rays=True)
    assert one.ray is not None
    if network.preset.metric_branch is None:  # its scale comes from what is decoded
        torch.testing.assert_close(one.depth, both.depth[:, 1:], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_sizes_without_end_are_not_recorded_without_end():
    network = random_network(reduced("da3-small", NARROW, HEAD))
    graphed = GraphedNetwork(network, run_again)
    for columns in range(1, MOST_RECORDINGS + 4):
        found = graphed.encode(torch.zeros(1, 1, 3, 14, 14 * columns))
        assert isinstance(found, EncodedViews) and found.tokens.shape[2] == 1 + columns
    assert len(graphed._recordings) == MOST_RECORDINGS


def test_tables_that_are_forgotten_stay_where_the_graph_reads_them():
    table = torch.arange(3.0)

    def function(x):
        return (x + table) * 2

    recording = RecordedGraph(function, (torch.ones(3),), run_again)
    assert any(x is table for x in recording._kept)
    torch.testing.assert_close(recording.replay((torch.zeros(3),)), 2 * table)


@torch.inference_mode()
def test_pictures_upright_and_lying_down_are_told_apart(network):
    graphed = GraphedNetwork(network, run_again)
    for size in (SIZE, SIZE[::-1], SIZE):
        pictures, cameras = noise(VIEWS, size), random_cameras(VIEWS, size)
        out = in_stages(graphed, pictures, cameras, [0])
        expected = in_stages(network, pictures, cameras, [0])
        assert out.depth.shape == (1, 1, *size)
        torch.testing.assert_close(out.depth, expected.depth, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_without_memory_to_record_stages_run_as_they_are(network, caplog):
    def too_much(function):
        raise torch.OutOfMemoryError("CUDA out of memory")

    graphed = GraphedNetwork(network, too_much)
    with caplog.at_level(logging.WARNING):
        for seed in range(2):
            pictures = noise(VIEWS, SIZE, seed)
            found, expected = (in_stages(n, pictures, None, [0]) for n in (graphed, network))
            torch.testing.assert_close(found.depth, expected.depth)
    warned = [r.getMessage() for r in caplog.records]
    assert len(warned) == 2 and all("without a CUDA graph" in w for w in warned)  # once each


@torch.inference_mode()
def test_what_cannot_be_recorded_is_said_once_and_runs_as_it_is(network):
    """Pictures of another size than at configure are recorded on the way."""
    tried = []

    def fails(function):
        tried.append(function)
        raise RuntimeError("operation not permitted when stream is capturing")

    graphed, pictures = GraphedNetwork(network, fails), noise(VIEWS, SIZE)
    for _ in ("encode", "window"):
        with pytest.raises(RecordingError, match="set model.cuda_graphs to false"):
            in_stages(graphed, pictures, None, [0])
    found, expected = (in_stages(n, pictures, None, [0]) for n in (graphed, network))
    torch.testing.assert_close(found.depth, expected.depth)
    assert len(tried) == 2


def test_tables_that_only_compiled_code_reads_are_kept():
    """Its own kernels are no operations of torch."""
    table = torch.arange(3.0)
    own_kernel, pieces = [], table.tolist()

    def backend(graph, inputs):
        own_kernel.append(graph)
        return lambda x, *_: (x + torch.tensor(pieces),)

    function = torch.compile(lambda x: x + table, backend=backend)
    recording = RecordedGraph(function, (torch.ones(3),), run_again)
    assert own_kernel and any(x is table for x in recording._kept)
    torch.testing.assert_close(recording.replay((torch.zeros(3),)), table)


def test_a_recording_does_not_hold_what_the_function_made_on_its_way():
    places = set()

    def function(x):
        for _ in range(20):
            x = x * 1.5
            places.add(x.data_ptr())
        return x

    recording = RecordedGraph(function, (torch.ones(1000, 1000),), run_again)
    assert len(recording._kept) == 1  # what is given
    assert len(places) < 20  # of four runs; a place that is free again is taken again
