"""Checkpoint files from the Hugging Face hub, or from what it has left on this machine."""

from __future__ import annotations

import threading
from pathlib import Path

from da3_ros.net.plain_text import first_line

TIMEOUT = 5.0
"""Seconds in which the hub has to answer."""


class HubError(OSError):
    """The files cannot be had; one sentence."""


def download(repository: str, names: tuple[str, ...]) -> Path:
    """The folder with the files `names` of a repository ("owner/name"). Raises `HubError`.

    Without an answer of the hub within `TIMEOUT` s, files of an earlier download serve.
    """
    # Imported here: a robot that loads from a folder never needs the hub.
    from huggingface_hub import hf_hub_download

    silence = _ask(repository, names[0])
    try:
        files = [hf_hub_download(repository, n, local_files_only=bool(silence)) for n in names]
    except Exception as error:  # the hub's HTTP library, and its errors, change with releases
        raise HubError(silence or first_line(error)) from error
    return Path(files[0]).parent


def _ask(repository: str, name: str) -> str:
    """Why the hub does not answer for a file; empty when it does. Asks once.

    A download asks six times, and a name server takes as long as it likes.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    answer = [f"no answer within {TIMEOUT:.0f} s"]

    def ask() -> None:
        try:
            get_hf_file_metadata(hf_hub_url(repository, name), timeout=TIMEOUT)
            answer[0] = ""
        except Exception as error:
            answer[0] = first_line(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    return answer[0]
