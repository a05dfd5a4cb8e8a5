"""da3_view: a page in the browser that shows a running node, a result bag, or a file."""

from __future__ import annotations

import argparse
import importlib.util
import ipaddress
import socket
import sys
from pathlib import Path

from da3_ros.core.exit_codes import INTERRUPTED
from da3_ros.core.stop_signals import Stopper, end_at_once_on_signals
from da3_ros.net.plain_text import LONGEST_SENTENCE, plain
from da3_ros.ros.bags.bag import BagError
from da3_ros.ros.transport import use_large_message_profile

LAST_PORT = 65535

PUBLIC = (
    "the page has no password: whoever reaches this computer over the network sees it and can "
    "press its buttons; without --host only this computer reaches it"
)

NO_VISER = (
    "the page needs viser: pip install viser into the environment of da3_ros (make demo VIEW=1 "
    "does it)"
)


def main() -> int:
    """Entry point of da3_view. Returns the exit code."""
    options = parse_arguments(sys.argv[1:])
    # trimesh, which is imported now, takes a KeyboardInterrupt for a library that is missing.
    end_at_once_on_signals(INTERRUPTED)
    if importlib.util.find_spec("viser") is None:
        print(f"da3_view: {NO_VISER}", file=sys.stderr)
        return 1
    from da3_ros.ros.view.files import ViewFileError

    try:
        run(options)
    except (BagError, ViewFileError) as error:
        print(f"da3_view: {plain(str(error), LONGEST_SENTENCE)}", file=sys.stderr)
        return 1
    return 0


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Command line of da3_view."""
    parser = argparse.ArgumentParser("da3_view", description=__doc__)
    add = parser.add_argument
    add(
        "file",
        nargs="?",
        type=Path,
        help="result bag, .glb or .ply (points, mesh, 3D Gaussians); default: the running node",
    )
    add("--node", default="/da3", metavar="NAME", help="node with its namespace (%(default)s)")
    add("--world-frame", default="odom", metavar="FRAME", help="of the node (%(default)s)")
    add(
        "--compressed",
        action="store_true",
        help="take the node's compressed topics: for a radio link",
    )
    add(
        "--host",
        default="127.0.0.1",
        help="0.0.0.0: also for other computers, without a password (%(default)s)",
    )
    add("--port", type=int, default=8080, help="or the next free one (%(default)s)")
    options = parser.parse_args(arguments)
    if not 0 <= options.port <= LAST_PORT:
        parser.error(f"--port is {options.port}, must be at most {LAST_PORT}")
    try:
        options.is_public = not _try_host(options.host).is_loopback
    except (OSError, ValueError) as error:  # viser would try one port after the other, for ever
        parser.error(
            f"--host is {plain(options.host)}, which is not an address of this computer: {error}"
        )
    return options


def _try_host(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address of a host name. Raises `OSError`, `ValueError` if it cannot be served."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as tried:
        tried.bind(address)
    return ipaddress.ip_address(address[0])


def run(options: argparse.Namespace) -> None:
    """Serve the page until a signal ends it. Raises `BagError` and `ViewFileError`."""
    from da3_ros.ros.view import files, show
    from da3_ros.ros.view.page import Page

    stop = Stopper()
    if options.file:
        files.check(options.file)
    use_large_message_profile()
    page = Page(options.host, options.port)
    if options.is_public:
        print(f"da3_view: {PUBLIC}", file=sys.stderr)
    print(f"open {page.address} in a browser; Ctrl-C ends", flush=True)
    try:
        if options.file is None:
            show.show_node(
                page, options.node, options.world_frame, stop, compressed=options.compressed
            )
        elif files.is_bag(options.file):
            show.show_bag(page, options.file, stop)
        else:
            show.show_file(page, options.file, stop)
    finally:
        page.close()


if __name__ == "__main__":
    sys.exit(main())
