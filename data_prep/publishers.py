"""The public datasets: where their publishers keep them, under which licence, and how many images.

Addresses and hashes stand here and nowhere else. A hash that no source confirms is None: the
archive is then unpacked unchecked, and the user is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["COUNTS", "PUBLISHERS", "Publisher", "published_counts"]


@dataclass(frozen=True, kw_only=True)
class Publisher:
    """One public dataset: its page, its archive, and its licence."""

    title: str
    page: str  # the page to visit by hand
    archive: str  # name of the archive file there
    url: str | None  # direct address of the archive; None: by hand only
    sha256: str | None  # hash of the archive; None: not known
    size: int  # bytes of the archive
    licence: str
    licence_url: str
    citation: str
    package: str | None = None  # PyPI package that installs the images; then nothing is fetched here


PUBLISHERS: Mapping[str, Publisher] = MappingProxyType(
    {
        "mvtec": Publisher(
            title="MVTec AD",
            page="https://www.mvtec.com/company/research/datasets/mvtec-ad/downloads",
            archive="mvtec_anomaly_detection.tar.xz",
            url="https://www.mydrive.ch/shares/150996/b52ecdcbf521176e9db9c731f2304b27/"
            "download/420938113-1629960298/mvtec_anomaly_detection.tar.xz",
            sha256="cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d",
            size=5_264_982_680,
            licence="CC BY-NC-SA 4.0: no commercial use",
            licence_url="https://creativecommons.org/licenses/by-nc-sa/4.0/",
            citation="Bergmann et al., The MVTec Anomaly Detection Dataset, IJCV 129 (2021)",
        ),
        "visa": Publisher(
            title="VisA",
            page="https://github.com/amazon-science/spot-diff#data-download",
            archive="VisA_20220922.tar",
            url="https://amazon-visual-anomaly.s3.us-west-2.amazonaws.com/VisA_20220922.tar",
            sha256="2eb8690c803ab37de0324772964100169ec8ba1fa3f7e94291c9ca673f40f362",
            size=1_929_840_640,
            licence="CC BY 4.0: name the authors",
            licence_url="https://creativecommons.org/licenses/by/4.0/",
            citation="Zou et al., SPot-the-Difference Self-Supervised Pre-training, ECCV 2022",
        ),
        "mpdd": Publisher(
            title="MPDD",
            page="https://github.com/stepanje/MPDD",
            archive="MPDD.zip",
            url=None,
            sha256=None,
            size=1_825_041_283,
            licence="CC BY-NC-SA 4.0: no commercial use",
            licence_url="https://creativecommons.org/licenses/by-nc-sa/4.0/",
            citation="Jezek et al., Deep learning-based defect detection of metal parts, ICUMT 2021",
        ),
        "elpv": Publisher(
            title="ELPV",
            page="https://github.com/zae-bayern/elpv-dataset",
            archive="elpv_dataset-1.0.0.post1-py3-none-any.whl",
            url=None,
            sha256=None,
            size=90_801_454,
            licence="CC BY-NC-SA 4.0: no commercial use",
            licence_url="https://creativecommons.org/licenses/by-nc-sa/4.0/",
            citation="Buerhop-Lutz et al., A Benchmark for Visual Identification of Defective Solar Cells in "
            "Electroluminescence Imagery, EU PVSEC 2018",
            package="elpv-dataset",
        ),
    }
)

# Product to (train, good test, defective test) images, as published; MPDD's paper gives totals only.
COUNTS: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {
        "bottle": (209, 20, 63),
        "cable": (224, 58, 92),
        "capsule": (219, 23, 109),
        "carpet": (280, 28, 89),
        "grid": (264, 21, 57),
        "hazelnut": (391, 40, 70),
        "leather": (245, 32, 92),
        "metal_nut": (220, 22, 93),
        "pill": (267, 26, 141),
        "screw": (320, 41, 119),
        "tile": (230, 33, 84),
        "toothbrush": (60, 12, 30),
        "transistor": (213, 60, 40),
        "wood": (247, 19, 60),
        "zipper": (240, 32, 119),
        "candle": (900, 100, 100),
        "capsules": (542, 60, 100),
        "cashew": (450, 50, 100),
        "chewinggum": (453, 50, 100),
        "fryum": (450, 50, 100),
        "macaroni1": (900, 100, 100),
        "macaroni2": (900, 100, 100),
        "pcb1": (904, 100, 100),
        "pcb2": (901, 100, 100),
        "pcb3": (905, 101, 100),
        "pcb4": (904, 101, 100),
        "pipe_fryum": (450, 50, 100),
    }
)


def published_counts(products: Iterable[str]) -> Mapping[str, tuple[int, int, int]]:
    """The published counts that a dataset is held to: none if it also has products nobody published.

    >>> dict(published_counts(["bottle"])), dict(published_counts(["bottle", "my_part"]))
    ({'bottle': (209, 20, 63)}, {})
    """
    names = list(products)
    return {name: COUNTS[name] for name in names} if all(name in COUNTS for name in names) else {}
