"""The environment variables that the toolkit reads: for docs/configuration.md. A test looks for more in the sources."""

from dataclasses import dataclass

FAB, DOWNLOADS, GOOGLE, KERNELS, CHECKS, OURS = (
    "What `fab` does",
    "Downloads and proxies",
    "Google and Pulumi",
    "Kernels",
    "Checks of the checkout",
    "Set by the toolkit or by systemd",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One variable, or several that mean the same."""

    names: tuple[str, ...]
    group: str
    give: str
    """What it holds, with its unit."""
    does: str
    example: str | None = None


def _one(group: str, name: str, give: str, does: str, example: str | None = None) -> Variable:
    return Variable(names=tuple(name.split()), group=group, give=give, does=does, example=example)


VARIABLES = (
    _one(FAB, "AXION_LOCAL_ROOT", "a directory of its own",
         "Where everything goes when you deploy to this computer. Left out: `out/local` of the checkout. A second "
         "directory is a second, separate deployment.", "/srv/axion-test"),
    _one(FAB, "AXION_MODELS", "a models file",
         "Which models file the tasks read. `--models` counts more. Left out: the one that was deployed on this "
         "computer last, else `models.yaml`.", "examples/dev/models.yaml"),
    _one(FAB, "AXION_PROJECT", "a directory",
         "Where Pulumi.yaml and the stacks' files are. Left out: the checkout.", "/home/me/stacks"),
    _one(FAB, "AXION_MIRROR", "an absolute path on the host, or an address",
         "Where builds take everything from, so that the host needs no internet. `--mirror` counts more. Left out: the "
         "internet. See [building from source](operations.md#building-from-source).", "/data/mirror"),
    _one(FAB, "AXION_WHEELS", "an absolute path on the host, or gs://BUCKET/FOLDER",
         "Where a compiled engine is kept, and looked for before one is compiled. `--wheels` counts more. Left out: "
         "nowhere.", "gs://my-bucket/wheels"),
    _one(FAB, "NO_COLOR", "any text", "Output without colours.", "1"),
    _one(FAB, "PYTHON", "a program",
         "Which Python `make setup` uses, 3.11 to 3.14. Left out: the first on PATH that will do.",
         "/usr/bin/python3.12"),
    _one(FAB, "HOME LANG LC_ALL LD_LIBRARY_PATH PATH TMPDIR TZ USER", "as everywhere",
         "The only variables of your shell that engines and the gateway on this computer get. Keys and tokens in other "
         "variables do not reach them."),
    _one(DOWNLOADS, "HF_TOKEN", "a token of the model hub",
         "For models whose publisher asks for one: on this computer, and on hosts that are not Google's. Hosts of a "
         "stack read `axion:hubToken` instead.", "hf_..."),
    _one(DOWNLOADS, "HF_ENDPOINT", "an address with https:// or http://",
         "A mirror of the model hub. Left out: the hub itself.", "https://hub.example.com"),
    _one(DOWNLOADS, "http_proxy HTTP_PROXY https_proxy HTTPS_PROXY all_proxy ALL_PROXY", "the address of an HTTP proxy",
         "Downloads go through it. The lower-case name counts more. SOCKS is refused. A host uses those of its own "
         "/etc/environment. SSH uses none: see `ssh_proxy_command`.", "http://proxy.example.com:3128"),
    _one(DOWNLOADS, "no_proxy NO_PROXY", "names and addresses with commas between them",
         "What is asked without the proxy. Loopback and Google's metadata server are added.", "intranet.example.com"),
    _one(GOOGLE, "PULUMI_CONFIG_PASSPHRASE PULUMI_CONFIG_PASSPHRASE_FILE", "a passphrase, or a file that holds it",
         "Opens the secrets of a stack. Pulumi asks for it where neither is set. `fab doctor` says so.", ""),
    _one(GOOGLE, "GOOGLE_APPLICATION_CREDENTIALS", "a file", "The credentials that Pulumi uses, in place of those that "
         "`gcloud auth application-default login` left.", "/home/me/key.json"),
    _one(GOOGLE, "GOOGLE_CREDENTIALS GOOGLE_CLOUD_KEYFILE_JSON GCLOUD_KEYFILE_JSON", "a file, or its text",
         "The same, and counts more."),
    _one(GOOGLE, "GOOGLE_OAUTH_ACCESS_TOKEN", "a token, good for an hour at most",
         "Used by Pulumi in place of all credentials."),
    _one(GOOGLE, "GOOGLE_IMPERSONATE_SERVICE_ACCOUNT", "the address of a service account",
         "Pulumi acts as this account.", "deployer@my-project.iam.gserviceaccount.com"),
    _one(GOOGLE, "GOOGLE_CLOUD_QUOTA_PROJECT", "a project's id",
         "The project whose quota counts when a person's own login is used. `axion:budget` needs one.", "my-project"),
    _one(GOOGLE, "USER_PROJECT_OVERRIDE", "true or false", "Whether calls count on the stack's project instead.",
         "true"),
    _one(GOOGLE, "CLOUDSDK_CONFIG", "a directory",
         "Where gcloud keeps its logins. Pulumi does not look there, and `fab doctor` says so.", "/home/me/gcloud"),
    _one(GOOGLE, "CLOUDSDK_AUTH_DISABLE_CREDENTIALS", "true or false",
         "gcloud sends no credentials: for a stand-in of Google's API. Then `fab doctor` checks no login.", "true"),
    _one(GOOGLE, "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBILLING CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER",
         "an address", "Where `fab catalog-refresh` and `fab doctor` ask, in place of Google.",
         "http://127.0.0.1:9000/"),
    _one(GOOGLE, "CLOUD_SHELL DEVSHELL_PROJECT_ID GCE_METADATA_HOST", "set by Google",
         "Tell `fab doctor` that this computer is Google's and has credentials of its own."),
    _one(KERNELS, "AXION_KERNELS", "all, none, a list, or changes of the default",
         "Which of our kernels an engine uses. `kernels` of the models file sets it; give it by hand only where you "
         "start vLLM yourself.", "+lm_head,-sampler"),
    _one(KERNELS, "AXION_ISA", "portable, neon or sve2",
         "Which instructions the kernels use. Left out: the best that the processor has. For tests and comparisons.",
         "neon"),
    _one(KERNELS, "AXION_BUILD_DIR", "a directory", "Where the kernels are compiled. Left out: `out/kernels`.",
         "/data/kernels"),
    _one(KERNELS, "AXION_TORCH_DIR", "a directory",
         "The torch to compile against when it is for another processor. Left out: the installed one.", "/data/torch"),
    _one(KERNELS, "CMAKE_ARGS", "arguments", "Passed on to CMake when the kernels are compiled.", "-DAXION_STRICT=ON"),
    _one(KERNELS, "MAX_JOBS", "a whole number of compilers",
         "How many compilers run at once for the kernels. Left out: one for each core.", "2"),
    _one(KERNELS, "AXION_KERNELS_REPORT", "a file",
         "Where an engine writes which kernels it uses. Left out: a temporary file.", "/data/kernels.json"),
    _one(CHECKS, "AXION_PULUMI_ARCHIVE AXION_GCLOUD_ARCHIVE", "a file",
         "The archive that the checks unpack where PATH has no `pulumi` or `gcloud`. Left out: the pinned release is "
         "downloaded.", "/data/pulumi-linux-x64.tar.gz"),
    _one(CHECKS, "AXION_EXPECTED_ISA", "portable, neon or sve2", "What the kernels' tests must find in use.", "sve2"),
    _one(OURS, "NOTIFY_SOCKET WATCHDOG_PID WATCHDOG_USEC LISTEN_PID LISTEN_FDS CREDENTIALS_DIRECTORY", "set by systemd",
         "How the gateway, engines and downloads talk to systemd, and get sockets and secrets from it."),
    _one(OURS, "AXION_STOP_TIMEOUT_S AXION_LOAD_TIMEOUT_S", "seconds",
         "In an engine's environment file: how long it may take to stop and to load. The first follows from "
         "`shutdown_timeout`; the second is 1800, and no setting changes it."),
    _one(OURS, "AXION_UNIT", "root:model", "Marks the processes of an engine, so that none is left behind."),
    _one(OURS, "AXION_KERNELS_REPORT_OWNER", "a process id", "Which process of an engine owns the report."),
    _one(OURS, "AXION_RUN", "a directory", "Where jobs on a host keep what lasts until the next boot. Only tests "
         "set it. Left out: `/run/axion`."),
)  # fmt: skip
