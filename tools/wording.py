"""Check the project's texts for unidiomatic wording: `.venv/bin/python tools/wording.py [FILES]`.

Each rule has a regular expression, the words to use instead, and an example that it must find. codespell finds
misspelled words. The project uses no other prose linter, because they download their rules or check matters of taste.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEXTS = {".md", ".py", ".html", ".js", ".lua", ".yml", ".toml", ".sh", ""}
EXCLUDED = ("tools/wording.py", "tests/project/test_wording.py", "README.zh-CN.md", "LICENSE", "findings/")

_START = r"(^|[.:] |\"\"\"|(?<!#)# )"

RULES: "tuple[tuple[str, str, str], ...]" = (
    (r"\bhears?\b|\bheard\b", "receives", "the sender hears 503"),
    (r"\b(is|are|was|were|be|been) told\b", "receives, is reported", "the sender is told so"),
    (r"\b(is|was|are|were) answered\b|\banswers? (by|with|the sender)\b", "returns, responds", "it is answered by 404"),
    (r"\bthe answer\b", "the response, the reply", "the answer has a body"),
    (r"\banew\b", "again", "it is verified anew"),
    (r"\ball the same\b", "drop it, or: the same", "it works all the same"),
    (r"\bby (itself|themselves)\b", "automatically, alone", "it retries by itself"),
    (r"\bas (it|they) (came|stands?)\b", "unchanged", "forwarded as it came"),
    (r"\b(who|what|which)(so)?ever\b", "everyone who, every", "whoever knows the secret"),
    (r"\b(is|are|was|were) at work\b", "is in progress", "another one is at work"),
    (r"\bcomes? again\b|\bcame again\b", "is retried, is redelivered", "when it comes again"),
    (r"\bin turns\b|\bby lot\b", "interleaved", "measured in turns"),
    (r"\bunder way\b", "in progress", "the call is under way"),
    (r"\bdearer\b|\bdearest\b", "more expensive", "the dearest part"),
    (r"\bremember(s|ed|ing)?\b", "stores, records", "what is remembered"),
    (r"\bforg[eo]t(s|ten)?\b", "deletes, expires, loses", "it is forgotten"),
    (r"\bin earnest\b|\bfor ever\b", "in production, without a limit", "as in earnest"),
    (r"\b(is|are|was|were|be) found out\b", "is reconciled, is determined", "it is found out"),
    (r"\bmust be a text\b", "must be a string", "must be a text"),
    (r"\blook at it\b", "name the remedy", "look at it"),
    (r"\bstands? (here|there)\b", "is", "it stands there"),
    (r"\b[Tt]ime-outs?\b", "timeout", "the time-out is 3 s"),
    (r"\b[Ll]ook-ups?\b", "lookup", "a look-up of a delivery"),
    (r"\bguards\b", "limits, quotas", "the guards count messages"),
    (r"\b[Ww]here there (is|are|was|were)\b", "if there is", "where there is no key"),
    (r"\b(take|takes|taken|taking|took) (\w+ ){0,3}off (the|its|an)\b", "remove from", "taken off the list"),
    (r"\bgo(es)? on\b", "continue", "the command goes on"),
    (r"\bnothing of (the|it|a)\b", "no part of", "it repeats nothing of the body"),
    (r"\bfor good\b", "permanently", "it is rejected for good"),
    (r"\bhowever (long|often|many|much|slow)\b", "at any length, any number of times", "however often it arrives"),
    (r"\b[Ss]o many (new )?(bytes|seconds|messages|calls|deliveries)\b", "a number of", "after so many seconds"),
    (
        r"(?<![Tt]here )\b(is|are) no (?!(longer|more|less|fewer|later|earlier|different|such|other|one)\b)",
        "is not a",
        "the file is no ledger",
    ),
    (r"\bIn comes\b|\bout comes\b", "describe the function", "In comes a body"),
    (_START + r"(Who|Whose|Whom) [a-z]+ (?![^.]*\?)", "name the subject first", "# Who has the secret may try."),
    (_START + r"Of (a|an|the|what|these) ", "name the subject first", "Of a code it is known"),
    (
        _START + r"What (is|are|was|has|have|can|cannot|comes|they|it) (?![^.]*\?)",
        "name the subject first",
        "What is lost comes back.",
    ),
)
ALLOWED = re.compile(r"wording: .+")
"""A comment with a reason at the end of a line allows the words on it."""


def find(text: str) -> "list[tuple[int, str, str]]":
    """Return the line number, the words found, and those to use instead."""
    return [
        (number, match.group().strip(' "#.:'), instead)
        for number, line in enumerate(text.splitlines(), start=1)
        if not ALLOWED.search(line)
        for pattern, instead, _ in RULES
        for match in re.finditer(pattern, line)
    ]


def project_files() -> "list[Path]":
    """Return the text files that git tracks or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603  our program
    names = done.stdout.splitlines()
    return [ROOT / name for name in names if Path(name).suffix in TEXTS and not name.startswith(EXCLUDED)]


def main() -> None:
    findings = 0
    for path in [Path(name).resolve() for name in sys.argv[1:]] or project_files():
        if path.is_file():
            for line, words, instead in find(path.read_text(encoding="utf-8")):
                print(f"{path.relative_to(ROOT)}:{line}: “{words}”; use instead: {instead}")
                findings += 1
    if findings:
        sys.exit(f"{findings} texts to reword")


if __name__ == "__main__":
    main()
