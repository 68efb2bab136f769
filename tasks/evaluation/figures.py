"""The base class of all figures that are stored as JSON, and the types of their fields."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MAX_EXPONENT = 700.0
"""A perplexity above e to the power of this is None: it does not fit into a float."""

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


def _to_unicode(text: object) -> object:
    return text.encode(errors="backslashreplace").decode() if isinstance(text, str) else text


UserText = Annotated[str, BeforeValidator(_to_unicode)]
"""Text from a user; a file name need not be valid Unicode, JSON must be."""


class Figures(BaseModel):
    """Numbers that belong together; frozen, no unknown fields, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
