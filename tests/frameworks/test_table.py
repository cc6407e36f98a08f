"""Which adapter is asked, in which order, and those that other packages bring."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import cas_registry as reg
from cas_registry.errors import InvalidInputError, UnsupportedFormatError
from cas_registry.frameworks.adapter import is_a
from cas_registry.frameworks.listing import _installed, known_frameworks
from cas_registry.frameworks.table import TABLE, adapter_for, adapter_named, adapters

PAGE = Path(__file__).parents[2] / "docs" / "frameworks.md"


def test_every_adapter_is_called_as_in_the_table_and_holds_to_the_rules() -> None:
    assert [adapter.name for adapter in adapters()] == list(TABLE)
    for adapter in adapters():
        assert adapter.formats or adapter.pickle_formats, adapter.name
        assert not set(adapter.formats) & set(adapter.pickle_formats), adapter.name
        assert adapter.modules or adapter.name == "files"
        assert adapter_named(adapter.name) == adapter
        assert adapter.needs_pickle("a format of nobody")


def test_an_object_is_of_no_framework_that_is_not_loaded() -> None:
    program = """
        import sys
        from cas_registry.frameworks.table import adapter_for, adapters
        for adapter in adapters():
            adapter.matches(object())
        try:
            adapter_for(object())
        except Exception as error:
            assert "scikit-learn" in str(error), error
        roots = {name.partition(".")[0] for name in sys.modules}
        own = {root for adapter in adapters() for root in adapter.modules}
        assert not roots & own, roots & own
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)


def test_a_type_that_nobody_knows_is_told_what_is_known() -> None:
    with pytest.raises(
        InvalidInputError, match=r"nobody knows how to save a builtins\.complex; known are .*scikit-learn.*files"
    ) as caught:
        adapter_for(1j)
    assert caught.value.fields["known"] == list(TABLE)


def test_an_adapter_that_is_named_is_asked_first_if_the_object_is_one_of_its(tmp_path: Path) -> None:
    for preferred in ("files", "numpy", "nowhere"):
        assert adapter_for(PAGE, preferred=preferred).name == "files"
    model = reg.init(tmp_path / "registry", cache_folder=tmp_path / "cache").model("m")
    model.save(PAGE, options={"adapter": "files"})
    for name in ("numpy", "nowhere"):
        with pytest.raises(
            InvalidInputError, match=f"'{name}' saves none of these objects, which are of files; adapters are .*numpy"
        ):
            model.save(PAGE, options={"adapter": name})


def test_an_adapter_that_is_not_here_is_named() -> None:
    with pytest.raises(UnsupportedFormatError, match="'nowhere'"):
        adapter_named("nowhere")


def test_classes_are_looked_up_among_what_is_loaded() -> None:
    assert is_a(PAGE, "pathlib:Path")
    assert not is_a(1, "pathlib:Path", "no.such.module:Thing", "pathlib:nothing", "pathlib:sys")


def test_the_list_tells_what_is_installed() -> None:
    found = {known.name: known for known in known_frameworks()}
    assert list(found) == list(TABLE)
    assert found["files"].is_installed
    assert found["numpy"].libraries["numpy"]
    assert all(known.is_ours for known in found.values())


def test_a_library_may_be_installed_under_another_name() -> None:
    assert _installed("numpy-of-nobody", "numpy") == _installed("numpy", "numpy")
    assert _installed("numpy-of-nobody", "no_such_module.part") is None


# Those of others


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A framework, and the adapter of docs/frameworks.md, installed as packages of others are."""
    site = tmp_path / "site"
    (site / "acme_registry-1.0.dist-info").mkdir(parents=True)
    (site / "acme-3.2.dist-info").mkdir()
    (toml,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    entry = re.search(r'^acme = "(.*)"$', toml, re.MULTILINE)
    assert entry
    (site / "acme_registry-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-registry\nVersion: 1.0\n")
    (site / "acme_registry-1.0.dist-info" / "entry_points.txt").write_text(f"[cas_registry.frameworks]\nacme = {entry[1]}\n")
    (site / "acme-3.2.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 3.2\n")
    (site / "acme.py").write_text("class Ranker:\n    def __init__(self, weights):\n        self.weights = weights\n")
    (code,) = re.findall(r"<!-- adapter -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.splitlines()) <= 25
    (site / "acme_registry.py").write_text(code)
    monkeypatch.syspath_prepend(site)
    import acme as made

    yield made
    for name in ("acme", "acme_registry"):
        sys.modules.pop(name, None)


def test_the_adapter_of_the_docs_saves_and_loads(acme, tmp_path: Path) -> None:
    model = reg.init(tmp_path / "registry", cache_folder=tmp_path / "cache").model("m")
    model.save(acme.Ranker({"a": 0.5}))
    assert model.load("main").weights == {"a": 0.5}
    (stored,) = model.manifest("main").objects.values()
    assert (stored.adapter, stored.kind, stored.format, stored.versions) == ("acme", "acme.Ranker", "json", {"acme": "3.2"})
    assert model.show("main").commit.params == {"terms": 1}
    assert [known.name for known in known_frameworks() if not known.is_ours] == ["acme"]


def test_an_adapter_that_cannot_be_loaded_keeps_nobody_from_working(acme, tmp_path: Path) -> None:
    (tmp_path / "site" / "acme_registry.py").write_text("raise RuntimeError('broken')\n")
    with pytest.warns(RuntimeWarning, match="acme.*broken"):
        assert adapter_for(PAGE).name == "files"


def test_an_adapter_under_another_name_is_refused(acme, tmp_path: Path) -> None:
    code = (tmp_path / "site" / "acme_registry.py").read_text()
    (tmp_path / "site" / "acme_registry.py").write_text(code.replace('"acme", ("acme",)', '"scikit-learn", ("acme",)'))
    with pytest.raises(InvalidInputError, match="not an Adapter called 'acme'"):
        adapter_named("acme")
