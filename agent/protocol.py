"""Every document that the operator's computer, the agent, a release and the gateway exchange."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self

from agent.message import Excerpt, Message, MessageError, data_of
from agent.running import KernelsReport

RunnerKind = Literal["supervisor", "systemd"]


@dataclass(frozen=True)
class ReleaseDescription(Message):
    """release.json: what is needed to know about a release without reading all of it."""

    SCHEMA: ClassVar[str] = "axion.release/1"

    digest: str
    """Of all its files, its engine environment and its units."""
    created_at: str
    source: str
    """Which checkout rendered it."""
    build: str
    """Digest of its engine environment."""
    units: Mapping[str, str]
    """Per engine, and for `gateway`, a digest of all that needs a restart to take effect."""
    gateway_config_digest: str
    """Of what the gateway takes over by a reload."""
    files: Mapping[str, str]
    """SHA-256 of each file, by its path below the release's directory."""
    listen: tuple[str, ...]
    """Where its gateway listens: host:port."""
    sequence: int = 0
    """The host's own count of its releases. 0 for one from before there was a count."""
    follows: str | None = None
    """The release that served when this one was made."""
    on_demand: tuple[str, ...] = ()
    """Engines that the gateway has started, and not the deployment."""

    @classmethod
    def from_data(cls, document: object) -> Self:
        """Read one. Before schemas had names, it said 1."""
        if isinstance(document, dict) and document.get("schema") == 1:
            document = {**document, "schema": cls.SCHEMA}
        read = super().from_data(document)
        if "gateway" not in read.units:
            raise MessageError(f"{cls.SCHEMA}: units.gateway is missing")
        if not read.listen:
            raise MessageError(f"{cls.SCHEMA}: listen is empty")
        return read

    @property
    def engines(self) -> Mapping[str, str]:
        """Unit digest of each engine."""
        return {name: digest for name, digest in self.units.items() if name != "gateway"}


@dataclass(frozen=True)
class ReleaseOutline(Excerpt):
    """What of every version's release.json keeps it in its place, and its engine environment with it."""

    sequence: int
    build: str


@dataclass(frozen=True)
class UnreadRelease:
    """A release whose description is not understood."""

    why: str
    outline: ReleaseOutline | None
    """None where not even that much of it is legible."""
    is_damaged: bool
    """Whether it is no JSON: nobody ever understands it."""


@dataclass(frozen=True)
class Address(Excerpt):
    """Where the gateway listens."""

    host: str
    port: int


@dataclass(frozen=True)
class GatewayFile(Excerpt):
    """gateway.json, as far as others than the gateway read it."""

    listen: tuple[Address, ...]

    @property
    def addresses(self) -> tuple[str, ...]:
        """Each as host:port."""
        return tuple(f"{one.host}:{one.port}" for one in self.listen)


@dataclass(frozen=True)
class ModelState(Excerpt):
    """What the gateway sees of one model."""

    state: str
    in_flight: int | None = None
    requests_total: int | None = None


@dataclass(frozen=True)
class TlsState(Excerpt):
    """What the gateway says of the certificate that it shows."""

    ends_s: float
    """When it expires, in seconds since 1970."""
    error: str | None
    """Why a newer one is not shown, or why clients refuse this one."""


@dataclass(frozen=True)
class KeysState(Excerpt):
    """What the gateway says of the keys that clients must send."""

    count: int
    error: str | None = None
    """What is wrong with the newest list, line by line; the keys of the one before are in force."""
    usage_error: str | None = None
    """Why what they use cannot be written down at present."""
    unserved: tuple[str, ...] = ()
    """Models that the list names and nobody serves."""


@dataclass(frozen=True)
class GatewayState(Excerpt):
    """What a deployment needs of agent/running.py's GatewayStats, from gateways of other versions as well."""

    unit_digest: str | None
    """Of the release that its code is of; None where it does not know."""
    config_digest: str | None
    models: Mapping[str, ModelState]
    pid: int | None = None
    tls: TlsState | None = None
    """None where no TLS is spoken."""
    keys: KeysState | None = None
    """None where no key is asked for."""


@dataclass(frozen=True)
class RunningEngine(Excerpt):
    """What a deployment needs of agent/running.py's EngineRecord, from launchers of other versions as well."""

    unit_digest: str
    pid: int
    """The launcher's own."""
    start_ticks: int | None = None
    """When that process began, in clock ticks since the boot: number and start name it."""


@dataclass(frozen=True)
class SystemQuestions:
    """Names that are looked for on a host, each as what it is."""

    modules: tuple[str, ...]
    libraries: tuple[str, ...]
    headers: tuple[str, ...]
    programs: tuple[str, ...]
    compilers: tuple[str, ...]
    script: str
    """For sh, with the interpreter as its first argument."""


@dataclass(frozen=True)
class System:
    """What a host's system is and brings."""

    distribution: str
    said: str
    """What the script printed."""
    is_root: bool
    has_apt: bool
    cores: tuple[int, ...]
    available_bytes: int
    features: tuple[str, ...]
    """Of the processor, as the kernel names them."""
    found: tuple[str, ...]
    """Modules, libraries, headers and programs that were asked for and are there."""
    compilers: Mapping[str, str]
    """Version of each C++ compiler by its name."""


@dataclass(frozen=True)
class Room:
    """A file system that something is written to."""

    place: str
    mount: str
    bytes: int
    free_bytes: int
    inodes: int
    """0 where it does not count them."""
    free_inodes: int


@dataclass(frozen=True)
class RoomOrder(Message):
    SCHEMA: ClassVar[str] = "axion.room-order/1"

    places: tuple[str, ...]


@dataclass(frozen=True)
class RoomAnswer(Message):
    """Each file system that something is written to, in the order of the places."""

    SCHEMA: ClassVar[str] = "axion.room-answer/1"

    rooms: tuple[Room, ...]


@dataclass(frozen=True)
class Process:
    """What the process runner says of one process."""

    state: str
    """In supervisord's words, whatever the runner is."""
    pid: int
    """0 where it has none now."""
    start: str = ""
    """Another one with each start; empty where it was never started."""
    refusal: str = ""
    """Why it could not be started, in supervisord's words."""


@dataclass(frozen=True)
class Trouble:
    """Something that is wrong with a unit of ours."""

    unit: str
    kind: Literal["failed", "masked", "disabled", "edited", "extended"]
    """`edited` is other than the current release has it, `extended` by a drop-in that somebody else put there."""
    what: str
    """A sentence without its full stop."""


@dataclass(frozen=True)
class CheckpointState:
    """A checkpoint's or an adapter's directory that exists."""

    fingerprint: str
    """Changes when any of its files is replaced."""
    problems: tuple[str, ...] = ()
    """What it lacks; nothing of a whole one."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """config.json and its like, of a whole checkpoint."""
    digest: str = ""
    """Of its tensors' names, types and shapes."""


@dataclass(frozen=True)
class TlsFiles:
    """Where a certificate and its key are on a host."""

    certificate: str
    key: str


@dataclass(frozen=True)
class ProbeOrder(Message):
    SCHEMA: ClassVar[str] = "axion.probe-order/1"

    root: str
    runner: RunnerKind
    checkpoints: Mapping[str, str]
    """Directory of each model, and of each adapter by MODEL/ADAPTER."""
    listen: tuple[str, ...]
    """Addresses that shall be free: host:port."""
    system: SystemQuestions
    tls: TlsFiles | None = None
    """What the gateway shall speak TLS with."""


@dataclass(frozen=True)
class ProbeResult(Message):
    """One look at a host. What is missing or broken there is None, or not among its like; it is never a failure."""

    SCHEMA: ClassVar[str] = "axion.probe-result/1"

    machine: str
    python: str
    cores: int
    memory_bytes: int
    disk_free_bytes: int
    """Where everything of ours lies."""
    disks: tuple[Room, ...]
    """Each file system that a deployment writes to; the first is that one."""
    is_mount: bool
    """Whether something is mounted just where everything of ours lies."""
    system: System
    current: str | None
    """Name of the release that `current` points to."""
    confirmed: str | None
    """Name of the last release whose models all answered."""
    answered: tuple[str, ...]
    """Names of all releases whose models have all answered once."""
    releases: Mapping[str, ReleaseDescription]
    """Every finished release that is understood."""
    unread: Mapping[str, UnreadRelease]
    """Each other one."""
    files: Mapping[str, str]
    """Digest of each file of the current release."""
    builds: tuple[str, ...]
    unfinished_builds: Mapping[str, int]
    """Bytes of each engine environment that is not sealed, by its digest."""
    engines: Mapping[str, RunningEngine]
    """What each living launcher says that it runs."""
    runner: Mapping[str, Process] | None
    gateway: GatewayState | None
    served_addresses: tuple[str, ...]
    """Where a gateway of ours listens, whatever release it is of."""
    troubles: tuple[Trouble, ...]
    no_links: tuple[str, ...]
    """Those of `current` and `confirmed` that are something else than a link."""
    real_root: str
    """What the host's directory is once every link is followed."""
    closed: str | None
    """A directory on the way to it, or itself, that only some may enter."""
    checkpoints: Mapping[str, CheckpointState | None]
    refused_addresses: Mapping[str, str]
    """Why no server could listen now, such as EADDRINUSE, of each address where none could."""
    tls_problems: tuple[str, ...] = ()
    """What is wrong with the certificate and the key that were asked about."""


@dataclass(frozen=True)
class ReleaseOrder(Message):
    """What to do with one release of a host: receive it, make it current, or note that its models all answered."""

    SCHEMA: ClassVar[str] = "axion.release-order/1"

    do: Literal["receive", "switch", "confirm"]
    root: str
    name: str
    build: str = ""
    """Digest of its engine environment."""
    is_shared: bool = False
    """Whether other accounts may read it."""


@dataclass(frozen=True)
class ReleaseFiles(Message):
    """What is received: the text of each file by its path."""

    SCHEMA: ClassVar[str] = "axion.release-files/1"

    files: Mapping[str, str]


@dataclass(frozen=True)
class RunnerStep:
    """One thing that supervisord or systemd is told. What each does of them: agent/runner.py, agent/systemd.py."""

    do: Literal["install", "keys", "start", "restart", "stop", "terminate", "reload", "update", "leave", "shutdown"]
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunnerOrder(Message):
    SCHEMA: ClassVar[str] = "axion.runner-order/1"

    root: str
    steps: tuple[RunnerStep, ...]
    user: str = ""
    """Who engines and gateway run as, under systemd."""


@dataclass(frozen=True)
class ReadyOrder(Message):
    """Which engines are waited for, and what counts as theirs and as the release's gateway."""

    SCHEMA: ClassVar[str] = "axion.ready-order/1"

    root: str
    runner: RunnerKind
    gateway: str
    """Where it answers: host:port."""
    config_digest: str
    unit_digest: str
    engines: Mapping[str, str]
    """Unit digest of each."""
    ended: tuple[int, ...]
    """Processes that do not count, whatever they say."""
    timeout_s: float
    """Of each model: they load one after another."""
    keys: str | None = None
    """The file with the host's own key, where its gateway asks for keys."""
    on_demand: tuple[str, ...] = ()
    """Those of the engines that the gateway has started when they are asked."""


State = Literal["starting", "loading", "ready", "answered"]


@dataclass(frozen=True)
class ReadyEvent(Message):
    """A model came a step further, or back."""

    SCHEMA: ClassVar[str] = "axion.ready-event/1"

    model: str
    state: State
    after_s: float


@dataclass(frozen=True)
class ReadyOutcome(Message):
    """The end of the wait."""

    SCHEMA: ClassVar[str] = "axion.ready-outcome/1"

    answers: Mapping[str, str | None]
    """First words of each model; None of one that did not answer."""
    problems: Mapping[str, str]


@dataclass(frozen=True)
class AttemptMark(Message):
    """Where a host's logs were when an attempt began. No time of day, which may be set meanwhile."""

    SCHEMA: ClassVar[str] = "axion.attempt-mark/1"

    boot: str
    monotonic_us: int
    """systemd's journal counts from the boot."""
    before: tuple[str, ...]
    """Starts that were before: systemd's invocation of each unit."""
    sizes: Mapping[str, int]
    """Bytes of each file of supervisord's."""


@dataclass(frozen=True)
class AttemptOrder(Message):
    """Make a mark, or tell of a process what was since a mark; without one, of the run that was the last to begin."""

    SCHEMA: ClassVar[str] = "axion.attempt-order/1"

    do: Literal["begin", "tell"]
    root: str
    runner: RunnerKind
    name: str = ""
    mark: AttemptMark | None = None


@dataclass(frozen=True)
class AttemptAnswer(Message):
    """Why a process ended, as its runner says it, and what it wrote."""

    SCHEMA: ClassVar[str] = "axion.attempt-answer/1"

    reason: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class OffersOrder(Message):
    SCHEMA: ClassVar[str] = "axion.offers-order/1"

    packages: tuple[str, ...]


@dataclass(frozen=True)
class OffersAnswer(Message):
    SCHEMA: ClassVar[str] = "axion.offers-answer/1"

    versions: Mapping[str, str]
    """What apt would install, of each package that it has."""


@dataclass(frozen=True)
class SealOrder(Message):
    SCHEMA: ClassVar[str] = "axion.seal-order/1"

    do: Literal["look", "seal"]
    build: str
    """The directory of an engine environment."""


@dataclass(frozen=True)
class SealAnswer(Message):
    SCHEMA: ClassVar[str] = "axion.seal-answer/1"

    is_sealed: bool
    is_filled: bool
    """Whether its steps all succeeded; if it is not sealed, it was not proven, or its seal is broken."""


@dataclass(frozen=True)
class SealedManifest(Excerpt):
    """manifest.json of an engine environment, as far as a host reads it."""

    digest: str


@dataclass(frozen=True)
class BuiltRecord(Excerpt):
    """built.json of an engine environment, as far as a host reads it."""

    recipe: str


@dataclass(frozen=True)
class RecordOrder(Message):
    """What is written to built.json, besides the commits of these repositories and the wheels that came of them."""

    SCHEMA: ClassVar[str] = "axion.record-order/1"

    directory: str
    repositories: tuple[str, ...]
    facts: Mapping[str, str | int]


@dataclass(frozen=True)
class DescribeOrder(Message):
    SCHEMA: ClassVar[str] = "axion.describe-order/1"

    directory: str
    remedy: str
    """What to do about a checkpoint that is not whole."""


@dataclass(frozen=True)
class LockOrder(Message):
    """What is wanted of a host's lock: to hold it, to know who does and maybe end that one, or to read who did."""

    SCHEMA: ClassVar[str] = "axion.lock-order/1"

    do: Literal["hold", "unlock", "history"]
    root: str
    who: str = ""
    what: str = ""
    is_really: bool = False
    """Of `unlock`: whether to end the holder."""


@dataclass(frozen=True)
class LockHolder(Excerpt):
    """Who holds a host's lock: what the lock's file says, whichever version wrote it."""

    SCHEMA: ClassVar[str] = "axion.lock-holder/1"

    who: str = "somebody unknown"
    what: str = "something unknown"
    since: str = "?"
    pid: int = 0
    silent_s: int = 0
    """How long ago it was last heard of, once somebody asks."""


@dataclass(frozen=True)
class LockAnswer(Message):
    """What is told of a host's lock. `unlocked` and `unnoted` are said by a holder at its end."""

    SCHEMA: ClassVar[str] = "axion.lock/1"

    state: Literal["taken", "held", "free", "refused", "unlocked", "unnoted"]
    holder: LockHolder | None = None
    """Of `held`."""
    why: str = ""
    """Of `refused`: why it cannot be taken; of `unnoted`: why the audit log has no line of what was done."""


@dataclass(frozen=True)
class LockNote(Message):
    """A sign of life of the task that holds a lock, with all that the audit log's line will say if it is the last."""

    SCHEMA: ClassVar[str] = "axion.lock-note/1"

    release: str | None = None
    outcome: str = "the task was not heard of any more"
    is_change: bool = True
    """Whether there is to be such a line."""


@dataclass(frozen=True)
class AuditLine(Excerpt):
    """One line of the audit log, whichever version wrote it: a change of a host. `at` is when it ended."""

    SCHEMA: ClassVar[str] = "axion.audit/1"

    at: str
    who: str
    what: str
    outcome: str
    release: str | None = None
    began: str | None = None


@dataclass(frozen=True)
class AuditLog(Message):
    """What was changed on a host, oldest first."""

    SCHEMA: ClassVar[str] = "axion.audit-log/1"

    lines: tuple[AuditLine, ...]
    torn: int
    """Lines that a power cut or somebody's editor left, which cannot be read."""


@dataclass(frozen=True)
class JobOrder(Message):
    """What is wanted of a job."""

    SCHEMA: ClassVar[str] = "axion.job-order/1"

    do: Literal["look", "start", "run", "follow", "forget"]
    dir: str
    """Where it keeps its steps, log and result."""
    unit: str = ""
    key: str = ""
    """Of `follow`: which job; another one under this name has nothing to tell."""
    offset: int = 0
    """Of `follow`: where in the log to go on."""
    timeout_s: float = 0.0
    """Of `start`: how long all of it may take."""


@dataclass(frozen=True)
class JobStep:
    """One command of a job."""

    argv: tuple[str, ...]
    what: str
    is_quiet: bool
    """Whether it is done in passing, and not told of."""
    cwd: str | None
    env: Mapping[str, str]
    stdin: str | None
    """In base64."""
    timeout_s: float


@dataclass(frozen=True)
class JobSteps(Message):
    """What a job does: it lies beside its log, so that its unit needs nobody who tells."""

    SCHEMA: ClassVar[str] = "axion.job-steps/1"

    key: str
    """What makes it the same job again."""
    steps: tuple[JobStep, ...]


@dataclass(frozen=True, kw_only=True)
class FromSecretManager:
    """A credential that the host reads itself, as its service account."""

    secret: str
    """projects/<project>/secrets/<id>"""


@dataclass(frozen=True, kw_only=True)
class FromCaller:
    """A credential that this task knows; it travels over stdin and is kept in memory only."""

    value: str = field(repr=False)


@dataclass(frozen=True)
class JobStart(Message):
    """A job and its credentials, as `start` reads them from its stdin."""

    SCHEMA: ClassVar[str] = "axion.job-start/1"

    job: JobSteps
    credentials: Mapping[str, FromSecretManager | FromCaller]


@dataclass(frozen=True)
class StepResult:
    """How one step ended, with the end of what it printed."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class JobResult(Message):
    """How a job ended: the result of each step that was begun."""

    SCHEMA: ClassVar[str] = "axion.job-result/1"

    key: str
    results: tuple[StepResult, ...]


@dataclass(frozen=True)
class JobState(Message):
    """What there is of a job. What an older version left of one that ended counts as none."""

    SCHEMA: ClassVar[str] = "axion.job-state/1"

    state: Literal["running", "finished", "none"]
    key: str | None = None
    """None of a job that another version began."""
    is_ok: bool = False


@dataclass(frozen=True)
class LogLine:
    """A line that a step printed."""

    line: str


@dataclass(frozen=True)
class StepBegan:
    """A step, by its number."""

    step: int
    what: str
    is_quiet: bool


@dataclass(frozen=True)
class StepEnded:
    """The same step at its end."""

    step: int
    status: int


@dataclass(frozen=True)
class JobEnded:
    """A job's own result; it is told and not logged."""

    results: tuple[StepResult, ...]


@dataclass(frozen=True)
class JobLost:
    """A job whose unit ended without a result; it is told and not logged."""

    why: str


@dataclass(frozen=True)
class JobEvent(Message):
    """One line of a job's log, or of what whoever follows it is told."""

    SCHEMA: ClassVar[str] = "axion.job-event/1"

    event: LogLine | StepBegan | StepEnded | JobEnded | JobLost


@dataclass(frozen=True)
class UninstallOrder(Message):
    """One step of an uninstallation."""

    SCHEMA: ClassVar[str] = "axion.uninstall-order/1"

    do: Literal["look", "remove", "leave"]
    root: str
    user: str
    is_systemd: bool
    keep_models: bool


@dataclass(frozen=True)
class Remains(Message):
    """What on a host goes with an uninstallation and what stays, one line for each, in words."""

    SCHEMA: ClassVar[str] = "axion.remains/1"

    goes: tuple[str, ...]
    stays: tuple[str, ...]


@dataclass(frozen=True)
class Before(Message):
    """What was on a host before the first of ours: the directories that we made for the root, and what ours held."""

    SCHEMA: ClassVar[str] = "axion.before/1"

    made: tuple[str, ...]
    there: Mapping[str, tuple[str, ...]]

    @classmethod
    def from_data(cls, document: object) -> Self:
        """Read one. At first it named no schema."""
        return super().from_data(_named(cls, document))


@dataclass(frozen=True)
class ClearOrder(Message):
    """Directories to remove, with all that is in them."""

    SCHEMA: ClassVar[str] = "axion.clear-order/1"

    paths: tuple[str, ...]


@dataclass(frozen=True)
class StoredFile:
    """A file of a checkpoint that lies on a host. Older versions know these two, and no third."""

    size: int
    sha256: str | None = None
    """None of one that a lock file knows by git's digest alone."""


@dataclass(frozen=True)
class WantedFile(StoredFile):
    """A file of a checkpoint as the lock file has it."""

    git_sha1: str | None = None


@dataclass(frozen=True)
class CheckpointManifest(Message):
    """What a downloaded checkpoint consists of: written into its directory once all of it was verified."""

    SCHEMA: ClassVar[str] = "axion.checkpoint/1"

    files: Mapping[str, StoredFile]
    hub: str = ""
    commit: str = ""

    @classmethod
    def from_data(cls, document: object) -> Self:
        """Read one. At first it named no schema."""
        return super().from_data(_named(cls, document))


@dataclass(frozen=True, kw_only=True)
class PullSource:
    """Where checkpoints come from: an address, a directory of the host, or gs://..."""

    kind: Literal["hub", "directory", "bucket"]
    place: str
    pause_s: float = 0.5
    """Before a hub is asked again; more each time."""


@dataclass(frozen=True)
class WantedModel:
    """A model to download."""

    hub: str
    revision: str
    files: Mapping[str, WantedFile]
    """Those of the lock file; none where it knows none yet."""


@dataclass(frozen=True)
class PullOrder(Message):
    """Checkpoints to bring to their places."""

    SCHEMA: ClassVar[str] = "axion.pull-order/1"

    root: str
    source: PullSource
    models: Mapping[str, WantedModel]
    is_thorough: bool = False
    """Whether files that are there are read again and compared."""


@dataclass(frozen=True)
class PullEvent(Message):
    """How far a download is: a word about a model, or how many of its bytes are there."""

    SCHEMA: ClassVar[str] = "axion.pull-event/1"

    model: str
    said: str | None = None
    done_bytes: int = 0
    total_bytes: int = 0


@dataclass(frozen=True)
class PullAnswer(Message):
    """What is there at the end, and why the rest is not."""

    SCHEMA: ClassVar[str] = "axion.pull-answer/1"

    models: Mapping[str, CheckpointManifest]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class TensorShape:
    """One tensor, by what its header says of it."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class CheckpointDescription(Message):
    """What a checkpoint is, wherever it lies: of one that is not whole the problems alone."""

    SCHEMA: ClassVar[str] = "axion.checkpoint-description/1"

    problems: tuple[str, ...]
    files: tuple[str, ...] = ()
    """What an engine reads."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """The files that say what the checkpoint is."""
    tensors: Mapping[str, TensorShape] = field(default_factory=dict)
    digest: str = ""
    """Of all tensors' names, types and shapes: 16 hex digits."""


@dataclass(frozen=True)
class PruneOrder(Message):
    """Remove the checkpoints that no release names."""

    SCHEMA: ClassVar[str] = "axion.prune-order/1"

    root: str


@dataclass(frozen=True)
class PruneAnswer(Message):
    """The checkpoints that were removed, as <model>/<commit>."""

    SCHEMA: ClassVar[str] = "axion.prune-answer/1"

    removed: tuple[str, ...]


@dataclass(frozen=True)
class KernelsOrder(Message):
    """Say what engines tell of their kernels, and compare their packed weights with the digests beside them."""

    SCHEMA: ClassVar[str] = "axion.kernels-order/1"

    root: str
    python: str
    """Of the engine environment: its axion_kernels reads the files."""


@dataclass(frozen=True)
class KernelsAnswer(Message):
    """What was found."""

    SCHEMA: ClassVar[str] = "axion.kernels-answer/1"

    reports: Mapping[str, KernelsReport]
    """By engine, what its plug-in wrote."""
    files: Mapping[str, int]
    """Files of packed weights below the root, and their bytes."""
    problems: tuple[str, ...]


@dataclass(frozen=True)
class ValidateOrder(Message):
    """Look at a release before anything runs it."""

    SCHEMA: ClassVar[str] = "axion.validate-order/1"

    root: str
    release: str


@dataclass(frozen=True)
class ValidateAnswer(Message):
    """What was rendered wrongly, and what the host has made of it or could not look at."""

    SCHEMA: ClassVar[str] = "axion.validate-answer/1"

    problems: tuple[str, ...]
    broken: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """Why there is no finding: it stands in its place."""

    error: str


@dataclass(frozen=True)
class LoadedKernels:
    """vLLM's own kernels, once they are loaded."""

    device_type: str
    extension: str | None
    """The file that they are in: on x86-64 there is one for each instruction set."""
    operators: tuple[str, ...]


@dataclass(frozen=True)
class EnvironmentLook(Message):
    """What an engine environment says of itself."""

    SCHEMA: ClassVar[str] = "axion.environment-look/1"

    machine: str
    python: str
    packages: Mapping[str, str]
    """Version of each by its name."""
    kernels: LoadedKernels | Failure
    command_version: str | Failure
    """The last line of `vllm --version`."""


@dataclass(frozen=True)
class ProveOrder(Message):
    """Put an engine environment to use."""

    SCHEMA: ClassVar[str] = "axion.prove-order/1"

    scratch: str
    """A directory of its own, which holds small_model.py."""
    findings: tuple[str, ...]
    """Names of fields of Findings."""
    pictures: tuple[str, ...]
    """Kinds of small models to show pictures to."""


@dataclass(frozen=True)
class TorchBuild:
    """What torch was built for."""

    version: str
    cuda: str | None
    hip: str | None


@dataclass(frozen=True)
class KernelNames:
    """Names inside one of vLLM's compiled files."""

    acl_matmul_t: int
    """How often this one is there."""
    mmla: tuple[str, ...]
    """Kernels that multiply in bfloat16."""


@dataclass(frozen=True)
class Selftest:
    """What the operators' own test found: nothing, or what is wrong, for each."""

    isa: str
    checks: Mapping[str, str]


@dataclass(frozen=True)
class TextAnswer:
    """What vLLM made of a small model."""

    tokens: tuple[int, ...]
    logprob: float | None
    report: KernelsReport | None = None
    """None where there is no plug-in."""


@dataclass(frozen=True)
class PicturesAnswer:
    """The same of one that takes pictures: the tokens for each."""

    torchvision: str
    has_operators: bool
    red: tuple[int, ...]
    white: tuple[int, ...]
    red_again: tuple[int, ...]
    report: KernelsReport | None = None


@dataclass(frozen=True)
class SmallModels(Message):
    """What small_model.py prints, of models of each kind."""

    SCHEMA: ClassVar[str] = "axion.small-models/1"

    text: Mapping[str, TextAnswer] = field(default_factory=dict)
    pictures: Mapping[str, PicturesAnswer] = field(default_factory=dict)


@dataclass(frozen=True)
class Findings(Message):
    """What an engine environment showed when it was put to use. None of what was not asked for."""

    SCHEMA: ClassVar[str] = "axion.findings/1"

    features: Mapping[str, bool] | Failure | None = None
    torch_build: TorchBuild | Failure | None = None
    acl_probe: bool | Failure | None = None
    matmul: tuple[str, ...] | Failure | None = None
    symbols: Mapping[str, KernelNames] | Failure | None = None
    openmp: tuple[str, ...] | Failure | None = None
    selftest: Selftest | Failure | None = None
    engine: TextAnswer | Failure | None = None
    pictures: Mapping[str, PicturesAnswer] | Failure | None = None


@dataclass(frozen=True)
class Proof:
    """How one finding was judged."""

    name: str
    verdict: Literal["pass", "fail", "skip"]
    evidence: str


@dataclass(frozen=True)
class Built(Message):
    """built.json: what an environment was made from."""

    SCHEMA: ClassVar[str] = "axion.built/1"

    recipe: str
    commits: Mapping[str, str]
    wheels: Mapping[str, str]
    """SHA-256 of each that was compiled, by its file's name."""
    facts: Mapping[str, str | int]
    """Of compiler, flags and sources, for people."""

    @classmethod
    def from_data(cls, document: object) -> Self:
        """Read one. At first the file named no schema, and had the facts beside the rest."""
        if isinstance(document, dict) and "schema" not in document:
            known = {"commits": {}, "wheels": {}} | {key: document[key] for key in _BUILT if key in document}
            facts = {key: value for key, value in document.items() if key not in _BUILT}
            document = {"schema": cls.SCHEMA, **known, "facts": facts}
        return super().from_data(document)


_BUILT = ("recipe", "commits", "wheels")


@dataclass(frozen=True)
class EnvironmentManifest(Message):
    """manifest.json, the seal of an engine environment: what it was made from, what it showed, how that was judged."""

    SCHEMA: ClassVar[str] = "axion.environment/1"

    digest: str
    """The name of its directory, else it is no seal of that."""
    built: Built | None = None
    proofs: tuple[Proof, ...] = ()
    look: EnvironmentLook | None = None
    findings: Findings | None = None

    @classmethod
    def from_data(cls, document: object) -> Self:
        """Read one. Before it named a schema proofs were called gates; what they were judged by is left to people."""
        if isinstance(document, dict) and "schema" not in document:
            built = Built.from_data(document["built"]) if document.get("built") else None
            known = {"built": data_of(built), "proofs": document.get("gates", [])}
            document = {"schema": cls.SCHEMA, **{key: document[key] for key in ("digest",) if key in document}, **known}
        return super().from_data(document)


def _named(kind: type[Message], document: object) -> object:
    """A document from before its kind had a schema, as the first that has one."""
    if isinstance(document, dict) and "schema" not in document:
        return {"schema": kind.SCHEMA, **document}
    return document
