"""Sample: prompts → samples, from a release, a folder or a hub id. Command: `python flows/sample.py "you can"`.

What comes in: prompts, a model and sampling parameters. What it leaves: the samples, and how many of them are
sentences of the template where the release holds one. The command starts no Prefect server, to be quick.
"""

from pathlib import Path
from typing import Any

from prefect import flow
from pydantic import BaseModel

from flows.cli.command import run
from tasks.base_model import find_sampled_model
from tasks.observability.logs import start_run
from tasks.parameters import ReleaseParameters, SampledModelParameters, SamplingParameters
from tasks.samples import count_valid, show_samples, write_samples
from tasks.stage.contents import read_stored_templates


class Written(BaseModel):
    """The samples that a model wrote."""

    model: str
    samples: list[dict[str, Any]]
    valid: int | None
    """Samples that are sentences of the release's templates; None where it holds none."""


def write(
    prompts: tuple[str, ...] = (),
    *,
    model: SampledModelParameters = SampledModelParameters(),
    sampling: SamplingParameters = SamplingParameters(),
    release: ReleaseParameters = ReleaseParameters(),
) -> Written:
    """Find and verify the model, and write samples with it; needs no Prefect server."""
    reference = find_sampled_model(model, release)
    samples = write_samples(reference, sampling.model_copy(update={"prompts": prompts or sampling.prompts}))
    templates = [] if reference.path is None else read_stored_templates(Path(reference.load_from) / "templates.json")
    return Written(model=reference.name, samples=samples, valid=count_valid(samples, templates))


@flow(name="sample", log_prints=True)
def sample(
    prompts: tuple[str, ...] = (),
    *,
    model: SampledModelParameters = SampledModelParameters(),
    sampling: SamplingParameters = SamplingParameters(),
    release: ReleaseParameters = ReleaseParameters(),
) -> Written:
    """Write samples with a release, a folder or a hub id.

    Args:
        prompts: Prompts to continue. Default: those of sampling.prompts.
        model: Which model writes the samples.
        sampling: How it writes them.
        release: Where to look for the newest release.
    """
    start_run()
    written = write(prompts, model=model, sampling=sampling, release=release)
    show_samples(written.model, written.samples)
    return written


def summary(written: Written) -> str:
    """The samples as text, with their prompts."""
    lines = [one["document"] for one in written.samples]
    if written.valid is not None:
        lines.append(f"({written.valid:,} of {len(written.samples):,} are sentences of the template)")
    return "\n".join(lines)


if __name__ == "__main__":
    run(sample, summary=summary, without_server=write)
