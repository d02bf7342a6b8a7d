"""How the huggingface image reads images: out of ZIPs, in several processes at once, and as a person sees them.

`pytest tests/containers/test_huggingface_image_files.py`
"""

import io
import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture

from local.cloud import Image
from tests.containers.image_data import png

READ = """
import json, pickle, sys
from multiprocessing import get_context
from pathlib import Path
from training_containers.common.contract import TrainingError
from training_containers.huggingface.images import ImageFiles, in_folders

folder = Path(sys.argv[1])
files = ImageFiles(folder)
lines = sorted(in_folders(folder), key=lambda line: line["file_name"])

def read(line):
    try:
        image = files.image(line)
    except TrainingError as error:
        return str(error)
    return [*image.size, image.mode, *image.getpixel((0, 0))]

alone = [read(line) for line in lines]
with get_context("fork").Pool(4) as pool:  # the archive is open already
    together = pool.map(read, lines * 20, chunksize=1)
files = pickle.loads(pickle.dumps(files))
same = {"together": together == alone * 20, "pickled": read(lines[0]) == alone[0]}
print(json.dumps({"lines": lines, "alone": alone, **same}))
"""


def of_mode(mode: str, value: Any) -> bytes:
    return png(Picture.new(mode, (3, 2), value))


@pytest.mark.thorough
def test_images_are_read_as_a_person_sees_them_by_any_number_of_processes(
    huggingface_image: Image, tmp_path: Path
) -> None:
    turned = io.BytesIO()
    exif = Picture.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Picture.new("RGB", (3, 2), (200, 10, 10)).save(turned, "PNG", exif=exif)
    deep = png(Picture.fromarray(np.full((2, 3), 51400, np.uint16)))
    members = {
        "straße/ä.png": of_mode("RGB", (1, 2, 3)),
        "straße/b.png": turned.getvalue(),
        "weg/c.png": deep,
        "weg/d.png": of_mode("RGBA", (9, 8, 7, 255)),
        "weg/e.png": b"no image",
        "__MACOSX/weg/c.png": b"",
        "weg/.f.png": b"",
        "weg/notes.txt": b"",
    }
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    done = subprocess.run(
        [huggingface_image.python, "-c", READ, tmp_path],
        cwd=huggingface_image.directory,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    by_name = {line["file_name"]: one for line, one in zip(found["lines"], found["alone"], strict=True)}
    assert {line["file_name"]: line["label"] for line in found["lines"]} == {
        name: name.partition("/")[0] for name in list(members)[:5]
    }
    assert by_name["straße/ä.png"] == [3, 2, "RGB", 1, 2, 3]
    assert by_name["straße/b.png"] == [2, 3, "RGB", 200, 10, 10]
    assert by_name["weg/c.png"] == [3, 2, "RGB", 200, 200, 200]
    assert by_name["weg/d.png"] == [3, 2, "RGB", 9, 8, 7]
    assert by_name["weg/e.png"].startswith("The image 'weg/e.png' is no image that can be read")
    assert found["together"] and found["pickled"]
