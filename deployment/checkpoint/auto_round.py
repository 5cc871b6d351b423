"""AutoRound's own exports: GPTQ's or AWQ's tensors, and a list of exceptions by layer."""

import re

from deployment.checkpoint.quantization import Quantization
from deployment.checkpoint.served import AUTO_ROUND, Config, refuse, rows, sentence
from deployment.problems import shown


def auto_round(content: Config, place: str) -> Quantization:
    """AutoRound's own exports: GPTQ's or AWQ's tensors, and a list of exceptions by layer."""
    problems = rows(AUTO_ROUND, content, place)
    is_awq = content.get("packing_format") == "auto_round:auto_awq"
    symmetric = content.get("sym", True)
    if bool(symmetric) == is_awq:
        why = "in this packing_format vLLM has no kernel on Arm " + ("without zero points" if is_awq else "with them")
        problems.append(sentence(f"{place}sym", why, symmetric))
    kept, head = [], False
    for name, changed in (content.get("extra_config") or {}).items():
        bits = changed.get("bits", content.get("bits"))
        if bits >= 16:
            kept.append(_expression(name))
            continue
        head |= name.rpartition(".")[2] == "lm_head"
        for key, usual in (
            ("bits", content.get("bits")),
            ("group_size", content.get("group_size")),
            ("sym", symmetric),
        ):
            if changed.get(key, usual) != usual:
                where = f"{place}extra_config.{name}.{key}"
                problems.append(sentence(where, f"the other layers have {shown(usual)}", changed[key]))
    refuse(problems)
    blocks = content.get("block_name_to_quantize") or content.get("to_quant_block_names") or []
    return Quantization(
        method="awq" if is_awq else "gptq",
        bits=content["bits"],
        group_size=content["group_size"],
        has_zero_points=is_awq,
        not_converted=tuple(kept),
        converted=tuple(f"re:{re.escape(name)}" for name in (blocks.split(",") if isinstance(blocks, str) else blocks)),
        quantizes_head=head,
    )


def _expression(name: str) -> str:
    """AutoRound's name of a layer: an end of the name, or an expression that may match anywhere in it."""
    is_expression = any(sign in name for sign in r"*+?^$()[]{}|\\")
    return f"re:.*(?:{name})" if is_expression else rf"re:(?:.*\.)?{re.escape(name)}$"
