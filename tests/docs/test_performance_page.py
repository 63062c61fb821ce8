"""docs/reference/performance.md is what the code prints, and describes every metric."""

from flybridge.insight.costs import COLUMNS
from flybridge.insight.metrics import DEFAULT, METRICS
from flybridge.insight.page import parts
from flybridge.store.performance import OTHER
from flybridge.system.reference_pages import printed


def test_the_page_is_what_the_code_prints(root):
    """Run `make pages` after a change."""
    text = (root / "docs/reference/performance.md").read_text(encoding="utf-8")
    assert text == printed(text, parts())
    assert ",".join(COLUMNS) in text
    assert f"**`{OTHER}`**" in text


def test_every_metric_is_described():
    """Those of a day after the install once, for all days."""
    text = parts()["metrics"]
    for metric in METRICS.values():
        name = metric.name if metric.horizon is None else metric.name.rpartition("_d")[0] + "_dN"
        assert f"| `{name}` | {metric.unit} |" in text
        assert metric.title
        assert metric.formula
    assert set(DEFAULT) <= set(METRICS)
