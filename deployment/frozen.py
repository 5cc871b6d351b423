"""What all pieces of a models file are made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(gt=0, strict=True)]
Switch = Annotated[bool, Field(strict=True)]
MODEL_NAME = r"^[a-z0-9][a-z0-9_-]{0,30}$"
ModelName = Annotated[str, Field(pattern=MODEL_NAME)]


class Frozen(BaseModel):
    """A value: immutable, and a key that is not a field is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
