"""The admin pages of a running collector: health, metrics, status."""

from collector.admin.server import admin_app, serve_admin

__all__ = ["admin_app", "serve_admin"]
