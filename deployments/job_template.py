"""The base job template of a Docker or Kubernetes work pool: Prefect's own with the values of `job_templates.yaml`.

Command: `python -m deployments.job_template kubernetes > kubernetes.json`, for `prefect work-pool create`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import yaml

VALUES = Path(__file__).with_name("job_templates.yaml")


def job_template(pool_type: str) -> dict[str, Any]:
    """The template of a pool type that `job_templates.yaml` has; needs its worker (`pip install -e .[containers]`)."""
    from prefect.workers.base import BaseWorker

    values = yaml.safe_load(VALUES.read_text(encoding="utf-8"))[pool_type]
    worker = BaseWorker.get_worker_class_from_type(pool_type)
    if worker is None:
        raise SystemExit(
            f"error: Prefect's {pool_type} worker is not installed: pip install -c requirements.lock -e '.[containers]'"
        )
    template = worker.get_default_base_job_template()
    variables = template["variables"]["properties"]
    variables |= values.get("variables", {})
    for name, default in values["defaults"].items():
        variables[name]["default"] = default
    if "job_manifest" in values:
        template["job_configuration"]["job_manifest"] = values["job_manifest"]
    return template


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m deployments.job_template", description=__doc__.partition("\n")[0])
    parser.add_argument("pool_type", choices=["docker", "kubernetes"])
    print(json.dumps(job_template(parser.parse_args().pool_type), indent=2))
