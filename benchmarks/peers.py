"""Other tools at the same job: 64 trials that each start a process, from the start of the command to its end.

Each is installed into a virtual environment of its own below ``.venv-peers`` and run by the script that its
documentation would have one write.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.command import seconds
from benchmarks.report import Figure

ROOT = Path(".venv-peers").absolute()

RAY = """
import subprocess, sys, ray
from ray import tune
def trial(config):
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    tune.report({"x": config["x"]})
ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
tuner = tune.Tuner(
    trial,
    param_space={"x": tune.grid_search(list(range(64)))},
    tune_config=tune.TuneConfig(reuse_actors=REUSE),
)
assert len(tuner.fit()) == 64
"""

SUBMITIT = """
import subprocess, sys, submitit
def trial(x):
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return x
executor = submitit.AutoExecutor(folder="log", cluster="local")
jobs = executor.map_array(trial, range(64))
assert [job.result() for job in jobs] == list(range(64))
"""

METAFLOW = """
import subprocess, sys
from metaflow import FlowSpec, step
class Sweep(FlowSpec):
    @step
    def start(self):
        self.points = list(range(64))
        self.next(self.trial, foreach="points")
    @step
    def trial(self):
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        self.x = self.input
        self.next(self.join)
    @step
    def join(self, inputs):
        assert len([i.x for i in inputs]) == 64
        self.next(self.end)
    @step
    def end(self):
        pass
if __name__ == "__main__":
    Sweep()
"""

PEERS = {
    "Ray Tune": ("ray[tune]", RAY.replace("REUSE", "False"), []),
    "Ray Tune, reuse_actors": ("ray[tune]", RAY.replace("REUSE", "True"), []),
    "submitit": ("submitit", SUBMITIT, []),
    "metaflow": ("metaflow", METAFLOW, ["run", "--max-workers", "2"]),
}


def interpreter(requirement: str) -> str:
    """Of the environment that this package is in, which is made if need be."""
    folder = ROOT / requirement.partition("[")[0]
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", requirement], check=True)
    return str(python)


def run(ours: float) -> list[Figure]:
    """How many times our wall time each takes; ``ours`` in seconds."""
    figures = []
    for name, (requirement, script, args) in PEERS.items():
        python = interpreter(requirement)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "sweep.py")
            path.write_text(script)
            env = {
                "PATH": "/usr/bin:/bin", "HOME": folder, "USERNAME": "benchmark", "METAFLOW_HOME": folder,
                "RAY_AIR_NEW_OUTPUT": "0",
            }  # fmt: skip
            took = seconds(["sh", "-c", 'cd "$0" && exec "$@"', folder, python, str(path), *args], env)
        figures.append(Figure(f"64 trials, ours against {name}", ours / took, "times its wall time", most=1.0,
                              note=f"({ours:.2f} s and {took:.2f} s)"))  # fmt: skip
    return figures
