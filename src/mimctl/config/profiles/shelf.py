"""Profile files of one kind: where they lie, which there are, what is wrong with one, and what it describes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel

from mimctl.config.profiles.schema import ProvenanceItem
from mimctl.config.source import read_document
from mimctl.config.validate import place, validate
from mimctl.model.address import SUNSPEC, DeviceAddress
from mimctl.model.errors import ConfigError, UserError
from mimctl.model.link import Link
from mimctl.model.problem import Problem, Severity, error, warning
from mimctl.model.profile import Provenance
from mimctl.model.resources import data_root, state_root
from mimctl.model.site import Site

_ROOT = "device_profiles"
_ID = re.compile(r"[a-z0-9_\-]+/[a-z0-9_\-]+\Z")

FileT = TypeVar("FileT", bound=BaseModel)
ProfileT = TypeVar("ProfileT")


def profile_directories(beside: Path | None = None) -> list[Path]:
    """Where profiles are looked for, first match wins: beside the site file, in the state directory, among mimctl's own."""
    return [root / _ROOT for root in (*([beside] if beside is not None else []), state_root(), data_root())]


@dataclass(frozen=True, slots=True)
class ProfileShelf(Generic[FileT, ProfileT]):
    """One kind of profile files.

    Args:
        schema: of a file; it has an `id`.
        problems: what is wrong with a file whose form is right.
        build: the model of a file that has no errors.
        called: what a person calls such a profile.
        folder: below a directory of device profiles; empty = the directory itself.
    """

    schema: type[FileT]
    problems: Callable[[FileT], Iterable[Problem]]
    build: Callable[[FileT], ProfileT]
    called: str
    folder: str = ""

    def find(self, profile_id: str, beside: Path | None = None) -> Path | None:
        """The file of a profile, None where there is none.

        Args:
            profile_id: `vendor/model`.
            beside: directory of the site file.
        """
        if _ID.match(profile_id) is None:
            return None
        candidates = (root / self.folder / f"{profile_id}.yaml" for root in profile_directories(beside))
        return next((path for path in candidates if path.is_file()), None)

    def known(self, beside: Path | None = None) -> list[str]:
        """Ids of every profile that can be found, in order."""
        files = (path for root in profile_directories(beside) for path in (root / self.folder).glob("*/*.yaml"))
        return sorted({name for path in files if _ID.match(name := _id_by_place(path))})

    def read(self, path: Path) -> tuple[FileT | None, list[Problem]]:
        """What a file holds, None where its form is wrong, and everything that is wrong with it, each with its line."""
        document = read_document(path)
        file, problems = validate(document, self.schema)
        found = [*document.problems, *problems]
        if file is not None and not found:
            found = place(document, [*self.problems(file), *self._misplaced(file, path.resolve())])
        return file, found

    def check(self, path: Path) -> list[Problem]:
        """Everything that is wrong with a profile file, each with its line."""
        return self.read(path)[1]

    def load(self, path: Path) -> ProfileT:
        """A profile, ready to be used.

        Raises:
            ConfigError: the file is wrong; it holds every problem.
        """
        profile, problems = self.judge(path)
        if profile is None:
            raise ConfigError(problems)
        return profile

    def judge(self, path: Path) -> tuple[ProfileT | None, list[Problem]]:
        """A profile, None where the file has an error, and everything that is wrong with it."""
        file, problems = self.read(path)
        wrong = file is None or any(p.severity is Severity.ERROR for p in problems)
        return None if file is None or wrong else self.build(file), problems

    def sound(self, names: Iterable[str], beside: Path | None) -> dict[str, ProfileT]:
        """By id, those that can be found and have no error; what is wrong with the others is for a check to say."""
        files = {name: file for name in sorted(names) if (file := self.find(name, beside)) is not None}
        judged = ((name, self.judge(file)[0]) for name, file in files.items())
        return {name: profile for name, profile in judged if profile is not None}

    def of_site(self, site: Site, wanted: Callable[[Link], bool]) -> dict[str, ProfileT]:
        """By id, every profile that a site names for its devices on these links.

        Raises:
            UserError: one is nowhere to be found.
            ConfigError: one is wrong.
        """
        beside = site.file.parent if site.file is not None else None
        profiles = {}
        for name in named_profiles(site, wanted):
            path = self.find(name, beside)
            if path is None:
                raise UserError(f"{self.called} '{name}' not found beside the site file nor among the packaged ones")
            profiles[name] = self.load(path)
        return profiles

    def _misplaced(self, file: FileT, path: Path) -> Iterator[Problem]:
        """A profile is found by its id: by the path of its file. A draft may lie anywhere."""
        given: str = file.id  # type: ignore[attr-defined]
        if given == _id_by_place(path):
            return
        shelf = "/".join(filter(None, (_ROOT, self.folder)))
        text = f"a site finds this profile only as {shelf}/{given}.yaml"
        if path.parent.parent.as_posix().endswith(f"/{shelf}"):
            yield error(
                "profile.id", "id", f"the id must be the file's path below {shelf}; this file is {_id_by_place(path)}: {text}"
            )
        else:
            yield warning("profile.id", "id", text)


def named_profiles(site: Site, wanted: Callable[[Link], bool]) -> list[str]:
    """The profiles that a site names for its devices on these links, in order."""
    links = {link.id for link in site.links if wanted(link)}
    addresses: list[DeviceAddress] = [meter.address for meter in site.meters] + [mim.address for mim in site.mims]
    addresses += [transfer.address for transfer in site.transfers if transfer.address is not None]
    return sorted({address.profile for address in addresses if address.link in links} - {SUNSPEC})


def provenance(item: ProvenanceItem) -> Provenance:
    """Where the facts of a profile come from."""
    return Provenance(item.source, item.confidence, item.verified)


def _id_by_place(path: Path) -> str:
    return "/".join(path.with_suffix("").parts[-2:])
