"""What a person sees: notebooks, reports, tables, figures, controls."""

import sys

if "nbformat" not in sys.modules:
    # jsonschema, which nbformat checks notebooks with, builds the grammar of international addresses when it
    # is imported: two seconds a process, for a format that no notebook has. It does without if it is missing.
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
    import nbformat as _nbformat  # noqa: F401

    del sys.modules["rfc3987_syntax"]
