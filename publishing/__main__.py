"""Make a version of this project: python -m publishing VERSION. It stops before anything is pushed.

The gate runs on the very files that the tag will hold; where it fails, they are put back as they were. It is run and
not asked about: a green run of yesterday says nothing about them.
"""

import datetime
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from build.errors import DeployError
from publishing import bill, changelog
from publishing import version as versions
from publishing.version import STATED, Version

REPOSITORY = Path(__file__).parents[1]
CHANGELOG = Path("CHANGELOG.md")
GATE = ".ci/run"
SHOWN_MAX = 5


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def checkout_problems() -> list[str]:
    """What of the checkout stands in the way."""
    changed = git("status", "--porcelain", "--untracked-files=all").splitlines()
    found = []
    if changed:
        names = ", ".join(line.strip() for line in changed[:SHOWN_MAX])
        more = f" and {len(changed) - SHOWN_MAX} more" if len(changed) > SHOWN_MAX else ""
        advice = "Commit them, or put them away by `git stash --include-untracked`"
        found.append(f"checkout: has changes, got {names}{more}. {advice}.")
    if not git("branch", "--show-current"):
        found.append("checkout: on no branch, so that the commit would be lost. Run `git switch main`.")
    return found


def read(paths: tuple[Path, ...]) -> dict[Path, str]:
    return {path: (REPOSITORY / path).read_text(encoding="utf-8") for path in paths}


def put_back(before: Mapping[Path, str], made: Mapping[Path, str]) -> None:
    """Undo what was written here, but nothing that somebody wrote meanwhile."""
    for path, text in read(tuple(made)).items():
        if text == made[path]:
            write({path: before[path]})


def write(texts: Mapping[Path, str]) -> None:
    for path, text in texts.items():
        (REPOSITORY / path).write_text(text, encoding="utf-8")


def released(texts: Mapping[Path, str], version: Version, date: datetime.date) -> dict[Path, str]:
    """The files as the version has them."""
    return {
        CHANGELOG: changelog.filled(texts[CHANGELOG], str(version), date),
        **{path: versions.restated(path, texts[path], version) for path in STATED},
    }


def passes_gate() -> bool:
    print(f"Running the gate, {GATE}, on what will be tagged: it takes as long as it takes in CI", flush=True)
    # The gate calls make too, and shall not hear what this make was told.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "VERSION")
    }
    return subprocess.run(["bash", GATE], cwd=REPOSITORY, env=environment, check=False).returncode == 0


def record(version: Version, notes: str) -> None:
    """Commit and tag, or neither."""
    git("commit", "--quiet", "--message", f"Release {version}", "--", *map(str, (CHANGELOG, *STATED)))
    try:
        # verbatim: a line of the changelog may begin with what git takes for a comment.
        git("tag", "--annotate", "--cleanup=verbatim", "--message", f"{version}\n\n{notes}\n", version.tag)
    except subprocess.CalledProcessError:
        git("reset", "--quiet", "HEAD~1")
        raise


def make(version: Version, before: Mapping[Path, str], date: datetime.date) -> list[str]:
    """Write, prove and record the version; returns what stood in the way, and then nothing has changed."""
    head = git("rev-parse", "HEAD")
    made = released(before, version, date)
    is_recorded = False
    try:
        write(made)
        if not passes_gate():
            return [f"gate: {GATE} failed, so nothing was tagged. Its output above says why."]
        if (git("rev-parse", "HEAD"), read(tuple(made))) != (head, made):
            return [
                "checkout: changed while the gate ran, so nothing was tagged. Commit the changes, and run it again."
            ]
        record(version, changelog.unreleased(before[CHANGELOG]))
        is_recorded = True
    except subprocess.CalledProcessError as error:
        return [f"git: `git {error.cmd[1]}` failed, so nothing was tagged. Its words above say why."]
    except KeyboardInterrupt:
        return ["Interrupted, so nothing was tagged. Run it again when you like."]
    finally:
        if not is_recorded:
            put_back(before, made)
    return []


def obstacles(asked: str, before: Mapping[Path, str]) -> list[str]:
    """All that stands in the way before anything is written."""
    if not (REPOSITORY / ".git").exists():
        return ["checkout: no git repository. Clone the project instead of unpacking an archive of it."]
    current = versions.stated(versions.SOURCE, before[versions.SOURCE])
    return [
        *versions.problems(asked, current, git("tag").split()),
        *checkout_problems(),
        *changelog.problems(before[CHANGELOG]),
    ]


def main(asked: str) -> int:
    before = read((CHANGELOG, *STATED))
    version, found = Version.read(asked), obstacles(asked, before)
    date = datetime.datetime.now(datetime.UTC).date()
    try:
        listed = bill.components(REPOSITORY)  # first: what cannot be listed shall not cost the gate's hour
    except DeployError as error:
        found += error.problems
    if version is not None and not found:
        found = make(version, before, date)
    if version is None or found:
        print("\n".join(found), file=sys.stderr)
        return 1
    file = REPOSITORY / "out" / "publishing" / f"{bill.NAME}-{version}.spdx.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(bill.document(str(version), date, listed), encoding="utf-8")
    print(
        f"Made {version.tag} and its bill of materials, {file.relative_to(REPOSITORY)}. Nothing was pushed. To publish:"
    )
    print(f"    git push --atomic origin {git('branch', '--show-current')} {version.tag}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
