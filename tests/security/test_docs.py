import re

from tests.servers import ROOT


def test_the_tests_that_hold_the_promises_are_there() -> None:
    named = re.findall(r"tests/[\w/]+\.py", (ROOT / "docs/security.md").read_text(encoding="utf-8"))
    assert len(named) > 40
    assert [name for name in named if not (ROOT / name).is_file()] == []
