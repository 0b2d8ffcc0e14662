"""The console over HTTP: the page, REST for each of its actions, and the relay to the bridge.

docs/reference/emulator.md lists the routes. The response to an invalid request is ``{"error": …}`` with the remedy.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, jsonify, request, send_from_directory
from flask.typing import ResponseReturnValue
from signup_bridge.core import strict_json
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.routing import Rule

from signup_emulator.api.account.behaviour import OPTIONS
from signup_emulator.api.account.domain import ACTIONS
from signup_emulator.api.account.error_codes import API_CODES, ApiError
from signup_emulator.api.faults.armed_faults import parse_fault
from signup_emulator.api.faults.magic_contacts import MAGIC_CONTACTS
from signup_emulator.api.faults.wire_faults import WIRE_FAULTS
from signup_emulator.api.server import RECEIVED_HEADERS
from signup_toolkit import senders

from . import origin_check
from .console import REPEAT_KINDS, TYPES, Console, ConsoleError, DeliveryRequest
from .deliveries import HttpRequest
from .proxy import BridgeTarget, end_to_end, to_flask_response

BODY_LIMIT = 262_144
"""The limit of a request in bytes, also of a relayed one: sixteen times the bridge's."""

PAGE = Path(__file__).resolve().parent / "page"
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class BadRequest(ValueError):  # noqa: N818  the name that HTTP uses
    """A request is not valid. The text names the member and the remedy."""


def create_app(console: Console, *, host: str, allowed: Collection[str] = ()) -> Flask:
    """Return the console as a WSGI application for ``host`` and the further host names ``allowed``."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = BODY_LIMIT
    app.json.sort_keys = False  # type: ignore[attr-defined]
    origin_check.protect(app, host=host, allowed=allowed)
    _register_error_handlers(app)
    _register_lists(app, console)
    _register_deliveries(app, console)
    _register_actions(app, console)
    _register_faults(app, console)
    _register_behaviour(app, console)
    _register_relay(app, console)
    return app


def _register_lists(app: Flask, console: Console) -> None:
    def page(name: str) -> Response:
        return send_from_directory(PAGE, name)

    for file in PAGE.iterdir():
        route = "/" if file.name == "index.html" else f"/{file.name}"
        app.add_url_rule(route, view_func=page, defaults={"name": file.name})

    @app.get("/emulator/status")
    def status() -> ResponseReturnValue:
        bridge = console.bridge
        auth = bridge.auth if bridge else None
        return {
            "bridge": bridge.url if bridge else None,
            "auth": auth,
            "preset": bridge.preset if bridge else None,
            "sender": senders.default_sender(auth) if auth else None,
            "senders": list(senders.AUTHS),
            "sends": bool(bridge and bridge.sends),
            "secret": _secret_to_serve(bridge),
            "secret_generated": bool(bridge and bridge.generated),
        }

    @app.get("/emulator/codes")
    def codes() -> ResponseReturnValue:
        return jsonify(console.codes(request.args.get("contact")))

    @app.get("/emulator/verified")
    def verified() -> ResponseReturnValue:
        return jsonify(console.verified())

    @app.get("/emulator/calls")
    def calls() -> ResponseReturnValue:
        asked = {name: request.args[name] for name in ("action", "contact") if name in request.args}
        made = [asdict(call) for call in reversed(list(console.api.calls))]
        return jsonify([call for call in made if all(call[name] == value for name, value in asked.items())])


def _secret_to_serve(bridge: BridgeTarget | None) -> str | None:
    """Return the secret if it is a generated one and the request comes from this machine."""
    host = urlsplit(f"//{request.host}").hostname or ""
    is_direct = not any(name in request.headers for name in ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host"))
    is_local = is_direct and origin_check.is_loopback(request.remote_addr or "") and origin_check.is_loopback(host)
    return bridge.secret if bridge and bridge.generated and is_local else None


def _register_deliveries(app: Flask, console: Console) -> None:
    @app.get("/emulator/deliveries")
    def deliveries() -> ResponseReturnValue:
        limit = request.args.get("limit", "500")
        if not limit.isdecimal():
            raise BadRequest("limit: must be a whole number")
        found = console.deliveries.newest(
            contact=request.args.get("contact"), outcome=request.args.get("outcome"), limit=int(limit)
        )
        return jsonify(found)

    @app.get("/emulator/deliveries/<int:number>")
    def delivery(number: int) -> ResponseReturnValue:
        found = console.deliveries.get(number)
        if found is None:
            raise NotFound(f"delivery {number} does not exist")
        return found.document()

    @app.get("/emulator/deliveries/<int:number>/curl")
    def curl(number: int) -> Response:
        return Response(
            console.curl(number, show_secret=_secret_to_serve(console.bridge) is not None) + "\n", mimetype="text/plain"
        )

    @app.get("/emulator/events")
    def events() -> Response:
        return Response(console.events.watch(), mimetype="text/event-stream")


def _register_actions(app: Flask, console: Console) -> None:
    @app.post("/emulator/codes")
    def send_code() -> ResponseReturnValue:
        members = _parse_members({"contact": str}, {"type": str})
        return console.send_code(members["contact"], _contact_type(members)), 201

    @app.post("/emulator/deliveries")
    def deliver() -> ResponseReturnValue:
        members = _parse_members({"contact": str}, {"verify_code": str, "type": str, "sender": str, "wait": bool})
        if members.get("sender") not in (None, *senders.AUTHS):
            raise BadRequest(f"sender: must be one of {', '.join(senders.AUTHS)}")
        delivery = DeliveryRequest(
            members["contact"], members.get("verify_code"), _contact_type(members), members.get("sender")
        )
        return console.deliver(delivery, wait=members.get("wait", True)).document(), 201

    @app.post("/emulator/deliveries/<int:number>/redeliver")
    def redeliver(number: int) -> ResponseReturnValue:
        members = _parse_members({}, {"as": str})
        if members.get("as", "fresh") not in REPEAT_KINDS:
            raise BadRequest(f"as: must be one of {', '.join(REPEAT_KINDS)}")
        return console.redeliver(number, members.get("as", "fresh")).document(), 201

    @app.post("/emulator/reset")
    def reset() -> ResponseReturnValue:
        console.reset()
        return {"reset": True}


def _register_faults(app: Flask, console: Console) -> None:

    @app.get("/emulator/faults")
    def faults() -> ResponseReturnValue:
        return {
            "armed": console.api.faults.armed(),
            "api_codes": [{"code": code, "meaning": meaning} for code, meaning in API_CODES.items()],
            "wire": [{"fault": fault, "meaning": meaning} for fault, meaning in WIRE_FAULTS.items()],
            "actions": ACTIONS,
        }

    @app.post("/emulator/faults")
    def arm() -> ResponseReturnValue:
        try:
            fault = parse_fault(_parse_json())
        except ValueError as error:
            wanted = {"fault": ["<API error code>", *WIRE_FAULTS], "action": "…", "contact": "…", "times": 1}
            return {"error": str(error), "wanted": wanted}, 422
        console.api.faults.arm(fault)
        console.events.publish("faults", console.api.faults.armed())
        return asdict(fault)

    @app.delete("/emulator/faults")
    def disarm() -> ResponseReturnValue:
        console.api.faults.clear()
        console.events.publish("faults", [])
        return {"armed": 0}


def _register_behaviour(app: Flask, console: Console) -> None:
    @app.get("/emulator/behaviour")
    def behaviour() -> ResponseReturnValue:
        return console.api.domain.behaviour.document()

    @app.get("/emulator/behaviour/options")
    def options() -> ResponseReturnValue:
        return jsonify([option._asdict() for option in OPTIONS])

    @app.get("/emulator/inputs")
    def inputs() -> ResponseReturnValue:
        return jsonify([row for one in MAGIC_CONTACTS for row in one.documents()])

    @app.patch("/emulator/behaviour")
    def behave() -> ResponseReturnValue:
        changed = console.api.domain.change(_parse_json()).document()
        console.events.publish("behaviour", changed)
        return changed


def _register_relay(app: Flask, console: Console) -> None:
    @app.route("/webhooks/<path:_rest>", methods=_METHODS, provide_automatic_options=False)
    def webhooks(_rest: str) -> Response:
        target = request.environ["RAW_URI"]
        body = request.get_data().decode("utf-8", "surrogateescape")
        received = HttpRequest(request.method, target, end_to_end(request.environ[RECEIVED_HEADERS]), body)
        delivery = console.forward(received)
        if delivery.response is None:
            return Response(f"{delivery.error}\n", 502, mimetype="text/plain")
        return to_flask_response(received, delivery.response)


def _register_error_handlers(app: Flask) -> None:
    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> ResponseReturnValue:
        headers = {name: value for name, value in error.get_headers() if name == "Allow"}
        document: dict[str, Any] = {"error": error.description}
        if error.code == 404 and request.url_rule is None:
            rules = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith(("/emulator", "/webhooks"))]
            document["routes"] = ["POST / (the API)", *(f"{_methods(rule)} {rule.rule}" for rule in rules)]
        return document, error.code or 500, headers

    @app.errorhandler(ValueError)
    def wrong(error: ValueError) -> ResponseReturnValue:
        return {"error": str(error)}, 422

    @app.errorhandler(ConsoleError)
    def impossible(error: ConsoleError) -> ResponseReturnValue:
        return {"error": str(error)}, 409

    @app.errorhandler(ApiError)
    def api_error(error: ApiError) -> ResponseReturnValue:
        return {"error": error.message, "api_code": error.code}, 409


def _methods(rule: Rule) -> str:
    return "|".join(sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}))


def _parse_json() -> Any:
    """Return the request's body as JSON, with any Content-Type. Raises BadRequest."""
    try:
        return strict_json.loads(request.get_data())
    except ValueError:
        raise BadRequest("the body must be JSON") from None


def _parse_members(needed: Mapping[str, type], optional: Mapping[str, type]) -> dict[str, Any]:
    """Return the members of the request's body. Raises BadRequest."""
    members = _parse_json() if request.content_length or needed else {}
    known = {**needed, **optional}
    if not isinstance(members, dict):
        raise BadRequest("the body must be a JSON object")
    problems = [f"{name}: is required" for name in needed if name not in members]
    for name, value in members.items():
        if name not in known:
            problems.append(f"{name}: is not supported; expected {', '.join(known)}")
        elif not isinstance(value, known[name]):
            problems.append(f"{name}: must be a {'string' if known[name] is str else 'boolean'}")
    if problems:
        raise BadRequest("; ".join(problems))
    return members


def _contact_type(members: Mapping[str, Any]) -> str | None:
    """Return the contact's type, None if it is absent. Raises BadRequest."""
    kind: str | None = members.get("type")
    if kind not in (None, *TYPES):
        raise BadRequest(f"type: must be one of {', '.join(TYPES)}")
    return kind
