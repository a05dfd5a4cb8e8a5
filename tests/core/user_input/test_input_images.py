"""Lists of pictures as users have them, and what is said where less of them is used."""

import warnings

import numpy as np
import pytest
from PIL import Image

from da3_ros.api import DepthAnything3
from da3_ros.core.user_input.images import image_list, read_batch
from da3_ros.core.user_input.pictures import ImageInputError, read_rgb

WIDE, TALL = np.zeros((75, 100, 3), np.uint8), np.zeros((100, 75, 3), np.uint8)


def test_what_is_cut_from_pictures_of_other_sizes_is_said():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_batch([WIDE, np.zeros((150, 200, 3), np.uint8)], 98, "upper_bound_resize")
    with pytest.warns(UserWarning, match=r"different sizes.*image\[1\] loses 80 % of its picture"):
        read_batch([np.zeros((75, 560, 3), np.uint8), WIDE], 98, "upper_bound_resize")
    with pytest.warns(UserWarning, match=r"image\[0\] loses 29 %"):
        assert read_batch([WIDE, TALL], 98, "upper_bound_resize").images.shape[1:3] == (70, 70)


class Column:
    """Behaves like a column of a table: indexed by label, iterated by position."""

    def __init__(self, values):
        self.values = dict(enumerate(values, start=7))

    def __len__(self):
        return len(self.values)

    def __getitem__(self, label):
        return self.values[label]

    def __iter__(self):
        return iter(self.values.values())


def test_a_column_of_a_table_is_a_list():
    assert len(read_batch(Column([WIDE, WIDE]), 98, "upper_bound_resize").plans) == 2
    assert image_list(Column("ab")) == ["a", "b"]


def test_a_matrix_is_a_grey_picture():
    assert read_rgb(np.asmatrix(WIDE[..., 0])).shape == (75, 100, 3)


def test_a_picture_that_was_closed_is_named(tmp_path):
    Image.fromarray(WIDE).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        pass
    with Image.open(tmp_path / "a.png") as decoded:
        copy = decoded.copy()
    with pytest.raises(ImageInputError, match=r"image\[0\] was closed before it was decoded: give"):
        read_batch([image], 98, "upper_bound_resize")
    with pytest.raises(ImageInputError, match="image was closed"):
        read_rgb(image)
    assert read_rgb(copy).shape == read_rgb(decoded).shape == WIDE.shape


def test_warnings_name_the_users_own_line(recwarn):
    DepthAnything3("da3-demo").inference([WIDE, TALL], process_res=56)
    assert [w.filename for w in recwarn if "different sizes" in str(w.message)] == [__file__]
