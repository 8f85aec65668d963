#!/bin/sh
# Makes .venv with exactly the packages of requirements.lock, and this package on top. Usage: setup.sh PYTHON
set -eu
cd "$(dirname "$0")/.."
export PIP_DISABLE_PIP_VERSION_CHECK=1

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

python=""
for candidate in "$1" python3.11 python3.12 python3.13; do
    if is_new_enough "$candidate"; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    found=$("$1" -c 'import sys; print("Python %d.%d" % sys.version_info[:2])' 2>/dev/null || echo "no Python")
    echo "This course needs Python 3.11 or newer, and '$1' is $found." >&2
    echo "Install a newer one, or name it: make ... PYTHON=/path/to/python3.11" >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "$python has no venv module. On Debian and Ubuntu: apt install python3-venv" >&2
    exit 1
fi

# Without the file "ready", what is there may be half made.
[ -f .venv/ready ] || rm -rf .venv
if [ ! -d .venv ]; then
    echo "Making the environment .venv with $("$python" --version) ..."
    "$python" -m venv .venv
fi
rm -f .venv/ready
echo "Installing the packages of requirements.lock. The first time this takes some minutes ..."
.venv/bin/python -m pip install --quiet --requirement requirements.lock
.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
touch .venv/ready
echo "The environment is ready."
