"""Pictures and videos that are stored lying, with a note how to turn them."""

from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from da3_ros.core.export.colmap import ColmapOptions, SourceImages, source_images
from da3_ros.core.export.folder import ExportError
from da3_ros.core.user_input.images import read_batch
from da3_ros.core.user_input.video import read_video

UPRIGHT = np.zeros((80, 56, 3), np.uint8)
UPRIGHT[:40, :28], UPRIGHT[:40, 28:], UPRIGHT[40:, :28] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
HOW = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE",
       6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"}  # fmt: skip
"""EXIF orientation -> how the stored picture comes from the upright one."""


def stored(path, orientation):
    image = Image.fromarray(UPRIGHT)
    if orientation > 1:
        image = image.transpose(getattr(Image, HOW[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, exif=exif, quality=95)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_files_are_turned_as_viewers_show_them(tmp_path, orientation, suffix):
    path = stored(tmp_path / f"photo{suffix}", orientation)
    shown = np.array(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    assert shown.shape == UPRIGHT.shape  # the test's own table is right
    batch = read_batch([str(path)], 80, "upper_bound_crop")
    assert batch.images.shape[1:3] == (70, 56) and batch.turned == [orientation > 1]
    assert np.abs(batch.images[0, 8:30, 4:20].astype(int) - (255, 0, 0)).max() < 40
    assert batch.plans[0].original == (80, 56)


def test_with_intrinsics_files_stay_as_stored_and_that_is_said(tmp_path):
    paths = [stored(tmp_path / "a.jpg", 1), stored(tmp_path / "b.jpg", 6)]
    with pytest.warns(UserWarning, match=r"image\[1\] is used as stored"):
        batch = read_batch(paths, 80, "upper_bound_resize", upright=False)
    assert [plan.original for plan in batch.plans] == [(80, 56), (56, 80)]
    assert batch.turned == [False, False]


def test_a_pillow_picture_stays_as_it_lies_and_that_is_said(tmp_path, recwarn):
    """It may have been turned by hand, which leaves the orientation where it is."""
    path = stored(tmp_path / "a.jpg", 6)
    by_hand = ImageOps.exif_transpose(Image.open(path))
    read_batch([by_hand, path, UPRIGHT], 80, "upper_bound_resize")
    read_batch([Image.open(path)], 80, "upper_bound_resize", upright=False)
    assert not [w for w in recwarn if "asks to turn it" in str(w.message)]
    lying = [UPRIGHT, Image.open(path), Image.open(path)]
    with pytest.warns(UserWarning, match=r"image\[1\] is used as its pixels lie") as said:
        batch = read_batch(lying, 80, "upper_bound_resize")
    about = [w for w in said if "as its pixels lie" in str(w.message)]
    assert len(about) == 1 and batch.plans[1].original == (56, 80)


def test_colmap_refers_to_files_only_as_they_are_stored(tmp_path):
    lying, upright = stored(tmp_path / "a.jpg", 6), stored(tmp_path / "b.jpg", 1)
    assert source_images([lying], read_batch([lying], 80, "upper_bound_resize")) is None
    assert source_images([upright], read_batch([upright], 80, "upper_bound_resize")).names == [
        "b.jpg"
    ]


def test_colmap_tells_files_of_one_name_apart_by_their_folders(tmp_path, monkeypatch):
    """Also where one was given from the working folder on, and one from the root."""
    monkeypatch.chdir(tmp_path)
    for folder in ("left", "right"):
        (tmp_path / folder).mkdir()
        stored(tmp_path / folder / "a.jpg", 1)
    names = ["left/a.jpg", str(tmp_path / "right/a.jpg")]
    found = source_images(names, read_batch(names, 80, "upper_bound_resize"))
    assert found.names == ["left/a.jpg", "right/a.jpg"]


@pytest.mark.parametrize("name", ["my photo.jpg", "my\tphoto.jpg", "a b/c.jpg"])
@pytest.mark.parametrize("model", ["text", "both"])
def test_names_that_colmaps_text_cannot_hold_are_refused(name, model):
    images = SourceImages(["a.jpg", name], [(48, 64)] * 2, np.tile(np.eye(3), (2, 1, 1)))
    ColmapOptions(model=model).check_views(2)
    ColmapOptions(images=images).check_views(2)  # the binary files end a name by a zero byte
    with pytest.raises(ExportError, match="has a space"):
        ColmapOptions(images=images, model=model).check_views(2)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_videos_are_turned_as_players_show_them(tmp_path, degrees):
    path = tmp_path / "phone.mp4"
    lying = np.rot90(UPRIGHT, -degrees // 90)  # turned back by `degrees` it is upright
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(10))
        stream.height, stream.width = lying.shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(lying))))
        container.mux(stream.encode())
    turn_in_place(path, degrees)
    frame = next(iter(read_video(path, fps=5)))
    assert frame.shape == UPRIGHT.shape
    assert np.abs(frame[10:30, 8:20].astype(int) - (255, 0, 0)).mean() < 40


@pytest.mark.parametrize(
    ("pixel", "degrees", "size"),
    [
        (Fraction(2), 0, (80, 112)),
        (Fraction(2), 90, (160, 56)),
        (Fraction(1, 2), 0, (80, 28)),
        (Fraction(999), 0, (80, 56)),
    ],
)
def test_wide_pixels_are_widened_as_players_show_them(tmp_path, pixel, degrees, size):
    path = tmp_path / "wide.mp4"
    lying = np.ascontiguousarray(np.rot90(UPRIGHT, -degrees // 90))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(10))
        stream.height, stream.width = lying.shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        stream.sample_aspect_ratio = pixel
        container.mux(stream.encode(av.VideoFrame.from_ndarray(lying)))
        container.mux(stream.encode())
    turn_in_place(path, degrees)
    frame = next(iter(read_video(path, fps=5)))
    assert frame.shape == (*size, 3)
    quarter = frame[5 : size[0] // 2 - 5, 5 : size[1] // 2 - 5]
    assert np.abs(quarter.astype(int) - (255, 0, 0)).mean() < 40


def turn_in_place(path, degrees):
    """Write the display matrix (ISO 14496-12, tkhd) that turns the picture anticlockwise."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: 40 bytes before the matrix
    c, s = round(np.cos(np.radians(degrees))), round(np.sin(np.radians(degrees)))
    matrix = [c, -s, 0, s, c, 0, 0, 0]
    data[at : at + 32] = np.array([v * 65536 for v in matrix], ">i4").tobytes()
    data[at + 32 : at + 36] = np.array([1 << 30], ">i4").tobytes()
    path.write_bytes(data)
