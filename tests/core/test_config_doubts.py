import pytest

from da3_ros.core.config import from_dict
from da3_ros.core.config_doubts import config_doubts


@pytest.mark.parametrize(
    "values, said",
    [
        ({"window.size": 8}, "a window of 8 takes 7 s, and window.max_age is 5 s"),
        ({"window.max_interval": 2.0}, "a window of 4 takes 6 s, and window.max_age is 5 s"),
        ({"window.max_age": 0.0}, "window.max_age is 0 s: a window of 4 never gets full"),
        ({"pose.publish_tf": True}, "pose.publish_tf is true, and has no effect"),
        ({"scale.source": "anchors", "pose.source": "none"}, "scale.source is anchors, and has no"),
    ],
)
def test_parameters_that_contradict_each_other_are_named(values, said):
    (doubt,) = config_doubts(from_dict(values), is_metric=True)
    assert said in doubt


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"window.max_interval": 3600.0},  # who stands needs no depth
        {"window.size": 8, "pose.source": "none"},  # without poses every frame is kept
        {"window.size": 1, "window.max_age": 0.0},
        {"pose.publish_tf": True, "pose.source": "none"},
        {"scale.source": "anchors"},
    ],
)
def test_others_are_not(values):
    assert config_doubts(from_dict(values), is_metric=True) == []


def test_that_there_will_be_no_metres_is_said():
    (doubt,) = config_doubts(from_dict({"pose.source": "none"}), is_metric=False)
    assert "in an unknown unit, not in metres" in doubt
    assert config_doubts(from_dict({}), is_metric=False) == []
