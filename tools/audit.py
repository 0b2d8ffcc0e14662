"""Report known vulnerabilities of the locked packages: `.venv/bin/python tools/audit.py [options of pip-audit]`.

A known vulnerability or an error fails the audit. Advisories that cannot be reached do not, because some machines can
reach only a package index. The output then contains NOT AUDITED and names each package without data.
"""

import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOCKS = ("requirements.txt", "requirements-dev.txt")
UNREACHABLE = re.compile(r"requests\.exceptions\.|pip_audit\._service\.interface\.|network may be blocking")
"""Part of pip-audit's message if advisories cannot be reached. Its exit status is the same as for a vulnerability."""


def main() -> None:
    command = [sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "--format", "json"]
    command += ["--progress-spinner", "off", *(word for lock in LOCKS for word in ("-r", os.path.join(ROOT, lock)))]
    done = subprocess.run(command + sys.argv[1:], capture_output=True, text=True, check=False)  # noqa: S603  our program
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        if not UNREACHABLE.search(done.stderr):
            sys.exit(done.stderr or "pip-audit failed without a message")
        shout("advisories not reachable: " + done.stderr.strip().splitlines()[-1])
        return
    sys.exit(status_of(packages))


def status_of(packages: "list[dict[str, object]]") -> int:
    """Return 1 if pip-audit reports a vulnerability of a package, else 0."""
    unknown = [str(one["name"]) for one in packages if "skip_reason" in one]
    affected = [one for one in packages if one.get("vulns")]
    if unknown:
        shout("no data for {} of {} packages: {}".format(len(unknown), len(packages), ", ".join(unknown)))
    for one in affected:
        print(json.dumps(one, indent=2))
    print("{} packages audited, {} with a known vulnerability".format(len(packages) - len(unknown), len(affected)))
    return 1 if affected else 0


def shout(what: str) -> None:
    print("\n".join(("!" * 78, "NOT AUDITED: " + what, "!" * 78)), flush=True)


if __name__ == "__main__":
    main()
