#!/bin/sh
# Gives the checkout its .venv, exactly as locks/dev.txt says, on a machine that has nothing but a
# Python or, being Debian and root, not even that. Every step may be the last one before a crash: the
# next run looks at what is there, not at what it remembers. TARGET is touched last.
set -eu

cd "$(dirname "$0")/.."
target=${1:-.venv/.bootstrapped}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/memorybank-dev
mkdir -p "$cache"

# One at a time: two `make` in one checkout, or two checkouts, share the cache.
if command -v flock >/dev/null; then
    exec 9>"$cache/bootstrap.lock"
    flock 9
fi

say() { echo "bootstrap: $*"; }

# The first Python that is new enough and can make a virtual environment with pip in it.
find_python() {
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

install_debian() {
    say "installing $* (apt-get)"
    # A fresh machine has no package lists, an old one has stale ones: fetch them when the first try fails.
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 ||
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }
}

if ! python=$(find_python); then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        install_debian python3 python3-venv ca-certificates
    fi
    python=$(find_python) || {
        say "needs Python 3.11 or newer with the venv module; install it (Debian 12: apt-get install python3-venv)" >&2
        exit 1
    }
fi

# uv trusts its own list of authorities, pip the machine's: behind a company's proxy only the latter works.
if [ -z "${SSL_CERT_FILE:-}" ] && [ -s /etc/ssl/certs/ca-certificates.crt ]; then
    export UV_SYSTEM_CERTS=1
fi

uv=$cache/uv/bin/uv
wanted=$(sed -n 's/^uv==\([^ ;]*\).*/uv \1/p' locks/bootstrap.txt)
case "$("$uv" --version 2>/dev/null || :)" in
"$wanted" | "$wanted "*) ;;
*)
    say "fetching $wanted"
    rm -rf "$cache/uv"
    "$python" -m venv "$cache/uv"
    "$cache/uv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r locks/bootstrap.txt
    ;;
esac
# A machine that was told where its packages come from was told so in pip's configuration.
if [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ] && index=$("$cache/uv/bin/python" -m pip config get global.index-url 2>/dev/null); then
    export UV_DEFAULT_INDEX="$index"
fi

# Broken by a removed or upgraded Python: made anew.
if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    say "making .venv with $("$python" --version)"
    "$uv" venv --quiet --clear --no-python-downloads --python "$python" .venv
fi
say "installing what locks/dev.txt pins"
"$uv" pip sync --quiet --python .venv/bin/python --require-hashes locks/dev.txt
# The build backend is in the lock: nothing else is fetched.
"$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e operator -e app
touch "$target"
