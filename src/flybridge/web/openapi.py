"""The doors as an OpenAPI 3.1 description, served at /openapi.json and tested against what the application answers.

Bodies are described as loosely as they are taken: any JSON. What the fields mean is AppsFlyer's and Amplitude's
to describe.
"""

from __future__ import annotations

from typing import Any, Final

Node = dict[str, Any]

_APP: Final[Node] = {
    "name": "app",
    "in": "path",
    "required": True,
    "description": "The app's `name` in the configuration.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"},
}

_REFUSALS: Final = {
    400: "The body, or the query string, can't be read.",
    401: "The token is wrong or absent, or none is configured for this door.",
    404: "No app of that name is configured.",
    405: "The method is not answered here; the header Allow names those that are.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is of a kind, a charset or an encoding that is not read here.",
    503: "Not confirmed as stored: flybridge is stopping, or its log refuses. Retry-After says when to come back.",
}


def _json(schema: Node) -> Node:
    return {"application/json": {"schema": schema}}


def _answers(*statuses: int) -> Node:
    stored = {"description": "The bytes are durable.", "content": _json({"$ref": "#/components/schemas/Stored"})}
    refusals: Node = {
        str(status): {"description": _REFUSALS[status], "content": _json({"$ref": "#/components/schemas/Refusal"})}
        for status in statuses
    }
    refusals["503"]["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    if "405" in refusals:
        refusals["405"]["headers"] = {"Allow": {"schema": {"type": "string"}}}
    return {"200": stored} | refusals


def _post(name: str, summary: str, text: str, schema: Node, made: Node | None = None) -> Node:
    return {
        "operationId": name,
        "summary": summary,
        "description": text,
        "security": [{"token": []}, {"bearer": []}],
        "requestBody": {"required": True, "content": _json(schema)},
        "responses": _answers(400, 401, 404, 405, 408, 413, 415, 503) | (made or {}),
    }


def _figure(name: str, summary: str, answers: Node) -> Node:
    return {"get": {"operationId": name, "summary": summary, "security": [], "responses": answers}}


_PUSH: Final[Node] = {
    "parameters": [_APP],
    "post": _post(
        "push",
        "An AppsFlyer Push API message",
        "An object with the postback's fields; unknown ones are kept. JSON of another kind is taken too, and "
        "becomes a dead letter.",
        {"$ref": "#/components/schemas/Postback"},
    ),
    "get": {
        "operationId": "push_query",
        "summary": "An AppsFlyer Push API message as query parameters",
        "description": "The query string is stored as it is. It needs at least one parameter.",
        "security": [{"token": []}, {"bearer": []}],
        "parameters": [
            {
                "name": "fields",
                "in": "query",
                "required": True,
                "description": "The postback's fields, one parameter each.",
                "style": "form",
                "explode": True,
                "schema": {"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}},
            }
        ],
        "responses": _answers(400, 401, 404, 405, 413, 503),
    },
}

_LIST: Final[list[Node]] = [
    {
        "name": "list",
        "in": "path",
        "required": True,
        "description": "The list's id, which is that of its cohort.",
        "schema": {"type": "string", "minLength": 1},
    },
    {"name": "action", "in": "path", "required": True, "schema": {"enum": ["add", "remove"]}},
]

_LIST_MADE: Final[Node] = {
    "200": {
        "description": "There is such a list.",
        "content": _json(
            {"type": "object", "required": ["listId"], "properties": {"listId": {"type": "string"}}},
        ),
    }
}

_SCHEMAS: Final[Node] = {
    "Stored": {
        "type": "object",
        "required": ["stored"],
        "properties": {"stored": {"const": True}},
        "additionalProperties": False,
    },
    "Refusal": {
        "type": "object",
        "description": "Why nothing was accepted.",
        "required": ["error", "remedy"],
        "properties": {
            "error": {"type": "string", "description": "What is wrong with which part of the request."},
            "remedy": {"type": "string", "description": "What to do about it."},
        },
        "additionalProperties": False,
    },
    "Postback": {"examples": [{"event_name": "install", "media_source": "organic"}]},
    "StreamEvent": {"examples": [{"event_type": "Purchase", "user_id": "someone"}]},
    "List": {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string", "pattern": ": ?[A-Za-z0-9_-]+$"}},
        "examples": [{"name": "[Amplitude] Spenders: 7khm89cz"}],
    },
    "ListBatch": {"examples": [{"userIds": ["someone"]}]},
    "CohortMessage": {"examples": [{"cohort_id": "7khm89cz", "users": []}]},
    "Readiness": {
        "type": "object",
        "required": ["ready", "part", "reasons"],
        "properties": {
            "ready": {"type": "boolean"},
            "part": {"enum": ["all", "intake", "work", "console"]},
            "reasons": {"type": "array", "items": {"type": "string"}},
        },
    },
    "Life": {"type": "object", "required": ["alive"], "properties": {"alive": {"const": True}}},
}


def description(version: str) -> Node:
    """Give the whole description."""
    event = {"$ref": "#/components/schemas/StreamEvent"}
    readiness = _json({"$ref": "#/components/schemas/Readiness"})
    alive = {"description": "The process lives.", "content": _json({"$ref": "#/components/schemas/Life"})}
    figures = {"description": "Prometheus text.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "flybridge",
            "version": version,
            "description": "200 means that the bytes are durable; any other status that nothing was accepted.",
        },
        "paths": {
            "/v1/push/{app}": _PUSH,
            "/v1/stream/{app}": {
                "parameters": [_APP],
                "post": _post(
                    "stream",
                    "One event, or a list of events, of an Amplitude event stream",
                    "The default payload of Amplitude's webhook destination.",
                    {"anyOf": [event, {"type": "array", "items": event}]},
                ),
            },
            "/v1/cohorts/{app}": {
                "parameters": [_APP],
                "post": _post(
                    "cohorts",
                    "An Amplitude cohort webhook",
                    "Members who joined or left a cohort.",
                    {"$ref": "#/components/schemas/CohortMessage"},
                ),
            },
            "/v1/cohorts/{app}/lists": {
                "parameters": [_APP],
                "post": _post(
                    "create_list",
                    "A list of a list-based partner integration",
                    "Nothing is stored: the list's id is that of its cohort, which an audience must follow.",
                    {"$ref": "#/components/schemas/List"},
                    _LIST_MADE,
                ),
            },
            "/v1/cohorts/{app}/lists/{list}/{action}": {
                "parameters": [_APP, *_LIST],
                "post": _post(
                    "change_list",
                    "People who come into a cohort, or leave it",
                    "A batch of a list-based partner integration, 10,000 people at most as Amplitude sends it.",
                    {"$ref": "#/components/schemas/ListBatch"},
                ),
            },
            "/healthz": _figure("health", "Whether the process lives", {"200": alive}),
            "/readyz": _figure(
                "ready",
                "Whether requests can be taken",
                {
                    "200": {"description": "They can.", "content": readiness},
                    "503": {"description": "They can't, and why.", "content": readiness},
                },
            ),
            "/metrics": _figure("metrics", "Metrics of this process", {"200": figures}),
        },
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "The app's token; the name of the header can be configured per app.",
                },
                "bearer": {"type": "http", "scheme": "bearer"},
            },
            "schemas": _SCHEMAS,
        },
    }
