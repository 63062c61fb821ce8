"""The ids of apps in AppsFlyer, and the bundle ids beside them, as they are compared.

The id of an Android app is the name of its package; one that has a dashboard for each store has the channel of the
store behind a dash (`com.example.shop-xiaomi`), and the same package
(https://support.appsflyer.com/hc/en-us/articles/207447023, read 2026-11-28). That of an iOS app is Apple's number with
`id` in front (https://dev.appsflyer.com/hc/reference/s2s-events-api3-post, read 2026-11-29), of which a bundle id says
nothing; a package may begin with these letters, too (`id.co.shop`). Apps of consoles and of television have the name of
their platform in front (`steam-3564740`).
"""

from __future__ import annotations

import re
from typing import Final

from flybridge.system.text_encoding import BLANKS

_PACKAGE: Final = re.compile(r"[a-z]\w*(?:\.\w+)+", re.ASCII)


def plain_app_id(text: str) -> str:
    """Return an app's id as it is compared: of iOS apps the digits, with or without `id` in front."""
    folded = (text.strip() if text.isascii() else text.strip(BLANKS)).casefold()
    digits = folded.removeprefix("id")
    return digits if digits.isdecimal() else folded


def is_same_app(one: str, other: str) -> bool:
    """Whether two ids are of one app."""
    return plain_app_id(one) == plain_app_id(other)


def is_other_package(bundle_id: str, app_id: str) -> bool:
    """Whether a bundle id is the package of another Android app than the one with this id."""
    package, own = plain_app_id(bundle_id), plain_app_id(app_id)
    if _PACKAGE.fullmatch(package) is None or own.isdecimal():
        return False
    return own != package and not own.startswith(f"{package}-")
