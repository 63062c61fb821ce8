"""Import files into the inbox: sightings (who owns which identifier) and events, as CSV, JSON or Amplitude exports.

The content of the files is processed like what Amplitude's stream sends. An envelope holds many lines, and the same
file makes the same envelopes: importing it again is a repeat that changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from flybridge.amplitude.event import MIN_ID_LENGTH, identifier
from flybridge.operations.file_lines import BadLine, read_file
from flybridge.records import Envelope, Media, Source

LINES_PER_ENVELOPE: Final = 100
LINES_SHOWN: Final = 500
"""After how many lines it is shown how many were read."""


class Imported(Struct):
    """What was read from one file. `taken` lines went into `envelopes`; `silent` ones name no user or no identifier."""

    file: str
    lines: int = 0
    taken: int = 0
    silent: int = 0
    envelopes: int = 0
    bad: list[BadLine] = []


async def import_file(
    path: Path,
    app: str,
    accept: Callable[[Envelope], Awaitable[None]],
    now_ms: int,
    progress: Callable[[int], None],
    *,
    stream: bool = False,
    apps_of: Callable[[bytes], Sequence[str]] | None = None,
    min_id_length: int = MIN_ID_LENGTH,
) -> Imported:
    """Bring one file into the inbox: sightings, many in a message. `progress` takes the number of lines read so far.

    A line whose user id or device id Amplitude refuses is a bad line: an event could not be delivered to it. With
    `stream` the lines are events, a message each, as if Amplitude's stream had sent them: each is accounted for on its
    own, so that one may be delivered to AppsFlyer and the next be left out. `apps_of` returns the apps that a line of
    them is of, where a stream is of several.
    """
    done, source = Imported(str(path)), Source.STREAM if stream else Source.SIGHTINGS
    waiting: list[bytes] = []

    async def flush() -> None:
        bodies = waiting if stream else [b"[" + b",".join(waiting) + b"]"]
        addressed = [(name, body) for body in bodies for name in (apps_of(body) if stream and apps_of else (app,))]
        await asyncio.gather(*(accept(Envelope(name, source, Media.JSON, now_ms, body)) for name, body in addressed))
        done.envelopes += len(addressed)
        waiting.clear()

    for line in read_file(path):
        done.lines += 1
        if done.lines % LINES_SHOWN == 0:
            progress(done.lines)
        if isinstance(line, BadLine):
            done.bad.append(line)
        elif not stream and (refused := [one for one in line.ids if identifier(one, min_id_length) is None]):
            problem = f"Amplitude refuses the id {refused[0]!r}: it is too short, or a placeholder."
            done.bad.append(BadLine(line.line, problem))
        elif not (stream or line.identifies):
            done.silent += 1
        else:
            done.taken += 1
            waiting.append(line.body)
            if len(waiting) == LINES_PER_ENVELOPE:
                await flush()
    if waiting:
        await flush()
    progress(done.lines)
    return done
