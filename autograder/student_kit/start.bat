@echo off
rem Double-click: open the course in JupyterLab (the first time: install it, into .venv).
rem start.bat submit 02: any other command of the course; start.bat --help lists them.
setlocal
cd /d "%~dp0"
if exist .venv\course-installed goto run

set "PYTHON="
py -3 -c "import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))" >nul 2>&1 && set "PYTHON=py -3"
if not defined PYTHON python -c "import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))" >nul 2>&1 && set "PYTHON=python"
if not defined PYTHON (
    echo course: Python 3.11 to 3.14 is needed: install it from python.org, then run this again.
    goto failed
)
echo Installing the course (once; a few GB of packages) ...
%PYTHON% -m venv .venv || goto failed
.venv\Scripts\python.exe -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
if errorlevel 1 (
    echo course: the packages could not be installed, see above. Check the network, then run this again.
    goto failed
)
echo done> .venv\course-installed

:run
if "%~1"=="" (
    .venv\Scripts\python.exe -m course_utils.cli lab
) else (
    .venv\Scripts\python.exe -m course_utils.cli %*
)
if errorlevel 1 if "%~1"=="" pause
exit /b %errorlevel%

:failed
pause
exit /b 1
