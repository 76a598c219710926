"""Every setting, its default and its meaning.

A value comes, first match wins, from: an argument of the command line, a variable `COVE_<NAME>`, the file
`codecove.toml` (in the working directory, or where `COVE_CONFIG` says), the default here. No other program's
variables are read.
"""

import os
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    HttpUrl,
    SecretStr,
    TypeAdapter,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from codecove import privileges


def _state_home() -> Path:
    """Where state lives: the system's place for root, the user's own otherwise (XDG base directories)."""
    if privileges.is_root_of_machine():
        return Path("/var/lib/codecove")
    return Path.home() / ".local/state/codecove"


def _url(value: str) -> str:
    """An http or https URL with a host; the text stays as the operator wrote it."""
    TypeAdapter(HttpUrl).validate_python(value)
    return value


ToolCalling = Literal["native", "fenced"]
UpstreamUrl = Annotated[str, AfterValidator(_url)]
_never = BeforeValidator(lambda value: None if value == "never" else value)
"""A limit that can be switched off, which neither a variable nor TOML has a null for."""

_TOOL_CALLING = (
    "How its models call the tool: `native`, or `fenced` for models that only write text (code blocks are run)."
)


class Route(BaseModel):
    """Which server answers for which models. The first route whose pattern fits is taken."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(description="A model name or a glob pattern, such as `claude-*`.")
    upstream_url: UpstreamUrl = Field(description="Base URL of a server that speaks the Messages protocol.")
    upstream_api_key: SecretStr | None = Field(default=None, description="The key that this upstream wants.")
    upstream_model: str | None = Field(default=None, description="The name sent upstream, if it differs.")
    tool_calling: ToolCalling = Field(default="native", description=_TOOL_CALLING)


class Settings(BaseSettings):
    """The configuration of one server. Immutable: read once, at start."""

    model_config = SettingsConfigDict(env_prefix="COVE_", env_ignore_empty=True, extra="forbid", frozen=True)

    # Where it listens and what it keeps
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    data_dir: Path = Field(
        default_factory=lambda: _state_home() / "data",
        description="Database, files and containers of this server. One server at a time.",
    )
    image_dir: Path = Field(
        default_factory=lambda: _state_home() / "images",
        description="Sandbox images, shared by all servers of the machine.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="`postgresql://user:password@host:port/name`. None: an SQLite file in the data directory.",
    )
    blob_url: str | None = Field(
        default=None,
        description="Where the bytes of files are: `s3://bucket/prefix`. None: a folder in the data directory.",
    )
    s3_endpoint: str | None = Field(
        default=None, description="URL of the S3 server. None: that of Amazon for the region."
    )
    s3_region: str = Field(default="us-east-1", description="Region of the bucket.")
    s3_access_key_id: str | None = Field(default=None, description="Key for the bucket.")
    s3_secret_access_key: SecretStr | None = Field(default=None, description="The key's secret.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe lines that are logged."
    )
    log_format: Literal["console", "json"] = Field(default="console", description="Lines to read, or JSON to collect.")
    otlp_endpoint: UpstreamUrl | None = Field(
        default=None,
        description="Base URL of an OpenTelemetry collector that takes traces by OTLP over HTTP. None: no traces.",
    )
    metrics_key: SecretStr | None = Field(
        default=None, description="What `/metrics` wants as a bearer token. None: whoever reaches it may read it."
    )

    shutdown_grace: float = Field(
        default=30, ge=0, description="Seconds that running requests get to end when the server is stopped."
    )

    # Who may use it
    api_key: SecretStr | None = Field(
        default=None, description="A key for the default workspace, beside those made by `cove keys create`."
    )
    require_beta_header: bool = Field(
        default=False,
        description="Refuse the code execution tool and the Files API without their `anthropic-beta` headers.",
    )

    # The model behind it
    upstream_url: UpstreamUrl | None = Field(
        default=None,
        description="Base URL of a server that speaks the Messages protocol. None: the built-in codecove/blocks.",
    )
    upstream_api_key: SecretStr | None = Field(default=None, description="The key that the upstream wants, if any.")
    upstream_tool_calling: ToolCalling = Field(default="native", description=_TOOL_CALLING)
    upstream_timeout: float = Field(
        default=600, gt=0, description="Seconds without a byte from upstream before it counts as gone."
    )
    routes: list[Route] = Field(default_factory=list, description="Other upstreams for some models.")

    # One request
    max_turns: Annotated[int | None, _never] = Field(
        default=100, ge=1, description="Model turns in one request before `pause_turn`, or `never`."
    )
    max_request_seconds: Annotated[float | None, _never] = Field(
        default=1800, gt=0, description="Seconds after which no new turn begins (`pause_turn`), or `never`."
    )
    max_body: ByteSize = Field(default=ByteSize(32 * 2**20), description="Largest JSON request body.")

    # One container
    image: str = Field(default="default", description="Image that containers start from: a name or an id.")
    runtime: str = Field(default="runsc", description="OCI runtime: runsc, crun or runc, or a path to one.")
    memory: ByteSize = Field(default=ByteSize(2**30), ge=64 * 2**20, description="Memory of a container.")
    disk: ByteSize = Field(default=ByteSize(5 * 2**30), ge=8 * 2**20, description="What a container may write to disk.")
    cpus: float = Field(default=1.0, ge=0.1, allow_inf_nan=False, description="CPU time a container gets, in cores.")
    processes: int = Field(default=128, ge=8, le=100_000, description="Processes and threads of a container's user.")
    open_files: int = Field(
        default=4096, ge=256, le=2**20, description="Files that each process of a container may have open."
    )
    output_limit: ByteSize = Field(
        default=ByteSize(2**20), description="Bytes kept of stdout and of stderr, each, for one execution."
    )
    execution_timeout: float = Field(
        default=300, gt=0, allow_inf_nan=False, description="Wall-clock seconds one execution may take."
    )
    container_idle_expiry: Annotated[float | None, _never] = Field(
        default=3600,
        gt=0,
        description="Seconds without activity after which a container is gone, or `never`: then only its age counts.",
    )
    container_max_age: float = Field(
        default=30 * 86400, gt=0, description="Seconds after its creation after which a container is gone."
    )
    on_expired: Literal["tool_error", "http_error", "replace"] = Field(
        default="tool_error",
        description=(
            "What a message gets that names a container which is gone: `container_expired` results, a 404, or a new "
            "container (the first result says that the files are lost)."
        ),
    )
    max_containers: int = Field(
        default=100, ge=1, description="Containers awake at once on this machine. Others sleep, and take only disk."
    )
    memory_reserve: ByteSize = Field(
        default=ByteSize(256 * 2**20),
        description="Memory of the machine that containers leave to all else: below it idle ones are put to sleep.",
    )
    memory_overcommit: float = Field(
        default=8,
        ge=1,
        description=(
            "Of the memory that containers which are awake may still take, one part in so many is held ready before "
            "another one starts. 1: what their limits say fits into the machine together."
        ),
    )
    admission_wait: float = Field(
        default=10, ge=0, description="Seconds that a container which is to start or wake waits for room."
    )
    expedite: bool = Field(
        default=True,
        description=(
            "Set the kernel's `/sys/kernel/rcu_expedited` while the server runs: containers start and wake about a "
            "third faster. false: leave the machine's kernel as it is, for one that also does real-time work."
        ),
    )
    boot_timeout: float = Field(default=30, gt=0, description="Seconds after which a container that boots has failed.")
    pool_min: int = Field(default=0, ge=0, description="Containers that stand ready at least, frozen and unused.")
    pool_max: int = Field(
        default=4,
        ge=0,
        description="Containers that stand ready at most, as many as the last quarter of an hour needed at once.",
    )
    freeze_after: float = Field(
        default=0.5,
        ge=0,
        description=(
            "Seconds after its last call that a container is frozen: it takes no CPU then. Under gVisor at most 0.02 "
            "while more containers are awake than there are processors."
        ),
    )
    background_grace: float = Field(
        default=300, ge=0, description="The same for one whose last execution left programs running in the background."
    )
    idle_sleep: Annotated[float | None, _never] = Field(
        default=300,
        gt=0,
        description="Seconds without activity after which a container sleeps until it is next used, or `never`.",
    )

    # Batches
    batch_concurrency: int = Field(
        default=16, ge=1, description="Requests of batches that run at once, of all workspaces together."
    )
    batch_workspace_concurrency: int = Field(
        default=8, ge=1, description="Requests of batches that run at once for one workspace."
    )
    batch_expiry: float = Field(
        default=86400, gt=0, description="Seconds after which the requests of a batch that have not begun expire."
    )
    batch_results_days: float = Field(
        default=29, gt=0, description="Days after its creation for which a batch's results are kept."
    )
    public_url: UpstreamUrl | None = Field(
        default=None,
        description=(
            "Base URL of this server as its clients see it, for `results_url`. None: what their requests say, which "
            "is wrong behind a proxy that speaks TLS for it."
        ),
    )

    # Files
    max_file_size: ByteSize = Field(default=ByteSize(500 * 2**20), description="Largest file accepted.")
    workspace_storage: ByteSize = Field(
        default=ByteSize(100 * 2**30),
        description="What the files and the requests of batches of a workspace may take together.",
    )
    capture_working_directory: bool = Field(
        default=True,
        description="Whether files that code saves directly in its working directory are given to the user too, "
        "not only those in `$OUTPUT_DIR`.",
    )
    uploads_downloadable: bool = Field(
        default=False, description="Whether clients may download what they have uploaded, beside what code has made."
    )

    # What it costs
    session_price: Decimal = Field(
        default=Decimal("0.05"), ge=0, description="Price of an hour of a container's sessions, in dollars."
    )
    session_minimum: float = Field(
        default=300, ge=0, description="Seconds for which a session of a container is billed at least."
    )
    free_session_hours: Decimal = Field(
        default=Decimal(0), ge=0, description="Hours of sessions that a workspace has free in each month (UTC)."
    )
    usage_retention: Annotated[int | None, _never] = Field(
        default=400,
        ge=2,
        description=(
            "Days for which the rows of executions, sessions and ended containers stay, or `never` to remove them. "
            "Of executions and sessions the sums are kept, by day, workspace, key and tool."
        ),
    )
    audit_retention: Annotated[int | None, _never] = Field(
        default=400, ge=1, description="Days for which administrative acts stay in the audit log, or `never`: for ever."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the file. No `.env` file: it would be somebody else's."""
        file = Path(os.environ.get("COVE_CONFIG", "codecove.toml"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)
