#!/bin/sh
# sh start.sh            open the course in JupyterLab (the first time: install it)
# sh start.sh submit 02  any other command of the course; sh start.sh --help lists them
# COURSE_PYTHON names a Python, COURSE_VENV a folder for the packages.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
unset PYTHONHOME PYTHONPATH

supported() { "$1" -I -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info < (3, 15) and sys.maxsize > 2**32))' >/dev/null 2>&1; }

find_python() {
    if [ -n "${COURSE_PYTHON:-}" ]; then
        supported "$COURSE_PYTHON" || { echo "course: COURSE_PYTHON is $COURSE_PYTHON, which is not Python 3.11 to 3.14 (64-bit)." >&2; exit 1; }
        python=$COURSE_PYTHON
        return
    fi
    for python in "$root/.venv/bin/python" python3 python3.13 python3.12 python3.11 python3.14 /usr/bin/python3 python; do
        supported "$python" && return
    done
    if command -v uv >/dev/null 2>&1; then
        uv python install --quiet 3.13 && python=$(uv python find --no-project 3.13) && supported "$python" && return
    fi
    echo "course: Python 3.11 to 3.14 is needed and was not found. Debian/Ubuntu: sudo apt install python3 python3-venv. macOS: brew install python@3.13. Or install uv, which brings its own. Then run this again." >&2
    exit 1
}

find_python
exec "$python" -I "$root/course_utils/system/install.py" "$@"
