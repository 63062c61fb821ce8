"""Whether AppsFlyer's Push API sends a message again that was not taken.

An older version of its page says that it does not, and the present one says nothing
(https://support.appsflyer.com/hc/en-us/articles/207034356, read 2026-11-27). Partner postbacks, elsewhere in AppsFlyer,
are sent again after a 5xx: four times, 15 minutes apart
(https://support.appsflyer.com/hc/en-us/articles/360001376085, read 2026-11-27).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

RETRIES: Final = 4
SPACING_S: Final = 900.0
AT_ONCE_S: Final = 0.05


class PushRetries(StrEnum):
    """When a push message is sent again. `ALWAYS` is for tests that kill the receiver; AppsFlyer does not."""

    NEVER = "never"
    ON_5XX = "5xx"
    ALWAYS = "always"

    def wait_s(self, status: int, tries: int) -> float | None:
        """Return the wait in seconds before the next try, after `tries` of them; None if the message is lost.

        `status` is that of the last answer, 0 if there was none.
        """
        match self:
            case PushRetries.NEVER:
                return None
            case PushRetries.ON_5XX:
                return SPACING_S if status >= 500 and tries <= RETRIES else None
            case PushRetries.ALWAYS:
                return AT_ONCE_S
