"""What a check found wrong in a site file or a profile."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding.

    Args:
        code: stable identifier, for example `node.no_measurement`.
        severity: an error makes the file unusable, a warning does not.
        path: where in the document, for example `mims[2].ports[0].node`; empty for the whole file.
        message: what is wrong and how to mend it, one line.
        file: file name as given by the user.
        line: first line is 1; 0 when unknown.
        column: first column is 1; 0 when unknown.
    """

    code: str
    severity: Severity
    path: str
    message: str
    file: str = ""
    line: int = 0
    column: int = 0

    def at(self, file: str, line: int, column: int) -> Problem:
        return replace(self, file=file, line=line, column=column)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        where = f" {self.path or '(file)'}:" if self.path or place else ""
        return f"{place}{where} {self.message} [{self.code}]".strip()


def error(code: str, path: str, message: str) -> Problem:
    return Problem(code, Severity.ERROR, path, message)


def warning(code: str, path: str, message: str) -> Problem:
    return Problem(code, Severity.WARNING, path, message)
