"""Read a model repository of a Hugging Face hub, or of a mirror of it, through huggingface_hub.

Its listing, addresses, sessions and errors are used, not its downloads: those write a piece of 10 MB only when all of
it has come, so that a connection which breaks sooner never gets further; they take the refusal of a CDN for the hub's
own, wait for as long as a server says, and keep files in a layout of their own.
"""

import email.utils
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import DisabledRepoError, GatedRepoError, HfHubHTTPError, RevisionNotFoundError
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status, parse_ratelimit_headers

from agent.files import ListedFile, PullError
from agent.patience import CONNECT_S, READ_S, Patience, Tell, reason

ASK_TIMEOUT: Any = httpx2.Timeout(READ_S, connect=CONNECT_S)  # more than the float that huggingface_hub speaks of
STREAM_TIMEOUT = httpx2.Timeout(60.0, connect=CONNECT_S)
TRIES = 8
"""In a row without a byte in between."""
PAUSE_MAX_S = 30.0
RETRY_AFTER_MAX_S = 300.0
"""The hub counts calls in windows of five minutes."""
HUB_ITSELF = ("https", "huggingface.co", 443)
PASSING = frozenset({408, 416, 425, 429})
HOW_TO_AUTHORIZE = (
    "`pulumi config set --secret axion:hubToken` and `pulumi up` for a host of a stack, HF_TOKEN for this computer"
)
T = TypeVar("T")


class PassingError(Exception):
    """A failure that may be gone at the next try."""

    def __init__(self, said: str, *, wait_s: float = 0.0) -> None:
        super().__init__(said)
        self.wait_s = wait_s


class Hub:
    """A hub, as one who has a token or has none."""

    def __init__(
        self, endpoint: str, token: str | None, *, pause_s: float = 0.5, sleep: Callable[[float], None] = time.sleep,
        tell: Tell = lambda _said: None, patience: Patience | None = None,
    ) -> None:  # fmt: skip
        self.endpoint, self._has_token, self._pause_s, self._sleep = endpoint.rstrip("/"), bool(token), pause_s, sleep
        self._patience = patience or Patience(self.endpoint, tell)
        self._api = HfApi(endpoint=self.endpoint, token=token or False, library_name="axion-deploy")
        self._headers = build_hf_headers(token=token or False, library_name="axion-deploy")

    def listing(self, repository: str, revision: str) -> tuple[str, list[ListedFile]]:
        """Return the commit that a revision is, and its files."""
        info = self._retried(lambda: self._info(repository, revision), repository, revision, "its list of files")
        if not isinstance(info.sha, str) or info.siblings is None:
            missing = "commit (sha)" if info.siblings is not None else "files (siblings)"
            raise PullError(f"{repository}: no list of files from {self.endpoint}: none of its {missing}. {_OTHER}")
        for file in info.siblings:
            path = file.rfilename
            if not path or path.startswith("/") or ".." in path.split("/") or "\\" in path:
                raise PullError(f"{repository}: a file outside of the repository, got {path!r}. Do not use it.")
            if not isinstance(file.lfs.size if file.lfs else file.size, int):
                raise PullError(f"{repository}: no size of {path} from {self.endpoint}, got a list without. {_OTHER}")
        return info.sha, [
            ListedFile(each.rfilename, each.lfs.size, each.lfs.sha256, None)
            if each.lfs
            else ListedFile(each.rfilename, each.size, None, each.blob_id)
            for each in info.siblings
        ]

    def read(self, repository: str, commit: str, file: ListedFile, start: int, count: int) -> bytes:
        """Return bytes of a file, and ask for no more than those."""
        count = min(count, file.size - start)
        if count <= 0:
            return b""

        def fetch() -> bytes:
            found = bytearray()
            with self._stream(repository, commit, file.path, f"bytes={start}-{start + count - 1}") as answer:
                skipped = 0 if answer.status_code == httpx2.codes.PARTIAL_CONTENT else start
                for piece in answer.iter_bytes():
                    found += piece
                    if len(found) >= skipped + count:
                        break
            if len(found) < skipped + count:
                raise PassingError("the connection ended early")
            return bytes(found[skipped : skipped + count])

        return self._retried(fetch, repository, commit, file.path)

    def fetch(self, repository: str, commit: str, file: ListedFile, part: Path, tell: Callable[[int], None]) -> None:
        """Bring `part` to the file's full length, from the length that it has. `tell` hears of each piece's bytes."""
        part.touch()

        def bring() -> None:
            start = part.stat().st_size
            if start < file.size:
                with self._stream(repository, commit, file.path, f"bytes={start}-" if start else None) as answer:
                    _append(answer, part, start, tell)
            if part.stat().st_size < file.size:
                raise PassingError("the connection ended early")

        self._retried(bring, repository, commit, file.path, lambda: part.stat().st_size)

    def _info(self, repository: str, revision: str) -> Any:
        try:
            return self._api.model_info(repository, revision=revision, files_metadata=True, timeout=ASK_TIMEOUT)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            # A page of a proxy, or JSON of another kind of server: huggingface_hub takes its form for granted.
            said = str(error).partition("\n")[0] or type(error).__name__
            raise PullError(f"{repository}: no list of files from {self.endpoint}, got {said}. {_OTHER}") from None

    @contextmanager
    def _stream(self, repository: str, commit: str, path: str, bytes_range: str | None) -> Iterator[httpx2.Response]:
        """Ask the hub anew each time: it answers with another address, signed anew, of where the bytes are.

        The session follows it, and keeps the token for the hub itself.
        """
        url = hf_hub_url(repository, path, revision=commit, endpoint=self.endpoint)
        asked = {"Accept-Encoding": "identity"} | ({"Range": bytes_range} if bytes_range else {})
        with get_session().stream("GET", url, headers=self._headers | asked, timeout=STREAM_TIMEOUT) as answer:
            hf_raise_for_status(answer)
            yield answer

    def _retried(
        self, act: Callable[[], T], repository: str, revision: str, what: str, progress: Callable[[], int] = lambda: 0
    ) -> T:
        """Try again while another try may help, and for as long as bytes keep coming."""
        failures, last = 0, progress()
        while True:
            try:
                self._patience.begin()
                found = act()
                self._patience.heard()
                return found
            except HfHubHTTPError as error:
                self._patience.heard()
                failure = self._judge(error, repository, revision)
            except PassingError as error:
                self._patience.heard()
                failure = error
            except httpx2.RequestError as error:
                is_silent = isinstance(error, httpx2.TimeoutException)
                failure = PassingError(reason(error, is_silent=is_silent))
                self._patience.failed(str(failure), is_silent=is_silent)
            failures = 1 if progress() > last else failures + 1
            last = progress()
            if failures >= TRIES:
                raise PullError(
                    f"{repository}: {what} cannot be downloaded from {self.endpoint} in {TRIES} tries: {failure}. "
                    "Run the same command again: it goes on where it stopped."
                )
            wait_s = min(failure.wait_s, RETRY_AFTER_MAX_S)
            self._sleep(max(wait_s, min(self._pause_s * 2 ** (failures - 1), PAUSE_MAX_S)))

    def _judge(self, error: HfHubHTTPError, repository: str, revision: str) -> PassingError:
        """Return what may pass. Raises PullError for what the hub itself refuses; nobody else can.

        An address that it sent us to may have run out, or a server behind it may not have the file yet.
        """
        answer = error.response
        said = f"{answer.status_code} {answer.reason_phrase}".strip()
        is_hubs = _origin(answer.request.url) in (_origin(httpx2.URL(self.endpoint)), HUB_ITSELF)
        if not is_hubs or not _is_question(answer.request.url):
            return PassingError(f"{said} of {answer.request.url.host}", wait_s=retry_after_s(answer))
        if answer.status_code in PASSING or answer.status_code >= 500:
            return PassingError(said, wait_s=retry_after_s(answer))
        raise PullError(self._refused(error, repository, revision)) from None

    def _refused(self, error: HfHubHTTPError, repository: str, revision: str) -> str:
        """Say why the hub refuses. Without a token it does not tell a private repository from one that is not there."""
        status, message = error.response.status_code, error.response.headers.get("X-Error-Message", "")
        code, got, page = error.response.headers.get("X-Error-Code"), f"got {status}", f"{self.endpoint}/{repository}"
        if isinstance(error, RevisionNotFoundError):
            return f"{repository}: no such revision, got {revision}. Take a commit from {page}/commits/main."
        if isinstance(error, DisabledRepoError):
            return f"{repository}: disabled by the hub or its owner, {got}. No token opens it: take another repository."
        if "fine-grained" in message:
            return (
                f"{repository}: the token lacks a right, {got} {message.rstrip('.')}. "
                "Give it the right to read this repository in its settings on the hub, or use a token of kind `read`."
            )
        if isinstance(error, GatedRepoError):
            return f"{repository}: gated, {got} {self._ask_for_terms(page)}"
        if status == 401 and self._has_token and code != "RepoNotFound":
            return f"{repository}: the token is refused, {got}. Make a new one ({HOW_TO_AUTHORIZE})."
        if status in (401, 404) and code != "EntryNotFound":
            hidden = "" if self._has_token else f" If it is private, give a token: {HOW_TO_AUTHORIZE}."
            return f"{repository}: no such repository, {got}. Correct weights.hub in the models file.{hidden}"
        why = message or error.response.reason_phrase
        return f"{repository}: refused by {self.endpoint}, {got} {why.rstrip('.')}. Look at {page}."

    def _ask_for_terms(self, page: str) -> str:
        if self._has_token:
            return f"with this token. Accept the terms at {page} with its account."
        return f"without a token. Accept the terms at {page}, then give a token: {HOW_TO_AUTHORIZE}."


_OTHER = "Correct HF_ENDPOINT, or look for a proxy that answers in its place."


def retry_after_s(answer: httpx2.Response) -> float:
    """How long a server wants to be left alone; 0 when it does not say."""
    limit = parse_ratelimit_headers(answer.headers) if answer.status_code == 429 else None
    said = answer.headers.get("Retry-After", "").strip()
    if said.isdigit():
        return float(said)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(said).timestamp() - time.time())
    except (ValueError, TypeError):
        return float(limit.reset_in_seconds) if limit is not None and limit.remaining == 0 else 0.0


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _is_question(url: httpx2.URL) -> bool:
    """Whether an address is one at which a hub decides; a mirror may keep files under its own name as well."""
    return "/api/" in url.path or "/resolve/" in url.path


def _append(answer: httpx2.Response, part: Path, start: int, tell: Callable[[int], None]) -> None:
    is_whole = start > 0 and answer.status_code != httpx2.codes.PARTIAL_CONTENT
    if is_whole:  # a server that knows no ranges sends all of it again
        tell(-start)
    with part.open("wb" if is_whole else "ab") as file:
        for piece in answer.iter_bytes():
            file.write(piece)
            tell(len(piece))
