"""Files damaged at random are read rightly or refused with a reason; nothing else comes out."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data_prep.check import examine
from moleflow_lib.datasets.images import image_size, read_image, read_mask, require_same_size
from moleflow_lib.errors import DataError


def _encoded(suffix: str, mode: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    memory = io.BytesIO()
    extra = {} if suffix == "BMP" else {"exif": exif}
    Image.fromarray(noise).convert(mode).save(memory, format=suffix, **extra)
    return memory.getvalue()


FILES = {
    (suffix, mode): _encoded(suffix, mode)
    for suffix, modes in {
        "PNG": ("RGB", "P", "RGBA", "L", "1"),
        "JPEG": ("RGB", "L", "CMYK"),
        "BMP": ("RGB",),
        "TIFF": ("RGB", "LAB", "F"),
    }.items()
    for mode in modes
}


@settings(max_examples=250, deadline=None)
@given(data=st.data(), which=st.sampled_from(sorted(FILES)))
def test_damaged_files_raise_data_errors_only(tmp_path_factory, data, which):
    content = bytearray(FILES[which])
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    folder = tmp_path_factory.mktemp("damaged")
    path = folder / f"part/train/good/a.{which[0].lower()}"
    path.parent.mkdir(parents=True)
    path.write_bytes(content[:end])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of damaged metadata that it then leaves out
        outcomes = [_outcome(reader, path) for reader in (image_size, read_image, read_mask)]
        found = examine(folder)
    assert bool(found.errors) == (outcomes[1] == "refused"), "check says what reading does"


def _outcome(reader, path: Path) -> str:
    try:
        reader(path)
    except DataError as error:
        assert str(path) in str(error) and ";" in str(error), "names the file and says what to do"
        return "refused"
    return "read"


def test_the_size_of_a_mask_is_required():
    require_same_size(Path("mask.png"), (4, 3), (4, 3))
    with pytest.raises(DataError, match="is 3x4, its image is 4x3"):
        require_same_size(Path("mask.png"), (3, 4), (4, 3))
