import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from da3_ros.core.config import (
    Config,
    ConfigError,
    InputConfig,
    ModelConfig,
    OutputConfig,
    PoseConfig,
    WindowConfig,
    from_dict,
    parameters,
)
from da3_ros.net.engine.session import PROVIDERS
from da3_ros.net.precision import PRECISIONS

ALL = {p.name: p for p in parameters()}


def value(config, name):
    for part in name.split("."):
        config = getattr(config, part)
    return config


def test_the_defaults_pass_their_own_checks():
    assert from_dict({name: p.default for name, p in ALL.items()}) == Config() == from_dict({})


def test_what_the_network_can_be_asked_for_is_what_may_be_chosen():
    assert ALL["model.precision"].choices == PRECISIONS
    assert ALL["model.provider"].choices == ("auto", *PROVIDERS)


def test_the_world_has_no_leading_slash():
    assert from_dict({"pose.world_frame": "/robot/odom"}).pose.world_frame == "robot/odom"


@pytest.mark.parametrize("p", ALL.values(), ids=ALL)
def test_every_parameter_is_described_and_bounded(p):
    assert p.meaning and p.check(p.default) == p.default
    if type(p.default) in (int, float):
        assert p.low <= p.default <= p.high
    if p.choices:
        assert p.default in p.choices


numbers = [p for p in ALL.values() if type(p.default) in (int, float)]


@pytest.mark.parametrize("p", numbers, ids=[p.name for p in numbers])
def test_values_beyond_a_bound_are_named(p):
    kind = type(p.default)
    for bad, bound in ((p.low - 1, "at least"), (p.high + 1, "at most")):
        with pytest.raises(ConfigError, match=rf"{p.name} is .*must be {bound}"):
            from_dict({p.name: kind(bad)})
    if kind is float:
        with pytest.raises(ConfigError, match=f"{p.name} is nan"):
            from_dict({p.name: np.nan})


@pytest.mark.parametrize("p", ALL.values(), ids=ALL)
@pytest.mark.parametrize(
    "bad",
    [float("inf"), -1e308, 10**400, "x" * 10**6, "\x1b[2J\n", None, [1], [], {}, b"\0"],
    ids=repr,
)
def test_wild_values_are_one_printable_sentence(p, bad):
    with pytest.raises(ConfigError, match=f"^{p.name} |^input.cameras ") as caught:
        from_dict({p.name: bad})
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "names, said",
    [
        ([f"camera{i}" for i in range(20_000)], "names 20000 cameras, must name at most 100"),
        (["a" * 3000, "b"], "at most 100 of them"),
    ],
)
def test_a_rig_has_a_size(names, said):
    with pytest.raises(ConfigError, match=said):
        from_dict({"input.cameras": names})


def test_an_unknown_name_is_cut_and_escaped():
    with pytest.raises(ConfigError, match=r"unknown parameter a\\x1bxxx") as caught:
        from_dict({"a\x1b" + "x" * 10**6: 1})
    assert len(str(caught.value)) < 200


@given(st.data())
def test_a_value_within_bounds_arrives(data):
    p = data.draw(st.sampled_from([p for p in numbers if p.name.split(".")[0] == "scale"]))
    wanted = data.draw(st.floats(p.low, p.high))
    assert value(from_dict({p.name: wanted}), p.name) == wanted


@pytest.mark.parametrize(
    "values, words",
    [
        ({"window.sise": 4}, "unknown parameter window.sise"),
        ({"window.size": 4.0}, "window.size is 4.0, must be of type int"),
        ({"window.size": True}, "must be of type int"),
        ({"autostart": 1}, "must be of type bool"),
        ({"window.reference": "last"}, "'last', must be one of middle, newest, first"),
        ({"window.size": 2, "window.stride": 3}, "must be at most window.size"),
        ({"input.cameras": ["front cam"]}, "input.cameras has the name 'front cam', must be part"),
        ({"input.cameras": ["left", "2nd"]}, "has the name '2nd'"),
        ({"input.cameras": ["left", ""]}, "has the name '', .*an empty name is for a single"),
        ({"input.cameras": ["rig//left"]}, "has the name 'rig//left'"),
        ({"input.cameras": ["kamera_süd"]}, "has the name 'kamera_süd'"),
        ({"input.cameras": ["left\n"]}, "has the name 'left"),
        ({"input.cameras": [1, 2]}, "has the name 1,"),
        ({"input.cameras": ["left", "right", "left"]}, "names 'left' twice"),
        ({"input.cameras": []}, "input.cameras is empty"),
        ({"output.min_depth": 5.0, "output.max_depth": 2.0}, "must be below output.max_depth"),
    ],
)
def test_bad_values_are_refused_in_words(values, words):
    with pytest.raises(ConfigError, match=words):
        from_dict(values)


@pytest.mark.parametrize("names", [[""], ["front"], ["left", "right_2"], ["rig/left", "_x"]])
def test_names_of_cameras_that_make_topics(names):
    assert from_dict({"input.cameras": names}).input.cameras == tuple(names)


def test_integers_are_taken_for_floats():
    assert value(from_dict({"output.max_depth": 8}), "output.max_depth") == 8.0


def test_nothing_of_a_config_changes():
    config = from_dict({"input.cameras": ["left"]})
    assert isinstance(config.input.cameras, tuple) and Config().input.cameras == ("",)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.window.size = 3


@pytest.mark.parametrize(
    "build, words",
    [
        (lambda: WindowConfig(size=-3), "window.size is -3, must be at least 1"),
        (lambda: Config(window=WindowConfig(reference="banana")), "'banana', must be one of"),
        (lambda: WindowConfig(size=2, stride=3), "must be at most window.size"),
        (lambda: OutputConfig(min_depth=np.nan), "output.min_depth is nan"),
        (lambda: OutputConfig(min_depth=60.0), "must be below output.max_depth"),
        (lambda: InputConfig(cameras=("left", "left")), "names 'left' twice"),
        (lambda: InputConfig(cameras="left"), "input.cameras is 'left', must be of type list"),
        (lambda: PoseConfig(world_frame="/"), "pose.world_frame is empty"),
        (lambda: Config(autostart=1), "autostart is 1, must be of type bool"),
        (lambda: dataclasses.replace(ModelConfig(), process_res=3), "must be at least 14 px, or 0"),
    ],
)
def test_every_way_to_a_config_checks_it(build, words):
    with pytest.raises(ConfigError, match=words):
        build()


@given(st.sampled_from([p for p in numbers if "." in p.name]), st.integers(-10, 10**6))
def test_a_block_takes_what_from_dict_takes(p, number):
    """Whoever builds a block directly meets the same checks and the same words."""
    block, field = p.name.split(".")
    kind, bad = type(getattr(Config(), block)), type(p.default)(number)
    outcomes = []
    for build in (lambda: kind(**{field: bad}), lambda: getattr(from_dict({p.name: bad}), block)):
        try:
            outcomes.append(build())
        except ConfigError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]
