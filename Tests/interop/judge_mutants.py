"""Lets vtatrace.py, which shares no code with the verifier, replay a sample of mutants: judge_mutants.py TOOL FOLDER.

An accepted mutant must run to its end and leave the bytes that our simulator leaves. Of the refused ones it is counted
how many the other judge can't run either; the rest breaks rules that a plain replay doesn't see (order without tokens,
memory that is not the program's, uses on which implementations differ).
"""

import importlib.util
import pathlib
import sys


def main(tool, folder):
    spec = importlib.util.spec_from_file_location("vtatrace", tool)
    vtatrace = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(vtatrace)
    counts = {}
    harmful = []
    for path in sorted(pathlib.Path(folder).glob("*.vtatrace")):
        verdict = path.name.split("-")[0]
        try:
            result = "same bytes" if vtatrace.check(path) == 0 else "other bytes"
        except Exception as error:
            result = "fails"
            reason = f"{type(error).__name__}: {error}"
        else:
            reason = result
        counts[verdict, result] = counts.get((verdict, result), 0) + 1
        if verdict == "accepted" and result != "same bytes":
            harmful.append(f"{path}: {vtatrace.read(path)[0]['label']}: {reason}")
    for (verdict, result), count in sorted(counts.items()):
        print(f"{verdict} by the verifier, {result} in vtatrace.py: {count}")
    for line in harmful:
        print(f"HARMFUL: {line}")
    return 1 if harmful or not any(verdict == "accepted" for verdict, _ in counts) else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
