"""The demo as a user runs it: three processes, pictures and a table."""

import signal
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
from da3_ros.msg import Status
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from graph import Process
from PIL import Image as Pillow
from plyfile import PlyData
from processes import children, command_line, is_running, wait_until

from da3_ros.core.colormap import LEGEND_WIDTH, UNKNOWN
from da3_ros.ros.demo.bag import write_demo_bag
from da3_ros.ros.demo.film import write_animation, write_film
from da3_ros.ros.demo.listener import Listener, Shot
from da3_ros.ros.demo.pictures import MAP_SIZE, draw_depth, draw_from_above
from da3_ros.ros.demo.results import print_table
from da3_ros.ros.demo.run_demo import window_seconds

FAST = ("--model", "da3-demo", "--process-res", "56")


def run_demo(out, *arguments):
    demo = Process("da3_ros.commands.demo", *arguments, "--out", str(out), *FAST)
    code = demo.wait(240)
    return code, demo


class _Times(list):
    """The node sends diagnostics, with a stage more, whenever these are looked at."""

    def __init__(self, listener, times):
        super().__init__(times)
        self._listener = listener

    def __array__(self, *arguments, **options):
        self._listener.stages[f"stage {len(self._listener.stages)}"] = [1.0]
        return np.array(list(self))


def test_a_stage_that_comes_while_the_times_are_summed_does_no_harm(capsys):
    listener = SimpleNamespace(stages={}, status=Status())
    listener.stages["encode"] = _Times(listener, [2.0, 4.0])
    assert window_seconds(listener) == pytest.approx(0.003)
    print_table(listener, 0)
    assert "encode, ms                  3" in capsys.readouterr().out


def table(demo):
    rows = [line.rsplit(maxsplit=1) for line in demo.lines if line[28:29].strip()]
    return {name.strip(): value for name, value in (r for r in rows if len(r) == 2)}


def check_results(code, demo, out, size):
    assert code == 0, demo.lines
    rows = table(demo)
    dropped = sum(int(n) for name, n in rows.items() if name.startswith("dropped"))
    published = int(rows["published"])
    assert published > 0
    assert int(rows["frames in"]) == published + dropped + int(rows["still in the window"])
    assert float(rows["decode, ms"]) >= 0 and int(rows["peak memory, MB"]) > 50
    assert not demo.matching("Traceback|Error")
    pictures = {
        n: cv2.imread(str(out / n)) for n in ("depth.png", "rgb.png", "cloud_from_above.png")
    }
    assert pictures["rgb.png"].shape == (*size, 3) and pictures["rgb.png"].std() > 10
    assert pictures["depth.png"].std() > 10
    assert pictures["cloud_from_above.png"].shape == (MAP_SIZE, MAP_SIZE, 3)
    with av.open(str(out / "demo.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == published
    assert len(PlyData.read(out / "map.ply")["vertex"]) > 1000
    assert cv2.imread(str(out / "map_from_above.png")).std() > 5


def test_diagnostics_of_others_are_passed_by():
    listener = Listener()
    try:
        other = DiagnosticStatus(name="motor", values=[KeyValue(key="delay [ms]", value="late")])
        ours = DiagnosticStatus(name="da3: depth", values=[KeyValue(key="encode [ms]", value="3")])
        for entries in ([], [other], [other, ours]):
            listener._on_diagnostics(DiagnosticArray(status=entries))
        assert listener.stages == {"encode": [3.0]}
    finally:
        listener.close()


def test_the_kitchen(shared_data, tmp_path):
    bag = shared_data / "7scenes_redkitchen_compressed_mcap"
    code, demo = run_demo(tmp_path, str(bag), "--rate", "2")
    check_results(code, demo, tmp_path, (480, 640))
    assert table(demo)["frames in"] == "40"


def test_a_model_that_cannot_be_had_ends_before_anything_starts(tmp_path):
    write_demo_bag(tmp_path / "short", frames=2)
    arguments = (str(tmp_path / "short"), "--out", str(tmp_path), "--model", "nobody/nothing here")
    demo = Process("da3_ros.commands.demo", *arguments)
    assert demo.wait(120) == 1
    assert "da3_demo: " in demo.lines[-1] and "nobody/nothing here" in demo.lines[-1]
    assert demo.matching("^model ") and not demo.matching("^node ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_demo_that_is_killed_takes_its_node_along(number, tmp_path):
    write_demo_bag(tmp_path / "short", frames=2)
    demo = Process("da3_ros.commands.demo", str(tmp_path / "short"), "--out", str(tmp_path), *FAST)
    wait_until(lambda: demo.matching("bag ") and children(demo.pid), "the demo starts its node")
    node = children(demo.pid)[0]
    wait_until(lambda: "commands.node" in command_line(node), "it is the node")
    demo.send(number)
    demo.wait(20)
    wait_until(lambda: not is_running(node), "the node ends")


def test_a_bag_without_images_says_so(tmp_path):
    code, demo = run_demo(tmp_path, str(tmp_path / "nowhere"))
    assert code == 1 and demo.lines[-1].startswith("da3_demo: cannot open bag")


def test_nothing_published_is_a_failure(tmp_path):
    """Two images never fill a window of four."""
    write_demo_bag(tmp_path / "short", frames=2)
    code, demo = run_demo(tmp_path, str(tmp_path / "short"))
    assert code == 1 and "no depth was published" in demo.lines[-1]


def test_depth_picture_has_its_colors_and_legend():
    depth = np.linspace(1, 4, 100 * 80, dtype=np.float32).reshape(100, 80)
    depth[:20] = np.nan
    picture = draw_depth(depth)
    assert picture.shape == (500, 400 + LEGEND_WIDTH, 3)
    assert (picture[:95, :400] == UNKNOWN).all()
    assert (picture[110, 200] != picture[490, 200]).any()


@pytest.mark.parametrize("count", [0, 1, 500])
def test_the_view_from_above_takes_any_cloud(count):
    rng = np.random.default_rng(0)
    points = rng.uniform(-3, 3, (count, 3))
    points[: count // 10] = np.nan
    colors = np.full((count, 3), (0, 200, 0), np.uint8)
    path = np.array([[0.0, 0, 1], [1, 0, 1]])
    picture = draw_from_above(points, colors, path)
    assert picture.shape == (MAP_SIZE, MAP_SIZE, 3)
    drawn = (picture == (0, 200, 0)).all(axis=-1).sum()
    assert 0.85 * count <= drawn <= count


def a_shot(x):
    """A wall of depth 2 m, seen from x; red points 1 m before the camera."""
    T = np.eye(4)
    T[:3, 3] = x, 0, 1
    rgb = np.full((180, 320, 3), 90, np.uint8)
    points = np.array([[0.0, 0.0, 1.0], [np.nan, 0, 1]])
    return Shot(rgb, np.full((180, 320), 2 + x, "f"), points, np.full((2, 3), 200, np.uint8), T)


def test_the_film_is_the_run_at_its_own_pace(tmp_path):
    shots = {k * 250_000_000: a_shot(0.1 * k) for k in range(9)}
    shots[3 * 250_000_000].T_world_cam = None
    with av.open(str(write_film(tmp_path / "demo.mp4", shots))) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
        assert len(frames) == 9 and video.streams.video[0].average_rate == 4
    assert frames[0].shape == (360, 320 + LEGEND_WIDTH + 360, 3)
    grown = [(frame[:, -360:].min(-1) > 150).sum() for frame in (frames[0], frames[-1])]
    assert 0 < grown[0] < grown[1]


def test_the_animation_is_small_and_moves(tmp_path):
    shots = {k: a_shot(0.1 * k) for k in range(200)}
    picture = Pillow.open(write_animation(tmp_path / "demo.webp", shots))
    assert 30 < picture.n_frames <= 80 and picture.size[0] == 640
    assert (tmp_path / "demo.webp").stat().st_size < 1_500_000
