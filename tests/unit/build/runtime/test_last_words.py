"""Why a process ended, from its log."""

from build.runtime.last_words import last_words

PREFIX = "2026-01-31T12:00:00+0000 host python[451]: (Worker pid=451) ERROR 01-31 12:00:00 [multiproc_executor.py:953]"


def test_the_first_error_of_an_engine_is_told_before_the_end_of_its_log() -> None:
    before = ["ValueError: of yesterday", "launch: tiny: release r0, guard 1, keeper 2", "KeyError: of r0"]
    log = [
        "2026-01-31T12:00:00+0000 host python[451]: launch: tiny: release r1, guard 451, keeper 452",
        f"{PREFIX} Traceback (most recent call last):",
        f'{PREFIX}   File "gloo.py", line 2, in connect',
        f"{PREFIX} RuntimeError: [enforce fail at device.cc:186] rv != -1. Address family not supported",
        *(f'{PREFIX}   File "core.py", line {number}, in start' for number in range(30)),
        f"{PREFIX} RuntimeError: [enforce fail at device.cc:186] rv != -1. Address family not supported",
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
        "2026-01-31T12:00:09+0000 host systemd[1]: vllm@tiny.service: Failed with result 'exit-code'.",
    ]
    told = last_words("\n".join([*before, *log]), "r1")
    assert told[0] == "RuntimeError: [enforce fail at device.cc:186] rv != -1. Address family not supported"
    assert told[1:] == log[-12:]


def test_what_only_passes_an_error_on_is_no_cause_and_a_log_without_errors_is_its_end() -> None:
    wrapped = "x: RuntimeError: Engine core initialization failed. See root cause above.\nends"
    assert last_words(wrapped, "r1") == wrapped.splitlines()
    assert last_words("loading\nkilled", "r1") == ["loading", "killed"]
    assert last_words("", "r1") == []


def test_an_error_may_have_the_plainest_of_names() -> None:
    log = [f"{PREFIX} Exception: EOF while parsing an object at line 1 column 1", "ends"]
    assert last_words("\n".join(log), "r1")[0] == "Exception: EOF while parsing an object at line 1 column 1"


def test_errors_of_modules_are_told_with_their_module_and_three_at_most() -> None:
    errors = [f"safetensors.SafetensorError: broken {number}" for number in range(5)]
    assert last_words("\n".join([*errors, *["."] * 12]), "r1") == [*errors[:3], *["."] * 12]
    assert last_words("INFO [a.py:1] Error rate: 3\n" + ".\n" * 12, "r1") == ["."] * 12
