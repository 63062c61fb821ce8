"""Which app an event of an Amplitude project's stream is of, where several apps share the project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from flybridge.amplitude.streamed import event_in, read_message


class StreamRoutes(Struct, frozen=True):
    """The apps of one Amplitude project by platform, `app` first: the one whose endpoint the stream is sent to.

    Events of a mobile platform are those of its app. Other events, as those of browsers and servers, stay with `app`.
    Users and other messages that are no events go to every app, because each may find its people by them.
    `fields` are the names of a template, as `amplitude.stream_fields`.
    """

    app: str
    by_platform: Mapping[str, str]
    fields: Mapping[str, str]

    def apps_of(self, body: bytes) -> Sequence[str]:
        """Return the apps that a message is given to."""
        try:
            event = event_in(read_message(body, self.fields))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return (self.app,)
        if event is None:
            return tuple(dict.fromkeys((self.app, *self.by_platform.values())))
        return (self.by_platform.get(event.platform, self.app),)
