"""The export action of a real node: feedback, results, refusals, calling it off."""

import da3_ros.action
import pytest
from action_msgs.msg import GoalStatus
from graph import START, a_robot, start_node
from rclpy.action import ActionClient
from sensor_msgs.msg import Image

Export = da3_ros.action.Export

robot = pytest.fixture(a_robot, scope="module")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("exports")


@pytest.fixture(scope="module")
def node(robot, folder, tmp_path_factory):
    process = start_node(tmp_path_factory.mktemp("node"), export__directory=str(folder))
    robot.listen(Image, "/da3/depth/image")
    process.wait_for("active: waiting for images")
    robot.wait_for_node()
    robot.send_until_published()
    yield process
    process.kill()


@pytest.fixture(scope="module")
def client(robot, node):
    client = ActionClient(robot.node, Export, "/da3/export")
    assert client.wait_for_server(START)
    yield client
    client.destroy()


class Goal:
    """An export that was asked for: its feedback, then `status` and `result`.

    cancel: call it off when it begins to write.
    """

    def __init__(self, robot, client, *, cancel=False, **request):
        self.feedback = []
        self._cancel = cancel
        self._robot, self._wanted = (
            robot,
            client.send_goal_async(Export.Goal(**request), feedback_callback=self._on_feedback),
        )
        robot.wait_until(self._wanted.done, what="the goal")
        assert self._wanted.result().accepted
        answer = self._wanted.result().get_result_async()
        robot.wait_until(answer.done, 60, "the result")
        self.status, self.result = answer.result().status, answer.result().result

    def _on_feedback(self, message):
        self.feedback.append(message.feedback)
        if self._cancel and self._wanted.done():
            self._wanted.result().cancel_goal_async()


def test_each_format_is_told_before_it_is_written(robot, client, folder):
    formats = ["mini_npz", "glb", "ply"]
    goal = Goal(robot, client, formats="-".join(formats), name="three")
    assert goal.status == GoalStatus.STATUS_SUCCEEDED and goal.result.success
    robot.wait_until(lambda: len(goal.feedback) == 3, what="feedback")
    assert [(f.format, f.done, f.total) for f in goal.feedback] == [
        (name, i, 3) for i, name in enumerate(formats)
    ]
    assert all((folder / "three").as_posix() in path for path in goal.result.paths)
    assert {p.name for p in (folder / "three").rglob("*.*")} >= {"scene.glb", "points.ply"}


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"formats": "usdz"}, "'usdz' is unknown"),
        ({"formats": "glb", "options": "["}, "JSON object"),
        ({"formats": "gs_ply"}, "set model.name to depth-anything/DA3-GIANT"),
    ],
)
def test_a_refusal_aborts_in_words(robot, client, request_, sentence):
    goal = Goal(robot, client, **request_)
    assert goal.status == GoalStatus.STATUS_ABORTED
    assert not goal.result.success and sentence in goal.result.message


def test_what_is_called_off_leaves_no_files(robot, client, folder, node):
    formats = "glb-ply-colmap-depth_vis-npz-mini_npz"
    for attempt in range(10):  # a quick one may be through before the word arrives
        goal = Goal(robot, client, cancel=True, formats=formats, name=f"off{attempt}")
        if goal.status == GoalStatus.STATUS_CANCELED:
            break
    assert goal.status == GoalStatus.STATUS_CANCELED
    assert goal.result.message == "the export was cancelled; nothing was written"
    assert not (folder / f"off{attempt}").exists()
    assert not list(folder.glob(".unfinished*"))
    assert not node.matching("internal error")
    assert Goal(robot, client, formats="mini_npz").result.success


def test_goals_without_end_are_rejected(robot, client, node):
    """The next one is taken when there is room for it again."""

    def accepted(count):
        goals = [client.send_goal_async(Export.Goal(formats="usdz")) for _ in range(count)]
        robot.wait_until(lambda: all(goal.done() for goal in goals), what="the answers")
        return sum(goal.result().accepted for goal in goals)

    # A service has a queue of ten requests.
    robot.wait_until(lambda: accepted(10) < 10, 60, "a goal that is rejected")
    node.wait_for("export goal rejected: 10 came within a second")
    robot.wait_until(lambda: accepted(1), what="a goal that is accepted")


@pytest.mark.parametrize("part", ["formats", "name", "options"])
def test_a_goal_of_megabytes_is_rejected(robot, client, node, part):
    goal = client.send_goal_async(Export.Goal(**{part: " " * 5_000_000}))
    robot.wait_until(goal.done, what="the answer")
    assert not goal.result().accepted
    node.wait_for("export goal rejected: .* an export takes at most 16,384")
