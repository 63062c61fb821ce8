"""Login with an identity provider: OpenID Connect, authorization code with PKCE.

https://openid.net/specs/openid-connect-core-1_0.html, https://www.rfc-editor.org/rfc/rfc7636 (read 2026-11-27). The
provider's metadata and keys are read when somebody logs in, and kept for an hour; a key that is not among them makes
them be read once more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from secrets import token_urlsafe
from typing import Any, Final
from urllib.parse import urlencode

from msgspec import Struct

from flybridge.clock import Clock
from flybridge.config.console import Grant, OidcLogin
from flybridge.delivery.exchange import HttpRequest, Transport, json_object
from flybridge.errors import FlybridgeError
from flybridge.web.access.hosts import host_of, names_this_machine

CALLBACK: Final = "/oidc/callback"
KEPT_MS: Final = 3_600_000
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""Signatures with a key of the provider. Neither `none` nor one with a secret that both sides know."""
LEEWAY_S: Final = 60


class OidcRefused(FlybridgeError):
    """The login was refused or could not be checked. The text says why."""


class OidcFlow(Struct, frozen=True):
    """What the browser keeps in a signed cookie while somebody logs in at the provider."""

    state: str
    nonce: str
    verifier: str
    back: str
    ends_ms: int


class OidcUser(Struct, frozen=True):
    """Who has logged in, and their role."""

    name: str
    grant: Grant


class OidcProvider:
    """One identity provider."""

    def __init__(self, settings: OidcLogin, transport: Transport, clock: Clock) -> None:
        self._settings = settings
        self._transport = transport
        self._clock = clock
        self._metadata: dict[str, Any] = {}
        self._keys: dict[str, Any] = {}
        self._read_ms = 0

    async def begin(self, redirect_uri: str, back: str) -> tuple[str, OidcFlow]:
        """Return the address to send the browser to, and what has to be known when it comes back."""
        from authlib.oauth2.rfc7636 import create_s256_code_challenge  # noqa: PLC0415 - of a login alone

        metadata = await self._known()
        flow = OidcFlow(
            token_urlsafe(24), token_urlsafe(24), token_urlsafe(48), back, self._clock.now_ms() + 10 * 60_000
        )
        query = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self._settings.scopes),
            "state": flow.state,
            "nonce": flow.nonce,
            "code_challenge": create_s256_code_challenge(flow.verifier),
            "code_challenge_method": "S256",
        }
        address = str(metadata["authorization_endpoint"])
        return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}", flow

    async def finish(self, flow: OidcFlow, query: Mapping[str, str], redirect_uri: str) -> OidcUser:
        """Exchange the code for the identity, and check it. Raises `OidcRefused`."""
        if not query.get("state") or query["state"] != flow.state:
            raise OidcRefused("This answer does not belong to a login that was begun here.")
        if self._clock.now_ms() > flow.ends_ms:
            raise OidcRefused("The login took longer than ten minutes.")
        if "error" in query or not query.get("code"):
            raise OidcRefused("The identity provider did not let you in.")
        metadata = await self._known()
        if query.get("iss", metadata["issuer"]) != metadata["issuer"]:
            raise OidcRefused("The answer is that of another identity provider.")
        answer = await self._exchange(metadata, query["code"], flow.verifier, redirect_uri)
        claims = await self._claims(str(answer.get("id_token", "")), flow.nonce, str(answer.get("access_token", "")))
        return self._user(claims)

    async def _exchange(
        self, metadata: Mapping[str, Any], code: str, verifier: str, redirect_uri: str
    ) -> Mapping[str, Any]:
        from authlib.oauth2.auth import ClientAuth  # noqa: PLC0415 - of a login alone

        methods = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        method = "client_secret_basic" if "client_secret_basic" in methods else "client_secret_post"
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        client = ClientAuth(self._settings.client_id, self._settings.client_secret.reveal(), method)
        url, headers, body = client.prepare("POST", str(metadata["token_endpoint"]), headers, urlencode(form))
        return await self._ask(HttpRequest("POST", url, headers, body.encode()))

    async def _claims(self, id_token: str, nonce: str, access_token: str) -> Mapping[str, Any]:
        from authlib.oidc.core import CodeIDToken  # noqa: PLC0415 - of a login alone
        from joserfc import jwt  # noqa: PLC0415
        from joserfc.errors import JoseError  # noqa: PLC0415
        from joserfc.jwk import KeySet  # noqa: PLC0415

        now_s = self._clock.now_ms() // 1000
        for fresh in (False, True):
            metadata = await self._known(fresh=fresh)
            try:
                token = jwt.decode(id_token, KeySet.import_key_set(self._keys), algorithms=_offered(metadata))  # type: ignore[arg-type]
            except (JoseError, ValueError) as problem:
                if fresh:
                    raise OidcRefused(f"The identity token can't be verified ({type(problem).__name__}).") from None
                continue
            options = {
                "iss": {"essential": True, "value": metadata["issuer"]},
                "aud": {"essential": True, "value": self._settings.client_id},
            }
            params = {"nonce": nonce, "client_id": self._settings.client_id, "access_token": access_token}
            claims = CodeIDToken(token.claims, token.header, options, params)
            try:
                claims.validate(now=now_s, leeway=LEEWAY_S)
            except Exception as problem:  # Authlib has errors of several kinds for what does not fit
                raise OidcRefused(f"The identity token does not fit: {problem}.") from None
            return dict(token.claims)
        raise AssertionError("the second round returns or raises")

    def _user(self, claims: Mapping[str, Any]) -> OidcUser:
        email = claims.get("email") if isinstance(claims.get("email"), str) else ""
        if self._settings.domains:
            domain = str(email).rpartition("@")[2].lower()
            if claims.get("email_verified") is not True or domain not in {d.lower() for d in self._settings.domains}:
                raise OidcRefused("Your e-mail address is not verified, or not of a domain that may log in.")
        given = claims.get(self._settings.claim)
        listed = [given] if isinstance(given, str) else given if isinstance(given, list) else []
        grant = grant_of({str(one) for one in listed}, self._settings.read, self._settings.operate)
        if grant is None:
            raise OidcRefused(
                f"You are logged in, but no value of the claim {self._settings.claim!r} gives you a role here."
            )
        name = str(email or claims.get("preferred_username") or claims.get("sub"))
        return OidcUser(name[:80], grant)

    async def _known(self, *, fresh: bool = False) -> dict[str, Any]:
        """Return the provider's metadata, which is read together with its keys."""
        now_ms = self._clock.now_ms()
        if fresh or not self._metadata or not 0 <= now_ms - self._read_ms < KEPT_MS:
            issuer = self._settings.issuer.rstrip("/")
            metadata = await self._ask(HttpRequest("GET", f"{issuer}/.well-known/openid-configuration", {}, b""))
            if str(metadata.get("issuer", "")).rstrip("/") != issuer:
                raise OidcRefused("The identity provider calls itself by another name than console.oidc.issuer.")
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                _check_endpoint(name, metadata.get(name))
            keys = await self._ask(HttpRequest("GET", str(metadata["jwks_uri"]), {}, b""))
            self._metadata, self._keys, self._read_ms = dict(metadata), dict(keys), now_ms
        return self._metadata

    async def _ask(self, request: HttpRequest) -> Mapping[str, Any]:
        try:
            answer = await self._transport.send(request)
        except FlybridgeError as problem:
            raise OidcRefused(f"The identity provider does not answer: {problem}.") from None
        if answer.status != 200 or (found := json_object(answer.body)) is None:
            raise OidcRefused(f"The identity provider answers {answer.status}.")
        return found


def grant_of(values: Collection[str], read: Collection[str], operate: Collection[str]) -> Grant | None:
    """Return the role that these values give, the greater one; None if they give none. `*` stands for everybody."""
    if "*" in operate or set(values) & set(operate):
        return Grant.OPERATE
    return Grant.READ if "*" in read or set(values) & set(read) else None


def _offered(metadata: Mapping[str, Any]) -> list[str]:
    offered = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
    return [name for name in ALGORITHMS if name in offered]


def _check_endpoint(name: str, address: object) -> None:
    """Raise `OidcRefused` for an address that a password or a code must not be sent to."""
    fits = isinstance(address, str) and (
        address.startswith("https://") or (address.startswith("http://") and names_this_machine(host_of(address)))
    )
    if not fits:
        raise OidcRefused(f"The identity provider's {name} is not an https address.")
