"""The page in a real browser (Chromium), fed by a real node on a real graph."""

import re
import shutil
import socket
import time

import cv2
import numpy as np
import pytest
import trimesh
from graph import Process, a_node, a_robot, start_node
from playwright import sync_api as api
from std_srvs.srv import Trigger

CHROMIUM = shutil.which("chromium")
FLAGS = ("--no-sandbox", "--disable-quic", "--disable-background-networking", "--disable-sync")
FLAGS += ("--disable-component-update", "--enable-unsafe-swiftshader", "--use-angle=swiftshader")
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser():
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


robot = pytest.fixture(a_robot)
silent = pytest.fixture(a_node)  # nobody spins it


@pytest.fixture
def node(robot, tmp_path):
    process = start_node(
        tmp_path, scene__enabled=True, scene__voxel_size=0.1, export__directory=str(tmp_path)
    )
    process.wait_for("active")
    yield process
    process.kill()


@pytest.fixture
def address():
    page = Process("da3_ros.commands.view", "--port", "8790")
    page.wait_for("open http")
    yield re.search(r"http://\S+", page.matching("open http")[-1])[0]
    try:
        assert page.stop() == 0
    finally:
        page.kill()


@pytest.fixture
def tab(browser, address):
    tab = browser.new_page(viewport={"width": 1280, "height": 800})
    tab.asked = []
    tab.on("request", lambda request: tab.asked.append(request.url))
    tab.goto(address)
    yield tab
    tab.close()


def drive_until(robot, tab, is_done, what):
    """The robot goes on sending until the tab shows it."""
    deadline = time.monotonic() + 60
    while not is_done():
        assert time.monotonic() < deadline, f"the page never showed {what}"
        robot.send()
        tab.wait_for_timeout(100)


def colored_pixels(tab) -> int:
    """Pixels of the 3D view that are neither white nor grey."""
    data = np.frombuffer(tab.locator("canvas").first.screenshot(), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR).astype(int)
    return int((picture.max(-1) - picture.min(-1) > 30).sum())


def test_a_running_node_is_seen(node, robot, tab, address):
    drive_until(robot, tab, lambda: tab.locator(".da3-picture").count(), "a picture")
    drive_until(robot, tab, lambda: colored_pixels(tab) > 5000, "cloud and path")
    text = tab.locator("body").inner_text()
    assert "published" in text and "metres" in text
    picture = tab.locator(".da3-picture")
    box = picture.bounding_box()
    tab.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"])
    tab.mouse.move(box["x"] + 0.61 * box["width"], box["y"] + 0.5 * box["height"])
    value = tab.locator(".da3-value").inner_text()
    assert re.fullmatch(r"\d+\.\d\d m|unknown|too far", value)
    others = [u for u in tab.asked if not u.startswith((address, "data:", "blob:", "ws:"))]
    assert not others, "the page asked other hosts"


def test_the_buttons_work(node, robot, tab, tmp_path):
    drive_until(robot, tab, lambda: colored_pixels(tab) > 5000, "a cloud")
    tab.get_by_text("build mesh").click()
    tab.get_by_text(re.compile(r"mesh of \d+ vertices")).wait_for(timeout=30_000)
    tab.get_by_text("render depth from here").click()
    tab.get_by_text(re.compile(r"of the pixels show the mesh")).wait_for(timeout=30_000)
    with tab.expect_download(timeout=60_000) as download:
        tab.get_by_text("export GLB").click()
    scene = trimesh.load(download.value.path(), file_type="glb")
    assert scene.geometry
    tab.get_by_text("reset", exact=True).click()
    tab.get_by_text("are forgotten").first.wait_for(timeout=30_000)


def test_a_page_that_waits_for_a_service_ends_at_once(silent, tab):
    """A node that hangs must not keep the page alive: its end is in the fixture `address`."""
    service = silent.create_service(Trigger, "/da3/build_mesh", lambda _, response: response)
    tab.get_by_text("build mesh").click()
    tab.locator("button[disabled]").first.wait_for(timeout=10_000)
    tab.wait_for_timeout(3000)  # the page has found the service and asked it
    assert not tab.get_by_text("is not there").count()
    assert silent.destroy_service(service)


@pytest.fixture
def connection():
    with socket.socket() as connection:
        yield connection


def test_a_connection_without_use_does_not_keep_the_page_alive(connection, address):
    """Browsers open some ahead of need; the page's end is in the fixture `address`."""
    host, port = re.fullmatch(r"http://(.+):(\d+)/?", address).groups()
    connection.connect((host, int(port)))
    connection.sendall(b"GET / HTTP/1.1\r\n")  # and never the rest of it


def test_a_second_tab_sees_the_same(node, robot, tab, browser, address):
    second = browser.new_page()
    second.goto(address)
    for each in (tab, second):
        drive_until(robot, each, lambda t=each: t.locator(".da3-picture").count(), "a picture")
    second.close()
    drive_until(robot, tab, lambda: colored_pixels(tab) > 5000, "a cloud after the other left")
