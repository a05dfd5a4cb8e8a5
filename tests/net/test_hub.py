"""A hub that answers with garbage: one sentence, soon, whatever it sends."""

import http.server
import os
import threading

import huggingface_hub.constants
import pytest

from da3_ros.net.hub import HubError, download

COMMIT = {"ETag": '"abc"', "X-Repo-Commit": "0" * 40}
PAGE = b"<html>\x1b[2J please log in </html>"
ANSWERS = {
    "a page to log in": (200, {"Content-Length": str(len(PAGE))}, PAGE),
    "an error": (500, {"Content-Length": "0"}, b""),
    "a redirect to itself": (302, {"Location": "?", "Content-Length": "0"}, b""),
    "less than it says": (200, {**COMMIT, "Content-Length": "1000000"}, b"{"),
    "a terabyte": (200, {**COMMIT, "Content-Length": str(10**12)}, b"{"),
    "noise": (None, {}, os.urandom(2000)),
}


@pytest.fixture(params=ANSWERS)
def hub(request, monkeypatch, tmp_path):
    code, headers, body = ANSWERS[request.param]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if code:
                self.send_response(code)
                for header in headers.items():
                    self.send_header(*header)
                self.end_headers()
            if self.command == "GET" or not code:
                self.wfile.write(body)
            self.close_connection = True

        do_HEAD = do_GET

        def log_message(self, *_):
            """Not into the output of the tests."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.filterwarnings("ignore:Not enough free disk space")
def test_a_hub_that_answers_with_garbage_is_one_sentence(hub):
    with pytest.raises(HubError) as caught:
        download("owner/name", ("config.json", "model.safetensors"))
    said = str(caught.value)
    assert said and said.isprintable() and len(said) <= 200
