"""Re-make the vendored browser libraries from their published packages: `python static/vendor/refresh.py`.

Reads `manifest.json` beside this file, fetches each package with `npm pack`, compares its integrity with the manifest
and copies the listed files to `<name>-<version>/`, without the scope of a name. No Node build takes place.
"""

import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def refresh(library: dict[str, object]) -> None:
    """Fetch one library and copy its files.

    Raises:
        SystemExit: the package is not the one the manifest names.
    """
    name, version = str(library["name"]), str(library["version"])
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["npm", "pack", f"{name}@{version}", "--silent"], cwd=folder, check=True, stdout=subprocess.DEVNULL
        )
        archive = next(Path(folder).glob("*.tgz"))
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if integrity != library["integrity"]:
            sys.exit(f"{name} {version}: integrity is {integrity}, the manifest says {library['integrity']}")
        target = HERE / f"{name.rpartition('/')[2]}-{version}"
        target.mkdir(exist_ok=True)
        files = library["files"]
        assert isinstance(files, dict)
        with tarfile.open(archive) as package:
            for source, wanted in files.items():
                member = package.extractfile(f"package/{source}")
                assert member is not None, source
                (target / wanted).write_bytes(member.read())
    print(f"{name} {version}: {len(files)} files")


if __name__ == "__main__":
    for entry in json.loads((HERE / "manifest.json").read_text()):
        refresh(entry)
