"""Every way of setting a parameter in a notebook acts or is refused; none is ignored."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import ConfigError
from moleflow_lib.reporting import notebook
from moleflow_lib.reporting.notebook import notebook_config, write_result
from moleflow_lib.reporting.parameters import parameter_names

CELL = 'preset = "demo"\nepochs = 5\nlr = ""'


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch):
    """Runs cells one after another as a kernel would, then reads the configuration."""

    def run(*cells: str) -> ExperimentConfig:
        namespace: dict[str, object] = {}
        for source in cells:
            exec(source, namespace)
        shell = SimpleNamespace(user_ns={"In": ["", *cells, "cfg = notebook_config(globals())"]})
        monkeypatch.setattr(notebook, "get_ipython", lambda: shell)
        return notebook_config(namespace)

    return run


@pytest.mark.parametrize(
    "cells",
    [
        (CELL.replace("epochs = 5", "epochs = 7"),),
        (CELL.replace("epochs = 5", "epochs: int = 7"),),
        (CELL, "epochs = 7"),
        (CELL, "epochs: int = 7"),
        (CELL, "import math\nepochs = int(math.sqrt(49))"),
        (CELL, "epochs, lr = 7, 1e-3"),
        (CELL, "epochs += 2"),
        (CELL, "# Parameters\nepochs = 7"),
        ('epochs = 7\nbackbone = "filterbank"', 'preset = "demo"'),
        ("epochs = 1\npreset = 'demo'\nbatch_size = 3", CELL.replace("epochs = 5", "epochs = 7")),
    ],
)
def test_it_acts(read, cells: tuple[str, ...]) -> None:
    config = read(*cells)
    assert config.train.epochs == 7 and config.run.preset == "demo"
    assert config.train.batch_size == 8, "an earlier version of the parameters cell no longer counts"


def test_a_parameters_cell_without_its_preset_acts(read) -> None:
    config = read('epochs = 7\nbackbone = "filterbank"\nimage_size = 56')
    assert (config.train.epochs, config.features.backbone, config.data.image_size) == (7, "filterbank", 56)
    assert config.run.preset == "v5_final"


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ((CELL + "\nepoch = 7",), "unknown parameter 'epoch', did you mean 'epochs'"),
        ((CELL + "\nepoch: int = 7",), "unknown parameter 'epoch'"),
        ((CELL, "epoch = 7"), "unknown parameter 'epoch', did you mean 'epochs'"),
        ((CELL, "epochs = 7\nmy_note = 1"), "unknown parameter 'my_note'"),
        (("epochs = 7\nlearning_rate = 1e-3",), "unknown parameter 'learning_rate'"),
        ((CELL, "# Parameters\nanything = 7"), "unknown parameter 'anything'"),
        ((CELL, "epochs = 'many'"), "epochs"),
        ((CELL, "class Device: ...\ndevice = Device()"), "device"),
    ],
)
def test_it_is_refused(read, cells: tuple[str, ...], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read(*cells)


def test_names_of_the_work_itself_are_no_parameters(read) -> None:
    work = ("scores = {'nut': 1.0}", "for x in range(3):\n    y = x", "%matplotlib inline", "a +", "f = abs")
    assert parameter_names([CELL, *work]) == ["preset", "epochs", "lr"]


def test_a_published_result_is_left_alone(tmp_path: Path) -> None:
    config = ExperimentConfig.from_params({"preset": "demo", "out_dir": str(tmp_path), "device": "cpu"})
    assert write_result(config, "01_x", {"v": 1}, ["One."]) == "01_x.result.json"
    before = (tmp_path / "01_x.result.json").read_bytes()
    (tmp_path / "01_x.html").write_text("<p>published")
    assert write_result(config, "01_x", {"v": 2}, ["Two."]) == "01_x.interactive.result.json"
    assert (tmp_path / "01_x.result.json").read_bytes() == before
