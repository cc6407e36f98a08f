"""reg frameworks, and what reg show tells of objects."""

from pathlib import Path

import numpy as np
import pytest

import cas_registry as reg
from cas_registry.frameworks.table import TABLE
from cas_registry.model.manifest import MANIFEST
from tests.cli.shell import Shell


def test_the_list_says_what_is_known_and_what_is_missing(shell: Shell, monkeypatch: pytest.MonkeyPatch):
    assert shell.reg("frameworks", "-q").lines == list(TABLE)
    found = {known["name"]: known for known in shell.reg("frameworks", "--json").json["frameworks"]}
    assert found["numpy"]["libraries"] == [{"name": "numpy", "version": np.__version__}]
    assert (found["scikit-learn"]["formats"], found["scikit-learn"]["pickle_formats"]) == (["skops"], ["joblib"])
    monkeypatch.setattr("cas_registry.frameworks.listing.TABLE", {})
    monkeypatch.setattr("cas_registry.frameworks.listing._installed", lambda name, _: None if name == "numpy" else "1.0")
    shown = shell.reg("frameworks").stdout
    assert "without numpy" in shown
    assert "always there" in shown  # files need nothing
    assert not any(known["built_in"] for known in shell.reg("frameworks", "--json").json["frameworks"])


def test_show_tells_which_framework_and_whether_pickle_is_needed(story: Shell, tmp_path: Path):
    from sklearn.linear_model import LinearRegression

    url = story.reg("doctor", "--json").json["registry"]
    model = reg.open(url).model("fraud")
    estimator = LinearRegression().fit(np.eye(3), [1.0, 2.0, 3.0])
    estimator.odd = 1j  # only pickle has it
    model.save(estimator, branch="objects", allow_pickle=True, weights=np.eye(2))
    shown = story.reg("show", "objects").stdout
    assert "scikit-learn (joblib)" in shown
    assert "needs allow_pickle" in shown
    assert "as data" in shown
    found = story.reg("show", "objects", "--json").json["objects"]
    assert found["model"]["needs_pickle"] is True
    assert found["model"]["files"] == ["model/model.joblib"]
    assert (found["weights"]["format"], found["weights"]["needs_pickle"]) == ("npz", False)
    assert story.reg("show", "main", "--json").json["objects"] == {}


def test_a_damaged_manifest_does_not_keep_the_rest_from_being_shown(story: Shell):
    Path("odd").mkdir()
    (Path("odd") / MANIFEST).write_text("{")
    story.reg("commit", "odd", "-b", "odd")
    assert story.reg("show", "odd", "--json").json["objects"] == {}
