"""Benchmarks on a few bytes: what they compute from samples, what they keep, and that each still runs to its page."""

import os
import pkgutil
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import benchmarks
from benchmarks import inprocess, many_files, measure, page, peers, sharing, stores
from benchmarks.measure import CommandFailedError, Cost, MismatchError, Recorder, Results, Sample, Tools, alternate
from benchmarks.plot import plot
from benchmarks.tables import Figure, Spread, rate, ratio_table, ratios, raw, table
from tests.support.folders import make_bytes

SIZE = Figure("size", raw("stored_bytes", of="raw_bytes"), digits=2, more_is_better=False)
SPEED = Figure("MB/s", rate("raw_bytes", "commit_s"))
MACHINE = {"cores": "2", "cpu": "a <quick> one", "memory": "8 GiB", "system": "Linux 6.1", "python": "3.12.0"}


def sample(store: str, run: int, stored: float, seconds: float, *, case: str = "tiny", benchmark: str = "peers") -> Sample:
    figures = {"raw_bytes": 100e6, "stored_bytes": stored * 1e6, "commit_s": seconds, "restore_s": seconds / 2}
    return Sample(benchmark, case, store, f"then#{run}", figures)


SAMPLES = [
    *(sample("cas_registry", run, 40, seconds) for run, seconds in ((1, 1.0), (2, 2.0), (3, 4.0))),
    *(sample("hf_xet", run, 50, seconds) for run, seconds in ((1, 2.0), (2, 2.5), (3, 2.0))),
    *(sample("restic", run, 80, seconds) for run, seconds in ((1, 4.0), (2, 4.0), (4, 4.0))),
    sample("cp", 1, 100, 0.1),
]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A folder of one series, two versions of a few kB."""
    for number in range(2):
        version = tmp_path / "series" / "tiny" / f"0{number}"
        (version / "sub").mkdir(parents=True)
        (version / "model.safetensors").write_bytes(make_bytes(1, 5_000) + make_bytes(number, 500))
        (version / "sub" / "config.json").write_text(f'{{"number": {number}}}')
    return tmp_path / "series"


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options of every benchmark; nothing waits for the disks of the machine."""
    monkeypatch.setattr(os, "sync", lambda: None)
    (tmp_path / "work").mkdir()
    return [
        "--runs", "1", "--work", str(tmp_path / "work"), "--venvs", str(tmp_path / "venvs"),
        "--json", str(tmp_path / "samples.json"), "--page", str(tmp_path / "page.md"),
    ]  # fmt: skip


# Figures


def test_a_table_shows_medians_with_their_spread_and_what_nobody_has_not_at_all() -> None:
    shown = table(SAMPLES, [SIZE, SPEED, Figure("nobody's", raw("requests"))], case="series")
    assert shown.splitlines() == [
        "| series | store | n | size | MB/s |",
        "| --- | --- | --- | --- | --- |",
        "| tiny | cas_registry | 3 | 0.40 | 50 (25-100) |",
        "|  | hf_xet | 3 | 0.50 | 50 (40-50) |",
        "|  | restic | 3 | 0.80 | 25 |",
        "|  | cp | 1 | 1.00 | 1,000 |",
    ]


def test_ratios_are_of_runs_that_stood_beside_each_other_against_the_best_other() -> None:
    size, speed = ratios(SAMPLES, [SIZE, SPEED], "cas_registry", ["restic", "hf_xet", "borg"])
    assert (size.other, speed.other) == ("hf_xet", "hf_xet")
    assert size.spread == Spread(0.8, 0.8, 0.8)
    assert speed.spread == Spread(0.5, 1.25, 2.0)
    assert speed.runs == 3
    (against_restic,) = ratios(SAMPLES, [SPEED], "cas_registry", ["restic"])
    assert (against_restic.runs, against_restic.spread) == (2, Spread(2.0, 3.0, 4.0))
    assert "| **1.25** (0.50-2.00) | 3 |" in ratio_table([speed], case="series", ours="cas_registry")
    assert ratios(SAMPLES, [SPEED], "cas_registry", ["borg"]) == []
    assert ratios(SAMPLES, [SPEED], "cas_registry", ["cp"])[0].runs == 1


def test_a_plot_has_a_bar_for_each_store_and_figure_on_one_scale() -> None:
    drawing = ET.fromstring(plot([*SAMPLES, sample("a <store>", 1, 20, 1, case="b & c")], [SIZE, SPEED], ours="cas_registry"))
    bars = [item for item in drawing.iter("{http://www.w3.org/2000/svg}rect") if item.get("fill") != "white"]
    assert len(bars) == 2 * (4 + 1)
    widths = [float(bar.get("width", "")) for bar in bars]
    assert widths[:4] == pytest.approx([190 * share for share in (0.4, 0.5, 0.8, 1)], abs=0.1)
    assert {bar.get("fill") for bar in bars[:1]} != {bar.get("fill") for bar in bars[1:4]}
    texts = [item.text for item in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert {"tiny", "b & c", "a <store>", "0.40", "1,000"} <= set(texts)


def test_a_page_has_the_sections_that_were_measured_and_the_plot_beside_it(tmp_path: Path) -> None:
    more = [sample("hf_xet", 1, 1, 2, benchmark="inprocess"), sample("cas_registry", 1, 1, 1, benchmark="inprocess")]
    page.write_page(Results(MACHINE, {"cp": "9.1"}, [*SAMPLES, *more]), tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    titles = [line for line in text.splitlines() if line.startswith("## ")]
    assert titles == ["## Against other stores", "## In one process, against hf_xet"]
    assert "2 cores of a <quick> one, 8 GiB of memory, Linux 6.1, Python 3.12.0; cp 9.1." in text
    assert "(page.svg)" in text
    ET.parse(tmp_path / "page.svg")


def test_a_page_is_built_from_several_files_of_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, store in enumerate(("cas_registry", "hf_xet")):
        Results(MACHINE, {store: "1"}, [item for item in SAMPLES if item.store == store]).save(tmp_path / f"{number}.json")
    monkeypatch.setattr(
        sys, "argv", ["page", *(str(tmp_path / f"{n}.json") for n in (0, 1)), "--page", str(tmp_path / "all.md")]
    )
    assert page.main() == 0
    assert "hf_xet: 0.500" in (tmp_path / "all.md").read_text()


# Samples


def test_samples_are_kept_and_found_again(tmp_path: Path) -> None:
    results = Results(MACHINE, {"cp": "9.1"}, SAMPLES)
    results.save(tmp_path / "samples.json")
    assert Results.load(tmp_path / "samples.json") == results
    assert [path.name for path in tmp_path.iterdir()] == ["samples.json"]
    assert len(results.select("peers", case="tiny", store="hf_xet")) == 3
    assert results.select("s3") == results.select("peers", case="other") == []


def test_samples_of_two_machines_or_versions_do_not_mix() -> None:
    results = Results(MACHINE, {"cp": "9.1"}, SAMPLES[:1])
    with pytest.raises(ValueError, match="two machines"):
        results.merge(Results({**MACHINE, "cores": "4"}))
    with pytest.raises(ValueError, match="cp"):
        results.merge(Results(MACHINE, {"cp": "9.2"}))
    results.merge(Results(MACHINE, {"cp": "9.1", "tar": "1"}, SAMPLES[1:3]))
    assert (results.samples, results.versions) == (SAMPLES[:3], {"cp": "9.1", "tar": "1"})


def test_a_session_adds_to_what_its_file_holds(tmp_path: Path) -> None:
    for run in (1, 2):
        recorder = Recorder("peers", tmp_path / "samples.json")
        recorder.know("cp", "9.1")
        recorder.add("tiny", "cp", run, {"raw_bytes": run})
    kept = Results.load(tmp_path / "samples.json")
    assert [item.figures for item in kept.samples] == [{"raw_bytes": 1}, {"raw_bytes": 2}]
    assert kept.machine == measure.machine()


def test_what_fails_is_told_and_the_rest_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    recorder = Recorder("peers", None)
    for error in (CommandFailedError("ended with 3"), MismatchError("differs")):
        with recorder.guard("tiny", "cp"):
            raise error
    with pytest.raises(ZeroDivisionError), recorder.guard("tiny", "cp"):
        raise ZeroDivisionError
    assert recorder.failures == ["tiny cp"] * 2
    assert recorder.exit_status() == 1
    assert "ended with 3" in capsys.readouterr().err
    assert Recorder("peers", None).exit_status() == 0


def test_stores_take_turns_and_each_run_begins_with_another() -> None:
    assert list(alternate(3, "ab")) == [(1, "a"), (1, "b"), (2, "b"), (2, "a"), (3, "a"), (3, "b")]
    assert list(alternate(3, "")) == []


def test_a_process_is_measured_to_its_end_and_its_failure_is_not_a_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sync", lambda: None)
    script = "import os; print(sorted(os.environ)); b = b'x' * (64 << 20)"
    cost = measure.run([sys.executable, "-c", script], cwd=tmp_path, environment={"LANG": "C.UTF-8"})
    assert cost.seconds > 0
    assert cost.peak_mib > 64
    assert "HOME" not in cost.output
    with pytest.raises(CommandFailedError, match=r"ended with 3:\nbad"):
        measure.run([sys.executable, "-c", "print('bad'); exit(3)"], cwd=tmp_path, environment={})


def test_folders_are_the_same_only_to_the_last_byte(tmp_path: Path) -> None:
    for name in ("left", "right"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "file").write_bytes(b"the same")
    left, right = tmp_path / "left", tmp_path / "right"
    (right / ".reg").write_bytes(b"")
    measure.check_same(left, right, ignoring=(".reg",))
    for data in (b"the sama", b"the sam", b"the same "):
        (right / "sub" / "file").write_bytes(data)
        with pytest.raises(MismatchError):
            measure.check_same(left, right, ignoring=(".reg",))
    (right / "sub" / "file").write_bytes(b"the same")
    with pytest.raises(MismatchError):
        measure.check_same(left, right)


# Whole benchmarks


def test_peers_measures_whole_processes_and_writes_its_page(tiny: Path, shared: list[str], tmp_path: Path) -> None:
    assert peers.main([str(tiny), "--only", "cas_registry", "cp", *shared]) == 0
    kept = Results.load(tmp_path / "samples.json")
    figures = {item.store: item.figures for item in kept.select("peers", case="tiny")}
    assert figures["cp"]["stored_bytes"] == figures["cp"]["raw_bytes"] == figures["cas_registry"]["raw_bytes"]
    assert figures["cas_registry"]["stored_bytes"] > 5_500
    assert all(value > 0 for found in figures.values() for value in found.values())
    assert {"cas_registry", "cp"} == kept.versions.keys()
    assert "| tiny | cas_registry | 1 |" in (tmp_path / "page.md").read_text()
    assert list((tmp_path / "work").iterdir()) == []


def test_a_byte_that_differs_after_a_restore_gives_no_sample_and_no_page(
    tiny: Path, shared: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore = stores.Cp.restore

    def damage(self: stores.Cp, number: int, out: Path) -> Cost:
        cost = restore(self, number, out)
        (out / "sub" / "config.json").write_text('{"number": 7}')
        return cost

    monkeypatch.setattr(stores.Cp, "restore", damage)
    assert peers.main([str(tiny), "--only", "cp", *shared]) == 1
    assert not (tmp_path / "samples.json").exists()
    assert not (tmp_path / "page.md").exists()


def test_inprocess_measures_the_api(tiny: Path, shared: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tools, "python", lambda *_: None)  # hf_xet, where it is there
    assert inprocess.main([str(tiny), *shared]) == 0
    (found,) = Results.load(tmp_path / "samples.json").select("inprocess", case="tiny", store="cas_registry")
    assert all(value > 0 for value in found.figures.values())
    assert "## In one process" in (tmp_path / "page.md").read_text()


def test_sharing_measures_what_a_store_grows_by(tiny: Path, shared: list[str], tmp_path: Path) -> None:
    (tiny / "tiny").rename(tiny / sharing.BASE)
    derived = tmp_path / "derived" / "renamed"
    derived.mkdir(parents=True)
    (derived / "other.bin").write_bytes((tiny / sharing.BASE / "01" / sharing.WEIGHTS).read_bytes())
    assert sharing.main([str(derived.parent), str(tiny), "--only", "cas_registry", *shared]) == 0
    (found,) = Results.load(tmp_path / "samples.json").select("sharing", case="renamed")
    assert 0 < found.figures["new_bytes"] < found.figures["raw_bytes"] == 5_500
    assert "| renamed | cas_registry | 1 |" in (tmp_path / "page.md").read_text()


def test_many_files_measures_a_first_and_an_unchanged_commit(shared: list[str], tmp_path: Path) -> None:
    assert many_files.main(["--files", "20", "--bytes", "50", *shared]) == 0
    first, unchanged = Results.load(tmp_path / "samples.json").select("many_files")
    assert (first.figures["files"], first.figures["files_read"]) == (20, 20)
    assert unchanged.case.endswith("unchanged commit")
    assert "## Many files" in (tmp_path / "page.md").read_text()


def test_every_script_can_be_imported_without_what_only_some_need() -> None:
    names = [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if not module.ispkg]
    assert {"peers", "series", "derived", "s3", "real_model"} <= set(names)
    absent = dict.fromkeys(("torch", "transformers", "safetensors", "hf_xet", "obstore"))
    imports = ", ".join(f"benchmarks.{name}" for name in names if name != "__main__")
    script = f"import sys; sys.modules.update({absent}); import {imports}"
    measure.run([sys.executable, "-c", script], cwd=measure.ROOT, environment={})
