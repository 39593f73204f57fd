"""Animals with Attributes 2: 37,322 photographs of 50 kinds of animals, and 85 attributes of each kind.

Y. Xian, C. H. Lampert, B. Schiele, Z. Akata, 2018, https://cvml.ista.ac.at/AwA2/. The photographs are not the course's
to pass on: each user fetches them from the official site, 13 GB. They are read straight out of the archive and decoded
once into small pictures (``course_utils.datasets.photographs.cache``); after that the archive is no longer needed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from course_utils.system.errors import CourseError

from . import animals, places
from .animals import Pictures
from .photographs import cache, parts
from .photographs.source import Source, open_source, open_zip

SITE = "https://cvml.ista.ac.at/AwA2/"
BASE, DATA = "AwA2-base.zip", "AwA2-data.zip"  # the text files, 32 KB; the photographs
NUM_CLASSES, NUM_PHOTOS = 50, 37_322
DATA_BYTES = 14_000_000_000  # about: the site says 13 GB
LEAST_BYTES = 10_000_000_000  # a shorter answer is a login page, not the archive
PATIENCE = 12  # tries in a row that bring nothing, some five minutes
FOLDER = "AwA2"
HOW_TO_GET = (
    "Get it with: course data fetch awa2 (13 GB, goes on where it stopped), or from an archive or folder that you have:"
    " course data fetch awa2 --from PATH"
)


def find(size: int = 64, fit: str = "crop") -> Path | None:
    """The first cache of such pictures on this machine; None where there is none."""
    return next((path for path in _caches() if path.name == cache.folder_name(size, fit)), None)


def read_attributes() -> animals.Attributes:
    """From whichever cache is here; else from the text files, if the photographs or AwA2-base.zip are."""
    for folder in _caches():
        if (found := cache.read(folder)) is not None:
            return animals.parse(found[1].texts)[1]
    if (path := _find_source()) is not None:
        return animals.parse(_texts(open_source(path)))[1]
    for root in _roots():
        if (base := root / FOLDER / BASE).is_file():
            return animals.parse(animals.read_texts(open_source(base).text))[1]
    raise CourseError(f"AwA2's attributes are not here. {HOW_TO_GET}")


def read(size: int = 64, fit: str = "crop", *, progress: bool = True) -> Pictures:
    """All pictures; decoded now, if the photographs are here and were not yet.

    Raises:
        CourseError: neither pictures nor photographs are on this machine.
    """
    folder = find(size, fit)
    if folder is None:
        photographs = _find_source()
        if photographs is None:
            here = sorted(f"size {size}, fit {fit!r}" for size, fit in _made())
            raise CourseError(
                f"AwA2 in size {size}, fit {fit!r} is not here (here: {'; '.join(here) or 'nothing'}). {HOW_TO_GET}"
            )
        folder = prepare(photographs, size, fit, progress=progress)
    return pictures(folder)


def pictures(folder: Path) -> Pictures:
    """The pictures in one cache, mapped into memory."""
    found = cache.read(folder)
    if found is None:
        raise CourseError(f"There are no pictures in {folder}. {HOW_TO_GET}")
    images, manifest = found
    class_names, of_classes = animals.parse(manifest.texts)
    label = {name: i for i, name in enumerate(class_names)}
    labels = torch.tensor([label[name.split("/")[0]] for name in manifest.names], dtype=torch.int64)
    stretches = {part: parts.stretch(manifest.names, part) for part in parts.PARTS}
    return Pictures(torch.from_numpy(images), labels, stretches, class_names, of_classes, manifest.skipped)


def fetch(
    size: int = 64, fit: str = "crop", *, source: Path | None = None, partial: bool = False, progress: bool = True
) -> Path:
    """Get the photographs, from the official site or from ``source``, and decode them. Returns the cache's folder.

    Args:
        source: an archive or folder that is already here; it stays as it is.
        partial: go on although classes or photographs are missing.

    Raises:
        CourseError: no network, not enough space, or the archive or folder is not whole.
    """
    if source is None:
        made = find(size, fit)
        if made is not None and cache.read(made) is not None:
            return made
        source = _find_source() or download(progress=progress)
    return prepare(source, size, fit, partial=partial, progress=progress)


def prepare(path: Path, size: int, fit: str, *, partial: bool = False, progress: bool = True) -> Path:
    """Decode the photographs in an archive or folder into a cache. Returns its folder."""
    source = open_source(path)
    texts = _texts(source)
    class_names, _ = animals.parse(texts)
    _refuse_incomplete(source, class_names, partial)
    return cache.build(source, _home() / cache.folder_name(size, fit), texts, size=size, fit=fit, progress=progress)


def download(*, progress: bool = True) -> Path:
    """Fetch both official archives, first the small one, going on where an earlier try stopped."""
    from .download import download_file

    folder = places.cache_folder() / FOLDER
    _refuse_full_disk(folder)
    for name, least in ((BASE, 0), (DATA, LEAST_BYTES)):
        if progress:
            print(f"{SITE}{name} -> {folder / name}")
        download_file(
            [SITE + name], folder / name, None, verify=open_zip, least_bytes=least, tries=PATIENCE, progress=progress
        )
    return folder / DATA


def packed() -> Path | None:
    """The big archive, where it was downloaded to."""
    path = places.cache_folder() / FOLDER / DATA
    return path if path.is_file() else None


def status() -> tuple[Path | None, str]:
    """The folder of the first cache, and a line for people on all that is here."""
    made = sorted(_made())
    if made:
        return find(*made[0]), f"decoded to {', '.join(f'{size}x{size} ({fit})' for size, fit in made)}"
    part = places.cache_folder() / FOLDER / f"{DATA}.part"
    if part.is_file():
        here = f"{part.stat().st_size / 1e9:.1f} of about {DATA_BYTES / 1e9:.0f} GB"
        line = f"{here} are here; go on with: course data fetch awa2"
    elif (source := _find_source()) is not None:
        try:
            open_source(source)
            line = "photographs are here, not yet decoded: course data fetch awa2"
        except CourseError as error:
            line = str(error)
    else:
        line = "not here; get it with: course data fetch awa2 (13 GB)"
    return None, line


# --- places ------------------------------------------------------------------------------------------------------


def _home() -> Path:
    """The folder for caches that are made here."""
    return places.cache_folder() / FOLDER / "decoded"


def _roots() -> list[Path]:
    return list(dict.fromkeys([*places.candidates(), places.cache_folder()]))


def _caches() -> list[Path]:
    return [
        path
        for root in _roots()
        for path in sorted((root / FOLDER / "decoded").glob(f"*_v{cache.VERSION}"))
        if (path / "manifest.json").is_file()
    ]


def _made() -> set[tuple[int, str]]:
    return {(int(size), fit) for size, fit, _ in (path.name.split("_") for path in _caches())}


def _find_source() -> Path | None:
    """The photographs: unpacked or packed, in the usual places or where an earlier cache was made from.

    Of several, the one with most photographs; one that cannot be read only where there is no other.
    """
    here = []
    for root in _roots():
        unpacked = root / FOLDER / "Animals_with_Attributes2"
        here += [path for path, there in ((unpacked, (unpacked / "JPEGImages").is_dir()),) if there]
        here += [path for path in (root / FOLDER / DATA,) if path.is_file()]
    if not here:
        for folder in _caches():
            found = cache.read(folder)
            here += [Path(found[1].source)] if found is not None and Path(found[1].source).exists() else []
    return max(here, key=_num_photos) if len(here) > 1 else next(iter(here), None)


def _num_photos(path: Path) -> int:
    """How many photographs are in it; -1 where it cannot be read."""
    try:
        return len(open_source(path).photos)
    except CourseError:
        return -1


def _texts(source: Source) -> dict[str, str]:
    """The six text files, from the source itself or else from the small archive, which is fetched if need be."""
    texts = animals.read_texts(source.text)
    if len(texts) == len(animals.FILES):
        return texts
    beside, here = source.path.with_name(BASE), places.cache_folder() / FOLDER / BASE
    base = beside if beside.is_file() else here
    if not base.is_file():
        from .download import download_file

        missing = ", ".join(name for name in animals.FILES if name not in texts)
        try:
            download_file([SITE + BASE], base, None, verify=open_zip, progress=False)
        except CourseError as error:
            raise CourseError(
                f"{source.path} lacks {missing}. {error} Or put {BASE} from {SITE} beside it by hand."
            ) from None
    return animals.read_texts(open_source(base).text) | texts


# --- refusals ----------------------------------------------------------------------------------------------------


def _refuse_incomplete(source: Source, class_names: tuple[str, ...], partial: bool) -> None:
    """Classes missing or extra, photographs missing: told before anything is decoded."""
    counts = dict.fromkeys(class_names, 0)
    for photo in source.photos:
        if photo.class_name in counts:
            counts[photo.class_name] += 1
    problems = []
    if extra := sorted(source.folders - set(class_names)):
        problems.append(f"{_some(extra)} not in classes.txt")
    if empty := [name for name, count in counts.items() if count == 0]:
        problems.append(f"{len(empty)} of {len(class_names)} classes have no photographs ({_some(empty)})")
    total = sum(counts.values())
    if total == 0:
        raise CourseError(
            f"{source.path} holds no photographs JPEGImages/<class>/*.jpg. Expected AwA2-data.zip, or its folder."
        )
    if len(class_names) == NUM_CLASSES and total != NUM_PHOTOS:
        problems.append(f"{total:,} photographs, expected {NUM_PHOTOS:,}")
    if problems and not partial:
        raise CourseError(
            f"{source.path} is not the whole of AwA2: {'; '.join(problems)}. Get it again, or go on with "
            "what is there: course data fetch awa2 --partial"
        )
    source.photos = tuple(photo for photo in source.photos if photo.class_name in counts)


def _refuse_full_disk(folder: Path) -> None:
    """Better before a download of hours than after it."""
    folder.mkdir(parents=True, exist_ok=True)
    here = sum((folder / name).stat().st_size for name in (DATA, f"{DATA}.part") if (folder / name).is_file())
    needed = max(0, DATA_BYTES - here) + 2 * NUM_PHOTOS * 3 * 64 * 64
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CourseError(
            f"AwA2 needs {needed / 1e9:.1f} GB more in {folder} (the archive, and the pictures), {free / 1e9:.1f} "
            "GB are free. Free some space, or name a folder on a larger disk: set COURSE_DATA to it."
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
