"""Entry point of `te-collector` and of `python -m collector`."""

from __future__ import annotations

from collector.cli.app import app


def main() -> None:
    """Run the command line; ends the process with its exit code."""
    app(prog_name="te-collector")


if __name__ == "__main__":
    main()
