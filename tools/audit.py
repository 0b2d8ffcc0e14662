"""What is known against the locked packages: `.venv/bin/python tools/audit.py [options of pip-audit]`.

A known vulnerability is a failure, and so is whatever else goes wrong. Only that nobody could be asked is not: a
machine may reach its package index and nothing more. That is said loudly, as is each package of which nothing was told.
"""

import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOCKS = ("requirements.txt", "requirements-dev.txt")
NOBODY_ANSWERS = re.compile(r"requests\.exceptions\.|pip_audit\._service\.interface\.|network may be blocking")
"""What pip-audit says then: it ends alike after that, after an error and after a vulnerability."""


def main() -> None:
    command = [sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "--format", "json"]
    command += ["--progress-spinner", "off", *(word for lock in LOCKS for word in ("-r", os.path.join(ROOT, lock)))]
    done = subprocess.run(command + sys.argv[1:], capture_output=True, text=True, check=False)  # noqa: S603  our own
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        if not NOBODY_ANSWERS.search(done.stderr):
            sys.exit(done.stderr or "pip-audit said nothing")
        shout("nobody could be asked: " + done.stderr.strip().splitlines()[-1])
        return
    sys.exit(status_of(packages))


def status_of(packages: "list[dict[str, object]]") -> int:
    """1 if something is known against one of the packages, as pip-audit reports them."""
    unknown = [str(one["name"]) for one in packages if "skip_reason" in one]
    affected = [one for one in packages if one.get("vulns")]
    if unknown:
        shout("nothing was told of {} of {} packages: {}".format(len(unknown), len(packages), ", ".join(unknown)))
    for one in affected:
        print(json.dumps(one, indent=2))
    print("{} packages audited, {} with a known vulnerability".format(len(packages) - len(unknown), len(affected)))
    return 1 if affected else 0


def shout(what: str) -> None:
    print("\n".join(("!" * 78, "NOT AUDITED: " + what, "!" * 78)), flush=True)


if __name__ == "__main__":
    main()
