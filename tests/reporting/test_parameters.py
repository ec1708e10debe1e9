"""What a notebook's cells, papermill and a command line may say: every way acts or is refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from moleflow_lib.cli import main
from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import ConfigError
from moleflow_lib.reporting import notebook
from moleflow_lib.reporting.notebook import write_result
from moleflow_lib.reporting.parameters import parameter_names, read_parameters
from tests import trees

Session = Callable[..., ExperimentConfig]
CELL = 'preset = "demo"\nepochs = 5\nlr = ""'
PARAMETERS = 'preset = "v5_final"\ndataset_root = "data/mine"\nbackbone = "filterbank"\n'


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """Cells as a kernel has seen them; those that do not parse never ran."""
    shell = InteractiveShell.instance()
    monkeypatch.setattr(notebook, "get_ipython", lambda: shell)
    monkeypatch.setattr(notebook, "leave_with_parent", lambda _: None)

    def run(*cells: str) -> ExperimentConfig:
        names: dict[str, object] = {}
        for cell in cells:
            try:
                exec(compile(cell, "cell", "exec"), names)
            except SyntaxError:
                continue
        monkeypatch.setitem(shell.user_ns, "In", ["", *cells])
        return notebook.notebook_config(names)

    yield run
    InteractiveShell.clear_instance()


def test_annotated_chained_and_unpacked_parameters_act(session: Session) -> None:
    cfg = session(
        PARAMETERS + "epochs: int = 5\nbatch_size = top_k = 6\n(lr, seed), warmup_steps = (1e-3, 4), 7"
    )
    assert (cfg.train.epochs, cfg.train.batch_size, cfg.score.top_k) == (5, 6, 6)
    assert (cfg.train.lr, cfg.train.seed, cfg.train.warmup_steps) == (1e-3, 4, 7)
    with pytest.raises(ConfigError, match="did you mean 'epochs'"):
        session('preset: str = "v5_final"\nepochz: int = 3')


@pytest.mark.parametrize(
    "typo", ["print('hello'", "epochs = = 5", PARAMETERS + "epochs = = 5", "%%time\nx = ("]
)
def test_a_cell_that_does_not_parse_is_passed_over(session: Session, typo: str) -> None:
    assert session(typo, PARAMETERS + "epochs = 5").train.epochs == 5
    assert session(PARAMETERS + "epochs = 5", typo).train.epochs == 5


@pytest.mark.parametrize(
    "cell", ["%%time\nx = 1", "!echo hi", "files = !ls", "%matplotlib --list", "os?", "await f()"]
)
def test_magics_and_shell_lines_are_no_obstacle(session: Session, cell: str) -> None:
    assert session(cell, PARAMETERS + "epochs = 5", cell).train.epochs == 5


def test_an_option_set_in_a_cell_of_its_own_acts(session: Session) -> None:
    assert session("epochs = 3", PARAMETERS, "epochs = 5", "rows = 2").train.epochs == 5
    assert session("epochs = 3", PARAMETERS).train.epochs == 3, "set before the parameters cell, it acts too"
    assert session(PARAMETERS + "epochs = 3", PARAMETERS).train.epochs == 40, (
        "the parameters cell, run again, is the last word"
    )


def test_paths_are_meant_from_where_they_are_written(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    here = tmp_path / "repository" / "notebooks"
    here.mkdir(parents=True)
    (here / "01_feature_extraction.ipynb").touch()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    cfg = session(PARAMETERS, '# Parameters\nout_dir = "../mine"')
    assert Path(cfg.run.dataset_root) == here.parent / "data/mine", "of the notebook: from the repository"
    assert os.path.normpath(cfg.run.out_dir) == str(here.parent / "mine"), (
        "of a command: from where it is given"
    )
    cfg = session(PARAMETERS + 'out_dir = "~/runs"', '# Parameters\ndataset_root = "~/data"')
    assert (cfg.run.out_dir, cfg.run.dataset_root) == (str(home / "runs"), str(home / "data"))
    assert ExperimentConfig.from_params({"out_dir": "~/x"}).run.out_dir == str(home / "x")


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        ('["nut","bolt"]', ("nut", "bolt")),
        ("['nut']", ("nut",)),
        ("[nut, bolt]", ("nut", "bolt")),
        ('[["a", "b"], "c"]', ("a+b", "c")),
        (["nut", "bolt"], ("nut", "bolt")),
        ("nut, bolt", ("nut", "bolt")),
        ("none", ("none",)),
        ('["true", "001", "2024-01-01"]', ("true", "001", "2024-01-01")),
        (2024, ("2024",)),
        ([1, 2], ("1", "2")),
        ("__init__,*b*,_a_", ("__init__", "*b*", "_a_")),
        ("nan,null", ("nan", "null")),
    ],
)
def test_lists_of_names(raw: object, names: tuple[str, ...]) -> None:
    assert ExperimentConfig.from_params({"classes": raw}).data.classes == names


@pytest.mark.parametrize("raw", [True, 1.5, [True], {"a": 1}, [None]])
def test_names_that_became_something_else_are_refused_with_the_remedy(raw: object) -> None:
    with pytest.raises(ConfigError, match="in quotes"):
        ExperimentConfig.from_params({"classes": raw})


def test_a_presets_own_products_are_not_asked_of_other_data(tmp_path: Path) -> None:
    trees.mvtec(tmp_path / "own", "bolt", "nut")
    own = read_parameters({"preset": "demo", "dataset_root": str(tmp_path / "own")})
    assert own.data.classes == own.study.ablation_classes == own.study.ablation_orders == ()
    assert own.flow.coupling_layers == 2, "the rest of the preset holds"
    trees.mvtec(tmp_path / "drawn", "leather", "grid", "nut", "board", "more")
    drawn = read_parameters({"preset": "demo", "dataset_root": str(tmp_path / "drawn")})
    assert drawn.data.classes == ("leather", "grid", "nut", "board")
    assert drawn.study.ablation_classes == ("grid", "nut")
    named = read_parameters({"preset": "demo", "dataset_root": str(tmp_path / "own"), "classes": "nut"})
    assert named.data.classes == ("nut",)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("image_size=100000", "image_size: expected 32 … 4096"),
        ("eval_size=1000000", "eval_size: expected 14 … 4096"),
        ("smoothing_sigma=1e9", "smoothing_sigma: expected 0 … 256"),
        ("lora_rank=1000000", "lora_rank: expected 0 … 4096"),
        ("dia_blocks=5000", "dia_blocks: expected 0 … 64"),
        ("batch_size=1e12", "batch_size: expected 1 … 65536"),
    ],
)
def test_values_beyond_reason_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture, option: str, told: str
) -> None:
    out = tmp_path / "out"
    assert main(["run", "--dataset-root", str(tmp_path), "--out", str(out), "-p", option]) == 2
    assert told in capfd.readouterr().err and not out.exists()


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
def test_it_acts(session: Session, cells: tuple[str, ...]) -> None:
    config = session(*cells)
    assert config.train.epochs == 7 and config.run.preset == "demo"
    assert config.train.batch_size == 16, "an earlier version of the parameters cell no longer counts"


def test_a_parameters_cell_without_its_preset_acts(session: Session) -> None:
    config = session('epochs = 7\nbackbone = "filterbank"\nimage_size = 56')
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
def test_it_is_refused(session: Session, cells: tuple[str, ...], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        session(*cells)


def test_names_of_the_work_itself_are_no_parameters(session: Session) -> None:
    work = ("scores = {'nut': 1.0}", "for x in range(3):\n    y = x", "%matplotlib inline", "a +", "f = abs")
    assert parameter_names([CELL, *work]) == ["preset", "epochs", "lr"]


def test_a_published_result_is_left_alone(tmp_path: Path) -> None:
    config = ExperimentConfig.from_params({"preset": "demo", "out_dir": str(tmp_path), "device": "cpu"})
    assert write_result(config, "01_x", {"v": 1}, ["One."]) == "01_x.result.json"
    before = (tmp_path / "01_x.result.json").read_bytes()
    (tmp_path / "01_x.html").write_text("<p>published")
    assert write_result(config, "01_x", {"v": 2}, ["Two."]) == "01_x.interactive.result.json"
    assert (tmp_path / "01_x.result.json").read_bytes() == before
