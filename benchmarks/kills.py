"""`python -m benchmarks.kills --trials N`: runs killed at random moments, continued, and compared.

Each trial starts a small run, sends SIGKILL, SIGTERM or SIGINT at a random moment (some trials twice), gives
the same command again, and compares every number of every result file and the hash of every stored tensor
file and of every file of the learned detector with those of an undisturbed run. It also looks for processes
that outlive the run (Linux), temporary files and locks that stay, and an index that says something else.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from data_prep.draw import draw_demo

__all__ = ["compare", "main"]

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_MARK = "MOLEFLOW_KILL_TRIAL"  # environment variable by which a trial's processes are found
_TIMES = ("second", "time_utc", "images/s", "summary_text", "tiles", "text", "out_dir", "commit")
_PATIENCE = 20.0  # seconds that processes have to go after the signal
_TINY = (
    "image_size=56 eval_size=56 epochs=8 coupling_layers=2 lora_rank=4 control_backbone=none "
    "baselines=memory_bank ablations=top_k=1 ablation_seeds=0 ablation_orders=none"
)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One command, and how to start it again."""

    words: tuple[str, ...]
    out: Path

    def started(self, mark: str = "") -> subprocess.Popen:
        """The command as a process of its own session, its output kept beside its folder."""
        log = self.out.with_suffix(".log").open("ab")
        with log:
            return subprocess.Popen(
                [*self.words, "--out", str(self.out)],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, _MARK: mark},
            )

    def told(self) -> str:
        """What it printed so far."""
        return self.out.with_suffix(".log").read_text(errors="replace")


def main() -> int:
    """Exit status: 0 if every trial ended like the undisturbed run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=__doc__)
    parser.add_argument("--trials", type=int, default=12, help="how many runs to kill (default 12)")
    parser.add_argument("--seed", type=int, default=0, help="of moments and signals")
    parser.add_argument("--notebooks", default="02,03", help="which ones a run has (default 02,03)")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="kills-") as place:
        words = _words(Path(place), options.notebooks)
        whole = Trial(words=words, out=Path(place) / "whole")
        start = time.monotonic()
        if whole.started().wait() != 0:
            raise SystemExit(f"the undisturbed run failed:\n{whole.told()[-3000:]}")
        duration = time.monotonic() - start
        print(f"an undisturbed run takes {duration:.0f} s", flush=True)
        for number in range(options.trials):
            trial = Trial(words=words, out=Path(place) / f"trial{number}")
            moments = [rng.uniform(0, duration) for _ in range(rng.choice((1, 1, 2)))]
            chosen = [rng.choice(SIGNALS) for _ in moments]
            problems = [told for pair in zip(chosen, moments, strict=True) for told in _killed(trial, *pair)]
            problems += _continued(trial, whole)
            how = ", ".join(f"{s.name} at {m:.1f} s" for s, m in zip(chosen, moments, strict=True))
            print(f"trial {number} ({how}): {'; '.join(problems) or 'equal'}", flush=True)
            counts.update(s.name for s in chosen)
            counts["failed" if problems else "equal"] += 1
    sent = ", ".join(f"{counts[s.name]} {s.name}" for s in SIGNALS)
    print(f"{counts['equal']} of {options.trials} killed runs continued to equal numbers and hashes ({sent})")
    return 1 if counts["failed"] else 0


def compare(one: Path, other: Path) -> list[str]:
    """Where two run folders differ in a number of a result file or in the content of a stored tensor file.

    Wall-clock times, and sentences that hold them, are left out.
    """
    facts, others = _facts(one), _facts(other)
    wrong = sorted(name for name in facts.keys() | others.keys() if facts.get(name) != others.get(name))
    return [f"{name}: {facts.get(name)!r} is not {others.get(name)!r}" for name in wrong[:5]]


def _words(place: Path, notebooks: str) -> tuple[str, ...]:
    data = draw_demo(place / "demo", train=6, test_good=4, test_defect=4, size=64)
    given = ["--preset", "demo", "--dataset-root", str(data), "--classes", "leather,nut,board"]
    options = [word for option in _TINY.split() for word in ("-p", option)]
    chosen = ["--device", "cpu", "--notebooks", notebooks]
    return (sys.executable, "-m", "moleflow_lib", "run", *given, *chosen, *options)


def _killed(trial: Trial, number: signal.Signals, moment: float) -> Iterator[str]:
    """Start the run, stop it at the moment; yields what it left that it should not."""
    mark = uuid.uuid4().hex
    process = trial.started(mark)
    try:
        process.wait(timeout=moment)
    except subprocess.TimeoutExpired:
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)  # a terminal sends it to all
    status = process.wait(timeout=120)
    expected = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[number]
    if status not in (expected, 0) and moment > 1:  # Python's own start knows no handler yet
        yield f"status {status} after {number.name}, expected {expected}"
    if "Traceback" in trial.told() and moment > 1:
        yield f"a traceback after {number.name}"
    deadline = time.monotonic() + _PATIENCE
    while (left := _processes(mark)) and time.monotonic() < deadline:
        time.sleep(0.5)
    if left:
        yield f"{len(left)} process(es) outlive {number.name}"


def _continued(trial: Trial, whole: Trial) -> Iterator[str]:
    """Give the same command again; yields in what it differs from the undisturbed run."""
    status = trial.started().wait()
    if status != 0:
        yield f"continued with status {status}: {trial.told()[-1000:]}"
        return
    yield from compare(trial.out, whole.out)
    if left := [path.name for path in trial.out.rglob(".*")]:
        yield f"leaves {', '.join(left)}"
    if "All notebooks of this run finished" not in (trial.out / "index.html").read_text():
        yield "its index does not say that it finished"


def _facts(out: Path) -> dict[str, object]:
    """Every number of the result files by its place, and the hash of every tensor file by its name."""
    found: dict[str, object] = {}
    for path in sorted(out.glob("*.result.json")):
        found |= {f"{path.name}:{place}": value for place, value in _leaves(json.loads(path.read_text()))}
    for folder in ("store", "detector"):
        for path in sorted((out / folder).rglob("*.safetensors")):
            found[str(path.relative_to(out))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _leaves(value: object, place: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if not any(word in name for word in _TIMES):
                yield from _leaves(inner, f"{place}.{name}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{place}[{index}]")
    else:
        yield place, value


def _processes(mark: str) -> list[int]:
    """Processes that were started with a mark in their environment and are no zombies (Linux)."""
    wanted = f"{_MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes() and ") Z " not in (folder / "stat").read_text():
                found.append(int(folder.name))
        except OSError:  # gone meanwhile, or somebody else's
            continue
    return found


if __name__ == "__main__":
    sys.exit(main())
