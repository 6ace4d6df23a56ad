"""Which files of a repository make the model that a label asks for. Pure: a listing in, a choice out.

A repository often holds one model in a dozen quantisations, each of them one file or several shards, beside projectors
for images, importance matrices and texts.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from registry.digest import Digest
from registry.errors import HubRefusal

TEXTS = ("template", "system", "params")
"""Files at the root of a repository that its author made for this kind of server."""

MAX_SHARDS = 1000
DEFAULT_LABEL = "q4_k_m"
_SHARD = re.compile(r"(?P<prefix>.+)-(?P<number>[0-9]{5})-of-(?P<count>[0-9]{5})\.gguf")
_QUANTISATION = re.compile(
    r"(?:^|[-._/ ])((?:UD-)?(?:(?:I?Q|TQ)[1-9](?:_[0-9A-Z]+)*|B?F16|FP16|F(?:P)?32|MXFP4(?:_MOE)?|NVFP4))(?=$|[-._/ ])",
    re.IGNORECASE,
)
_PRECISIONS = ("f16", "fp16", "bf16", "q8_0", "f32", "fp32")
"""Of a projector, the best first: more precise ones than F16 are larger and see no better."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository. `digest` is known of large files only; `blob_id` is Git's SHA-1 of the content."""

    path: str
    size_bytes: int
    digest: Digest | None = None
    blob_id: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """The files of one model; `weights` are the shards in their order, or one file."""

    weights: tuple[HubFile, ...]
    projector: HubFile | None = None
    texts: Mapping[str, HubFile] = field(default_factory=dict)

    @property
    def models(self) -> tuple[HubFile, ...]:
        return self.weights if self.projector is None else (*self.weights, self.projector)


def choose(files: Iterable[HubFile], label: str) -> Selection:
    """The model that `label` asks for: a quantisation, in any case, or a file's name, with or without `.gguf`.

    Without a label it is Q4_K_M where there is one, else the first in order of names.
    Raises: HubRefusal.
    # Compat: the Hub's own documentation of its use from Ollama.
    """
    known = {file.path: file for file in files if is_clean_path(file.path)}
    groups = _group(known.values())
    if not groups:
        raise HubRefusal("the repository has no GGUF model")
    chosen = _choose_labelled(groups, label) if label else _choose_any(groups)
    if chosen is None:
        raise HubRefusal(f'the repository has no model "{label}"; it has: {", ".join(_offers(groups))}')
    return Selection(
        _complete(groups[chosen], chosen),
        choose_projector([file for file in known.values() if _is_projector(file.path)], chosen),
        {name: known[name] for name in TEXTS if name in known},
    )


def is_clean_path(path: str) -> bool:
    """Whether a name leads to a place below where it begins, on any system: it becomes a part of addresses."""
    parts = path.split("/")
    return all(part not in ("", ".", "..") for part in parts) and path.isprintable() and "\\" not in path


def choose_projector(projectors: Iterable[HubFile], weights: str) -> HubFile | None:
    """The projector that belongs to a model: nearest in the folders, then in the words of its name, then in precision.

    A repository may hold models of several sizes, each with its projector.
    """
    folder, words = _folder(weights), _words(weights)

    def distance(file: HubFile) -> tuple[bool, int, int, int, str]:
        own = _words(file.path)
        is_apart = not f"{folder}/".startswith(f"{_folder(file.path)}/") and _folder(file.path) != ""
        label = label_of(file.path)
        precision = _PRECISIONS.index(label) if label in _PRECISIONS else len(_PRECISIONS)
        return is_apart, len(own - words), -len(own & words), precision, file.path

    return min(projectors, key=distance, default=None)


def label_of(path: str) -> str:
    """The quantisation that a name ends with, or one of its folders, in lower case; empty without one."""
    stem = path.removesuffix(".gguf")
    file_name = stem.rpartition("/")[2]
    found = _QUANTISATION.findall(_with_marks(file_name)) or _QUANTISATION.findall(_with_marks(stem))
    return found[-1].lower() if found else ""


# --------------------------------------------------------------------------------------------------------------------


def _group(files: Iterable[HubFile]) -> dict[str, dict[int, HubFile]]:
    """The models, by their path without shard numbers, in order; each has its shards by number from 1."""
    groups: defaultdict[str, dict[int, HubFile]] = defaultdict(dict)
    for file in sorted(files, key=lambda file: file.path):
        if not file.path.endswith(".gguf") or _is_projector(file.path) or _is_matrix(file.path):
            continue
        shard = _SHARD.fullmatch(file.path)
        if shard is None:
            groups[file.path][1] = file
        elif 1 <= int(shard["number"]) <= int(shard["count"]) <= MAX_SHARDS:
            groups[f"{shard['prefix']}.gguf-of-{shard['count']}"][int(shard["number"])] = file
    return dict(groups)


def _complete(shards: Mapping[int, HubFile], key: str) -> tuple[HubFile, ...]:
    _, _, count = key.partition(".gguf-of-")
    wanted = int(count) if count else 1
    if len(shards) != wanted:
        raise HubRefusal(f"the repository has {len(shards)} of the {wanted} files of {_title(key)}")
    return tuple(shards[number] for number in sorted(shards))


def _choose_labelled(groups: Mapping[str, Mapping[int, HubFile]], label: str) -> str | None:
    wanted = label.lower().removesuffix(".gguf")
    for is_meant in (_has_file_name, _has_label, _has_words):
        found = [key for key, shards in groups.items() if is_meant(key, shards, wanted)]
        if found:
            return min(found, key=lambda key: (key.count("/"), len(key), key))
    return None


def _has_file_name(key: str, shards: Mapping[int, HubFile], wanted: str) -> bool:
    names = {_title(key).lower(), *(file.path.removesuffix(".gguf").lower() for file in shards.values())}
    return wanted in names or wanted in {name.rpartition("/")[2] for name in names}


def _has_label(key: str, _: Mapping[int, HubFile], wanted: str) -> bool:
    return label_of(_title(key)) == wanted


def _has_words(key: str, _: Mapping[int, HubFile], wanted: str) -> bool:
    return re.search(rf"(?:^|[-./]){re.escape(wanted)}(?:$|[-./])", _title(key).lower()) is not None


def _choose_any(groups: Mapping[str, Mapping[int, HubFile]]) -> str:
    return next((key for key in groups if label_of(_title(key)) == DEFAULT_LABEL), next(iter(groups)))


def _offers(groups: Iterable[str], limit: int = 30) -> list[str]:
    titles = [_title(key) for key in groups]
    labels = sorted({label_of(title).upper() or title for title in titles})
    return labels if len(labels) <= limit else [*labels[:limit], "…"]


def _title(key: str) -> str:
    """A model's path without what shards add, and without the ending."""
    return key.partition(".gguf-of-")[0].removesuffix(".gguf")


def _with_marks(stem: str) -> str:
    """The name with a mark where a quantisation follows an underscore: `model_Q4_K_M` → `model.Q4_K_M`."""
    return re.sub(r"_(?=(?:I?Q|TQ)[1-9]_|B?F16|FP?(?:16|32))", ".", stem, flags=re.IGNORECASE)


def _is_projector(path: str) -> bool:
    return path.endswith(".gguf") and "mmproj" in path.rpartition("/")[2].lower()


def _is_matrix(path: str) -> bool:
    """An importance matrix, which has the form of a model; models made with one say so as well, but have a label."""
    return "imatrix" in path.lower() and not label_of(path)


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _words(path: str) -> set[str]:
    """The words of a file's name that tell one model from another."""
    stem = path.rpartition("/")[2].lower().partition(".gguf")[0]
    words = set(re.split(r"[-._ ]+", _QUANTISATION.sub("", _with_marks(stem))))
    return words - {"", "mmproj", "model", "gguf"}
