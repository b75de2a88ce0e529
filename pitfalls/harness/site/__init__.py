"""The site: a page for each pitfall, for each release of torch and for what torch documents, built with Sphinx."""

from pitfalls.harness.site.build import SiteError, build

__all__ = ["SiteError", "build"]
