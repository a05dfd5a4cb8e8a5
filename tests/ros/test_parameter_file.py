"""Our reader of parameter files gives what a node of rclpy gets from the same file."""

import os

import pytest
import rclpy
import rclpy.context
from stack_config import CONFIG, STACKS

from da3_ros.core.config import ConfigError
from da3_ros.ros.parameter_file import (
    OF_ROS,
    missing_block,
    named_parameters,
    read_block,
    read_parameter_file,
)

ONE = "ros__parameters: {window: {size: 1}}"
TWO = "ros__parameters: {window: {size: 2}}"

IN_ROOT = {
    "wildcard": f"/**: {{{ONE}}}",
    "name": f"da3: {{{ONE}}}",
    "full name": f"/da3: {{{ONE}}}",
    "one level": f"/*: {{{ONE}}}",
    "any namespace": f"/**/da3: {{{ONE}}}",
    "all wins, later": f"da3: {{{ONE}}}\n/**: {{{TWO}}}",
    "name wins, later": f"/**: {{{TWO}}}\nda3: {{{ONE}}}",
    "another node": f"camera: {{{TWO}}}\nda3: {{{ONE}}}",
    "dots": "/**: {ros__parameters: {a.b.c: 1, a: {b: {d: 2}}}}",
    "empty file": "",
    "words": "/**: {ros__parameters: {a: y, b: yes, c: off, d: 'y', e: N, f: True}}",
    "numbers": "/**: {ros__parameters: {a: 1e-3, b: 0x10, c: 1., d: -2, e: 1E5, f: .5, g: '1e-3'}}",
    "not finite": "/**: {ros__parameters: {a: .inf, b: -.inf}}",
    "lists": "/**: {ros__parameters: {a: [1, 2], b: ['', left], c: [1.5, 1e-2], d: [true, n]}}",
    "an empty text": "/**: {ros__parameters: {a: '', b: \"\"}}",
}

BELOW_ROBOT = {
    "nested": f"robot: {{da3: {{{ONE}}}}}",
    "full name": f"/robot/da3: {{{ONE}}}",
    "one level": f"/*/da3: {{{ONE}}}",
    "any": f"/**/da3: {{{ONE}}}",
    "name over all": f"/**: {{{TWO}}}\n/robot/da3: {{{ONE}}}",
}

CASES = [("", name, text) for name, text in IN_ROOT.items()]
CASES += [("/robot", name, text) for name, text in BELOW_ROBOT.items()]


def of_a_node(path, namespace: str, name: str = "da3") -> dict:
    """What rclpy gives to a node."""
    context = rclpy.context.Context()
    rclpy.init(context=context)
    node = rclpy.create_node(
        name,
        namespace=namespace,
        context=context,
        cli_args=["--ros-args", "--params-file", str(path)],
        automatically_declare_parameters_from_overrides=True,
    )
    values = {n: p.value for n, p in node.get_parameters_by_prefix("").items()}
    node.destroy_node()
    rclpy.shutdown(context=context)
    return {n: v for n, v in values.items() if not n.startswith(OF_ROS)}


@pytest.mark.parametrize("namespace, name, text", CASES, ids=lambda v: v if v in IN_ROOT else "")
def test_equals_what_a_node_gets(tmp_path, namespace, name, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    theirs = of_a_node(path, namespace)
    ours = read_parameter_file(path)
    assert ours == theirs
    assert [type(v) for v in ours.values()] == [type(theirs[n]) for n in ours]


@pytest.mark.parametrize(
    "text, words",
    [
        (f"/a/da3: {{{ONE}}}\n/b/da3: {{{TWO}}}", "for /a/da3 and /b/da3"),
        (f"da4: {{{ONE}}}\na: {{front: {{{ONE}}}}}", "no block for da3: it has /da4, /a/front"),
        ("/**: {ros__parameters: {scene: {mesh: }}}", "scene.mesh has no value"),
        ("ros__parameters: {a: 1}", "is not a ROS parameter file"),
        ("/**: {ros__parameters: 3}", "is not a ROS parameter file"),
        ("/**: {a: 1}", "is not a ROS parameter file"),
        ("[1, 2]", "is not a ROS parameter file"),
        ("just words\n", "is not a ROS parameter file"),
        ("a: [", "is not a ROS parameter file"),
        ("a: 2026-13-45", "is not a ROS parameter file"),
        ("\x00", "is not a ROS parameter file"),
        ("[" * 5000, "is not a ROS parameter file"),
        ("/**:\n\tros__parameters: {a: 1}", "is not a ROS parameter file"),
        ("/**: {ros__parameters: {a: 1}", "is not a ROS parameter file"),
        ("/**: {ros__parameters: {a: !!python/object/apply:os.abort []}}", "is not a ROS para"),
        ("/**: {ros__parameters: {a: !unknown 1}}", "is not a ROS parameter file"),
        ("/**: {ros__parameters: &a {b: *a}}", "is not a ROS parameter file"),
        ("a: &a {x: 1}\n" + "".join(f"b{k}: &b{k} {{p: *a, q: *a}}\n" for k in range(9)), "is not"),
        ("/**: {ros__parameters: {[1, 2]: 3}}", "is not a ROS parameter file"),
        (
            "/**: {ros__parameters: {a: 1}}  # " + "x" * (1 << 20),
            "file has at most 1024",
        ),
    ],
)
def test_what_is_refused(tmp_path, text, words):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_parameter_file(path)


@pytest.mark.parametrize("path", ["/dev/zero", "/", "no_such.yaml", "x" * 300])
def test_what_is_no_file_is_said_at_once(path):
    with pytest.raises(ConfigError, match="cannot read the parameter file"):
        read_parameter_file(path)


def test_an_unfinished_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(ConfigError, match="cannot read the parameter file"):
        read_parameter_file(tmp_path / "pipe.yaml")


BLOCKS = ("/**", "**", "/*", "da3", "/robot/da3", "a/robot/da3", "/*/da3", "/**/da3", "/robot/*")
BLOCKS += ("/robot/**", "/**/robot/da3", "*/*/da3", "robot/front")


@pytest.mark.parametrize("full_name", ["/da3", "/robot/da3", "/a/robot/da3", "/robot/front", "/x"])
def test_a_full_name_gets_what_rcl_gives_it(tmp_path, full_name):
    path = tmp_path / "params.yaml"
    lines = [f'"{b}": {{ros__parameters: {{p{k}: 1}}}}\n' for k, b in enumerate(BLOCKS)]
    path.write_text("".join(lines))
    namespace, _, name = full_name.rpartition("/")
    assert read_block(path, full_name) == of_a_node(path, namespace, name)


@pytest.mark.parametrize(
    ("text", "node", "words"),
    [
        (f"da3: {{{ONE}}}", "/robot1/da3", "it has /da3, and nothing in it holds for this node"),
        (f"da3: {{{ONE}}}", "/front", "no block for /front: it has /da3, "),
        (f"da4: {{{ONE}}}", "/da3", "call the block /da3, or /** for every node"),
        (f"/**: {{{TWO}}}\nda3: {{{ONE}}}", "/r/da3", "it has /**, /da3, and only /** holds"),
        (f"/**: {{{TWO}}}\n/r2/da3: {{{ONE}}}", "/r/da3", "it has /**, /r2/da3, and only"),
    ],
)
def test_a_file_without_a_block_for_the_node_is_said(tmp_path, text, node, words):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    assert words in missing_block(path, node)
    assert not named_parameters(path, node)


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("", "/da3"),
        (f"/**: {{{ONE}}}", "/r/front"),
        (f"/**: {{{ONE}}}\noctomap: {{{TWO}}}", "/da3"),
        (f"/**/da3: {{{ONE}}}", "/r/da3"),
        (f"/r/da3: {{{ONE}}}\n/r2/da3: {{{TWO}}}", "/r/da3"),
        (f"da3: {{{ONE}}}\ncamera: {{{TWO}}}", "/da3"),
    ],
)
def test_a_file_with_a_block_for_the_node_is_fine(tmp_path, text, node):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    assert not missing_block(path, node)


def test_blocks_of_all_nodes_and_of_ours(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(
        "/**: {ros__parameters: {use_sim_time: true, window: {size: 5}, scene: {mesh: ''}}}\n"
        "da3: {ros__parameters: {window: {size: 6}}}\n"
        "other: {ros__parameters: {window: {size: 7}}}\n"
    )
    assert read_parameter_file(path) == {"window.size": 6, "scene.mesh": ""}


@pytest.mark.parametrize("stack", STACKS)
def test_the_files_for_mapping_stacks_are_read(stack):
    assert read_parameter_file(CONFIG / f"{stack}.yaml")
