"""Configuration: one TOML file, the environment over it, one immutable `Config`.

    config = load_config(Path("collector.toml"))

Nothing else reads the file or the environment. Secrets are `SecretStr`, or a `SecretFile` that is read when it is used.
"""

from collector.config.load import Loaded, find_file, load, load_config
from collector.config.model import Config
from collector.config.secret_file import SecretFile
from collector.config.sections import AdminSection, EventsSection, KafkaSection, OrganizationSection

__all__ = [
    "AdminSection",
    "Config",
    "EventsSection",
    "KafkaSection",
    "Loaded",
    "OrganizationSection",
    "SecretFile",
    "find_file",
    "load",
    "load_config",
]
