"""Videos that are damaged, or end too early."""

import av
import numpy as np
import pytest

from da3_ros.core.files.video import write_video
from da3_ros.core.user_input.video import VideoError, read_video


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (64, 96, 3), dtype=np.uint8) for _ in range(40)]
    return write_video(tmp_path_factory.mktemp("film") / "a.mp4", noise, fps=10).read_bytes()


def test_damaged_pieces_of_a_film_are_left_out_and_counted(film, tmp_path):
    data, middle = bytearray(film), len(film) // 2
    data[middle : middle + 20_000] = bytes(20_000)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    with pytest.warns(
        UserWarning, match="damaged pieces of the video '.*damaged.mp4' are left out: [1-9]"
    ):
        frames = list(read_video(path, fps=10))
    assert 10 < len(frames) < 40


def test_a_recording_that_was_cut_off_is_named(tmp_path):
    """Cameras write the index last."""
    path = tmp_path / "cut.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for seed in range(20):
            rng = np.random.default_rng(seed)
            picture = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(
        VideoError, match="cannot read the video .*: .*its recording was cut off before its"
    ):
        list(read_video(path, fps=1))
