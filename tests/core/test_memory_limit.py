"""Windows that do not fit into memory: smaller ones, and the same frame published."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from da3_ros.core.config import from_dict
from da3_ros.core.frame import Frame
from da3_ros.core.memory_limit import MemoryLimit
from da3_ros.core.pipeline import Pipeline
from da3_ros.core.sliding_window import Window
from da3_ros.net.checkpoint import load_network
from da3_ros.synthetic.room import render_room_frame


@pytest.fixture(scope="module")
def room():
    views = [render_room_frame(i) for i in range(8)]
    return [Frame("cam", i * 10**9, v.image, v.camera, v.T_world_cam) for i, v in enumerate(views)]


def window(frames, reference, views):
    return Window(tuple(frames), reference, views)


@given(st.data())
def test_what_is_needed_stays(room, data):
    count = data.draw(st.integers(1, 8))
    indices = st.integers(0, count - 1)
    views = tuple(sorted(data.draw(st.sets(indices, min_size=1))))
    whole = window(room[:count], data.draw(indices), views)
    fitted = MemoryLimit(504, data.draw(st.integers(1, 8))).fit(whole)
    assert fitted.frames[fitted.reference] is whole.frames[whole.reference]
    assert [fitted.frames[i] for i in fitted.views] == [whole.frames[i] for i in whole.views]
    stamps = [f.stamp_ns for f in fitted.frames]
    assert stamps == sorted(stamps) and set(fitted.frames) <= set(whole.frames)


@given(st.integers(1, 8), st.sets(st.integers(0, 7), min_size=1), st.integers(14, 2000))
def test_every_limit_is_smaller_than_the_one_before_until_none_is_left(room, count, views, res):
    views = tuple(sorted(v % count for v in views))
    whole = window(room[:count], views[0], tuple(dict.fromkeys(views)))
    limit, sizes = MemoryLimit(res), []
    while limit and len(sizes) < 100:
        fitted = limit.fit(whole)
        sizes.append((limit.process_res, len(fitted.frames)))
        limit = limit.smaller(fitted)
    assert limit is None
    assert all(b[0] <= a[0] and b[1] <= a[1] and a != b for a, b in zip(sizes, sizes[1:]))
    # Views go before pixels.
    assert sizes[0][1] <= 2 or len(sizes) == 1 or sizes[1][0] == res or sizes[1][1] == sizes[0][1]


def test_frames_next_to_the_reference_stay(room):
    fitted = MemoryLimit(504, 4).fit(window(room, 4, (6,)))
    assert [f.stamp_ns // 10**9 for f in fitted.frames] == [3, 4, 5, 6]


class SmallMemory:
    """A device on which only so many pixels at once can be looked at."""

    def __init__(self, network, monkeypatch, pixels):
        self.attempts = []
        self._aggregate, self._pixels = network.aggregate, pixels
        monkeypatch.setattr(network, "aggregate", self)

    def __call__(self, encoded, *args, **kwargs):
        views, (height, width) = encoded.tokens.shape[1], encoded.size
        self.attempts.append((views, max(height, width)))
        if views * height * width > self._pixels:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self._aggregate(encoded, *args, **kwargs)


def stream(network, room, size):
    spine = Pipeline(network, from_dict({"window.size": size, "model.process_res": 224}))
    steps = [spine.push(f) for f in room]
    return spine, [s.window for s in steps if s.window]


def test_fewer_views_then_fewer_pixels_and_the_same_frames_published(room, monkeypatch):
    network = load_network("da3-demo")
    memory = SmallMemory(network, monkeypatch, 2 * 168 * 126)
    spine, windows = stream(network, room, size=6)
    results = [spine.process(w) for w in windows]
    assert memory.attempts[:6] == [(6, 224), (4, 224), (3, 224), (2, 224), (2, 168), (2, 168)]
    assert len(memory.attempts) == 5 + len(windows) - 1
    for given_window, result in zip(windows, results):
        assert [f.stamp_ns for f in result.frames] == [
            given_window.frames[i].stamp_ns for i in given_window.views
        ]
        assert result.limit == MemoryLimit(168, 2), str(result.limit)
        assert len(result.T_world_cam) == 2
        assert np.isfinite(result.depth).all() and result.depth.shape == (1, 126, 168)
    spine.clear()
    assert spine.process(windows[0]).limit == MemoryLimit(168, 2)
    assert memory.attempts[-5] == (6, 224)


def test_nothing_smaller_is_left(room, monkeypatch):
    network = load_network("da3-demo")
    SmallMemory(network, monkeypatch, 0)
    spine, windows = stream(network, room, size=4)
    with pytest.raises(torch.OutOfMemoryError):
        spine.process(windows[0])


def test_other_errors_shrink_nothing(room, monkeypatch):
    network = load_network("da3-demo")
    spine, windows = stream(network, room, size=4)
    monkeypatch.setattr(network, "aggregate", lambda *_, **__: torch.ones(2) @ torch.ones(3))
    with pytest.raises(RuntimeError, match="size"):
        spine.process(windows[0])
    monkeypatch.undo()
    assert spine.process(windows[0]).limit is None
