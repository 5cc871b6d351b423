"""The rows of the login matrix: each user of the host, and what a person is told (integration/hosts/test_logins.py)."""

from tests.support.machines.logins import NOPASSWD, Login

WARNING = (
    "warned when {name} became root, got sudo: unable to resolve host login-matrix: Name or service not known. It is "
    "no refusal, and skipped."
)
BANNER = (
    "the login shell of {name} prints before it runs a command, got Welcome. It is skipped; let its start files print "
    "in a terminal only."
)


def ends(got: str) -> str:
    return (
        f"the login shell of {{name}} ends before it runs a command, got {got}. Look at its start files (such as "
        "~/.bashrc), and whether the account is locked or its key or sshd forces another command."
    )


NO_ROOT = (
    "{name} cannot become root there: sudo: a password is required. Grant the account roles/compute.osAdminLogin, "
    "or, without OS Login, give the user NOPASSWD in sudoers."
)
NO_TERMINAL = (
    "{name} cannot become root there: sudo: sorry, you must have a tty to run sudo. Let it do without a terminal: "
    "`Defaults:{name} !requiretty` in a file of /etc/sudoers.d."
)
MANY_KEYS = (
    "was offered more keys than it looks at: Too many authentication failures. Name the one that lets {name} in: "
    "identity_file in the inventory; then no other key of an agent is offered."
)
EXPIRED = (
    "takes the key of {name} and then ends the login: Your account has expired; please contact your system "
    "administrator. Look whether the account is locked or expired there: `chage -l {name}`."
)
GERMAN = "export LC_ALL=de_DE.UTF-8 LANGUAGE=de\n"
NOISY = "echo Welcome\n(for i in 1 2 3 4 5 6; do echo again; sleep 0.1; done) &\ntrap 'echo bye; exit 9' EXIT\n"
FISH = "printf Welcome\nfunction bye --on-event fish_exit; echo bye; end\n"
TCSH = "printf Welcome\nset echo\nset path=(/nowhere)\n"


def bash(text: str) -> dict[str, str]:
    return {".bashrc": text}


WORKING = (
    Login(name="insh", what="sh, locale C", program="/bin/sh", sshd="SetEnv LC_ALL=C"),
    Login(name="indash", what="dash, MaxSessions 1", program="/bin/dash", sshd="MaxSessions 1"),
    Login(name="inbash", what="bash, banner, umask 077", files=bash("echo Welcome; umask 077; cd /tmp\n"), told=BANNER),
    Login(
        name="inzsh", what="zsh, banner, de_DE.UTF-8", program="/bin/zsh", told=BANNER,
        files={".zshenv": f"print -n Welcome\n{GERMAN}"},
    ),
    Login(
        name="infish", what="fish, banner, sudo's lecture", program="/bin/fish", told=BANNER,
        files={".config/fish/config.fish": FISH}, sudoers=f"Defaults:{{name}} lecture=always\n{NOPASSWD}",
    ),
    Login(
        name="intcsh", what="tcsh, banner, secure_path", program="/bin/tcsh", told=BANNER,
        files={".cshrc": TCSH}, sudoers=f"Defaults:{{name}} secure_path=/nowhere\n{NOPASSWD}",
    ),
    Login(
        name="noisy", what="bash, noise all along, sudo use_pty", told=BANNER,
        files=bash(NOISY), sudoers=f"Defaults:{{name}} use_pty, log_output\n{NOPASSWD}",
    ),
    Login(name="latin", what="bash, de_DE", files=bash("export LC_ALL=de_DE\n")),
)  # fmt: skip
REFUSED = (
    Login(name="terminal", what="requiretty", sudoers=f"Defaults:{{name}} requiretty\n{NOPASSWD}", told=NO_TERMINAL),
    Login(name="password", what="sudo wants a password", sudoers="{name} ALL=(ALL) ALL", told=NO_ROOT),
    Login(name="limited", what="sudo for ls alone", sudoers="{name} ALL=(ALL) NOPASSWD: /bin/ls", told=NO_ROOT),
    Login(name="stranger", what="not in sudoers", sudoers=None, told=NO_ROOT),
    Login(name="fremd", what="not in sudoers, de_DE", sudoers=None, files=bash(GERMAN), told=NO_ROOT),
    Login(
        name="nologin", what="nologin", program="/usr/sbin/nologin",
        told=ends("exit status 1, This account is currently not available"),
    ),
    Login(
        name="broken", what="exit 1 in .bashrc", files=bash("echo Welcome; nonsense; exit 1\n"),
        told=ends("exit status 1, /home/broken/.bashrc: line 1: nonsense: command not found"),
    ),
    Login(name="other", what="exec in .bashrc", files=bash("exec true\n"), told=ends("exit status 0")),
    Login(
        name="inrbash", what="rbash", program="/bin/rbash",
        told=ends("exit status 1, rbash: line 1: /bin/sh: restricted: cannot specify `/' in command names"),
    ),
    Login(
        name="forced", what="ForceCommand", sshd="ForceCommand /bin/echo No shell for you.",
        told=ends("exit status 0, No shell for you"),
    ),
    Login(name="expired", what="expired account", told=EXPIRED),
    Login(name="manykeys", what="nine keys of an agent, none named", told=MANY_KEYS),
)  # fmt: skip
