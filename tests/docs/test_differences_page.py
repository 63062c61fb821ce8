"""docs/reference/differences.md is what the code prints, and every cause and finding is complete."""

from flybridge.insight.causes import CAUSES, STEPS
from flybridge.insight.differences_page import parts
from flybridge.insight.findings import KINDS
from flybridge.insight.reconcile import CODES, OUTCOMES
from flybridge.records import OutcomeKind
from flybridge.system.reference_pages import printed


def test_the_page_is_what_the_code_prints(root):
    """Run `make pages` after a change."""
    text = (root / "docs/reference/differences.md").read_text(encoding="utf-8")
    assert text == printed(text, parts())


def test_every_cause_has_its_words():
    """A sentence for a marketer, a remedy, and what it is counted by."""
    for code, cause in CAUSES.items():
        assert code == cause.code
        assert cause.step in STEPS
        assert all((cause.title, cause.sentence, cause.remedy, cause.evidence))
        assert cause.sentence.endswith(".")
        assert cause.remedy.endswith(".")


def test_every_finding_has_its_words():
    """What makes it one, and what to do."""
    assert len(KINDS) == 10
    for kind in KINDS.values():
        assert all((kind.title, kind.remedy, kind.test))


def test_every_outcome_has_its_cause():
    """But for what was delivered."""
    assert set(OUTCOMES) == set(OutcomeKind) - {OutcomeKind.DELIVERED}
    assert {*CODES.values(), *OUTCOMES.values()} <= set(CAUSES)
