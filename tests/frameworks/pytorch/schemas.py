#!/usr/bin/env python3
"""Writes the signatures of the operators that the importer knows, as PyTorch prints them.

    schemas.py

Reads the operators' names from the tables in compiler/src/import/pytorch/aten and writes schemas.txt there.

requirements:
    torch==2.15.0
    torchvision==0.29.2
"""

import pathlib
import re

import torch
import torchvision  # noqa: F401 (registers its operators)

ATEN = pathlib.Path(__file__).parents[3] / "compiler" / "src" / "import" / "pytorch" / "aten"

# Operators of packages that declare them in Python.
OTHERS = [
    "transformers::grouped_mm_fallback(Tensor input, Tensor weight, Tensor offs) -> Tensor",
]


def main():
    names = set()
    for table in sorted(ATEN.glob("*.rs")):
        text = table.read_text()
        start = re.search(r"const (OPS|EXPANDED): &\[\(&str, Handler\)\]", text)
        if start:
            names |= {name.split(".")[0] for name in re.findall(r'^    \("([A-Za-z0-9_.:]+)"', text[start.start():], re.M)}
    names = {name if "::" in name else f"aten::{name}" for name in names}
    # Writers to their first argument are the operators without the underscore.
    wanted = names | {f"{name}_" for name in names}
    lines = set(OTHERS)
    for schema in torch._C._jit_get_all_schemas():
        written = [argument for argument in schema.arguments if argument.alias_info is not None and argument.alias_info.is_write]
        types = {str(argument.type) for argument in (*schema.arguments, *schema.returns)}
        if schema.name in wanted and all(argument.name == "self" for argument in written) and not any(re.search(r"\bcomplex\b", name) for name in types) and "Dimname" not in str(schema):
            lines.add(str(schema))
    (ATEN / "schemas.txt").write_text("".join(f"{line}\n" for line in sorted(lines)))
    known = {re.match(r"[a-zA-Z_0-9:]+", line).group() for line in lines}
    print(f"{len(lines)} signatures; without one: {', '.join(sorted(names - known)) or 'none'}")


if __name__ == "__main__":
    main()
