#!/usr/bin/env python3
"""Writes man pages of vtactl, each of its commands and vtad, from what the programs say of themselves.

manpages.py BIN OUTPUT-FOLDER
"""

import json
import pathlib
import re
import subprocess
import sys

# What the programs do not say of themselves: lines of troff at the end of each page.
ENDS = {
    "vtactl": [
        ".SH EXIT STATUS",
        "0 on success, 1 if the work failed, 2 on wrong usage.",
    ],
    "vtad": [
        ".SH SIGNALS",
        ".TP\nSIGHUP\nThe configuration is read again.",
        ".TP\nSIGTERM, SIGINT\nRunning calls may finish, for at most \\fBdrain_seconds\\fR; then it ends.",
        ".SH FILES",
        ".TP\n\\fI/etc/vtad/vtad.json\\fR\nThe configuration of \\fBvtad.service\\fR.",
        ".TP\n\\fI/run/vtad/vtad.sock\\fR\nWhere it is asked, by members of the group \\fBvta\\fR.",
        ".TP\n\\fI/var/lib/vtad/models\\fR\nThe models that it serves to everybody.",
    ],
}


def escaped(text):
    """Text for troff: no escapes, no requests."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line[:1] in (".", "'") else line for line in text.splitlines())


def names(argument):
    """As they are written on the command line."""
    dashes = {"short": "-", "long": "--", "longWithSingleDash": "-"}
    return [dashes[name["kind"]] + name["name"] for name in argument.get("names") or []]


def placeholder(argument):
    return f"\\fI{escaped(argument.get('valueName') or 'value')}\\fR"


def arguments_of(command):
    for argument in command.get("arguments") or []:
        if not argument.get("shouldDisplay", True):
            continue
        spelled = ", ".join(f"\\fB{escaped(name)}\\fR" for name in names(argument))
        if argument["kind"] == "positional":
            head = placeholder(argument)
        elif argument["kind"] == "option":
            head = f"{spelled} {placeholder(argument)}"
        else:
            head = spelled
        text = argument.get("abstract") or ""
        if argument.get("defaultValue"):
            text += f" By default {argument['defaultValue']}."
        yield f".TP\n{head}\n{escaped(text)}"


def subcommands(command):
    return [entry for entry in command.get("subcommands") or [] if entry["commandName"] != "help"]


def description(command, path):
    """vtad's is a table of keys: lines `  KEY (DEFAULT)`, with what each does on deeper lines below."""
    text = command["discussion"]
    if path[0] != "vtad":
        return escaped(text)
    lines = []
    for line in text.splitlines():
        key = re.fullmatch(r"  (\S+) (\(.*\))", line)
        lines.append(f".TP\n\\fB{escaped(key[1])}\\fR {escaped(key[2])}" if key else escaped(line.strip()))
    return "\n".join(lines)


def synopsis(command, path):
    parts = [f"\\fB{escaped(' '.join(path))}\\fR"]
    if any(argument["kind"] != "positional" for argument in command.get("arguments") or []):
        parts.append("[\\fIoptions\\fR]")
    if subcommands(command):
        parts.append("\\fIcommand\\fR")
    for argument in command.get("arguments") or []:
        if argument["kind"] == "positional":
            dots = " ..." if argument.get("isRepeating") else ""
            name = placeholder(argument) + dots
            parts.append(f"[{name}]" if argument.get("isOptional") else name)
    return " ".join(parts)


def page(command, path, version):
    title = "-".join(path)
    section = "8" if path[0] == "vtad" else "1"
    lines = [
        f'.TH "{title.upper()}" "{section}" "" "vta {version}" "VTA"',
        ".SH NAME",
        f"{escaped(title)} \\- {escaped((command.get('abstract') or '').rstrip('.'))}",
        ".SH SYNOPSIS",
        synopsis(command, path),
    ]
    if command.get("discussion"):
        lines += [".SH DESCRIPTION", description(command, path)]
    options = list(arguments_of(command))
    if options:
        lines += [".SH OPTIONS", *options]
    commands = subcommands(command)
    if commands:
        lines.append(".SH COMMANDS")
        for entry in commands:
            lines.append(
                f".TP\n\\fB{escaped('-'.join([*path, entry['commandName']]))}\\fR(1)\n{escaped(entry.get('abstract') or '')}"
            )
    lines += ENDS[path[0]]
    lines += [".SH SEE ALSO", ", ".join(other for other in ("vtactl(1)", "vtad(8)") if not other.startswith(f"{title}("))]
    return f"{title}.{section}", "\n".join(line for line in lines if line) + "\n"


def pages(command, path, version):
    yield page(command, path, version)
    for entry in subcommands(command):
        yield from pages(entry, [*path, entry["commandName"]], version)


def main():
    programs, output = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    output.mkdir(parents=True, exist_ok=True)
    for program in ("vtactl", "vtad"):
        run = lambda *options: subprocess.run(  # noqa: E731
            [programs / program, *options], capture_output=True, text=True, check=True
        ).stdout
        version = run("--version").split()[-1]
        command = json.loads(run("--experimental-dump-help"))["command"]
        for name, text in pages(command, [program], version):
            (output / name).write_text(text)


if __name__ == "__main__":
    main()
