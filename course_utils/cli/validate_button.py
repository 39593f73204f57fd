"""What answers nbgrader's Validate button in student kits: nbgrader's own validation, with the reasons of our checks.

nbgrader's server extension imports all of nbgrader, which is a quarter of what JupyterLab needs to start. Here it is
imported when the button is first pressed, and runs beside the server, which can save the other notebooks meanwhile.
lab_config/student puts this in its place.
"""

from __future__ import annotations

import asyncio
import json
from importlib.metadata import version
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web

from course_utils.checks.engine.score import MIME


class ValidateHandler(JupyterHandler):
    """Answers with {"success": whether it ran, "value": what the checks said}."""

    @web.authenticated
    async def post(self) -> None:
        try:
            path = self.get_argument("path")
        except web.MissingArgumentError:
            path = (self.get_json_body() or {}).get("path", "")
        self.finish(json.dumps(await asyncio.to_thread(self._validate, path)))

    def _validate(self, path: str) -> dict[str, Any]:
        from nbgrader.server_extensions.validate_assignment import handlers

        if not issubclass(handlers.Validator, Reasons):
            handlers.Validator = type("Validator", (Reasons, handlers.Validator), {})
        return handlers.ValidateAssignmentHandler(self.application, self.request).validate_notebook(path)


class Reasons:
    """What nbgrader's validator says of a cell that has not got full marks: what our check said, where it was one."""

    def _extract_error(self, cell: Any) -> str:
        shown = next((data[MIME] for out in cell.get("outputs", []) if MIME in (data := out.get("data", {}))), None)
        return reasons(shown) if shown else str(super()._extract_error(cell))  # type: ignore[misc]


def reasons(score: dict[str, Any]) -> str:
    """The points, the likely causes and the broken laws of a score as data (`Score.to_dict`), as plain text."""
    broken = [law for law in score["laws"] if not law["passed"]]
    causes = dict.fromkeys(law["cause"] for law in broken if law["cause"])
    lines = [f"{score['exercise']}: {score['earned']:g} of {score['points']:g} points", score["note"]]
    lines += [f"Likely cause: {cause}" for cause in ([] if score["note"] else causes)]
    for law in [] if score["note"] else broken:
        lines += [f"Broken: {law['name']}", f"  expected: {law['expected']}", f"  came:     {law['got']}"]
    return "\n".join(filter(None, lines))


class VersionHandler(JupyterHandler):
    """Tells whether the button is of the same nbgrader as the server."""

    @web.authenticated
    async def get(self) -> None:
        here, button = version("nbgrader"), self.get_argument("version")
        if here == button:
            self.finish(json.dumps({"success": True}))
        else:
            message = (
                f"The Validate button is of nbgrader {button} and the server has {here}. Install the course again."
            )
            self.finish(json.dumps({"success": False, "message": message}))


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    base, application = server.web_app.settings["base_url"], server.web_app
    application.settings["root_dir"] = server.root_dir
    handlers = [("assignments/validate", ValidateHandler), ("nbgrader_version", VersionHandler)]
    application.add_handlers(".*$", [(url_path_join(base, name), handler) for name, handler in handlers])
