"""The bar, on a screen that is a file."""

import io
import re
import sys

import pytest

from cas_registry.cli.progress import progress_bar


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_a_stage_is_called_is_shown_as_it_is_without_what_a_terminal_would_obey(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    with progress_bar(wanted=True, wait_s=60) as bar:
        bar.start()
        bar.update("import Fraud/[/x] \x1b]0;evil\x07: hash", 1, 0)
        bar.update("list", 20, 0)
        bar.update("hash", 1, 2)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert r"Import Fraud/[/x] \x1b]0;evil\x07: hash" in shown
    assert "Listing versions" in shown
    assert "Reading" in shown
