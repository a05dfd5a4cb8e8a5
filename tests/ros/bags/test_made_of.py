"""What a result is recognised by: all that it depends on, and nothing else."""

import os
import shutil
from dataclasses import replace

import pytest

from da3_ros.net.model_folder import MODELS_FOLDER
from da3_ros.net.weights_file import LFS_POINTER
from da3_ros.ros.bags.bag import BagError, BagWriter
from da3_ros.ros.bags.bag_job import BagJob
from da3_ros.ros.bags.made_of import RECORD, check_result, finished, made_of, name_of
from da3_ros.ros.bags.partial import partial_folder, remove_abandoned
from da3_ros.ros.topics.find_camera import Choice


@pytest.fixture
def job(tmp_path):
    with BagWriter(tmp_path / "run"):
        pass
    shutil.copytree(MODELS_FOLDER / "da3-demo", tmp_path / "model")
    (tmp_path / "mask.png").write_bytes(b"black")
    parameters = {"model.name": str(tmp_path / "model"), "input.mask": str(tmp_path / "mask.png")}
    return BagJob(tmp_path / "run", tmp_path / "out", parameters)


def test_whatever_a_result_depends_on_is_in_it(job):
    def other(**values):
        return replace(job, parameters={**job.parameters, **values})

    before = made_of(job)
    assert made_of(replace(job, out=job.out / "elsewhere")) == before
    changed = [
        other(**{"window.size": 5}),
        replace(job, formats="glb"),
        replace(job, leave_out=("points",)),
        replace(job, choice=Choice(image="/left")),
        replace(job, zstd=True),
        other(**{"model.name": "da3-small"}),
    ]
    assert len({name_of(made_of(j)) for j in (job, *changed)}) == len(changed) + 1


@pytest.mark.parametrize("name", ["mask.png", "model/model.safetensors", "run/run.mcap"])
def test_a_file_that_has_changed_is_another(job, name):
    before, path = name_of(made_of(job)), job.bag.parent / name
    path.write_bytes(path.read_bytes() + b"more")
    assert name_of(made_of(job)) != before


def test_the_mask_is_found_as_the_node_finds_it(job, monkeypatch):
    """Below the home folder, for each camera of a rig, and with braces that mean nothing."""
    monkeypatch.setenv("HOME", str(job.bag.parent))
    cameras = {"input.cameras": ["left", "right"], "input.mask": "~/{x}_{camera}.png"}
    rig = replace(job, parameters={**job.parameters, **cameras})
    before = name_of(made_of(rig))
    (job.bag.parent / "{x}_right.png").write_bytes(b"black")
    assert name_of(made_of(rig)) != before


@pytest.mark.parametrize("text", ["[1]", '"made_of"', "{}", "", "\x00"])
def test_a_record_that_is_none_of_ours_is_passed_by(job, text):
    job.result.mkdir(parents=True)
    (job.result / RECORD).write_text(text)
    made = made_of(job)
    assert finished(job, made) is None
    with pytest.raises(BagError, match="exists already"):
        check_result(job, made)


@pytest.mark.parametrize("part", ["engine.json", "metric/engine.json"])
def test_an_engine_is_known_by_what_it_says_of_itself(job, part):
    """It has no model.safetensors; of the nested model's it is two."""
    folder = job.bag.parent / "model"
    (folder / "model.safetensors").unlink()
    (folder / "metric").mkdir()
    for name in ("engine.json", "metric/engine.json"):
        (folder / name).write_text('{"files": {"encode.onnx": "00"}}')
    before = name_of(made_of(job))
    (folder / part).write_text('{"files": {"encode.onnx": "ff"}}')
    assert name_of(made_of(job)) != before


def test_what_tensorrt_leaves_in_an_engine_does_not_make_it_another(job):
    folder = job.bag.parent / "model"
    (folder / "model.safetensors").rename(folder / "encode.onnx")
    (folder / "engine.json").write_text("{}")
    before = made_of(job)
    (folder / "tensorrt").mkdir()
    (folder / "tensorrt" / "encode_sm90.engine").write_bytes(b"built here")
    assert made_of(job) == before


def test_the_note_of_git_lfs_is_not_taken_for_weights(job):
    (job.bag.parent / "model" / "model.safetensors").write_bytes(LFS_POINTER + b".com/spec/v1")
    with pytest.raises(BagError, match="is not the weights, but the note that Git LFS keeps"):
        made_of(job)


def test_a_model_that_is_not_there_is_named(job):
    with pytest.raises(BagError, match=r"model.name is '/no/model'"):
        made_of(replace(job, parameters={"model.name": "/no/model"}))


def test_what_a_killed_process_has_left_is_taken_away(tmp_path):
    """And what one that lives is writing is not."""
    child = os.fork()
    if not child:
        with partial_folder(tmp_path / "dead") as folder:
            folder.mkdir()
            os._exit(9)  # as by SIGKILL: nothing is tidied up
    os.waitpid(child, 0)
    assert len(list(tmp_path.glob(".partial-*"))) == 1
    with partial_folder(tmp_path / "alive") as folder:
        folder.mkdir()
        remove_abandoned(tmp_path)
        assert list(tmp_path.glob(".partial-*")) == [folder.parent]
    assert [path.name for path in tmp_path.iterdir()] == ["alive"]
