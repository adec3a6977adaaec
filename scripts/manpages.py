#!/usr/bin/env python3
"""Writes man pages of vtactl, each of its commands and vtad, from what the programs say of themselves.

manpages.py BIN OUTPUT-FOLDER
"""

import json
import pathlib
import subprocess
import sys


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


def synopsis(command, path):
    parts = [f"\\fB{escaped(' '.join(path))}\\fR"]
    if any(argument["kind"] != "positional" for argument in command.get("arguments") or []):
        parts.append("[\\fIoptions\\fR]")
    if command.get("subcommands"):
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
        # Lists in it are laid out by hand.
        lines += [".SH DESCRIPTION", ".nf" if path[0] == "vtad" else "", escaped(command["discussion"])]
        if path[0] == "vtad":
            lines.append(".fi")
    options = list(arguments_of(command))
    if options:
        lines += [".SH OPTIONS", *options]
    commands = [entry for entry in command.get("subcommands") or [] if entry["commandName"] != "help"]
    if commands:
        lines.append(".SH COMMANDS")
        for entry in commands:
            lines.append(
                f".TP\n\\fB{escaped('-'.join([*path, entry['commandName']]))}\\fR(1)\n{escaped(entry.get('abstract') or '')}"
            )
    others = {"vtad": "vtactl(1)", "vtactl": "vtad(8)"}[path[0]]
    lines += [".SH SEE ALSO", others]
    return f"{title}.{section}", "\n".join(line for line in lines if line) + "\n"


def pages(command, path, version):
    yield page(command, path, version)
    for entry in command.get("subcommands") or []:
        if entry["commandName"] != "help":
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
