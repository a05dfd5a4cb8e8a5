"""One camera's way in, without a graph: errors on the way lose no other image."""

import tracemalloc

import cv2
import numpy as np
import pytest
from graph import mount_message, picture_messages, pose_message
from picture_messages import huge_png
from sensor_msgs.msg import CompressedImage

from da3_ros.core.config import Config, PoseConfig, from_dict
from da3_ros.core.frame_counts import Drop, FrameCounts
from da3_ros.core.live_config import LiveConfig
from da3_ros.ros.health.throttled_log import ThrottledLog
from da3_ros.ros.inputs.cameras import CameraInputs
from da3_ros.ros.inputs.pose_source import PoseSource
from da3_ros.ros.messages import header, stamp_to_ns
from da3_ros.ros.rectifier import rectifier

SECOND = 10**9


class Here:
    """All that surrounds a camera: poses, counts, a log, and what it takes."""

    def __init__(self, config=None):
        self.said, self.taken, self.frame_ids, self.jumps = [], [], [], []
        self.now_ns = 0
        self.counts, self.poses = FrameCounts(), PoseSource(PoseConfig())
        self.cameras = CameraInputs(
            LiveConfig(config or Config()),
            self.counts,
            ThrottledLog(self, clock=lambda: 0.0),
            self.poses,
            self.take,
            self.start_over,
            now_ns=lambda: self.now_ns,
        )
        (self.camera,) = self.cameras.inputs.values()
        mount = mount_message(0, "base_link", "camera_optical_frame")
        self.poses.take_transforms(mount, static=True)

    def warning(self, sentence):
        self.said.append(sentence)

    def take(self, name, frame):
        self.taken.append(frame.stamp_ns)
        self.frame_ids.append(frame.camera_id)

    def start_over(self, what, back):
        self.jumps.append((what, back))
        self.cameras.clear(Drop.TIME_JUMP)

    def send(self, second, spoil=lambda image, info: None):
        image, info = picture_messages(second * SECOND)
        spoil(image, info)
        self.cameras.on_image(self.camera, image)
        self.camera.on_info(info)

    def move(self, second):
        self.poses.take_transforms(pose_message(second * SECOND, x=second), static=False)

    def dropped(self):
        return {reason: n for reason, n in self.counts.counts().dropped.items() if n}


def test_an_error_ends_one_frame_and_counts_it(monkeypatch):
    here = Here()

    def take(name, frame):
        if not here.taken:
            here.taken.append("a mistake")
            raise KeyError("a mistake")
        here.taken.append(frame.stamp_ns)

    monkeypatch.setattr(here.camera, "_take", take)
    for second in (1, 2):
        here.send(second)
    for second in (1, 2):
        here.move(second)
    with pytest.raises(KeyError):
        here.camera.locate()
    counts = here.counts.counts()
    assert counts.dropped[Drop.INTERNAL_ERROR.value] == counts.pending == 1
    here.camera.locate()
    assert here.taken == ["a mistake", 2 * SECOND]


def test_a_mask_of_another_size_costs_no_lens_maps(tmp_path, monkeypatch):
    """They would be computed for every image: none is ever kept."""
    cv2.imwrite(str(tmp_path / "mask.png"), np.full((7, 9), 255, np.uint8))
    here, computed = Here(from_dict({"input.mask": str(tmp_path / "mask.png")})), []

    def compute(info, *, is_raw):
        computed.append(info)
        return rectifier(info, is_raw=is_raw)

    monkeypatch.setattr("da3_ros.ros.inputs.camera_input.rectifier", compute)
    for second in (1, 2, 3):
        here.send(second)
        here.move(second)
        here.camera.locate()
    assert here.dropped() == {Drop.BAD_IMAGE.value: 3} and computed == []
    assert any("input.mask is 9x7, but the images are" in sentence for sentence in here.said)


@pytest.mark.parametrize("level", [0, 255, 100])
def test_a_picture_of_one_color_is_no_picture(level):
    """Whatever the poses: depth of it would be called metres."""
    here = Here()

    def spoil(image, info):
        image.data = bytes([level]) * len(image.data)

    for second in (1, 2, 3):
        here.send(second, *([spoil] if second == 2 else []))
        here.move(second)
        here.camera.locate()
    assert here.dropped() == {Drop.BLANK_IMAGE.value: 1}
    assert here.taken == [SECOND, 3 * SECOND]
    assert any(f"of one color (grey value {level} of 255)" in said for said in here.said)


def test_a_camera_of_12_bits_is_bright_and_that_is_said_once():
    """Taken for 16 it would be nearly black: its pictures would even pass for empty ones."""
    here, frames = Here(), []
    here.camera._take = lambda name, frame: frames.append(frame.image)

    def of_12_bits(image, info):
        rows = np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3)
        dark = 4 if image.header.stamp.sec == 2 else 1
        image.encoding, image.step = "mono16", 2 * image.width
        image.data = (rows[..., 1].astype(np.uint16) * 16 // dark).tobytes()

    for second in (1, 2, 3):
        here.send(second, of_12_bits)
        here.move(second)
        here.camera.locate()
    bright, dark, again = (frame.mean() for frame in frames)
    assert bright > 60 and abs(dark - bright / 4) < 2 and again == pytest.approx(bright, abs=20)
    assert len(here.said) == 1 and "use 12 of their 16 bits" in here.said[0], here.said
    assert here.camera.memory[2] == 12


@pytest.mark.parametrize("rows, said", [(14, []), (28, ["input.mask hides 67% of the picture"])])
def test_a_mask_that_hides_most_of_the_picture_is_doubted(tmp_path, rows, said):
    mask = np.full((42, 56), 255, np.uint8)
    mask[:rows] = 0
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    here = Here(from_dict({"input.mask": str(tmp_path / "mask.png")}))
    for second in (1, 2):
        here.send(second)
        here.move(second)
        here.camera.locate()
    assert len(here.taken) == 2
    assert [sentence[:35] for sentence in here.said] == said


def test_a_compressed_image_of_another_size_than_its_info_is_not_decoded():
    here = Here()
    image, info = picture_messages(SECOND)
    # 64 million pixels are promised, none is there: decoding would say so, or fill the memory.
    huge = CompressedImage(header=image.header, format="png", data=huge_png(8000, 8000))
    here.cameras.on_image(here.camera, huge)
    here.camera.on_info(info)
    here.move(1)
    here.camera.locate()
    assert here.dropped() == {Drop.BAD_CAMERA_INFO.value: 1} and not here.taken
    assert any("8000x8000" in sentence for sentence in here.said), here.said


def test_the_first_image_after_a_jump_back_is_taken_and_all_before_dropped():
    here = Here()
    for second in (100, 101):
        here.send(second)
    here.send(5)
    assert here.jumps == [("image stamps jumped back", 96.0)]
    assert here.dropped() == {"time_jump": 2} and here.camera.is_waiting
    here.move(5)
    here.camera.locate()
    here.send(6)
    assert here.taken == [5 * SECOND] and len(here.jumps) == 1


@pytest.mark.parametrize("field", ["stamp", "frame_id"])
def test_an_image_without_a_header_is_no_jump_in_time(field):
    here = Here()
    here.send(100)

    def spoil(image, info):
        setattr(image.header, field, type(getattr(image.header, field))())

    here.send(5, spoil)
    assert here.jumps == [] and here.dropped() == {"bad_header": 1}
    assert here.said == [f"image without a {field} is dropped; set it in the camera driver"]


def test_a_leading_slash_goes_no_further():
    here = Here()
    here.move(1)

    def slash(image, info):
        image.header.frame_id = info.header.frame_id = "/camera_optical_frame"

    here.send(1, slash)
    here.move(2)
    here.send(2)  # without one: the same camera
    assert here.frame_ids == 2 * ["camera_optical_frame"] and not here.said


def test_two_troubles_of_one_kind_are_both_said_once():
    """Causes are told apart by where they are found, not by their numbers and names."""
    here = Here()

    def unknown_encoding(image, info):
        image.encoding = f"8UC{image.header.stamp.sec}9"

    def short(image, info):
        image.data = bytes(image.header.stamp.sec)

    for second, spoil in enumerate((unknown_encoding, short) * 3, start=1):
        here.move(second)
        here.send(second, spoil)
    assert here.dropped() == {"bad_image": 6}
    assert len(here.said) == 2 and "is not supported" in here.said[0] and "bytes" in here.said[1]


# ---- two clocks, floods ----


def send_at(here, stamp_ns):
    image, info = picture_messages(stamp_ns)
    here.cameras.on_image(here.camera, image)
    here.camera.on_info(info)


@pytest.mark.parametrize("offset", [-1.5, 1.5, -30.0])
def test_of_images_from_two_clocks_those_with_poses_are_taken(offset):
    here = Here()
    step = SECOND // 10
    for k in range(30):
        stamp = 100 * SECOND + k * step
        here.poses.take_transforms(pose_message(stamp, x=k), static=False)
        send_at(here, stamp)
        send_at(here, stamp + round(offset * SECOND))
    good = [ns for ns in here.taken if ns >= 100 * SECOND and (ns - 100 * SECOND) % step == 0]
    assert len(good) >= 26 and len(here.jumps) <= 2
    assert here.dropped()["out_of_order"] >= 26
    where = f"{abs(offset):.1f} s {'ahead of' if offset > 0 else 'behind'} the others of its topic"
    assert any(where in sentence for sentence in here.said), here.said


def test_a_frame_id_of_a_megabyte_is_refused_and_not_repeated():
    here = Here()

    def spoil(image, info):
        image.header.frame_id = "x" * 10**6

    here.send(100, spoil)
    assert here.dropped() == {"bad_header": 1} and here.counts.counts().pending == 0
    assert "with a frame_id of more than 255 characters" in here.said[0]
    assert all(len(sentence) < 300 for sentence in here.said)


def test_a_camera_info_of_another_size_makes_no_maps():
    """Those of 8000x8000 pixels with a lens would take a gigabyte, and seconds."""
    here = Here()

    def spoil(image, info):
        info.width = info.height = 8000
        info.k[0] = info.k[4] = info.p[0] = info.p[5] = 4000.0
        info.d = [0.1, 0.0, 0.0, 0.0, 0.0]

    tracemalloc.start()
    here.move(100)
    here.send(100, spoil)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert here.dropped() == {"bad_camera_info": 1}
    assert "its size is 8000x8000, but the image is 56x42" in here.said[0]


def test_a_camera_info_of_megabytes_is_not_kept():
    here = Here()
    for field, value in (("distortion_model", "x" * 10**6), ("d", [0.0] * 10**5)):
        _, info = picture_messages(100 * SECOND)
        setattr(info, field, value)
        here.camera.on_info(info)
    assert "camera_info with a name or D of 1000000 elements is dropped" in here.said
    image, _ = picture_messages(100 * SECOND)
    here.cameras.on_image(here.camera, image)
    here.camera.end()
    assert here.dropped() == {"no_camera_info": 1}


@pytest.mark.parametrize(
    "topic, rectify, D, frame, said",
    [
        ("/camera/image_raw", True, [-0.3, 0.1, 0, 0, 0], "camera_optical_frame", ""),
        ("/camera/image_rect", True, [0.0] * 5, "/camera_optical_frame", ""),
        ("/rectangle/image_unrect", True, [-0.3, 0.1, 0, 0, 0], "", ""),
        ("/camera/image_rect/compressed", False, [-0.3, 0.1, 0, 0, 0], "", ""),
        (
            "/camera/image_rect_color",
            True,
            [-0.3, 0.1, 0, 0, 0],
            "",
            "is rectified already, by its",
        ),
        ("/camera/image_raw", False, [-0.3, 0.1, 0, 0, 0], "", "is not rectified"),
        ("/camera/image_raw", True, [0.0] * 5, "rear", "/info: its frame_id is 'rear'"),
    ],
)
def test_a_doubtful_camera_info_is_used_and_said_once(topic, rectify, D, frame, said):
    def spoil(image, info):
        info.d, info.header = D, header(frame, stamp_to_ns(image.header.stamp))

    here = Here(from_dict({"input.rectify": rectify}))
    here.camera.name_topics(topic, "/info")
    for second in (1, 2):
        here.send(second, spoil)
        here.move(second)
    here.camera.locate()
    assert len(here.taken) == 2
    assert len(here.said) == bool(said) and said in " ".join(here.said)


@pytest.mark.parametrize(
    "topic, rectify, has_P, K",
    [
        ("/camera/image_rect", True, True, "P"),
        ("/camera/rect/image", True, True, "P"),
        ("/camera/image_rect_raw/compressed", True, True, "P"),  # as drivers of stereo depth do
        ("/rect/image_raw", True, True, "rectified here"),
        ("/camera/image_rect", True, False, "rectified here"),
        ("/camera/image_raw", True, True, "rectified here"),
        ("/camera/image_raw", False, True, "P"),
    ],
)
def test_what_is_named_as_rectified_is_not_rectified_again(topic, rectify, has_P, K):
    def lens(image, info):
        info.d = [-0.3, 0.1, 0.0, 0.0, 0.0]
        info.p = [50.0, 0, 27, 0, 0, 50, 20, 0, 0, 0, 1, 0] if has_P else [0.0] * 12

    here, frames = Here(from_dict({"input.rectify": rectify})), []
    here.camera._take = lambda name, frame: frames.append(frame)
    here.camera.name_topics(topic, "/info")
    here.send(1, lens)
    here.move(1)
    here.camera.locate()
    image, _ = picture_messages(SECOND)
    sent = np.frombuffer(image.data, np.uint8).reshape(42, 56, 3)
    assert (frames[0].camera.K[0, 0] == 50) == has_P
    assert np.array_equal(frames[0].image, sent) == (K == "P")


def of_two_programs(here):
    return [sentence for sentence in here.said if "two programs" in sentence]


@pytest.mark.parametrize("lag", [0, 3])
def test_an_image_that_comes_before_its_clock_is_no_second_program(lag):
    """A player skips a gap of a minute; whichever arrives first is handled first."""
    here = Here()
    for second in (100, 101, 102, 163, 164, 165):
        here.now_ns = (103 if second == 163 else second + lag) * SECOND
        here.send(second)
    assert here.dropped()["out_of_order"] == 1
    assert of_two_programs(here) == here.jumps == []


def test_an_image_of_the_future_is_named_once_others_show_that_it_is():
    here = Here()
    for second in (100, 101, 102, 4000, 103):
        assert of_two_programs(here) == []
        here.now_ns = min(second, 103) * SECOND
        here.send(second)
    (sentence,) = of_two_programs(here)
    assert "with clocks apart" in sentence
    assert here.dropped()["out_of_order"] == 1
