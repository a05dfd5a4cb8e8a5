"""Our films say which colors they mean, and lie where their name says."""

import av
import numpy as np
import pytest

from da3_ros.core.files.video import write_video
from da3_ros.core.user_input.video import VideoError, read_video

COLORS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [128, 128, 128]], np.uint8)


def frames(height=48, width=80):
    return [np.repeat(COLORS, width // 5, axis=0)[None].repeat(height, axis=0)] * 3


@pytest.mark.parametrize("size", [(48, 80), (720, 1280)])
def test_a_film_says_which_colors_it_means(tmp_path, size):
    """Players take large pictures without a word for BT.709; decoded as tagged they are right."""
    path = write_video(tmp_path / "a.mp4", frames(*size), fps=5, quality="high")
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.colorspace, codec.color_range) == (6, 1)
        assert (codec.color_primaries, codec.color_trc) == (1, 13)
        picture = next(container.decode(video=0)).to_ndarray(format="yuv420p")
    shares, middle = np.array([0.299, 0.587, 0.114]), size[1] // 10
    luma = picture[: size[0]][size[0] // 2, middle :: size[1] // 5]
    np.testing.assert_allclose(luma, 16 + 219 / 255 * COLORS @ shares, atol=2)
    shown = next(iter(read_video(path, fps=5)))[size[0] // 2, middle :: size[1] // 5]
    np.testing.assert_allclose(np.float32(shown), COLORS, atol=3)


@pytest.mark.parametrize(
    "name", ["2026-11-27T12:30:00.mp4", "file:a.mp4", "12:30/a.mp4", "a b%d.mp4"]
)
def test_a_name_with_a_colon_is_a_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    written = write_video(type(tmp_path)(name), frames(), fps=5)
    assert (tmp_path / name).is_file() and len(list(read_video(str(written), fps=5))) == 3
    (tmp_path / name).unlink()
    with pytest.raises(VideoError, match=f"'{name}': No such file"):
        next(read_video(name, fps=5))
