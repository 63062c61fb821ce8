"""What is installed: a wheel with all that the package reads at run time."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[2]


def test_every_file_of_the_package_is_in_the_wheel(tmp_path):
    """SQL, templates, styles, the description of the doors: a file left out is missed only by who installs it."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    source = ROOT / "src"
    files = {
        path.relative_to(source).as_posix()
        for path in (source / "flybridge").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"openapi.json", "py.typed", "001_store.sql"} <= {name.rpartition("/")[2] for name in files}
    assert files - packed == set()
