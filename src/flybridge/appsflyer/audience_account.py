"""AppsFlyer's Audience External API: making an audience, whose import key devices are then sent with.

`POST /api/audiences-external-api/audience`, bearer token V2, `{audience_name, platform, connections}` with a name of 2
to 100 characters; answers 200 `{"message": {"audience_id": 123, "import_key": "..."}}`, and 400 `{error_code, message}`
(`messege` in places) if the name exists (1001), a field is wrong (1000, and the message is an object `{errors: {field:
why}}`), or no more may be made (1004).

https://dev.appsflyer.com/hc/reference/audience-external-api (read 2026-11-29).
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from flybridge.appsflyer.audience import ImportTarget, common, message_of
from flybridge.delivery.exchange import Halt, HttpRequest, HttpResponse, json_object

PATH: Final = "/api/audiences-external-api/audience"
SHORTEST: Final = 2
LONGEST: Final = 100
EXISTS: Final = 1001
FULL: Final = 1004


class CreatedAudience(Struct, frozen=True):
    """An audience that AppsFlyer has made. The import key is a secret."""

    id: str
    import_key: str


def request(target: ImportTarget, name: str) -> HttpRequest:
    """Build the request that makes an audience without partners. `target` has the platform and the account."""
    body = {"audience_name": name[:LONGEST].ljust(SHORTEST, "_"), "platform": target.platform, "connections": []}
    return target.account.call("POST", PATH, body)


def read(response: HttpResponse) -> CreatedAudience | str:
    """Return the audience, or a sentence that says why there is none. Never raises."""
    answer = json_object(response.body) or {}
    made = answer.get("message")
    if response.status == 200 and isinstance(made, dict) and isinstance(key := made.get("import_key"), str) and key:
        return CreatedAudience(str(made.get("audience_id", "")), key)
    if response.status == 400:
        match answer.get("error_code"):
            case code if code == EXISTS:
                return (
                    "The account has an audience of that name already. Copy its import key from AppsFlyer into "
                    "apps.audiences.import_key, or give this one another name."
                )
            case code if code == FULL:
                return "AppsFlyer makes no more audiences in this account. Delete one, or ask AppsFlyer for more."
            case _:
                why = message_of(response) or _faults(made) or "it does not say why"
                return f"AppsFlyer refuses to make the audience: {why}."
    verdict = common(response, response.status)
    remedy = f" {verdict.remedy}" if isinstance(verdict, Halt) else " Try again later."
    return f"AppsFlyer answers {response.status}.{remedy}"


def _faults(message: object) -> str:
    """Return what is wrong with a request, field by field; empty if the message does not say."""
    faults = message.get("errors") if isinstance(message, dict) else None
    return ", ".join(f"{name} {fault}" for name, fault in faults.items()) if isinstance(faults, dict) else ""
