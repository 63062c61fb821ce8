"""One rule for hashing an e-mail address or a phone number, whoever asks."""

import json
from hashlib import sha256

import pytest

from flybridge.appsflyer import additional, contacts
from flybridge.mapping.to_appsflyer import convert as s2s


def digest(text: str) -> str:
    """Return SHA-256 in hex."""
    return sha256(text.encode()).hexdigest()


NUMBERS = [
    # AppsFlyer's own examples
    ("+44 2070313000", "442070313000"),
    ("+1 (650)555-1212", "16505551212"),
    ("+12133734253", "12133734253"),
    # signs and blanks
    (" +44 20 7031 3000 ", "442070313000"),
    ("0044-20-7031-3000", "442070313000"),
    ("00 44 20 7031.3000", "442070313000"),
    ("+00442070313000", "442070313000"),
    ("(+44) 20 7031 3000", "442070313000"),
    ("(0044) 20/7031/3000", "442070313000"),
    ("tel:+44-20-7031-3000", "442070313000"),
    ("+44\u00a020\u20117031\u20113000", "442070313000"),
    ("\u202a+44 20 7031 3000\u202c", "442070313000"),
    ("+44 20 7031 3000 (home)", "442070313000"),
    # digits and signs of other scripts
    ("\uff0b\uff14\uff14 \uff12\uff10 \uff17\uff10\uff13\uff11 \uff13\uff10\uff10\uff10", "442070313000"),
    ("+\u0664\u0664 \u0662\u0660 \u0667\u0660\u0663\u0661 \u0663\u0660\u0660\u0660", "442070313000"),
    # the 0 that is dialled inside the country
    ("+44 (0)20 7031 3000", "442070313000"),
    ("+44 (0) 20 7031 3000", "442070313000"),
    ("0049 (0)170 1234567", "491701234567"),
    ("+49 0170 1234567", "491701234567"),
    ("+353 (0)87 123 4567", "353871234567"),
    ("+39 06 6982 1234", "390669821234"),
    ("+225 07 01 02 03 04", "2250701020304"),
    # extensions
    ("+1 650 555 1212 ext. 5", "16505551212"),
    ("+1 650 555 1212 x123", "16505551212"),
    ("tel:+1-650-555-1212;ext=99", "16505551212"),
]

NO_NUMBERS = [
    ("0170 1234567", contacts.NO_COUNTRY),
    ("020 7031 3000", contacts.NO_COUNTRY),
    ("4917012345 67", contacts.NO_COUNTRY),
    ("(650) 555-1212", contacts.NO_COUNTRY),
    ("16505551212", contacts.NO_COUNTRY),
    ("011 44 20 7031 3000", contacts.NO_COUNTRY),
    ("+0170 1234567", contacts.NO_COUNTRY),
    ("unknown", contacts.NO_NUMBER),
    ("+44", contacts.NO_NUMBER),
    ("+0", contacts.NO_NUMBER),
    ("7031", contacts.NO_NUMBER),
    ("+44 1234567890123456", contacts.NO_NUMBER),
    ("+1 555-1212", contacts.NO_NUMBER),
    ("+1 800 FLOWERS", contacts.NO_NUMBER),
    ("+9999999999", contacts.NO_NUMBER),
    ("+44 20 7031 3000, +44 20 7031 3001", contacts.TWO_NUMBERS),
    ("020 7031 3000 / +44 20 7031 3001", contacts.TWO_NUMBERS),
]

ADDRESSES = [
    ("name@domain.com", "name@domain.com"),
    (" Name@Domain.COM\t", "name@domain.com"),
    ("name @domain. com", "name@domain.com"),
    ("\ufeffname@domain.com\u200b", "name@domain.com"),
    ("first.last+news@mail.example.co.uk", "first.last+news@mail.example.co.uk"),
    ("ZOË@exämple.de", "zoë@exämple.de"),
]

NO_ADDRESSES = [
    "name", "@", "name@", "@domain.com", "name@domain", "name@domain.", "name@.com", "a@b@c.com", "null",
    "a@x.com, b@x.com", "a@x.com;b@x.com", "Ann <ann@x.com>", "mailto:ann@x.com", "a\x00@x.com", "a\ud800@x.com",
]  # fmt: skip


def told(email: str = "", phone: str = "") -> dict:
    """Return what the additional identifiers of such a member are."""
    extra = additional.extra_of(email, phone)
    return json.loads(extra) if extra else {}


@pytest.mark.parametrize(("text", "digits"), NUMBERS)
def test_every_spelling_of_a_number_is_hashed_alike_for_events_and_audiences(text, digits):
    """The digits with country code, and E.164."""
    assert contacts.hash_phone(text) == contacts.PhoneHashes(digest(digits), digest("+" + digits))
    assert (s2s.phone(text), s2s.phone_e164(text)) == (digest(digits), digest("+" + digits))
    assert told(phone=text) == {
        "phone_number_sha256": digest(digits),
        "phone_number_e164_sha256": digest("+" + digits),
    }


@pytest.mark.parametrize(("text", "refused"), NO_NUMBERS)
def test_a_number_of_unknown_country_or_none_is_refused_with_a_reason(text, refused):
    """A hash of it would be nobody's, or somebody else's."""
    assert contacts.hash_phone(text) == refused
    assert (s2s.phone(text), s2s.phone_e164(text)) == (None, None)
    assert s2s.refusal(s2s.phone, text) == s2s.refusal(s2s.phone_e164, text) == refused.reason
    assert told(phone=text) == {}


@pytest.mark.parametrize(("text", "address"), ADDRESSES)
def test_every_spelling_of_an_address_is_hashed_alike_for_events_and_audiences(text, address):
    """Lower case, without white space."""
    assert contacts.hash_email(text) == s2s.email(text) == digest(address)
    assert told(email=text) == {"hashed_emails": [digest(address)]}


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_what_is_not_one_address_is_refused_with_a_reason(text):
    """A hash of it would match strangers with each other."""
    assert contacts.hash_email(text) == contacts.NO_ADDRESS
    assert s2s.email(text) is None
    assert s2s.refusal(s2s.email, text) == contacts.NO_ADDRESS.reason
    assert told(email=text) == {}


def test_a_hash_stays_as_it_is_where_its_kind_is_known():
    """The parameter of an event says which form was hashed; an audience's property does not."""
    hashed = digest("16505551212")
    for convert in (s2s.email, s2s.phone, s2s.phone_e164):
        assert convert(f" {hashed.upper()} ") == hashed
        assert s2s.refusal(convert, hashed) == ""
    assert told(email=hashed.upper()) == {"hashed_emails": [hashed]}
    assert contacts.hash_phone(hashed) == contacts.KIND_UNKNOWN
    assert told(phone=hashed) == {}


@pytest.mark.parametrize("text", ["", "  "])
def test_nothing_is_not_hashed_and_not_worth_a_reason(text):
    """A person without a phone number is no fault of anybody's."""
    assert (contacts.hash_email(text), contacts.hash_phone(text)) == (contacts.NO_ADDRESS, contacts.NO_NUMBER)
    assert s2s.refusal(s2s.email, text) == s2s.refusal(s2s.phone, text) == ""
    assert told(text, text) == {}
