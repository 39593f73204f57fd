#!/bin/sh
# sh start.sh            open the course in JupyterLab (the first time: install it, into .venv)
# sh start.sh submit 02  any other command of the course; sh start.sh --help lists them
set -eu
cd -- "$(dirname -- "$0")"
needed_gb=10

fail() { printf 'course: %s\n' "$1" >&2; exit 1; }

find_python() {
    for candidate in ${COURSE_PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14 python; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail "Python 3.11 to 3.14 is needed. macOS: brew install python. Debian/Ubuntu: sudo apt install python3 python3-venv."
}

if [ ! -e .venv/course-installed ]; then
    python=$(find_python)
    free_gb=$(df -Pk . | awk 'NR == 2 { print int($4 / 1048576) }')
    [ "$free_gb" -ge "$needed_gb" ] || fail "the packages need $needed_gb GB of free disk; here are $free_gb GB."
    "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || fail "this Python has no venv. Debian/Ubuntu: sudo apt install python3-venv."
    echo "Installing the course (once; about 6 GB of packages) ..." >&2
    "$python" -m venv .venv || fail "could not make .venv; see above."
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable . >&2 \
        || fail "the packages could not be installed (see above). Check the network, then run this again."
    : > .venv/course-installed
fi
[ "$#" -gt 0 ] || set -- lab
exec .venv/bin/python -m course_utils.cli "$@"
