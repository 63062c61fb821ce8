"""A stand-in for an identity provider: discovery, keys, and a token endpoint that checks what it is sent."""

from __future__ import annotations

import hashlib
import json
import time
from base64 import b64decode, urlsafe_b64encode
from urllib.parse import unquote

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT = ("flybridge", "the secret: of the client")


class Issuer:
    """Lets everybody in as the claims that a test sets. `break_it` changes the token before it is signed."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "one"})
        self.signing_key = self.key
        self.claims = {"sub": "1", "email": "ann@example.com", "email_verified": True, "groups": ["ops"]}
        self.header = {"alg": "RS256", "kid": "one"}
        self.origin = ""
        self.asked: dict[str, dict[str, str]] = {}
        self.name = ""

    def app(self) -> web.Application:
        """Return the server."""
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._discover)
        app.router.add_get("/keys", self._keys)
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/token", self._token)
        return app

    async def _discover(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.name or self.origin,
                "authorization_endpoint": f"{self.origin}/authorize",
                "token_endpoint": f"{self.origin}/token",
                "jwks_uri": f"{self.origin}/keys",
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    async def _keys(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": [self.key.as_dict(private=False)]})

    async def _authorize(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT[0]
        assert query["code_challenge_method"] == "S256"
        code = f"code-{len(self.asked)}"
        self.asked[code] = query
        raise web.HTTPFound(f"{query['redirect_uri']}?code={code}&state={query['state']}")

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        asked = self.asked.pop(str(form["code"]), None)
        user, _, secret = b64decode(request.headers["Authorization"].split()[1]).decode().partition(":")
        challenge = urlsafe_b64encode(hashlib.sha256(str(form["code_verifier"]).encode()).digest()).decode().rstrip("=")
        fits = asked and challenge == asked["code_challenge"] and form["redirect_uri"] == asked["redirect_uri"]
        if not fits or (unquote(user), unquote(secret)) != CLIENT:
            return web.Response(text=json.dumps({"error": "invalid_grant"}), status=400)
        now = int(time.time())
        claims = {"iss": self.origin, "aud": CLIENT[0], "iat": now, "exp": now + 60, "nonce": asked["nonce"]}
        token = jwt.encode(self.header, {**claims, **self.claims}, self.signing_key)
        return web.json_response({"access_token": "a", "token_type": "Bearer", "id_token": token})
