"""Seeded mistakes about memory: what a collector must not load, keep or copy."""

from tests.mutants.runner import Mistake

LOADS = ("tests/end_to_end/test_what_run_loads.py::test_run_loads_nothing_that_it_does_not_need",)
SINK_TESTS = "tests/kafka/test_sink.py"
ENVIRONMENT_TESTS = "tests/config/test_config_environment.py"

MEMORY = (
    Mistake(
        "pages are held while their commit is under way",
        "collector/group_commit.py",
        "                publication.records.clear()\n            count = len(records)",
        "            count = len(records)",
        ("tests/organization/test_group_commit.py::test_a_page_is_not_held_while_its_commit_is_under_way",),
    ),
    Mistake(
        "records are held besides their batches",
        "collector/kafka/sink.py",
        "        publication.records.clear()  #",
        "        pass  #",
        (f"{SINK_TESTS}::test_records_are_not_held_while_their_commit_is_under_way",),
    ),
    Mistake(
        "a backfill forgets what it published just now",
        "collector/organization/walker.py",
        "            recalled = [] if recall is None else collected.records.copy()  #",
        "            recalled = collected.records  #",
        ("tests/organization/test_backfill.py::test_an_old_range_is_published_once_and_marked",),
    ),
    Mistake(
        "a library's own command line is loaded",
        "collector/__main__.py",
        'KEPT_OUT = ("rich", "httpx._main")',
        'KEPT_OUT = ("rich",)',
        LOADS,
    ),
    Mistake(
        "XML is loaded for JSON",
        "collector/sources/thousandeyes/v6.py",
        "from collector.sources.thousandeyes.walk import PageReader, SessionList, WalkForm\n",
        "from collector.sources.thousandeyes.walk import PageReader, SessionList, WalkForm\n"
        "import collector.sources.thousandeyes.xml_page\n",
        LOADS,
    ),
    Mistake(
        "a variable of a key wins over that of its whole table",
        "collector/config/environment.py",
        "        if isinstance(table, dict):\n            table[path[-1]] = value",
        "        if isinstance(table, dict) and path[-1] not in table:\n            table[path[-1]] = value",
        (f"{ENVIRONMENT_TESTS}::test_a_variable_for_a_whole_table_wins_over_those_of_its_keys",),
    ),
    Mistake(
        "a key below a single value is passed over",
        "collector/config/environment.py",
        "        if not name.startswith(PREFIX.lower()) or path[0] not in Config.model_fields:",
        '        if not name.startswith(PREFIX.lower()) or path[0] not in Config.model_fields or path[-1] == "s":',
        (f"{ENVIRONMENT_TESTS}::test_a_key_below_a_single_value_is_a_mistake",),
    ),
)
