"""Addresses: where torch documents a name, and where a pitfall has its page."""

from __future__ import annotations

from pitfalls.harness import versions

DOCS = "https://docs.pytorch.org/docs"
#: Where the site of this suite is; a page keeps its address for good.
SITE = "https://torch-pitfalls.readthedocs.io/en/stable"

#: Names that the manual documents on the page of their module, not on a page of their own.
OWN_PAGE = {
    "torch.utils.data": "data",
    "torch.utils.checkpoint": "checkpoint",
    "torch.utils.dlpack": "dlpack",
    "torch.nn.init": "nn.init",
    "torch.distributed": "distributed",
    "torch.distributions": "distributions",
    "torch.multiprocessing": "multiprocessing",
    "torch.testing": "testing",
    "torch.backends": "backends",
    "torch.amp": "amp",
    "torch.autograd.Function": "autograd",
    "torch.Size": "size",
}


def link(name: str, torch_version: str) -> str:
    """The address of a documented name or page in the manual of a torch release."""
    major_minor = ".".join(map(str, versions.release(torch_version)[:2]))
    base = f"{DOCS}/{major_minor}"
    if not name.startswith("torch.") or "/" in name:
        page, _, anchor = name.partition("#")
        return f"{base}/{page}.html" + (f"#{anchor}" if anchor else "")
    for owner, page in OWN_PAGE.items():
        if name == owner or name.startswith(owner + "."):
            return f"{base}/{page}.html#{name}"
    return f"{base}/generated/{name}.html"


def page(slug: str) -> str:
    """The address of a pitfall's own page."""
    return f"{SITE}/pitfalls/{slug}.html"
