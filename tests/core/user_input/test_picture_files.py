"""Which files of a folder are taken as pictures, and what is said of the others."""

import pytest

from da3_ros.core.user_input.picture_files import find_pictures


def folder_of(tmp_path, *names):
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    return str(tmp_path)


def test_pictures_of_a_folder_come_in_order_and_without_a_word(tmp_path):
    folder = folder_of(tmp_path, "b.JPG", "a.png", "._a.png", ".DS_Store")
    assert find_pictures([folder]) == ([f"{folder}/a.png", f"{folder}/b.JPG"], [])
    assert find_pictures(["x.heic", folder])[0][0] == "x.heic"


def test_what_is_left_out_of_a_folder_is_said(tmp_path):
    folder = folder_of(tmp_path, "a.jpg", "b.HEIC", "c.HEIC", "d.gif", "more/e.jpg")
    found, (sentence,) = find_pictures([folder])
    assert found == [f"{folder}/a.jpg"]
    assert f"of the folder '{folder}' only .jpg" in sentence
    assert "left out: 3 files (.HEIC, .gif) and 1 folder;" in sentence


def test_the_picture_of_an_earlier_export_is_none_of_the_users(tmp_path):
    folder = folder_of(tmp_path, "a.jpg", "scene.jpg")
    assert find_pictures([folder])[0] == [f"{folder}/a.jpg", f"{folder}/scene.jpg"]
    folder_of(tmp_path, "scene.glb")
    found, (sentence,) = find_pictures([folder])
    assert found == [f"{folder}/a.jpg"] and "2 files (.glb, scene.jpg)" in sentence


def test_a_folder_of_hidden_files_holds_no_pictures(tmp_path):
    with pytest.raises(ValueError, match="holds no pictures"):
        find_pictures([folder_of(tmp_path, "._a.png")])
