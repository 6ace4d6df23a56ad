"""`puna create MODEL -f Modelfile`: a model from a Modelfile and the files it names."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from models.errors import ModelError
from models.modelfile import Modelfile, decode_modelfile, parameters_of, parse_modelfile
from registry.errors import InvalidName
from registry.names import ModelName
from server.cli.client import Client
from server.cli.errors import CliError, UsageError
from server.cli.flags import Arguments
from server.cli.model_files import expand_path, files_at, request_names
from server.cli.progress import ProgressArea, Spinner, progress
from server.cli.terminal import Output
from server.cli.transfers import CREATE, show_transfer
from server.cli.transport import Json

CHUNK_BYTES = 1 << 20
_SEMVER = re.compile(r"v(0|[1-9]\d*)(\.(0|[1-9]\d*)(\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?)?)?", re.ASCII)


@dataclass(slots=True)
class Recipe:
    """What a Modelfile asks for: the request's fields but the files, and the files by their part in the model."""

    fields: Json = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    adapters: list[Path] = field(default_factory=list)
    drafts: list[Path] = field(default_factory=list)
    imatrix: list[Path] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def parts(self) -> Mapping[str, list[Path]]:
        """Field of the request → files."""
        return {
            "files": self.files,
            "adapters": self.adapters,
            "draft_files": self.drafts,
            "imatrix": self.imatrix,
        }


def run(client: Client, args: Arguments, out: Output) -> int:
    """Read the Modelfile, upload what the server lacks, have the model made. Raises: CliError."""
    (name,) = args.positionals
    try:
        ModelName.parse(name)
    except InvalidName as error:
        raise UsageError(f"invalid model name: {name}") from error
    with progress(out) as area:
        modelfile, folder = read_modelfile(args.text("file"))
        gathering = Spinner("gathering model components")
        area.add(gathering)
        recipe = read_recipe(modelfile, folder, out.environment.home)
        if args.text("imatrix"):
            recipe.imatrix = [Path(os.path.abspath(args.text("imatrix")))]
        out.write("".join(f"{warning}\n" for warning in recipe.warnings))
        request: Json = {"model": name} | recipe.fields | _quantization(args, recipe)
        digests = hash_files({path for paths in recipe.parts.values() for path in paths})
        gathering.stop()
        upload_files(client, digests, area)
        for part, paths in recipe.parts.items():
            if paths:
                request[part] = {label: digests[path] for path, label in request_names(paths).items()}
        show_transfer(client.create(request), area, CREATE)
    return 0


def read_modelfile(path: str) -> tuple[Modelfile, Path]:
    """The Modelfile and the folder that its paths start from.

    # Compat: registry-store-cli 6.8: one that does not exist, even if it was named, is read as `FROM .`.
    """
    file = Path(os.path.abspath(path or "Modelfile"))
    try:
        text = decode_modelfile(file.read_bytes())
    except FileNotFoundError:
        text = "FROM .\n"
    except OSError as error:
        raise _file_error(error) from error
    try:
        return parse_modelfile(text), file.parent
    except ModelError as error:
        raise CliError(str(error)) from error


def read_recipe(modelfile: Modelfile, folder: Path, home: Path) -> Recipe:
    """What the commands ask for; looks at the files that they name. Raises: CliError."""
    recipe = Recipe()
    try:
        for command in modelfile.commands:
            if command.name in ("from", "adapter", "draft"):
                _add_files(recipe, command.name, command.value, expand_path(command.value, folder, home))
        parameters, deprecated = parameters_of(modelfile)
    except OSError as error:
        raise _file_error(error) from error
    except ModelError as error:
        raise CliError(str(error)) from error
    recipe.warnings = [f"warning: parameter {name} is deprecated" for name in deprecated]
    texts = {name: modelfile.last(name) for name in ("template", "system", "renderer", "parser")}
    texts["requires"] = _required_version(modelfile.last("requires"))
    messages = [{"role": c.key, "content": c.value} for c in modelfile.commands if c.name == "message"]
    said = texts | {"license": list(modelfile.values("license")), "parameters": parameters, "messages": messages}
    recipe.fields |= {name: value for name, value in said.items() if value}
    return recipe


def _add_files(recipe: Recipe, command: str, value: str, path: Path) -> None:
    if command == "from" and not path.exists():
        recipe.fields["from"] = value
        return
    files = files_at(path)
    if command == "adapter":
        recipe.adapters = files
        return
    mine, other = (recipe.files, recipe.drafts) if command == "from" else (recipe.drafts, recipe.files)
    if {os.path.realpath(file) for file in files} & {os.path.realpath(file) for file in other}:
        raise CliError(f"DRAFT must not reference the same local path as FROM: {path}")
    mine += [file for file in files if file not in mine]


def _required_version(text: str) -> str:
    if not text:
        return ""
    if not _SEMVER.fullmatch(text if text.startswith("v") else f"v{text}"):
        raise CliError("requires must be a valid semver (e.g. 0.14.0)")
    return text.removeprefix("v")


def _quantization(args: Arguments, recipe: Recipe) -> Json:
    fields = {"quantize": args.text("quantize"), "draft_quantize": args.text("draft-quantize")}
    if fields["draft_quantize"] and not recipe.drafts:
        raise UsageError("--draft-quantize requires a DRAFT model")
    return {name: value for name, value in fields.items() if value}


def hash_files(paths: Iterable[Path]) -> dict[Path, str]:
    """File → `sha256:…`, several files at a time. Raises: CliError."""

    def digest_of(path: Path) -> str:
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"

    ordered = sorted(paths)
    with ThreadPoolExecutor(_n_workers()) as pool:
        try:
            return dict(zip(ordered, pool.map(digest_of, ordered), strict=True))
        except OSError as error:
            raise _file_error(error) from error


def upload_files(client: Client, digests: Mapping[Path, str], area: ProgressArea) -> None:
    """Send every content once, several at a time, each with a line of progress. Raises: CliError."""
    stopped = threading.Event()
    sources = {digest: path for path, digest in digests.items()}
    with ThreadPoolExecutor(_n_workers()) as pool:
        try:
            jobs = [pool.submit(_upload, client, path, digest, area, stopped) for digest, path in sources.items()]
            for job in jobs:
                job.result()
        except BaseException:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _upload(client: Client, path: Path, digest: str, area: ProgressArea, stopped: threading.Event) -> None:
    spinner = Spinner(f"copying file {digest} 0%")
    area.add(spinner)

    def show(percent: int) -> None:
        spinner.message = f"copying file {digest} {percent}%"

    try:
        client.upload_blob(digest, _read_chunks(path, show, stopped))
        show(100)
    except OSError as error:
        raise _file_error(error) from error
    finally:
        spinner.stop()


def _read_chunks(path: Path, show: Callable[[int], None], stopped: threading.Event) -> Iterator[bytes]:
    size, sent = path.stat().st_size, 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            if stopped.is_set():
                raise CliError("upload cancelled")
            yield chunk
            sent += len(chunk)
            show(100 * sent // max(size, 1))


def _n_workers() -> int:
    return max((os.cpu_count() or 1) - 1, 1)


def _file_error(error: OSError) -> CliError:
    """A file that cannot be read, in Go's words: `stat /a/b: no such file or directory`."""
    operation = "stat" if isinstance(error, FileNotFoundError) else "open"
    reason = (error.strerror or str(error)).lower()
    return CliError(f"{operation} {error.filename}: {reason}")
