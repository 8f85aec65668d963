"""Finds a checkpoint: a directory, or a name on the Hugging Face Hub, which is downloaded into the hub's cache.

huggingface_hub does the work: progress bars, resuming, the cache, and the settings HF_HOME, HF_TOKEN, HF_ENDPOINT and
HF_HUB_OFFLINE. This file adds the choice of files, a checksum of each download, and errors that say what to do.
"""

import hashlib
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vlm.checkpoints.atomic_write import DISK_IS_FULL

TOKENIZER_AND_SETTINGS = (  # what a checkpoint contains besides weights and config.json
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "*processor_config.json",
    "generation_config.json",
)
FILES = (
    "config.json",
    "*.safetensors",
    "model.safetensors.index.json",
    "adapter_config.json",  # of a repository with an adapter and no model, so that the error can mention it
    *TOKENIZER_AND_SETTINGS,
)
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
SHA256_NAME = re.compile(r"[0-9a-f]{64}")  # a large file's name in the cache is its checksum


def find_checkpoint(model_path: str | Path, revision: str | None = None, token: str | None = None) -> Path:
    """The directory itself, or the cache directory with the files of this name on the hub.

    Raises:
        FileNotFoundError: neither a directory nor a name on the hub, no such revision, or no network and not in the
            cache.
        PermissionError: the hub requires you to accept a license, or to log in.
        ConnectionError: the download was interrupted.
        OSError: the disk is full.
        ValueError: a downloaded file is damaged.
    """
    directory = Path(model_path)
    if directory.is_dir():
        if revision is not None:
            raise ValueError(f"{directory} is a local directory: a revision works only with a name on the hub")
        return directory
    if isinstance(model_path, Path) or not HUB_NAME.fullmatch(model_path) or directory.parent.is_dir():
        raise FileNotFoundError(f"{directory} is not a directory: expected one with config.json and *.safetensors")
    return download(model_path, revision, token)


def download(name: str, revision: str | None, token: str | None) -> Path:
    """The directory in the cache for a name on the hub, with all files that are needed."""
    from huggingface_hub import constants, errors, snapshot_download  # not needed for a directory

    folder = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"
    before = set(folder.glob("blobs/*"))
    page = f"{constants.ENDPOINT}/{name}"
    pool = ThreadPoolExecutor(1)  # so that Ctrl-C works at once: the hub's client would wait for its threads
    try:
        future = pool.submit(snapshot_download, name, revision=revision, token=token, allow_patterns=FILES)
        return Path(future.result())
    except errors.GatedRepoError:
        raise PermissionError(
            f"{name} requires you to accept its license: do that at {page}, then log in with "
            "`hf auth login`, or pass a token"
        ) from None
    except errors.RevisionNotFoundError:
        raise FileNotFoundError(f"{name} has no revision {revision!r}: see the branches and tags at {page}") from None
    except errors.RepositoryNotFoundError:
        raise FileNotFoundError(
            f"{name} is neither a directory here nor a model at {page}; if it is private, log in with `hf auth login`"
        ) from None
    except (errors.LocalEntryNotFoundError, errors.IncompleteSnapshotError) as error:
        raise FileNotFoundError(
            f"{name} is not a directory, it is not complete in the cache {constants.HF_HUB_CACHE}, and the hub cannot "
            f"be reached: connect, or download it elsewhere and pass the directory ({str(error).splitlines()[0]})"
        ) from None
    except Exception as error:  # of the HTTP client, which depends on the version of huggingface_hub
        if getattr(error, "errno", None) in DISK_IS_FULL:
            raise OSError(
                f"{os.strerror(error.errno)} in the cache {constants.HF_HUB_CACHE}: free some space, or set HF_HOME to "
                f"a folder on another disk, and start the download of {name} again"
            ) from None
        raise ConnectionError(
            f"the download of {name} was interrupted ({type(error).__name__}: {error}): start it again, it will resume"
        ) from None
    finally:
        pool.shutdown(wait=False)
        # After an error too: files that did arrive are not checked again later.
        check_sums(folder, set(folder.glob("blobs/*")) - before)


def check_sums(folder: Path, blobs: set[Path]):
    """Compare each large file with its checksum. A damaged file is deleted, so that the next try downloads it again."""
    for blob in blobs:
        if not SHA256_NAME.fullmatch(blob.name):
            continue  # a small file, whose name is not a SHA-256, or an incomplete download
        with open(blob, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != blob.name:
            names = {path.name for path in folder.glob("snapshots/*/*") if path.resolve() == blob.resolve()}
            blob.unlink()
            raise ValueError(
                f"{', '.join(names) or blob.name} is damaged: its sha256 is {found}, expected {blob.name}. "
                "It was deleted: load it again"
            )
