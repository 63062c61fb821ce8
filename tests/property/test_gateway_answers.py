"""What gateways answer, byte for byte, through the door outward: what is good arrives, what is bad ends."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Iterator

import pytest
import test_lane_vendors
from test_lane_vendors import GOOD, Vendor, played

from flybridge.delivery.exchange import HttpRequest, HttpResponse
from flybridge.delivery.transport import HttpTransport
from flybridge.errors import TransportError


def http(status: int, body: str | bytes = "", *headers: str, length: int | None = None) -> bytes:
    """Return an answer as it is sent."""
    content = body.encode() if isinstance(body, str) else body
    lines = (f"HTTP/1.1 {status} X", f"Content-Length: {len(content) if length is None else length}", *headers)
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + content


PAGE = "<html>\r\n<head><title>{}</title></head>\r\n<body><h1>{}</h1><hr>nginx</body></html>"
ANSWERS = {
    "nginx 502": http(502, PAGE.format("502 Bad Gateway", 502)),
    "nginx 413": http(413, PAGE.format("413 Request Entity Too Large", 413)),
    "nginx 400": http(400, PAGE.format("400 Request Header Or Cookie Too Large", 400)),
    "Cloudflare 520": http(520, "<!DOCTYPE html>\n<!--[if lt IE 7]> <html> <![endif]-->\n<title>520: error</title>"),
    "Cloudflare 1015": http(429, "error code: 1015", "Retry-After: 10"),
    "Cloudflare 1020": http(403, "<!DOCTYPE html><title>Attention Required! | Cloudflare</title>", "cf-ray: 8a1b"),
    "ALB 464": http(464),
    "ALB 561": http(561),
    "API Gateway 403": http(403, '{"message":"Forbidden"}', "x-amzn-ErrorType: ForbiddenException"),
    "API Gateway 413": http(413, '{"message":"Request Too Long"}'),
    "Envoy 503": http(503, "upstream connect error or disconnect/reset before headers. reset reason: overflow"),
    "Envoy RBAC": http(403, "RBAC: access denied"),
    "Akamai 403": http(403, "<HTML><HEAD>\n<TITLE>Access Denied</TITLE>\n</HEAD>Reference&#32;&#35;18&#46;4f"),
    "Zscaler 307": http(307, "", "Location: https://gateway.zscaler.net/auD"),
    "a proxy's 407": http(407, "", 'Proxy-Authenticate: Basic realm="x"'),
    "304": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "early hints": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + http(503, PAGE.format("503", 503)),
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "202": http(202, '{"status":"queued"}'),
    "999": http(999),
    "nothing": b"",
    "cut in a chunk": b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n<html>\r\n9\r\n<tit",
    "no size of a chunk": b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "too short": http(500, "short", length=5000),
    "two lengths": b"HTTP/1.1 500 X\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
    "a huge header": http(500, "", "X-A: " + 70_000 * "a"),
    "broken gzip": http(500, gzip.compress(b"<title>Oops</title>" + bytes(range(256)))[:-30], "Content-Encoding: gzip"),
    "a portal": http(200, "\ufeff\r\n<!DOCTYPE html><title>Sign in</title>"),
    "a portal in gzip": http(200, gzip.compress(b"<html><title>Sign in</title>"), "Content-Encoding: gzip"),
    "a policy": http(200, '{"error":"blocked by policy"}'),
    "another protocol": b"\x15\x03\x03\x00\x02\x02\x46",
    "Amplitude's 429": http(429, '{"code":429,"error":"Too many requests for some devices and users"}'),
    "Amplitude's 400": http(400, '{"code":400,"error":"Invalid event JSON"}'),
    "AppsFlyer's 400": http(400, '"Failed to Authenticate"'),
    "AppsFlyer's 500": http(500, "Internal Server Error"),
}  # fmt: skip


async def received(raw: bytes) -> HttpResponse | TransportError:
    """Return what the transport makes of an answer."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        assert length is not None
        await reader.readexactly(int(length[1]))
        writer.write(raw)
        await writer.drain()
        writer.close()

    transport = HttpTransport(timeout_s=5)
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        try:
            return await transport.send(HttpRequest("POST", f"http://127.0.0.1:{port}/2/httpapi", {}, b"{}"))
        except TransportError as problem:
            return problem
        finally:
            await transport.close()


@pytest.fixture(scope="module")
def answers() -> Iterator[dict[str, HttpResponse | TransportError]]:
    """Return what the transport makes of each answer."""

    async def all_received() -> dict[str, HttpResponse | TransportError]:
        return {name: await received(raw) for name, raw in ANSWERS.items()}

    return asyncio.run(all_received())


@pytest.mark.parametrize("name", ["http_v2", "attribution", "s2s"])
@pytest.mark.parametrize("gateway", ANSWERS)
def test_two_items_that_a_gateway_answers_so_end_and_all_others_arrive(gateway, name, answers, monkeypatch):
    """Each ends with the words of the one that answered, once, and with a remedy for a dead letter."""

    class Gateway(Vendor):
        def _answer(self, status: int, body: str) -> HttpResponse:
            answer = answers[gateway]
            if isinstance(answer, TransportError):
                raise answer
            return answer

    monkeypatch.setattr(test_lane_vendors, "Vendor", Gateway)
    kinds = [GOOD] * 40
    kinds[5] = kinds[13] = "999_page"
    store, vendor, filed = asyncio.run(played(name, kinds, every_s=60))
    states = {number: one.state for number, one in store.ended.items()}
    assert [n for n, kind in enumerate(filed) if kind == GOOD and states.get(n) != "delivered"] == []
    assert [n for n, kind in enumerate(filed) if kind != GOOD and states.get(n) != "dead"] == []
    assert vendor.requests < 150 + 4 * len(filed)
    for number in (5, 13):
        letter = store.ended[number]
        assert len(re.findall(r"answered \d+|http://127.0.0.1: ", letter.detail)) == 1, letter.detail
        assert "replay" in letter.remedy
        assert "Nothing is lost" not in letter.remedy
