"""Where things are: read once from the environment (`SPINNERET_DATA`), never a parameter of a run.

The object store's endpoint and credentials are boto3's own environment (`AWS_ENDPOINT_URL_S3`, ...), the hub's are
Hugging Face's own (`HF_HOME`, `HF_TOKEN`, `HF_ENDPOINT`, `HF_HUB_OFFLINE`), the server's are Prefect's own.
"""

from functools import cache
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: data/templates and pyproject.toml lie here."""


class Settings(BaseSettings):
    """The environment of a run."""

    model_config = SettingsConfigDict(env_prefix="SPINNERET_", frozen=True)

    data: Path = ROOT / "data"
    """Folder that holds everything a run makes (`SPINNERET_DATA`)."""

    commit: str = ""
    """The commit of the code where that is no checkout, as in a container (`SPINNERET_COMMIT`)."""


@cache
def settings() -> Settings:
    """The settings of this process, with an absolute data folder."""
    read = Settings()
    return read.model_copy(update={"data": read.data.expanduser().resolve()})


def find_file(path: str) -> Path:
    """A path that a user gave: relative to the current folder, or else to the checkout (absent: as given)."""
    given = Path(path).expanduser()
    if given.exists() or given.is_absolute():
        return given
    in_checkout = ROOT / given
    return in_checkout if in_checkout.exists() else given


def place_of(destination: str) -> str:
    """Where a destination is: `data/...` lies in the data folder, any other relative folder in the current one."""
    inside = "://" not in destination and Path(destination).parts[:1] == ("data",)
    return str(settings().data.joinpath(*Path(destination).parts[1:])) if inside else destination
