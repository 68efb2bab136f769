"""Processes of a flow run or of a data folder, found by their environment."""

import psutil  # type: ignore[import-untyped]

from deployments.run_processes import RUN


def processes_of(run: str) -> list[psutil.Process]:
    """Every process of a flow run."""
    return [process for process in psutil.process_iter() if environment_of(process).get(RUN) == run]


def engine_of(run: str) -> psutil.Process:
    """The process that runs the flow."""
    found = processes_of(run)
    [engine] = [process for process in found if process.ppid() not in {other.pid for other in found}]
    return engine


def processes_with(name: str, value: str) -> list[psutil.Process]:
    """Every process with this variable in its environment, except zombies."""
    return [process for process in psutil.process_iter() if environment_of(process).get(name) == value]


def environment_of(process: psutil.Process) -> dict[str, str]:
    try:
        return {} if process.status() == psutil.STATUS_ZOMBIE else dict(process.environ())
    except (psutil.Error, OSError):
        return {}


def command_of(process: psutil.Process) -> list[str]:
    """The command line of a process; empty if it ended in the meantime."""
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
