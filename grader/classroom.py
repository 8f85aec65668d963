"""Grades a whole class: `python -m grader.classroom submissions --output grades.csv`.

`submissions` has a folder for each student, with the files that the student wrote (ch02_patches.py …), at any depth;
it may be a copy of the whole course. Nothing else in it is read: no tests, no settings, no other modules. A student who
is in the CSV already is not graded again, so a run that was interrupted or killed continues where it stopped.
"""

import argparse
import csv
import io
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

from tqdm import tqdm

from grader.grading import Result, all_checks, chapter_of, grade_folder, load_exercises
from grader.reports import write_gradescope
from grader.runner import MAX_SOURCE_BYTES, Runner
from vlm.checkpoints.atomic_write import DISK_IS_FULL, write_text
from vlm.commands.program import run_as_program

COURSE_FOLDERS = {"book", "solutions", ".venv"}  # in a copy of the course they have files with the same names


def collect(student: Path, folder: Path):
    """Copy a student's chapters, at any depth, into one folder. Of two files with the same name, the first counts."""
    files: dict[str, list[Path]] = {}
    for place, folders, names in os.walk(student):  # which follows no links
        folders[:] = sorted(set(folders) - COURSE_FOLDERS)
        for name in names:
            files.setdefault(name, []).append(Path(place, name))
    for checks in all_checks():
        name = f"{chapter_of(checks)}.py"
        for path in files.get(Path(name).name, []):
            if path.is_file() and not path.is_symlink():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                with open(path, "rb") as file:
                    (folder / name).write_bytes(file.read(MAX_SOURCE_BYTES + 1))  # more is not graded
                break


def grade_student(
    student: Path, seed: int, runner: Runner, copies: Path, reports: Path | None, stopping: Event
) -> list[Result]:
    """Grade every exercise of one student; the messages go into `reports`, one file for each student.

    Args:
        stopping: when it is set, the results are no longer needed: stop early.
    """
    folder = copies / student.name
    folder.mkdir()
    collect(student, folder)
    results = []
    for result in grade_folder(folder, seed, runner):
        results.append(result)
        if stopping.is_set():
            return results
    if reports is not None:
        reports.mkdir(parents=True, exist_ok=True)
        write_gradescope(results, reports / f"{student.name}.json")
    return results


def columns() -> list[str]:
    """The columns of the CSV: the student, the sum, and each exercise."""
    names = [f"{chapter_of(checks)}/{exercise.name}" for checks in all_checks() for exercise in load_exercises(checks)]
    return ["student", "points", *names]


def cell(text: str) -> str:
    """Escape a text for the CSV, so that spreadsheets don't take it for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def already_graded(output: Path) -> set[str]:
    """The students that are in the CSV. An incomplete last line, left by a killed run or a full disk, is removed.

    Raises:
        ValueError: if the CSV has other exercises.
    """
    with open(output, newline="", encoding="utf-8") as file:
        text = file.read()
    whole = text[: text.rfind("\n") + 1]
    reader = csv.DictReader(io.StringIO(whole, newline=""))
    if reader.fieldnames != columns():
        raise ValueError(f"the columns of {output} are not the exercises of this course: choose another file")
    if whole != text:
        write_text(output, whole)
    return {row["student"] for row in reader}


def grade_class(submissions: Path, output: Path, seed: int, jobs: int, reports: Path | None = None):
    """Write a line per student when it is ready. Students that cannot be graded are reported on stderr and skipped."""
    if not output.exists():
        write_text(output, ",".join(columns()) + "\r\n")
    done = already_graded(output)
    students = [path for path in sorted(submissions.iterdir()) if path.is_dir() and cell(path.name) not in done]
    with (
        TemporaryDirectory() as copies,
        open(output, "a", newline="", encoding="utf-8") as file,
        ThreadPoolExecutor(jobs) as pool,
    ):
        runner = Runner(hidden=[submissions, Path(copies), output, *([reports] if reports else [])])
        stopping, writer = Event(), csv.writer(file)
        futures = {
            pool.submit(grade_student, student, seed, runner, Path(copies), reports, stopping): student.name
            for student in students
        }
        try:
            for future in tqdm(as_completed(futures), total=len(futures), unit="student"):
                try:
                    points = [result.points for result in future.result()]
                except Exception as error:
                    if getattr(error, "errno", None) in DISK_IS_FULL:
                        raise
                    tqdm.write(f"{futures[future]} could not be graded: {error!r}", file=sys.stderr)
                    continue
                writer.writerow([cell(futures[future]), sum(points), *points])
                file.flush()
        except BaseException:  # Ctrl-C above all: do not wait until the whole class is graded
            stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            while not all(future.done() for future in futures):  # one may be starting a process right now
                for process in multiprocessing.active_children():
                    process.kill()  # otherwise we would wait for an endless submission until its time limit
                time.sleep(0.05)
            raise


def check_confinement(required: bool):
    """Report in one line what this machine lacks to confine submissions.

    Raises:
        SystemExit: something is missing, and `required` is set.
    """
    missing = Runner().missing_confinement()
    if missing:
        says = f"this machine confines submissions only in part: it has no {', no '.join(missing)}"
        if required:
            raise SystemExit(f"{says}: grade in a container, or on another machine")
        print(says, file=sys.stderr)


def main(arguments: Sequence[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("submissions", type=Path, help="folder with a subfolder for each student")
    parser.add_argument("--output", type=Path, default=Path("grades.csv"))
    parser.add_argument("--reports", type=Path, help="folder for the reports, one JSON file for each student")
    parser.add_argument("--grader-seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="students graded at the same time")
    parser.add_argument(
        "--require-confinement", action="store_true", help="refuse to grade where the kernel cannot confine submissions"
    )
    options = parser.parse_args(arguments)
    if not options.submissions.is_dir():
        raise SystemExit(f"{options.submissions} is not a folder")
    check_confinement(options.require_confinement)
    try:
        grade_class(options.submissions, options.output, options.grader_seed, options.jobs, options.reports)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    except OSError as error:
        raise SystemExit(f"grading stopped: {error}\nrun the same command again to continue") from None
    except KeyboardInterrupt:
        print("\ninterrupted: run the same command again to continue", file=sys.stderr)
        raise SystemExit(130) from None


if __name__ == "__main__":
    run_as_program("grader.classroom", main)
