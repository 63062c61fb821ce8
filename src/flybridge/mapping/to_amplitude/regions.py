"""Codes of states as the names that Amplitude shows, which come from MaxMind's database.

AppsFlyer's `state` is the second part of an ISO 3166-2 code. In Amplitude's own events of the United States, Canada and
Australia the region is the state's name (`California`,
https://amplitude.com/docs/apis/analytics/http-v2, read 2026-11-27), so that a code would be a second state in every
chart. Elsewhere names differ between databases, and the code stays.
"""

from __future__ import annotations

from typing import Final

_NAMES: Final = {
    "US": """
AL Alabama|AK Alaska|AZ Arizona|AR Arkansas|CA California|CO Colorado|CT Connecticut|DE Delaware|DC District of Columbia
FL Florida|GA Georgia|HI Hawaii|ID Idaho|IL Illinois|IN Indiana|IA Iowa|KS Kansas|KY Kentucky|LA Louisiana|ME Maine
MD Maryland|MA Massachusetts|MI Michigan|MN Minnesota|MS Mississippi|MO Missouri|MT Montana|NE Nebraska|NV Nevada
NH New Hampshire|NJ New Jersey|NM New Mexico|NY New York|NC North Carolina|ND North Dakota|OH Ohio|OK Oklahoma|OR Oregon
PA Pennsylvania|RI Rhode Island|SC South Carolina|SD South Dakota|TN Tennessee|TX Texas|UT Utah|VT Vermont|VA Virginia
WA Washington|WV West Virginia|WI Wisconsin|WY Wyoming
""",
    "CA": """
AB Alberta|BC British Columbia|MB Manitoba|NB New Brunswick|NL Newfoundland and Labrador|NS Nova Scotia
NT Northwest Territories|NU Nunavut|ON Ontario|PE Prince Edward Island|QC Quebec|SK Saskatchewan|YT Yukon
""",
    "AU": """
ACT Australian Capital Territory|NSW New South Wales|NT Northern Territory|QLD Queensland|SA South Australia
TAS Tasmania|VIC Victoria|WA Western Australia
""",
}

REGIONS: Final = {
    (country, entry.partition(" ")[0]): entry.partition(" ")[2]
    for country, names in _NAMES.items()
    for line in names.strip().splitlines()
    for entry in line.split("|")
}
"""Country and code of a state, both in upper case, to its name."""
