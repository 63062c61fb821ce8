"""Setting a bridge up: what to enter at the vendors, what has arrived, the checks, a test event, the settings."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flybridge.config.apps import App
from flybridge.config.settings import shown as shown_settings
from flybridge.config.template import push_url, what_to_paste
from flybridge.notifications.notifier import ChannelState
from flybridge.records import OutcomeKind, Source, clock_time
from flybridge.store.events import EventFilter, EventRow
from flybridge.system.counted import plural, span
from flybridge.web.console.acting import act, first, form_of
from flybridge.web.console.deeds import BEGUN, DONE, visitor_of
from flybridge.web.console.operations import CheckResult, Done
from flybridge.web.console.reading import Reading
from flybridge.web.console.site import Entry, Site
from flybridge.web.console.words import shown

ENTRY: Final = Entry("setup", "/setup", "Set-up")
WAITS_S: Final = 5.0
KINDS: Final = (
    (Source.PUSH, "AppsFlyer's messages (Push API)"),
    (Source.STREAM, "Amplitude's event stream (webhook)"),
    (Source.COHORT, "Amplitude's cohorts (webhook)"),
)
TEST: Final = (
    "It is an install of the media source flybridge_test and a made-up device: it counts as one install, and reaches "
    "the Amplitude project."
)


def routes(site: Site) -> list[Route]:
    """Return the page and what can be done on it."""

    async def page(request: Request, *, entered: str = "", checks: Sequence[CheckResult] | None = None) -> Response:
        reading, config = await site.reader.read(), site.operations.config
        apps = [await _app(site, reading, app) for app in config.apps]
        settings = msgspec.json.format(msgspec.json.encode(shown_settings(config), enc_hook=str), indent=2).decode()
        return await site.page(
            request, ENTRY, "setup.html", apps=apps, entered=entered, checks=checks, settings=settings,
            public_url=config.server.public_url,
            notified=[_notified(site, *one) for one in (await site.operations.notifications()).items()],
        )  # fmt: skip

    async def show(request: Request) -> Response:
        return await page(request)

    async def tokens(request: Request) -> Response:
        """Show what to enter at the vendors, with the tokens in clear."""
        visitor = visitor_of(request)
        if not visitor.sees_content:
            return await page(
                request, entered="Log in with the role `operate` to see the tokens, or run `flybridge setup`."
            )
        await site.deeds.write(visitor, "see_tokens", DONE)
        return await page(request, entered=what_to_paste(site.operations.config))

    async def doctor(request: Request) -> Response:
        await site.deeds.write(visitor_of(request), "doctor", BEGUN)
        return await page(request, checks=await site.operations.doctor())

    async def test(request: Request) -> Response:
        app = site.operations.config.app(first(form_of(request), "app"))
        if app is None:
            return await site.page(request, ENTRY, "missing.html", 404, what="app")

        async def work() -> Done:
            appsflyer_id = await site.operations.send_test(app)
            keys = site.operations.keys_of("appsflyer_id", appsflyer_id)
            rows: Sequence[EventRow] = ()
            for _ in range(int(WAITS_S / 0.2)):
                await asyncio.sleep(0.2)
                rows = await site.store.events_of(keys)
                if rows and rows[0].outcome != OutcomeKind.PENDING:
                    break
            if not rows:
                return Done(
                    "It was taken, and no worker has mapped it yet: is one running? See Events in a minute.", False
                )
            row = rows[0]
            reason = f" ({row.reason})" if row.reason else ""
            return Done(f"It is event {row.id}, and its outcome is {row.outcome}{reason} now. See its story in Events.")

        return await act(
            site, request, ENTRY, action="test_event", question=f"Send a test event through {app.name}?", warning=TEST,
            button="Send it", work=work, target=app.name,
        )  # fmt: skip

    async def notify(request: Request) -> Response:
        names = ", ".join(await site.operations.notifications())
        return await act(
            site, request, ENTRY, action="test_notification", question=f"Send a test message by {names}?",
            button="Send it", work=site.operations.send_test_notification, target=names,
        )  # fmt: skip

    actions = {"tokens": tokens, "doctor": doctor, "test": test, "notify": notify}
    return site.routes(ENTRY, show, {f"/setup/{name}": action for name, action in actions.items()})


def _notified(site: Site, name: str, state: ChannelState) -> dict[str, str]:
    """Return how a channel of notifications stands."""
    if state.problem:
        again = f" It is tried again in {span(state.due_ms - site.clock.now_ms())}." if state.tries else ""
        return {"name": name, "level": "warn", "sentence": f"The last message did not arrive: {state.problem}{again}"}
    last = f"{clock_time(state.sent_ms)} UTC" if state.sent_ms else ""
    sentence = f"{plural(state.sent, 'message')} so far, the last at {last}." if last else "No message so far."
    open_ = f" {plural(len(state.notified), 'matter')} sent and not over." if state.notified else ""
    return {"name": name, "level": "good", "sentence": sentence + open_}


async def _app(site: Site, reading: Reading, app: App) -> dict[str, Any]:
    counts = [count for count in reading.counts if count.app == app.name]
    steps: list[dict[str, Any]] = []
    wanted = {
        Source.PUSH: True,
        Source.STREAM: app.amplitude.webhook_token is not None,
        Source.COHORT: bool(app.audiences) and app.amplitude.webhook_token is not None,
    }
    for source, label in KINDS:
        days = [count.day for count in counts if count.source == source and count.n]
        last = await _last(site, app, source, max(days, default=""))
        steps.append(_step(label, bool(days), last, wanted=wanted[source]))
    delivered = sum(count.n for count in counts if count.outcome == OutcomeKind.DELIVERED)
    steps.append(_step("An event is accepted by a vendor", bool(delivered), f"{delivered:,} so far"))
    seen = reading.known.get(app.name)
    steps.append(_step("Amplitude has shown identifiers, so that installs can be matched", bool(seen and seen.kinds)))
    base = push_url(site.operations.config, app).removesuffix(f"/v1/push/{app.name}")
    return {
        "name": shown(app.name),
        "push": f"{base}/v1/push/{app.name}",
        "stream": f"{base}/v1/stream/{app.name}",
        "cohorts": f"{base}/v1/cohorts/{app.name}",
        "header": app.appsflyer.token_header,
        "steps": steps,
    }


def _step(label: str, done: bool, last: str = "", *, wanted: bool = True) -> dict[str, Any]:
    level, state = ("good", "Done") if done else ("warn", "Open") if wanted else ("", "Not set up")
    return {"label": label, "done": done, "level": level, "state": state, "last": last}


async def _last(site: Site, app: App, source: Source, day: str) -> str:
    """Return when something was heard last: to the second while it is among the newest events, else the day."""
    if not day:
        return "nothing yet"
    page = await site.store.find_events(EventFilter(app=app.name, source=source.value), limit=1)
    if not page.rows:
        return f"on {day}"
    received_ms = page.rows[0].received_ms
    return f"{span(site.clock.now_ms() - received_ms)} ago, {clock_time(received_ms)} UTC"
