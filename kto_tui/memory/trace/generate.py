"""Turns traces into the coefficients the app predicts with: ``python -m kto_tui.memory.trace.generate``."""

import argparse
import itertools
import math
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Literal
from unittest import mock

import msgspec
import transformers

from kto_tui.backends.hf.kto import attention_rows
from kto_tui.memory.coefficients import FOLDER, Case, Moment, Term, case_name, tables
from kto_tui.memory.trace.architectures import configuration, period
from kto_tui.memory.trace.exact import ExactSettings, run
from kto_tui.memory.trace.moments import Key, MomentLedger
from kto_tui.memory.trace.prune import prune
from kto_tui.memory.trace.sizes import LENGTH, RANK, ROWS, SCORED, WINDOW, symbolic_shape, symbols

# Architectures with a table of their own; kto_tui.memory.coefficients says which others use it.
PACKED = ("llama", "qwen3", "phi3", "gemma2")
PADDED = ("gemma", "gemma3_text", "gemma3_text_mqa", "granite", "olmo3", "stablelm")
MINIMAL, BALANCED = ["q_proj", "v_proj"], ["q_proj", "k_proj", "v_proj", "o_proj"]
TARGETS = {"minimal": MINIMAL, "balanced": BALANCED, "full": "all-linear"}
ROUND = 6  # significant digits of a coefficient


def cases(architecture: str) -> Iterator[Case]:
    """Every combination of settings that changes the course of a step; see ``Case``."""
    windows = [(False, True), (True, True), *([(True, False)] if architecture in PACKED else [])]
    kinds: tuple[tuple[Literal["accelerator", "cpu"], Literal[16, 32]], ...]
    kinds = (("accelerator", 16), ("accelerator", 32), ("cpu", 16), ("cpu", 32))
    for device, bits in kinds:
        for quantised, checkpointing, targets, (joint, kl) in itertools.product(
            (False, True), (False, True), TARGETS, windows
        ):
            if quantised and (device, bits) == ("accelerator", 32):
                continue  # Apple GPUs have no NF4, and CUDA trains it in 16 bits
            if architecture == "phi3" and targets != "full":
                continue  # its projections are fused: the smaller sets name layers it does not have
            for wide in (False, True) if quantised and device == "accelerator" else (False,):
                yield Case(device, bits, quantised, checkpointing, targets, joint, wide, kl)


def settings_of(architecture: str, case: Case, layers: int) -> ExactSettings:
    """The symbolic window of a case."""
    return ExactSettings(
        shape=symbolic_shape(architecture, layers),
        accelerator=case.device == "accelerator",
        dtype="float32" if case.bits == 32 else "float16" if case.wide else "bfloat16",
        autocast=case.device == "accelerator" and case.bits == 16,
        quantised=case.quantised,
        checkpointing=case.checkpointing,
        kl=case.kl,
        rank=RANK,
        targets=TARGETS[case.targets],
        effective_batch=ROWS if case.joint else WINDOW,
        micro_batch=ROWS,
        length=LENGTH,
        scored=SCORED,
    )


def record(settings: ExactSettings, layers: int) -> MomentLedger:
    """The moments of one window.

    Not of the reference's passes, which need less than the KL pass and the policy's, nor of a second window: what a
    first one leaves behind is the optimizer's state, which is counted elsewhere (``kto_tui.memory.predict``).
    """
    rounds = not settings.accelerator and settings.shape.architecture in PACKED
    ledger = MomentLedger(
        symbols(rounds=rounds, kv_heads=settings.shape.num_key_value_heads), layers, accelerator=settings.accelerator
    )
    # All rows in one group: how many it has follows from their length (``coefficients.product``).
    with mock.patch.object(attention_rows, "GROUP_SCORES", math.inf):
        run(settings, layers, ledger, steps=1, reference=False, begin=ledger.mark)
    return ledger


def _moment(key: Key, low: Any, high: Any, depths: tuple[int, int]) -> Moment:  # noqa: ANN401
    """The line through a moment at two depths, term by term."""
    parts = {}
    span = depths[1] - depths[0]
    for name in low.parts.keys() | high.parts.keys():
        first, second = low.parts.get(name, {}), high.parts.get(name, {})
        terms = []
        for names in first.keys() | second.keys():
            slope = (second.get(names, 0.0) - first.get(names, 0.0)) / span
            constant = first.get(names, 0.0) - slope * depths[0]
            if constant or slope:
                terms.append(Term(float(f"{constant:.{ROUND}g}"), float(f"{slope:.{ROUND}g}"), names))
        parts[name] = tuple(sorted(terms, key=lambda term: term.names))
    return Moment(key.phase, parts)


def trace_case(architecture: str, case: Case) -> tuple[Moment, ...]:
    """The moments of a case that can be its worst."""
    shape = symbolic_shape(architecture, 24)
    every = period(configuration(shape.architecture, shape.values()))
    depths = (2 * every, 4 * every)
    low, high = (record(settings_of(architecture, case, depth), depth) for depth in depths)
    order = list(high.moments)
    found = []
    for before, key, after in zip([None, *order], order, [*order[1:], None], strict=False):
        here = high.moments[key].total
        grows = before is None or high.moments[before].total < here
        falls = after is None or high.moments[after].total <= here
        if grows and falls and key in low.moments and key.phase != "optimizer":
            found.append(_moment(key, low.moments[key], high.moments[key], depths))
    return prune(found, case)


def _one(job: tuple[str, Case]) -> tuple[str, Case, tuple[Moment, ...]]:
    transformers.logging.set_verbosity_error()
    return (*job, trace_case(*job))


def main(argv: Sequence[str] | None = None) -> int:
    """Trace the named architectures, or all, and write one file for each."""
    parser = argparse.ArgumentParser(prog="python -m kto_tui.memory.trace.generate", description=__doc__)
    parser.add_argument("architectures", nargs="*", default=[*PACKED, *PADDED])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="", metavar="CASE", help="cases whose name begins so, such as cpu")
    parser.add_argument("--afresh", action="store_true", help="trace again what the files hold already")
    args = parser.parse_args(argv)
    for architecture in args.architectures:
        file = FOLDER / f"{architecture}.json"
        known = tables(architecture)
        wanted = [case for case in cases(architecture) if case_name(case).startswith(args.only)]
        jobs = [(architecture, case) for case in wanted if args.afresh or case_name(case) not in known]
        with multiprocessing.get_context("spawn").Pool(args.processes) as pool:
            for name, case, moments in pool.imap_unordered(_one, jobs):
                known[case_name(case)] = moments
                file.write_bytes(msgspec.json.encode(dict(sorted(known.items()))) + b"\n")
                sys.stderr.write(f"{name} {case_name(case)}: {len(moments)} moments\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
