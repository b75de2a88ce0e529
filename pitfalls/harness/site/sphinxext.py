"""A Sphinx extension for citing pitfalls: ``:pitfall:`grad-accumulates```.

A project that adds ``pitfalls.harness.site.sphinxext`` to its extensions, and the site to its ``intersphinx_mapping``,
can cite a pitfall by its slug, as the site's own pages do.
"""

from __future__ import annotations

from typing import Any


def setup(app: Any) -> dict[str, Any]:
    """Add the role and the directive ``pitfall`` to Sphinx; what the directive describes goes into ``objects.inv``."""
    app.add_object_type("pitfall", "pitfall", objname="pitfall", indextemplate="single: %s")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
