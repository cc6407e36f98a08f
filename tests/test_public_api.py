"""The public surface: what is exported, frozen, typed, loaded, and never shown."""

import dataclasses
import importlib
import inspect
import json
import pkgutil
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import numpy.typing as npt
import pytest

import cas_registry as reg
from cas_registry import errors, registry
from cas_registry.operations.bisect import BisectReport
from cas_registry.operations.blame import BlameReport
from cas_registry.operations.capture import Captured
from cas_registry.operations.card import Card
from cas_registry.operations.check_inputs import InputCheck, InputsReport
from cas_registry.operations.checkout import CheckoutPlan, CheckoutReport
from cas_registry.operations.commit import CommitReport
from cas_registry.operations.comparison import Comparison
from cas_registry.operations.deploy import Deployment, Reload
from cas_registry.operations.diff import VersionDiff
from cas_registry.operations.findings import FsckReport
from cas_registry.operations.history import LogRecord
from cas_registry.operations.importing.engine import ImportedTag, ImportedVersion, ImportReport
from cas_registry.operations.ladder import CodecShare, Ladder
from cas_registry.operations.notes import NoteRecord, NoteReport
from cas_registry.operations.origins import Lineage
from cas_registry.operations.plan import CommitPlan
from cas_registry.operations.promotion import Assessment
from cas_registry.operations.refs import MoveReport
from cas_registry.operations.repack import RepackReport
from cas_registry.operations.repair import RepairReport
from cas_registry.operations.rules import Verdict
from cas_registry.operations.signing import Signer, SignReport, Verification
from cas_registry.operations.stages import Board, Standing
from cas_registry.operations.stats import ModelStats, RegistryStats
from cas_registry.operations.status import StatusReport
from cas_registry.operations.usage import Family, ModelUsage, UsageReport
from cas_registry.operations.watching import Change
from cas_registry.store.refs import Move, Version
from tests.support.folders import File, write_folder

HEAVY = (
    "numpy",
    "fsspec",
    "s3fs",
    "aiobotocore",
    "botocore",
    "rich",
    "click",
    "asyncio",
    "pathspec",
    "pyfastcdc",
    "blake3",
    "zstandard",
)
REPORTS = [Assessment, BisectReport, BlameReport, Board, Captured, Card, Change, CheckoutPlan, CheckoutReport, CodecShare, CommitPlan, CommitReport, Comparison, Deployment, Family, FsckReport, InputCheck, InputsReport, Ladder, Lineage, LogRecord, ModelStats, ModelUsage, Move, MoveReport, NoteRecord, NoteReport, RegistryStats, Reload, RepackReport, RepairReport, SignReport, Signer, Standing, StatusReport, UsageReport, Verdict, Verification, Version, VersionDiff]  # fmt: skip
REPORTS = [Change, CheckoutPlan, CheckoutReport, CodecShare, CommitPlan, CommitReport, Deployment, FsckReport, Ladder, LogRecord, ModelStats, Move, MoveReport, RegistryStats, Reload, RepackReport, RepairReport, SignReport, Signer, StatusReport, Verification, Version, VersionDiff]  # fmt: skip
REPORTS = [Assessment, Board, CheckoutReport, CodecShare, CommitPlan, CommitReport, FsckReport, Ladder, LogRecord, ModelStats, Move, MoveReport, NoteRecord, NoteReport, RegistryStats, RepackReport, RepairReport, SignReport, Signer, Standing, StatusReport, Verdict, Verification, Version, VersionDiff]  # fmt: skip
REPORTS = [Captured, Card, CheckoutReport, CodecShare, CommitPlan, CommitReport, FsckReport, InputCheck, InputsReport, Ladder, LogRecord, ModelStats, Move, MoveReport, RegistryStats, RepackReport, RepairReport, SignReport, Signer, StatusReport, Verification, Version, VersionDiff]  # fmt: skip
REPORTS = [BisectReport, BlameReport, CheckoutReport, CodecShare, CommitPlan, CommitReport, Comparison, Family, FsckReport, ImportReport, ImportedTag, ImportedVersion, Ladder, Lineage, LogRecord, ModelStats, ModelUsage, Move, MoveReport, RegistryStats, RepackReport, RepairReport, SignReport, Signer, StatusReport, UsageReport, Verification, Version, VersionDiff]  # fmt: skip
SECRET = "hunter2-SECRET/abcdefghijklmnop"


def test_what_is_exported_is_sorted_there_and_documented() -> None:
    assert reg.__all__ == sorted(reg.__all__)
    assert set(reg.__all__) == {"Model", "Registry", "__version__", "errors", "init", "open"}
    for name in set(reg.__all__) - {"__version__"}:
        assert inspect.getdoc(getattr(reg, name)), name
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", reg.__version__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        reg.nothing  # noqa: B018 - the access is what is tested


def test_the_package_says_that_it_is_typed() -> None:
    assert resources.files("cas_registry").joinpath("py.typed").is_file()


@pytest.mark.parametrize("kind", [reg.Registry, reg.Model])
def test_every_public_method_is_typed_and_says_what_it_does(kind: type) -> None:
    members = {name: member for name, member in inspect.getmembers(kind) if not name.startswith("_")}
    assert len(members) >= 8
    for name, member in members.items():
        function = member.fget if isinstance(member, property) else member
        exported = {name: getattr(registry, name) for name in registry.__all__}
        hints = get_type_hints(function, localns={**exported, "np": np, "npt": npt})  # the face loads what is called
        assert "return" in hints, name
        parameters = list(inspect.signature(function).parameters.values())[1:]
        assert {parameter.name for parameter in parameters} <= hints.keys(), name
        assert inspect.getdoc(function) or name == "name", name
        positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is not p.empty]
        assert not any(isinstance(parameter.default, bool) for parameter in positional), f"{name} takes a boolean by position"


@pytest.mark.parametrize("kind", REPORTS, ids=lambda kind: kind.__name__)
def test_reports_are_frozen_and_hold_no_room_for_more(kind: type) -> None:
    assert dataclasses.is_dataclass(kind)
    assert kind.__dataclass_params__.frozen
    assert "__slots__" in vars(kind)
    assert kind.__doc__


def test_a_report_cannot_be_changed(tmp_path: Path) -> None:
    made = reg.init(tmp_path / "registry", cache_folder=tmp_path / "cache")
    report = made.model("m").commit(write_folder(tmp_path / "work", {"a": File(b"a")}))
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.created = False
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        report.note = "more"


def test_every_error_is_of_the_tree_with_a_code_and_an_exit_status_of_its_own() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.RegistryError)]
    assert len(kinds) >= 15
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert {kind.exit_code for kind in kinds} <= {1, 2, 3, 4, 5, 6, 7, 8, 75}


# What is loaded


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert _loaded("import cas_registry") & set(HEAVY) == set()


def test_a_local_registry_loads_no_driver_and_no_event_loop(tmp_path: Path) -> None:
    reg.init(tmp_path / "registry", cache_folder=tmp_path / "cache")
    loaded = _loaded(
        f"import cas_registry as reg; reg.open({str(tmp_path / 'registry')!r}, cache_folder={str(tmp_path)!r}).models()"
    )
    assert loaded & {"numpy", "fsspec", "s3fs", "botocore", "rich", "click", "asyncio", "pathspec"} == set()


def _loaded(code: str) -> set[str]:
    program = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_every_module_can_be_imported_and_opens_with_what_it_is_for() -> None:
    names = [
        module.name for module in pkgutil.walk_packages(reg.__path__, "cas_registry.") if not module.name.endswith("__main__")
    ]
    assert len(names) > 50
    undocumented = [name for name in names if not (importlib.import_module(name).__doc__ or "").strip()]
    assert [name for name in undocumented if not name.endswith((".cli", ".version"))] == []


# What is never shown


def test_no_repr_and_no_error_shows_a_secret(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "key": "AKIAABCDEFGHIJKLMNOP", "secret": SECRET, "client_kwargs": {"endpoint_url": "http://127.0.0.1:9", "region_name": "us-east-1"},
    }  # fmt: skip
    with pytest.raises(errors.RegistryError) as caught:
        reg.open("s3://bucket/registry", storage_options={**options, "config_kwargs": {"connect_timeout": 1}})
    seen = [str(caught.value), repr(caught.value), repr(caught.value.fields), repr(caught.value.__cause__)]
    for url in (f"s3://AKIAABCDEFGHIJKLMNOP:{SECRET.replace('/', '%2F')}@bucket/r", f"s3://bucket/r?X-Amz-Signature={SECRET}"):
        for action in (reg.open, reg.init):
            with pytest.raises(errors.InvalidInputError, match="carries credentials or a query") as refused:
                action(url)
            seen += [str(refused.value), repr(refused.value), repr(refused.value.fields)]
    made = reg.init(tmp_path / "registry", storage_options=None, cache_folder=tmp_path / "cache")
    seen += [repr(made), repr(made.model("m")), made.url]
    for text in seen:
        assert SECRET not in text
        assert "hunter2" not in text
        assert "AKIAABCDEFGHIJKLMNOP" not in text


def test_reprs_are_short_and_say_what_and_where(tmp_path: Path) -> None:
    made = reg.init(tmp_path / "registry", cache_folder=tmp_path / "cache")
    assert repr(made) == f"Registry({str(tmp_path / 'registry')!r})"
    assert repr(made.model("fraud")) == f"Model('fraud' of {str(tmp_path / 'registry')!r})"


def test_the_edge_of_the_package_is_the_face() -> None:
    assert registry.Registry is reg.Registry
    assert registry.Model is reg.Model
