"""Checkpoints from the hub, with a local server that is reached through HF_ENDPOINT."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from checkpoints import save_random_checkpoint
from hub_server import COMMIT, serve
from safetensors.torch import load_file

from vlm.checkpoints.hub import find_checkpoint

ROOT = Path(__file__).parent.parent
FIND = (
    "import sys; from vlm.checkpoints.hub import find_checkpoint; "
    "print(find_checkpoint(*[a or None for a in sys.argv[1:]]))"
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_random_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def hub(checkpoint):
    with serve(checkpoint) as hub:
        yield hub


@pytest.fixture
def run(hub, tmp_path):
    """Run Python in its own process, which knows the hub and has an empty cache."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
        known = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "NO_PROXY": "*"}
        known |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        return subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=os.environ | known | environment, capture_output=True, text=True
        )

    return run


@pytest.fixture
def find(run):
    """Call find_checkpoint with a name, a revision and a token: the directory, or the last line of the error."""

    def find(name: str = "owner/name", revision: str = "", token: str = "", **environment: str) -> Path | str:
        result = run("-c", FIND, name, revision, token, **environment)
        if result.returncode == 0:
            return Path(result.stdout.strip())
        return result.stderr.strip().splitlines()[-1]

    return find


def same_weights(directory: Path, other: Path) -> bool:
    ours, theirs = (load_file(path / "model.safetensors") for path in (directory, other))
    return ours.keys() == theirs.keys() and all(tensor.equal(theirs[name]) for name, tensor in ours.items())


def test_a_model_is_downloaded_once_and_then_found_without_a_network(find, hub, checkpoint):
    directory = find()
    assert same_weights(directory, checkpoint)
    assert directory.name == COMMIT
    assert find() == directory and len(hub.gets("model.safetensors")) == 1
    requests = len(hub.requests)
    assert find(HF_HUB_OFFLINE="1") == directory and len(hub.requests) == requests


def test_the_whole_loader_takes_a_name_on_the_hub(run):
    code = "from vlm import load_hf_model; model, tokenizer = load_hf_model('owner/name'); print(len(tokenizer))"
    result = run("-c", code)
    assert result.stdout.strip() == "1921", result.stderr


def test_what_is_not_needed_is_not_downloaded(find, hub, checkpoint):
    (checkpoint / "training_state.bin").write_bytes(b"of no use")
    find()
    assert hub.gets("tokenizer.json") and not hub.gets("training_state.bin")


def test_an_interrupted_download_resumes(find, hub, tmp_path):
    hub.directory = tmp_path / "large"
    hub.directory.mkdir()
    content = random.Random(0).randbytes(12_000_000)  # the hub's client keeps complete chunks of 10 MiB
    (hub.directory / "model.safetensors").write_bytes(content)
    hub.break_after = 11_000_000
    assert (find() / "model.safetensors").read_bytes() == content
    first, second = hub.gets("model.safetensors")
    assert "bytes" not in first and second.endswith(f"bytes={10 * 2**20}-")


def test_a_hub_that_goes_down_is_reported_and_the_download_resumes(find, hub, tmp_path):
    hub.directory = tmp_path / "large"
    hub.directory.mkdir()
    content = random.Random(0).randbytes(12_000_000)
    (hub.directory / "model.safetensors").write_bytes(content)
    hub.break_after, hub.goes_down = 11_000_000, True
    error = find()
    assert "ConnectionError: the download of owner/name was interrupted" in error and "start it again" in error
    hub.is_down = False
    assert (find() / "model.safetensors").read_bytes() == content


def test_a_gated_model_says_to_accept_the_license_and_to_log_in(find, hub, checkpoint):
    hub.gated = True
    error = find()
    assert "PermissionError: owner/name requires you to accept its license" in error
    assert f"{hub.endpoint}/owner/name" in error and "hf auth login" in error
    assert same_weights(find(token="let-me-in"), checkpoint)


def test_a_missing_revision_is_reported(find, hub):
    error = find(revision="v9")
    assert f"FileNotFoundError: owner/name has no revision 'v9': see the branches and tags at {hub.endpoint}" in error
    assert find(revision=COMMIT).name == COMMIT


def test_a_missing_model_is_reported(find):
    assert "FileNotFoundError: owner/other is neither a directory here nor a model at" in find("owner/other")


def test_a_damaged_file_is_refused_and_the_next_try_downloads_it_again(find, hub, checkpoint):
    hub.damage = True
    error = find()
    assert "ValueError: model.safetensors is damaged: its sha256 is" in error and "load it again" in error
    hub.damage = False
    assert same_weights(find(), checkpoint)


def test_without_a_network_and_with_an_empty_cache_it_says_so(find):
    assert "it is not complete in the cache" in find(HF_HUB_OFFLINE="1")


@pytest.mark.parametrize("path", ["nowhere", "/no/where", "./no/where", "a/b/c", Path("no/where")])
def test_what_cannot_be_a_name_on_the_hub_is_a_directory_that_is_missing(path):
    with pytest.raises(FileNotFoundError, match="is not a directory"):
        find_checkpoint(path)
