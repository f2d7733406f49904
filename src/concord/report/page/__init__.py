"""The report as one self-contained HTML page."""

from concord.report.page.render import LIMIT, write_page

__all__ = ["LIMIT", "write_page"]
