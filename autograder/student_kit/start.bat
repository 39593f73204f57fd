@echo off
rem Double-click: open the course in JupyterLab (the first time: install it).
rem start.bat submit 02: any other command of the course; start.bat --help lists them.
rem COURSE_PYTHON names a Python, COURSE_VENV a folder for the packages.
setlocal DisableDelayedExpansion
rem Programs that lie in the folder where this is typed are not run.
set "NoDefaultCurrentDirectoryInExePath=1"
set "PYTHONPATH="
set "PYTHONHOME="
set "PYTHON="
if exist "%~dp0course_utils\system\install.py" goto unpacked
echo course: unpack the zip first: right-click it, choose Extract All, then open start.bat in the new folder.
goto failed

:unpacked
set "TEST=import sys; sys.exit(not ((3, 11) <= sys.version_info < (3, 15) and sys.maxsize > 2**32))"
if not defined COURSE_PYTHON goto find
call :try "%COURSE_PYTHON%"
if defined PYTHON goto found
echo course: COURSE_PYTHON does not name a 64-bit Python 3.11 to 3.14.
goto failed

:find
call :try py -3.13
call :try py -3.12
call :try py -3.11
call :try py -3.14
call :try python
call :try python3
call :try uv run --quiet --no-project --python 3.13 python
if defined PYTHON goto found
echo course: a 64-bit Python 3.11 to 3.14 is needed and was not found. Install 3.13 from python.org, then run this again.
goto failed

:found
%PYTHON% -I "%~dp0course_utils\system\install.py" %*
set "CODE=%errorlevel%"
if "%CODE%"=="0" exit /b 0
if "%~1"=="" pause
exit /b %CODE%

:try
if defined PYTHON exit /b 0
%* -I -c "%TEST%" >nul 2>&1
if not "%errorlevel%"=="0" exit /b 0
set PYTHON=%*
exit /b 0

:failed
pause
exit /b 1
