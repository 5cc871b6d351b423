"""Every document that the operator's computer, the agent, a release and the gateway exchange."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self

from agent.message import Message


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
    follows: "str | None" = None
    """The release that served when this one was made."""

    @classmethod
    def from_data(cls, document: object) -> Self:
        """Read one. Before schemas had names, it said 1."""
        if isinstance(document, dict) and document.get("schema") == 1:
            document = {**document, "schema": cls.SCHEMA}
        return super().from_data(document)

    @property
    def engines(self) -> Mapping[str, str]:
        """Unit digest of each engine."""
        return {name: digest for name, digest in self.units.items() if name != "gateway"}


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
class LockHolder(Message):
    """Who holds a host's lock: what the lock's file says."""

    SCHEMA: ClassVar[str] = "axion.lock-holder/1"

    who: str = "somebody unknown"
    what: str = "something unknown"
    since: str = "?"
    pid: int = 0
    silent_s: int = 0
    """How long ago it was last heard of, once somebody asks."""

    @classmethod
    def from_data(cls, document: object) -> Self:
        """Read one. Before it was a document of its own it named no schema."""
        return super().from_data(_named(cls, document))


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
class AuditLine(Message):
    """One line of the audit log: a change of a host. `at` is when it ended."""

    SCHEMA: ClassVar[str] = "axion.audit/1"

    at: str
    who: str
    what: str
    outcome: str
    release: str | None = None
    began: str | None = None

    @classmethod
    def from_data(cls, document: object) -> Self:
        """Read one. At first lines named no schema."""
        return super().from_data(_named(cls, document))


@dataclass(frozen=True)
class AuditLog(Message):
    """What was changed on a host, oldest first."""

    SCHEMA: ClassVar[str] = "axion.audit-log/1"

    lines: tuple[AuditLine, ...]
    torn: int
    """Lines that a power cut, somebody's editor or a newer version left, which cannot be read."""


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
class DescribeOrder(Message):
    SCHEMA: ClassVar[str] = "axion.describe-order/1"

    directory: str
    remedy: str
    """What to do about a checkpoint that is not whole."""


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


def _named(kind: type[Message], document: object) -> object:
    """A document from before its kind had a schema, as the first that has one."""
    if isinstance(document, dict) and "schema" not in document:
        return {"schema": kind.SCHEMA, **document}
    return document
