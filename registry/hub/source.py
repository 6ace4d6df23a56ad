"""The Hugging Face Hub: what a repository has, and where each file lies. The only importer of `huggingface_hub`."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants, errors, hf_hub_url
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of whichever HTTP library it uses
from huggingface_hub.hf_api import RepoFile

from registry.digest import Digest
from registry.errors import BadAnswer, ConnectionFailed, HubRefusal, InvalidDigest, RegistryRefused
from registry.hub.reference import Reference
from registry.hub.selection import HubFile

MAX_FILES = 20_000
"""More than any repository of one model has: its listing comes in pages, and the rest is not asked for."""

PUBLIC_ENDPOINT = "https://huggingface.co"
_TIMEOUT_S = 30.0

constants.HF_HUB_DISABLE_TELEMETRY = True
"""Otherwise each request tells which program may be behind it, after a look at a list on the public Hub."""


@dataclass(frozen=True, slots=True)
class HubSettings:
    """Which Hub is asked, as whom, and where other programs keep what they fetched from it.

    Another Hub than the public one need not have the registry's protocol (`has_registry`), nor the hosts of its names.
    """

    endpoint: str = PUBLIC_ENDPOINT
    token: str | None = field(default=None, repr=False)
    cache: Path | None = None
    is_offline: bool = False
    has_registry: bool = True

    @classmethod
    def of_user(cls) -> HubSettings:
        """What the library finds: HF_ENDPOINT, HF_TOKEN or the token file, HF_HUB_CACHE or HF_HOME, HF_HUB_OFFLINE."""
        return cls(
            endpoint=constants.ENDPOINT,
            token=huggingface_hub.get_token(),
            cache=Path(constants.HF_HUB_CACHE),
            is_offline=constants.is_offline_mode(),
            has_registry=constants.ENDPOINT == PUBLIC_ENDPOINT,
        )


class Hub:
    """Questions about repositories. All methods block. Raises: HubRefusal, RegistryRefused, ConnectionFailed."""

    def __init__(self, settings: HubSettings) -> None:
        self.settings = settings
        self._api = huggingface_hub.HfApi(endpoint=settings.endpoint, token=settings.token or False)

    def list_files(self, reference: Reference) -> list[HubFile]:
        """All files of the repository. Raises also: BadAnswer for more than any model has."""
        with self._translated(reference):
            entries = self._api.list_repo_tree(
                reference.repository, recursive=True, revision=reference.revision or None
            )
            found = list(islice(entries, MAX_FILES + 1))
        if len(found) > MAX_FILES:
            raise BadAnswer(f"{reference.repository} has more than {MAX_FILES} files")
        return [_parse_file(entry) for entry in found if isinstance(entry, RepoFile)]

    def url(self, reference: Reference, file: HubFile) -> str:
        """The address of a file; the Hub's answer often points on to where it is stored."""
        return hf_hub_url(
            reference.repository, file.path, revision=reference.revision or None, endpoint=self.settings.endpoint
        )

    def locate(self, reference: Reference, file: HubFile) -> str:
        """Where the content of a large file is now. Raises also: BadAnswer if it changed since it was listed."""
        with self._translated(reference):
            found = huggingface_hub.get_hf_file_metadata(
                self.url(reference, file),
                token=self.settings.token or False,
                timeout=_TIMEOUT_S,
                endpoint=self.settings.endpoint,
            )
        if file.digest is not None and found.etag and found.etag.lower() != file.digest.hex.lower():
            raise BadAnswer(f"{file.path} of {reference.repository} changed while it was fetched")
        return found.location

    @contextlib.contextmanager
    def _translated(self, reference: Reference) -> Iterator[None]:
        """The library's errors as ours, each saying what its reader can do."""
        repository, has_token = reference.repository, self.settings.token is not None
        try:
            yield
        except errors.GatedRepoError as error:
            page = f"{self.settings.endpoint}/{repository}"
            does = "the account of the access token has not" if has_token else "it needs an account that has"
            raise HubRefusal(
                f"{repository} is gated: {does} accepted its conditions at {page}{_hint(has_token)}"
            ) from error
        except errors.RevisionNotFoundError as error:
            raise HubRefusal(f'{repository} has no revision "{reference.revision}"') from error
        except (errors.RepositoryNotFoundError, errors.DisabledRepoError) as error:
            raise _not_found(repository, has_token) from error
        except errors.EntryNotFoundError as error:
            raise HubRefusal(f"{repository} has lost a file that it listed") from error
        except errors.HFValidationError as error:
            raise HubRefusal(f"{repository} is not the name of a repository") from error
        except errors.HfHubHTTPError as error:
            status = error.response.status_code
            if status == 401 and not has_token:
                raise _not_found(repository, has_token) from error
            if status == 401:
                raise HubRefusal(f"the Hub does not accept the access token for {repository}: see HF_TOKEN") from error
            if status == 403:
                raise HubRefusal(f"{repository} is forbidden{_hint(has_token)}") from error
            raise RegistryRefused(status, error.server_message or "") from error
        except (HTTPError, OSError, ValueError, KeyError, TypeError) as error:
            # The library parses answers without looking: an answer of another kind surfaces as any of the latter.
            raise ConnectionFailed(f"{self.settings.endpoint}: {error or type(error).__name__}") from error


def _not_found(repository: str, has_token: bool) -> HubRefusal:
    """The Hub does not tell one from the other."""
    who = "the account of the access token cannot read it" if has_token else "it is private"
    return HubRefusal(f"{repository} does not exist, or {who}{_hint(has_token)}")


def _hint(has_token: bool) -> str:
    return "" if has_token else ": set HF_TOKEN to an access token for this server, or run `hf auth login`"


def _parse_file(entry: RepoFile) -> HubFile:
    """Raises: BadAnswer."""
    digest = None
    if entry.lfs is not None:
        try:
            digest = Digest.parse(f"sha256:{entry.lfs.sha256}")
        except InvalidDigest as error:
            raise BadAnswer(f"{entry.path}: {error}") from error
    if not isinstance(entry.path, str) or not isinstance(entry.size, int) or entry.size < 0:
        raise BadAnswer("the listing has a file without name or size")
    return HubFile(entry.path, entry.size, digest, str(entry.blob_id))


def git_blob_id(content: bytes) -> str:
    """What Git calls a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
