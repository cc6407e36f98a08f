"""modelstore in a process of its own: modelstore_folder.py commit STORE FOLDER | modelstore_folder.py restore STORE ID OUT

The weights go in as the model, the other files as extras; a restored version is laid out as it was before.
"""

import sys
from pathlib import Path

from modelstore import ModelStore


def commit(store: ModelStore, folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    weights = max(files, key=lambda path: (path.suffix == ".safetensors", path.stat().st_size))
    extras = [str(path) for path in files if path != weights]
    report = store.upload("series", model=str(weights), **({"extras": extras} if extras else {}))
    print(report["model"]["model_id"])


def restore(store: ModelStore, identifier: str, out: Path) -> None:
    store.download(str(out), "series", identifier)
    (out / "model-info.json").unlink(missing_ok=True)
    if (out / "extras").is_dir():
        for path in (out / "extras").iterdir():
            path.rename(out / path.name)
        (out / "extras").rmdir()


def main(verb: str, place: str, *arguments: str) -> None:
    store = ModelStore.from_file_system(root_directory=place, create_directory=True)
    if verb == "commit":
        commit(store, Path(arguments[0]))
    else:
        restore(store, arguments[0], Path(arguments[1]))


if __name__ == "__main__":
    main(*sys.argv[1:])
