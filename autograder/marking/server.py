"""The page of marking in the instructor's own Jupyter server: an extension of jupyter_server, with its login.

`/course-mark` is the page, `/course-mark/api/...` what it asks for, below the server's base URL. Requests that change
something carry the server's XSRF token. One thread does all the work, in order: the server itself stays free.
"""

from __future__ import annotations

import asyncio
import atexit
import getpass
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.utils import url_path_join
from sqlalchemy.exc import OperationalError
from tornado import web

from course_utils.system.errors import CourseError
from course_utils.system.templates import render
from course_utils.system.tree import MARKER, Tree

from .desk import Changed, Desk, Marker
from .groups import THRESHOLD
from .log import MARK

HERE = Path(__file__).parent
PLACE = "course-mark"
TABLE_AFTER = 1.0  # seconds without a request after which grades.csv is written
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


class Office:
    """The desk of this server's course, and the one thread that sits at it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._desk: Desk | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="marking")
        self._flush: asyncio.TimerHandle | None = None
        self._is_warm = False

    async def ask(self, what: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of the desk. Errors come as web.HTTPError with words for the marker."""
        loop = asyncio.get_running_loop()
        try:
            answer = await loop.run_in_executor(
                self._thread, lambda: getattr(self._at_desk(), what)(*arguments, **options)
            )
            if self._flush is not None:
                self._flush.cancel()
            self._flush = loop.call_later(TABLE_AFTER, self._thread.submit, self._write_table)
            return answer
        except Changed as error:
            raise web.HTTPError(409, str(error)) from None
        except CourseError as error:
            raise web.HTTPError(400, str(error)) from None
        except OperationalError as error:
            words = "the gradebook is busy or cannot be reached; this will be tried again"
            raise web.HTTPError(503, f"{words} ({str(error.orig)[:200]})") from None

    def _at_desk(self) -> Desk:
        if self._desk is None:
            self._desk = Desk(Tree(self._root))
        return self._desk

    def warm(self) -> None:
        """Import what the first question needs while its page is still on the way."""
        if not self._is_warm:
            self._is_warm = True
            self._thread.submit(_import_slow_ones)

    def _write_table(self) -> None:
        if self._desk is not None:
            self._desk.flush()

    def close(self) -> None:
        """When the server stops: what is left to write is written."""
        self._thread.submit(self._write_table)
        self._thread.shutdown()


def _import_slow_ones() -> None:
    import sklearn.cluster
    import sklearn.feature_extraction.text  # noqa: F401


def course_root(server_root: str) -> Path:
    """The course in the server's root folder, else the one that nbgrader is configured for (on a hub)."""
    root = Path(server_root).expanduser()
    if (root / MARKER).is_file():
        return root.resolve()
    from nbgrader.apps import NbGrader
    from nbgrader.coursedir import CourseDirectory

    app = NbGrader()
    app.load_config_file()
    return Path(CourseDirectory(parent=app).root).resolve()


class PageHandler(JupyterHandler):
    """The page itself: the same for every unit, without anything that a student wrote."""

    def initialize(self, office: Office) -> None:
        self._office = office

    @property
    def content_security_policy(self) -> str:
        return POLICY

    @web.authenticated
    async def get(self) -> None:
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-store")
        self._office.warm()
        _ = self.xsrf_token  # sets the cookie
        base = url_path_join(self.base_url, PLACE)
        self.finish(render(HERE / "templates" / "mark.html.j2", base=base, marker=_name_of(self)))


class ToPageHandler(JupyterHandler):
    """JupyterLab's menu opens an address that is relative to wherever in Lab somebody is."""

    @web.authenticated
    async def get(self) -> None:
        self.redirect(url_path_join(self.base_url, PLACE))


class DeskHandler(APIHandler):
    """What the page asks for: JSON in, JSON out."""

    def initialize(self, office: Office) -> None:
        self._office = office

    @web.authenticated
    async def get(self, what: str) -> None:
        unit, question = self.get_query_argument("unit", ""), self.get_query_argument("question", "")
        token, names = self.get_query_argument("token", ""), self.get_query_argument("names", "") == "1"
        if what == "units":
            answer = await self._office.ask("units")
        elif what == "lost":
            answer = await self._office.ask("lost", unit)
        elif what == "question":
            threshold = _within(self.get_query_argument("threshold", ""), 0.3, 1.0, THRESHOLD)
            sample = self.get_query_argument("sample", "") == "1"
            answer = await self._office.ask("question", unit, question, self._marker(), threshold, names, sample)
        elif what == "answer":
            answer = {"html": await self._office.ask("answer", unit, question, token)}
        elif what == "evidence":
            answer = await self._office.ask("evidence", unit, question, token)
        elif what == "output":
            place = [int(_within(self.get_query_argument(each, ""), 0, 1e6, 0)) for each in ("cell", "output")]
            answer = {"html": await self._office.ask("output", unit, question, token, *place)}
        elif what == "statistics":
            answer = await self._office.ask("statistics", unit, question, names)
        else:
            raise web.HTTPError(404)
        self.finish(json.dumps(answer))

    @web.authenticated
    async def post(self, what: str) -> None:
        content = self.get_json_body() or {}
        if not isinstance(content, dict):
            raise web.HTTPError(400, "expected an object")
        unit, question = str(content.get("unit", "")), str(content.get("question", ""))
        place = (unit, question, self._marker(content))
        if what == "mark":
            saves = content.get("saves")
            if not isinstance(saves, list) or not all(isinstance(each, dict) for each in saves):
                raise web.HTTPError(400, "a mark needs saves: [{token, version, digest, state}, ...]")
            answer = await self._office.ask("mark", *place, saves, str(content.get("kind", MARK)))
        elif what == "split":
            await self._office.ask("split", *place, str(content.get("token", "")))
            answer = {}
        elif what == "scheme":
            version, items = str(content.get("version", "")), content.get("items")
            answer = await self._office.ask("change_scheme", *place, version, items, content.get("recompute"))
        elif what == "recompute":
            answer = await self._office.ask("recompute", *place, content.get("really") is True)
        elif what == "move":
            answer = await self._office.ask("move", unit, str(content.get("old", "")), question, place[2])
        else:
            raise web.HTTPError(404)
        self.finish(json.dumps(answer))

    def _marker(self, content: dict[str, Any] | None = None) -> Marker:
        given = content or {}
        name = str(given.get("marker") or self.get_query_argument("marker", "") or _name_of(self))[:128]
        of = _within(str(given.get("of") or self.get_query_argument("of", "1")), 1, 50, 1)
        return Marker(name.strip() or "marker", int(of))


def _within(text: str, low: float, high: float, otherwise: float) -> float:
    try:
        return min(max(float(text), low), high)
    except ValueError:
        return otherwise


def _name_of(handler: JupyterHandler) -> str:
    """Who marks: the hub's name of the user, else the account's."""
    user = handler.current_user
    name = getattr(user, "username", "") or ""
    if not name or getattr(user, "name", "").startswith("Anonymous"):
        try:
            name = getpass.getuser()
        except (KeyError, OSError):
            name = "marker"
    return name


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    office = Office(course_root(server.root_dir))
    atexit.register(office.close)
    base = url_path_join(server.web_app.settings["base_url"], "")
    at = url_path_join(base, PLACE)
    static = {"path": str(HERE / "static")}
    server.web_app.add_handlers(
        ".*$",
        [
            (f"{at}/?", PageHandler, {"office": office}),
            (f"{at}/api/([a-z]+)", DeskHandler, {"office": office}),
            (f"{at}/static/(mark\\.js|mark\\.css)", web.StaticFileHandler, static),
            (url_path_join(base, "lab/.*course-mark"), ToPageHandler),
        ],
    )
