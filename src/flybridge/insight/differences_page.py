"""The tables of docs/reference/differences.md, printed from the causes and findings."""

from __future__ import annotations

from collections.abc import Mapping

from flybridge.insight.causes import CAUSES, STEPS
from flybridge.insight.findings import KINDS
from flybridge.system.reference_pages import print_page, table


def parts() -> Mapping[str, str]:
    """Return the printed parts of the page by name."""
    findings = ((f"{one.title} (`{one.code}`)", one.test, one.remedy) for one in KINDS.values())
    return {
        "causes": "\n\n".join(f"## {title}\n\n{_causes(step)}" for step, title in STEPS.items()),
        "findings": table(("finding", "when", "what to do"), findings),
    }


def _causes(step: str) -> str:
    causes = [one for one in CAUSES.values() if one.step == step]
    cells = ((f"{one.title} (`{one.code}`)", one.sentence, one.evidence, one.remedy) for one in causes)
    return table(("cause", "what it is", "counted by", "what to do"), cells)


if __name__ == "__main__":
    print_page(parts())
