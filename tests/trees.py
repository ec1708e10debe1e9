"""Small dataset folders in every layout, for tests."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (10, 8)  # width, height


def picture(path: Path, seed: int, size: tuple[int, int] = SIZE) -> Path:
    """An RGB image of noise; the same seed gives the same pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def mask(path: Path, value: int = 255, size: tuple[int, int] = SIZE) -> Path:
    """A mask that marks its middle with one value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros((size[1], size[0]), dtype=np.uint8)
    values[size[1] // 4 : size[1] // 2 + 1, size[0] // 4 : size[0] // 2 + 1] = value
    Image.fromarray(values).save(path)
    return path


def product(
    folder: Path, *, seed: int = 0, masks: bool = True, good: str = "good", suffix: str = "_mask"
) -> Path:
    """One product in MVTec AD's layout: 3 train, 2 good and 2 + 2 defective test images."""
    start = 100 * seed
    for index in range(3):
        picture(folder / f"train/{good}/{index:03}.png", start + index)
    for index in range(2):
        picture(folder / f"test/{good}/{index:03}.png", start + 10 + index)
        for offset, defect in ((20, "crack"), (30, "dent")):
            picture(folder / f"test/{defect}/{index:03}.png", start + offset + index)
            if masks:
                mask(folder / f"ground_truth/{defect}/{index:03}{suffix}.png")
    return folder


def mvtec(root: Path, *names: str) -> Path:
    """Several products in MVTec AD's layout."""
    for seed, name in enumerate(names or ("bolt", "nut"), start=1):
        product(root / name, seed=seed)
    return root


def visa_raw(root: Path, *names: str) -> Path:
    """Raw VisA: upper-case JPEG names, masks of class indices, the split in a CSV file."""
    rows = []
    for seed, name in enumerate(names or ("candle", "pcb1"), start=1):
        for index in range(5):
            path = f"{name}/Data/Images/Normal/{index:04}.JPG"
            picture(root / path, 1000 * seed + index)
            rows.append([name, "train" if index < 3 else "test", "normal", path, ""])
        for index in range(2):
            path = f"{name}/Data/Images/Anomaly/{index:03}.JPG"
            truth = f"{name}/Data/Masks/Anomaly/{index:03}.png"
            picture(root / path, 1000 * seed + 50 + index)
            mask(root / truth, value=1 + index)
            rows.append([name, "test", "anomaly", path, truth])
        (root / name / "image_anno.csv").write_text("image,label,mask\n")
    write_split(root, rows)
    return root


def write_split(root: Path, rows: list[list[str]]) -> None:
    """The split file of raw VisA."""
    path = root / "split_csv/1cls.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["object", "split", "label", "image", "mask"], *rows])


def read_split(root: Path) -> list[list[str]]:
    """The rows of raw VisA's split file."""
    with (root / "split_csv/1cls.csv").open(newline="") as file:
        return list(csv.reader(file))[1:]


def visa_converted(root: Path) -> Path:
    """VisA as converted in public: folders good and bad, masks named after their image."""
    for seed, name in enumerate(("candle", "pcb1"), start=1):
        for index in range(3):
            picture(root / name / f"train/good/{index:04}.JPG", 100 * seed + index)
        picture(root / name / "test/good/0009.JPG", 100 * seed + 9)
        for index in range(2):
            picture(root / name / f"test/bad/{index:03}.JPG", 100 * seed + 20 + index)
            mask(root / name / f"ground_truth/bad/{index:03}.png", value=3)
    return root
