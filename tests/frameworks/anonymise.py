"""Takes the folders of the machine that made them out of PyTorch's archives: stack traces hold them, which nothing needs.

    python anonymise.py FILE..

Programs (JSON) keep the names of files, TorchScript's archives lose what only debuggers read (`*.debug_pkl`). All else stays as it is, byte for byte.
"""

import re
import sys
import zipfile
from pathlib import Path

# A folder, up to the name of a file of Python.
FOLDER = re.compile(rb"(?:/[\w.@+-]+)+/(?=[\w.@+-]+\.py\b)")


def anonymise(path):
    """Rewrites an archive in place. Says whether something changed."""
    with zipfile.ZipFile(path) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    kept = [(info, FOLDER.sub(b"", data) if info.filename.endswith(".json") else data) for info, data in members if not info.filename.endswith(".debug_pkl")]
    if [data for _, data in kept] == [data for _, data in members]:
        return False
    new = path.with_name(path.name + ".new")
    with zipfile.ZipFile(new, "w") as archive:
        for info, data in kept:
            archive.writestr(zipfile.ZipInfo(info.filename), data, info.compress_type, 9)
    new.replace(path)
    return True


if __name__ == "__main__":
    for name in sys.argv[1:]:
        if anonymise(Path(name)):
            print(f"{name}: without folders")
