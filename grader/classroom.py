"""Grades a whole class: `python -m grader.classroom submissions --output grades.csv`.

`submissions` has a folder for each student, with the files that the student wrote (ch02_patches.py …), there or
anywhere below. Nothing else in it is read: no tests, no settings, no other modules. A student who is in the CSV
already is not graded again, so an interrupted run goes on where it was.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory

from tqdm import tqdm

from grader.grading import Result, all_checks, chapter_of, grade_folder, load_exercises
from grader.reports import write_gradescope
from grader.runner import MAX_SOURCE_BYTES, Runner


def collect(student: Path, folder: Path):
    """Copy a student's chapters, wherever they lie, into one folder. Of two with the same name the first counts."""
    for checks in all_checks():
        name = f"{chapter_of(checks)}.py"
        for path in sorted(student.rglob(name)):
            if path.is_file() and path.resolve() == student.resolve() / path.relative_to(student):  # no link on the way
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                with open(path, "rb") as file:
                    (folder / name).write_bytes(file.read(MAX_SOURCE_BYTES + 1))  # more is not graded
                break


def grade_student(student: Path, seed: int, runner: Runner, copies: Path, reports: Path | None) -> list[Result]:
    """Every exercise of one student; the messages go into `reports`, one file for each student."""
    folder = copies / student.name
    folder.mkdir()
    collect(student, folder)
    results = list(grade_folder(folder, seed, runner))
    if reports is not None:
        reports.mkdir(parents=True, exist_ok=True)
        write_gradescope(results, reports / f"{student.name}.json")
    return results


def columns() -> list[str]:
    """Of the CSV: the student, the sum, and each exercise."""
    names = [f"{chapter_of(checks)}/{exercise.name}" for checks in all_checks() for exercise in load_exercises(checks)]
    return ["student", "points", *names]


def already_graded(output: Path) -> set[str]:
    """The students that are in the CSV.

    Raises:
        ValueError: if it is about other exercises.
    """
    if not output.is_file():
        return set()
    with open(output, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != columns():
            raise ValueError(f"{output} has other columns than this course has exercises: name another file")
        return {row["student"] for row in reader}


def grade_class(submissions: Path, output: Path, seed: int, jobs: int, reports: Path | None = None):
    """Write one line for each student, as soon as it is known. Who cannot be graded is named, and has no line."""
    done = already_graded(output)
    students = [path for path in sorted(submissions.iterdir()) if path.is_dir() and path.name not in done]
    with (
        TemporaryDirectory() as copies,
        open(output, "a", newline="", encoding="utf-8") as file,
        ThreadPoolExecutor(jobs) as pool,
    ):
        runner = Runner(hidden=[submissions, Path(copies), output, *([reports] if reports else [])])
        writer = csv.writer(file)
        if not done:
            writer.writerow(columns())
        futures = {
            pool.submit(grade_student, student, seed, runner, Path(copies), reports): student for student in students
        }
        for future in tqdm(as_completed(futures), total=len(futures), unit="student"):
            student = futures[future].name
            if future.exception() is not None:
                tqdm.write(f"{student} could not be graded: {future.exception()!r}", file=sys.stderr)
                continue
            points = [result.points for result in future.result()]
            writer.writerow([student, sum(points), *points])
            file.flush()


def main(arguments: Sequence[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("submissions", type=Path, help="folder with a folder for each student")
    parser.add_argument("--output", type=Path, default=Path("grades.csv"))
    parser.add_argument("--reports", type=Path, help="folder for what is wrong, one JSON file for each student")
    parser.add_argument("--grader-seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="students graded at the same time")
    options = parser.parse_args(arguments)
    if not options.submissions.is_dir():
        raise SystemExit(f"{options.submissions} is not a folder")
    try:
        grade_class(options.submissions, options.output, options.grader_seed, options.jobs, options.reports)
    except ValueError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
