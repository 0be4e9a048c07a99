"""A web server on this machine."""

import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Web:
    """Serves bytes, takes what is posted, and fails on demand.

    Attributes:
        url: Its address, without a slash at the end.
        files: Bytes by path, without a slash at the beginning; other paths are answered with 404.
        statuses: By path, a status to answer with instead, or "silent" for no answer.
        break_after: By path, the number of bytes after which the connection breaks.
        ignore_ranges: Whether a request for a part is answered with the whole.
        requests: Path and header `Range` of what was asked for.
        asked: Paths that were only asked for their headers.
        has_tags: Whether versions of a file are told apart, by an ETag and its length.
        posted: Bodies of what was posted, to any path.
    """

    def __init__(self):
        self.files, self.statuses, self.break_after, self.ignore_ranges = {}, {}, {}, False
        self.has_tags = True
        self.requests, self.asked, self.posted = [], [], []
        self._silent = threading.Event()
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                web._answer(self)

            def do_HEAD(self):
                web._tell(self)

            def do_POST(self):
                web.posted.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._silent.set()
        self._server.shutdown()
        self._server.server_close()

    def _tell(self, request):
        path = request.path.split("?")[0].lstrip("/")
        self.asked.append(path)
        if self.statuses.get(path) == "silent":
            self._silent.wait(5)
        elif path in self.statuses or path not in self.files:
            request.send_error(self.statuses.get(path, 404))
        else:
            request.send_response(200)
            if self.has_tags:
                request.send_header("ETag", _tag(self.files[path]))
            request.end_headers()

    def _answer(self, request):
        path = request.path.split("?")[0].lstrip("/")
        self.requests.append((path, request.headers.get("Range")))
        if self.statuses.get(path) == "silent":
            self._silent.wait(5)
            return
        if path in self.statuses or path not in self.files:
            request.send_error(self.statuses.get(path, 404))
            return
        data, start = self.files[path], 0
        tag = _tag(data)
        wanted = request.headers.get("Range")
        if wanted and not self.ignore_ranges and request.headers.get("If-Range") in (None, tag):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                request.send_error(416)
                return
        request.send_response(206 if start else 200)
        if self.has_tags:
            request.send_header("ETag", tag)
        request.send_header("Content-Length", str(len(data) - start))
        request.end_headers()
        stop = self.break_after.get(path, len(data))
        request.wfile.write(data[start : max(start, stop)])
        request.close_connection = True


def _tag(data):
    return f'"{zlib.crc32(data):x}"'
