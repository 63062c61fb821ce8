"""Audiences as tests need them."""

from __future__ import annotations

from typing import Any

from flybridge.audiences.rules import AudienceRule
from flybridge.audiences.settings import AudienceSettings


def audience_rule(app: str, name: str, cohort: str, identifier: Any, **settings: Any) -> AudienceRule:
    """Return the rule of an audience. `settings` are fields of `AudienceSettings`."""
    return AudienceRule(app, AudienceSettings(cohort=cohort, name=name, identifier=identifier, **settings))
