"""Settings from the environment (`SPINNERET_DATA`): paths, which are not parameters of a run.

The object store, the Hugging Face Hub and the Prefect server are configured by the variables of boto3
(`AWS_ENDPOINT_URL_S3`, ...), Hugging Face (`HF_HOME`, `HF_TOKEN`, `HF_ENDPOINT`, `HF_HUB_OFFLINE`) and Prefect.
"""

from functools import cache
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent
"""The checkout, with data/templates and pyproject.toml."""


class Settings(BaseSettings):
    """The environment of a run."""

    model_config = SettingsConfigDict(env_prefix="SPINNERET_", frozen=True)

    data: Path = ROOT / "data"
    """Folder for everything that runs make (`SPINNERET_DATA`)."""

    commit: str = ""
    """The commit of the code where there is no checkout, as in a container (`SPINNERET_COMMIT`)."""


@cache
def settings() -> Settings:
    """The settings of this process, with an absolute data folder."""
    read = Settings()
    return read.model_copy(update={"data": read.data.expanduser().resolve()})


def find_file(path: str) -> Path:
    """A path of the user: relative to the current folder, or else to the checkout; unchanged where there is no file."""
    given = Path(path).expanduser()
    if given.exists() or given.is_absolute():
        return given
    in_checkout = ROOT / given
    return in_checkout if in_checkout.exists() else given


def resolve_destination(destination: str) -> str:
    """Where a destination is: `data/...` lies in the data folder, any other relative folder in the current one."""
    inside = "://" not in destination and Path(destination).parts[:1] == ("data",)
    return str(settings().data.joinpath(*Path(destination).parts[1:])) if inside else destination
