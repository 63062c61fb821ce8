"""What Amplitude makes of an event before it keeps it.

- Advertising ids, vendor ids and App Set ids are stripped (https://amplitude.com/docs/apis/analytics/attribution).
- Texts longer than 1,024 characters are cut (https://amplitude.com/docs/faq/limits).
- A language's tag becomes its English name (https://amplitude.com/docs/apis/analytics/http-v2, "Language field"; of the
  page's table the tags and the names of some languages in themselves are here).
- Of groups, five types and ten values are kept, and of a plan its branch, source and version (same page).

All read 2026-11-29.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from flybridge.sandbox.vendors.validation import Attribution, UploadedEvent

MAX_TEXT: Final = 1024
GROUP_TYPES: Final = 5
GROUP_VALUES: Final = 10
STRIPPED: Final = frozenset({"idfa", "idfv", "adid", "android_id", "android_app_set_id"})
PLAN: Final = frozenset({"branch", "source", "version"})

_TAGS: Final = """
aa Afar|ab Abkhazian|ae Avestan|af Afrikaans|ak Akan|am Amharic|an Aragonese|ar Arabic|as Assamese|av Avaric|ay Aymara
az Azerbaijani|ba Bashkir|be Belarusian|bg Bulgarian|bi Bislama|bm Bambara|bn Bengali|bo Tibetan|br Breton|bs Bosnian
ca Catalan|ce Chechen|ch Chamorro|co Corsican|cr Cree|cs Czech|cu Church Slavic|cv Chuvash|cy Welsh|da Danish|de German
dv Divehi|dz Dzongkha|ee Ewe|el Greek|en English|eo Esperanto|es Spanish|et Estonian|eu Basque|fa Persian|ff Fulah
fi Finnish|fj Fijian|fo Faroese|fr French|fy Western Frisian|ga Ga|gd Scottish Gaelic|gl Galician|gn Guarani
gu Gujarati|gv Manx|ha Hausa|he Hebrew|hi Hindi|ho Hiri Motu|hr Croatian|ht Haitian|hu Hungarian|hy Armenian|hz Herero
ia Interlingua|id Indonesian|ie Interlingue|ig Igbo|ii Sichuan Yi|ik Inupiaq|io Ido|is Icelandic|it Italian
iu Inuktitut|ja Japanese|jv Javanese|ka Georgian|kg Kongo|ki Kikuyu|kj Kuanyama|kk Kazakh|kl Kalaallisut|km Khmer
kn Kannada|ko Korean|kr Kanuri|ks Kashmiri|ku Kurdish|kv Komi|kw Cornish|ky Kyrgyz|la Latin|lb Luxembourgish|lg Ganda
li Limburgish|ln Lingala|lo Lao|lt Lithuanian|lu Luba-Katanga|lv Latvian|mg Malagasy|mh Marshallese|mi Maori
mk Macedonian|ml Malayalam|mn Mongolian|mr Marathi|ms Malay|mt Maltese|my Burmese|na Nauru|nb Norwegian
nd North Ndebele|ne Nepali|ng Ndonga|nl Dutch|nn Norwegian|no Norwegian|nr South Ndebele|nv Navajo|ny Nyanja
oc Occitan|oj Ojibwa|om Oromo|or Oriya|os Ossetic|pa Punjabi|pi Pali|pl Polish|ps Pashto|pt Portuguese|qu Quechua
rm Romansh|rn Rundi|ro Romanian|ru Russian|rw Kinyarwanda|sa Sanskrit|sc Sardinian|sd Sindhi|se Northern Sami|sg Sango
sh Serbo-Croatian|si Sinhala|sk Slovak|sl Slovenian|sm Samoan|sn Shona|so Somali|sq Albanian|sr Serbian|ss Swati
st Southern Sotho|su Sundanese|sv Swedish|sw Swahili|ta Tamil|te Telugu|tg Tajik|th Thai|ti Tigrinya|tk Turkmen
tl Tagalog|tn Tswana|to Tongan|tr Turkish|ts Tsonga|tt Tatar|tw Twi|ty Tahitian|ug Uyghur|uk Ukrainian|ur Urdu|uz Uzbek
ve Venda|vi Vietnamese|vo Volapük|wa Walloon|wo Wolof|xh Xhosa|yi Yiddish|yo Yoruba|za Zhuang|zh Chinese|zu Zulu
"""

LANGUAGES: Final[Mapping[str, str]] = {
    entry[:2]: entry[3:] for line in _TAGS.strip().splitlines() for entry in line.split("|")
} | {
    "deutsch": "German",
    "español": "Spanish",
    "français": "French",
    "português": "Portuguese",
    "עברית": "Hebrew",
    "日本語": "Japanese",
}


def language(said: str) -> str:
    """Return a language as Amplitude writes it: of a tag, also one with a region, the English name."""
    plain = said.strip().lower()
    tag = plain.replace("_", "-").partition("-")[0]
    return LANGUAGES.get(plain) or (LANGUAGES.get(tag, said) if len(tag) == 2 else said)


def cut(value: Any) -> Any:
    """Return a value with its texts, names among them, cut to the length that is kept."""
    match value:
        case str():
            return value[:MAX_TEXT]
        case dict():
            return {name[:MAX_TEXT]: cut(part) for name, part in value.items()}
        case list():
            return [cut(part) for part in value]
        case _:
            return value


def groups(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the groups of an event that are tracked."""
    kept: dict[str, Any] = {}
    left = GROUP_VALUES
    for name, value in list(given.items())[:GROUP_TYPES]:
        values = value[:left] if isinstance(value, list) else value
        left -= len(values) if isinstance(values, list) else 1
        if left < 0 or values == []:
            break
        kept[name] = values
    return kept


def kept_body(message: Attribution | UploadedEvent) -> bytes:
    """Return the JSON of a message as it is kept."""
    fields: dict[str, Any] = msgspec.to_builtins(message)
    fields = {name: cut(value) for name, value in fields.items() if name not in STRIPPED}
    if fields.get("language"):
        fields["language"] = language(fields["language"])
    if fields.get("groups"):
        fields["groups"] = groups(fields["groups"])
    if fields.get("plan"):
        fields["plan"] = {name: value for name, value in fields["plan"].items() if name in PLAN}
    return msgspec.json.encode(fields)
