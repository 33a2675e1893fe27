"""The commands and their arguments.

One rule: this module, and what it imports at the top, stays light, so that ``--help`` and a mistyped argument answer at
once. Everything a command needs is imported when that command runs: aiokafka, httpx, starlette and the
configuration take most of a second on a small machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from collector import __version__
from collector.cli.options import ConfigFile, LogLevel
from collector.cli.outcome import command

app = typer.Typer(
    name="te-collector",
    help="Publishes every ThousandEyes endpoint user session exactly once to a Kafka topic.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: rich alone would double the time to the first line
    pretty_exceptions_enable=False,  # those show local variables, and with them secrets
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"te-collector {__version__}")
        raise typer.Exit


@app.callback()
def te_collector(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the options that belong to no command."""


@app.command()
@command
def run(
    config: ConfigFile = None,
    once: Annotated[bool, typer.Option("--once", help="Collect up to now, until nothing is left, and exit.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print events as JSON lines instead of writing to Kafka.")
    ] = False,
    log_level: Annotated[
        LogLevel | None, typer.Option("--log-level", help="Instead of the configured one.", show_default=False)
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="The same as --log-level debug.")] = False,
) -> int:
    """Collect: poll every account group and publish its sessions.

    SIGTERM and Ctrl-C finish what is in hand and exit 0; a second one exits at once.
    """
    from collector.cli.run import run_collector

    return run_collector(config, once=once, dry_run=dry_run, log_level=LogLevel.DEBUG if verbose else log_level)


@app.command()
@command
def leave(
    config: ConfigFile = None,
    instance_id: Annotated[
        str | None, typer.Argument(metavar="[INSTANCE_ID]", help="Of the worker; by default kafka.instance_id.")
    ] = None,
) -> None:
    """Give away at once what a worker with an instance id owns, because it does not come back.

    Without this the others wait for it for the session_timeout. A worker without an instance id needs it never: it
    gives everything away when it stops.
    """
    from collector.cli.leave import leave_group

    leave_group(config, instance_id)


@app.command()
@command
def validate(
    config: ConfigFile = None,
    files: Annotated[
        bool,
        typer.Option("--files/--no-files", help="Whether to look at the files it names (secrets, certificates)."),
    ] = True,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of the configuration file instead.")
    ] = False,
) -> int:
    """Check the configuration, and show what will be done. Nothing is sent."""
    from collector.cli.validate import print_schema, validate_configuration

    return print_schema() if schema else validate_configuration(config, files=files)


@app.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
def simulate(context: typer.Context) -> None:
    """Run a local ThousandEyes API with made-up sessions, to try the collector out (--help shows its options)."""
    # Its options follow from the simulator's settings, which must not be imported before they are needed.
    from collector.cli.simulate import simulate_app

    simulate_app()(args=context.args, prog_name=context.command_path)


@app.command()
@command
def kafka(
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port on 127.0.0.1 of the first broker; 0: any free one.")
    ] = 9092,
    data_dir: Annotated[
        Path, typer.Option(metavar="DIR", help="Holds topics and logs; kept for the next start.")
    ] = Path("kafka-data"),
    brokers: Annotated[int, typer.Option(metavar="1|3", help="Number of brokers.")] = 1,
    jars_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Has Kafka's jars already; by default they are fetched once.")
    ] = None,
) -> None:
    """Run a real Apache Kafka on this machine, to try the collector out. Needs neither Java nor Docker."""
    from collector.cli.kafka import run_local_kafka

    run_local_kafka(port=port, data_dir=data_dir, brokers=brokers, jars_dir=jars_dir)


@app.command()
@command
def demo(
    duration: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help='End after this time, such as "60s"; without it: at Ctrl-C.'),
    ] = None,
) -> int:
    """Show everything at once: a simulated API, a local Kafka and the collector between them."""
    from collector.cli.demo import run_demonstration

    return run_demonstration(duration)


@app.command()
@command
def gaps(
    config: ConfigFile = None,
    organization: Annotated[
        str | None, typer.Option("--organization", metavar="NAME", help="Of this one only.", show_default=False)
    ] = None,
    account_group: Annotated[
        str | None, typer.Option("--account-group", metavar="AID", help="Of this one only.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document, for scripts.")] = False,
) -> None:
    """Show what is not covered, and why, as the state topic says. Reads only; the collector need not run."""
    from collector.cli.gaps import print_gaps

    print_gaps(config, organization, account_group, as_json=as_json)


@app.command()
@command
def backfill(
    config: ConfigFile = None,
    organization: Annotated[
        str | None, typer.Option("--organization", metavar="NAME", help="Whose sessions.", show_default=False)
    ] = None,
    account_group: Annotated[
        list[str] | None,
        typer.Option("--account-group", metavar="AID", help="Of this one; may be repeated. Default: all."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="2026-11-01T06:00:00Z, 2026-11-01 (UTC), or how long ago: 3d."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="The same. Default: now.", show_default=False)
    ] = None,
    quota_share: Annotated[
        float | None,
        typer.Option(
            "--quota-share",
            help="Of the pages, while there are new sessions to fetch. Default: 0.2.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be asked, and ask nothing.")] = False,
    wait: Annotated[
        bool | None,
        typer.Option(
            "--wait/--no-wait", help="Until it is done, with a bar. Default: on a terminal.", show_default=False
        ),
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="Show all jobs instead.")] = False,
    watch: Annotated[
        str | None, typer.Option("--watch", metavar="JOB", help="Wait for a job instead.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document, for scripts.")] = False,
    cancel: Annotated[
        str | None, typer.Option("--cancel", metavar="JOB", help="Cancel a job instead.", show_default=False)
    ] = None,
) -> int:
    """Ask the collector for a range again, or for one that it never had. Each session still comes once.

    A running collector does it beside its other work; without one the request waits, seven days at most. The range
    may be older than what it remembers. Prints the job's id.
    """
    from collector.cli.backfill import How, ask
    from collector.cli.backfill_jobs import print_jobs
    from collector.cli.backfill_watch import cancel as cancel_job
    from collector.cli.backfill_watch import watch_job
    from collector.cli.backfill_wish import QUOTA_SHARE, Wanted, one_thing_at_a_time

    instead = {"--list": show_list or None, "--watch": watch, "--cancel": cancel}
    asking = {"--account-group": account_group or None, "--from": start, "--to": end, "--quota-share": quota_share}
    asking |= {"--dry-run": dry_run or None, "--wait/--no-wait": wait}
    one_thing_at_a_time(instead, asking | ({} if show_list else {"--organization": organization}))
    if show_list:
        return print_jobs(config, organization, as_json=as_json)
    if cancel is not None:
        return cancel_job(config, cancel, as_json=as_json)
    if watch is not None:
        return watch_job(config, watch, as_json=as_json)
    share = QUOTA_SHARE if quota_share is None else quota_share
    wanted = Wanted(organization, tuple(account_group or ()), start, end, share)
    return ask(config, wanted, How(dry_run=dry_run, wait=wait, as_json=as_json))


@app.command()
@command
def tail(
    config: ConfigFile = None,
    topic: Annotated[
        str, typer.Option(metavar="events|dlq|NAME", help="The topic of the events, that of the dead letters, or any.")
    ] = "events",
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="From the oldest record, not only what arrives from now on.")
    ] = False,
    max_records: Annotated[
        int | None, typer.Option("--max", min=0, metavar="N", help="End after N records.", show_default=False)
    ] = None,
) -> None:
    """Print the committed records of a topic, one JSON object a line.

    A value that is JSON is printed as such; other bytes as "value_text", or as "value_base64" when they are no text.
    """
    from collector.cli.tail import print_topic

    print_topic(config, topic, from_beginning=from_beginning, max_records=max_records)
