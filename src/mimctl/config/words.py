"""Words of a file that have a form of their own: neither plain text nor a quantity."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


def refused(code: str, message: str) -> PydanticCustomError:
    """What a validator raises: a problem code of ours and its sentence."""
    return PydanticCustomError(code, "{message}", {"message": message})


class Word(ABC):
    """What stands in a file is read by `read`, whatever form it has there."""

    __slots__ = ()
    #: for the reference page
    takes: ClassVar[str]
    json_schema: ClassVar[dict[str, Any]]

    @classmethod
    @abstractmethod
    def read(cls, given: Any) -> Self:
        """From what stands in the file, or what was read before.

        Raises:
            PydanticCustomError: it is no such word.
        """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.read)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return dict(cls.json_schema)
