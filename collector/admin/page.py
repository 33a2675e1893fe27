"""The status page: one self-contained document that reads ``/status`` every two seconds.

Rule: it needs nothing but this process, so it works where there is no other network, and it puts text that came from
outside into the page as text only. A lost connection is shown, with the age of what is still on the page, and so is
an answer that it cannot draw. It changes what changed and nothing else: focus and selection stay where they are.
"""

from importlib.resources import files

PAGE = (files("collector.admin") / "page.html").read_text("utf-8")
"""HTML with its style and script inside."""
