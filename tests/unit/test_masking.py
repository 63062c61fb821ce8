"""What identifies a person is masked in any text, and what names a campaign stays."""

from __future__ import annotations

import string
from time import thread_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.identity.masking import masked

IDS = {
    "[id]": [
        "6D92078A-8246-4BA4-AE5B-76104861E7DC", "38400000-8cf0-11bd-b23e-10b96e40000d",
        "6D92078A82464BA4AE5B76104861E7DC",
        "6D92078A_8246_4BA4_AE5B_76104861E7DC", "6D92078A%2D8246%2D4BA4%2DAE5B%2D76104861E7DC", "9774d56d682e549c",
        "1769860811311-4118287541818", "1769860811311_4118287541818", "1769860811311\u20134118287541818",
        "1769860811311&#0045;4118287541818",
        "6D92078A&#45;8246&#x2D;4BA4&#45;AE5B&#45;76104861E7DC", "d41d8cd98f00b204e9800998ecf8427e",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "gaid6D92078A82464BA4AE5B76104861E7DC", "6D92078A82464BA4AE5B76104861E7DCR",
        "6D92078A.8246.4BA4.AE5B.76104861E7DC", "6D92078A:8246:4BA4:AE5B:76104861E7DC",
        "6D92078A 8246 4BA4 AE5B 76104861E7DC", "6D92078A\u20138246\u20134BA4\u2013AE5B\u201376104861E7DC",
        "6D92078A%252D8246%252D4BA4%252DAE5B%252D76104861E7DC", "6D92\u200b078A-8246-4BA4-AE5B-76104861E7DC",
    ],
    "[email]": [
        "ada@example.com", "ada.l+shop@mail.example.co.uk", "ada%40example.com", "ADA@EXAMPLE.COM",
        "jos\u00e9@example.com",
        "ada%2Bshop%40example.com", "a@b.io", "o'hara@example.org",
        "ada%2540example.com", "ada&#64;example.com", "ada&#x40;example&#46;com", "ada&amp;#64;example.com",
        "ada\uff20example.com", "\uff41\uff44\uff41@example.com", "ada@\u200bexample.com",
    ],
    "[phone]": [
        "+14155552671", "+49 170 1234567", "%2B14155552671", "+44 (20) 7946-0958", "415-555-2671", "(415) 555-2671",
        "004917012345678", "+49(0)170/1234567", "%252B14155552671",
        "+49\u2011170\u20111234567", "+49 170\u20131234567", "415\u2010555\u20102671",
    ],
}  # fmt: skip
PLAIN = [
    "", "organic", "googleadwords_int", "Facebook Ads", "winter 2026-11-24", "af_purchase", "23847562938470012",
    "1234567890", "120209876543210987", "4.21.0.1533", "US", "android", "2026-11-24 10:00:00.123", "feedfacecafebeef",
    "spring+20261124", "20261124-20261231", "id499000111", "com.example.shop", "@brand", "A/B test #2", "restricted",
    "(others)", "level_1000000000000", "1769860811311 4118287541818", "\u2460 spring \u200b", "\u00fcber-uns",
    "10:00-18:00", "H&M", "A&amp;B", "&#64;", "&copy=1", "&#99999999999999999999;",
]  # fmt: skip


@pytest.mark.parametrize(("mark", "text"), [(mark, text) for mark, texts in IDS.items() for text in texts])
@pytest.mark.parametrize("around", ["{}", "spring_{}_x", "a b {}", "{}, and more", "[{}]", "id={}&x=1", "{}/{}"])
def test_identifiers_are_masked_wherever_they_stand(mark: str, text: str, around: str) -> None:
    """Nothing of the identifier is left, in either case of letters."""
    shown = masked(around.format(text, text))
    assert mark in shown
    assert text not in shown
    assert text[4:12] not in shown
    assert mark in masked(around.format(text.upper(), text.upper()))


@pytest.mark.parametrize("text", PLAIN)
def test_what_names_a_campaign_or_a_version_stays(text: str) -> None:
    """Numbers, dates, versions, words of hexadecimal letters."""
    assert masked(text) == text


@given(st.text(max_size=200))
def test_what_is_masked_once_stays_as_it_is(text: str) -> None:
    """So that masking what is stored changes nothing that was masked when it came."""
    assert masked(masked(text)) == masked(text)


@given(
    st.text(string.ascii_letters + " _-", max_size=20), st.uuids(), st.text(string.ascii_letters + " _-", max_size=20)
)
def test_a_uuid_between_any_letters_is_masked(before: str, uuid, after: str) -> None:
    """Also where hexadecimal letters stand beside it."""
    assert str(uuid) not in masked(f"{before}{uuid}{after}")


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "a@",
        "a.",
        "@a.",
        "0",
        "0-",
        "+1",
        "+1 ",
        "%40",
        "a1",
        "(",
        "-",
        "a@b.",
        "A0_",
        "%25",
        "%252D",
        "00",
        "+1/",
        "1a",
        "\u200b",
        "\uff20",
    ],
)
def test_the_time_grows_with_the_length(piece: str) -> None:
    """No text from outside makes it quadratic."""

    def seconds(n: int) -> float:
        text = (piece * n)[:n]
        started = thread_time()
        masked(text)
        return thread_time() - started

    seconds(1000)
    short, long = min(seconds(3_000) for _ in range(5)), min(seconds(30_000) for _ in range(3))
    assert long < 35 * short + 0.01
