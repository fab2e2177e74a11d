"""Whether the tests notice when a rule of the money path is taken out.

Each mutant is the package with one rule removed or turned round. The fast tests have
to fail on it; a mutant on which they pass shows a rule that nothing tests. The rules of
the journal itself have mutants of their own, in ``tests/unit/journal/test_rules.py``.

    python -m tests.endurance.mutants [WORD...]

Words choose the mutants in whose name one of them is.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

AT_ONCE = 2
LONGEST = 600.0
"""Seconds after which tests that hang count as failed."""
ROOT = Path(__file__).parents[2]
COPIED = ("personakit", "tests", "examples", "pyproject.toml", "README.md")


def find_tests(module: str) -> str:
    """Return the path of a module's own tests."""
    folder, _, name = module.rpartition("/")
    return str(Path("tests/unit") / folder / f"test_{name}.py")


UNIT = (
    *("jobs/submit", "jobs/idempotency", "jobs/recovery", "jobs/reconcile", "jobs/job"),
    *("callbacks", "jobs/batch"),
)
INTEGRATION = (
    *("slow_journal", "delivery", "submit_faults", "cancellation", "deadlines", "late"),
    "two_processes",
)
FAST = (
    "tests/promises",
    *(find_tests(name) for name in UNIT),
    *(f"tests/integration/test_{name}.py" for name in INTEGRATION),
    "tests/contract/test_submit.py",
)
"""The tests that run after those of the mutant's own module."""


@attrs.frozen
class Mutant:
    """One rule that is taken out.

    Attributes:
        module: Its path below the package, without the ending.
        rule: What no longer holds.
        old: The text in the module, which is there once.
        new: What replaces it.
    """

    module: str
    rule: str
    old: str
    new: str

    @property
    def name(self) -> str:
        """Module and rule."""
        return f"{self.module}: {self.rule}"


MUTANTS = (
    # submits: from the intent to the answer
    Mutant(
        "jobs/submit",
        "nothing begins after the deadline",
        "    if loop.time() >= deadline:\n        raise too_late()\n",
        "",
    ),
    Mutant(
        "jobs/submit",
        "what began too late is withdrawn",
        "    except TimeoutError:\n        beginning.add_done_callback(withdraw)\n",
        "    except TimeoutError:\n",
    ),
    Mutant(
        "jobs/submit",
        "what began for a cancelled caller is withdrawn",
        "    except asyncio.CancelledError:\n"
        "        beginning.add_done_callback(withdraw)\n",
        "    except asyncio.CancelledError:\n",
    ),
    Mutant(
        "jobs/submit",
        "a deadline does not cancel the writing of an intent",
        "await asyncio.shield(beginning)",
        "await beginning",
    ),
    Mutant(
        "jobs/submit",
        "what is not sent is withdrawn",
        "    finally:\n        submission.withdraw()",
        "    finally:\n        pass",
    ),
    Mutant(
        "jobs/submit",
        "a place is needed before a start",
        "        await engine.starts.acquire(self.deadline)\n",
        "        engine.starts.held += 1\n",
    ),
    Mutant(
        "jobs/submit",
        "a caller who left stops a request that is not sent",
        "            return self.is_left or is_cancelled",
        "            return False",
    ),
    Mutant(
        "jobs/submit",
        "a cancelled caller does not tear the request",
        "                return await asyncio.shield(sending)",
        "                return await sending",
    ),
    Mutant(
        "jobs/submit",
        "not charged is said of what was not sent only",
        "        if not self.may_be_sent:",
        "        if True:",
    ),
    Mutant(
        "jobs/submit",
        "not charged is said of what was not sent",
        "        if not self.may_be_sent:",
        "        if False:",
    ),
    Mutant(
        "jobs/submit",
        "a closed client does not call a sent request unsent",
        "                if self.may_be_sent:\n                    self.engine",
        "                if False:\n                    self.engine",
    ),
    Mutant(
        "jobs/submit",
        "a closed client does not call an unsent request lost",
        "                if self.may_be_sent:\n                    self.engine",
        "                if True:\n                    self.engine",
    ),
    Mutant(
        "jobs/submit",
        "a start that failed is taken back",
        "            self._put_not_sent(before.attempt + 1)\n",
        "",
    ),
    Mutant(
        "jobs/submit",
        "an intent whose start failed is withdrawn",
        "            self._put_withdrawal(before.attempt)\n",
        "",
    ),
    Mutant(
        "jobs/submit",
        "whoever loses the start sends nothing",
        "        if verdict.record is None or not verdict.is_won:",
        "        if verdict.record is None:",
    ),
    Mutant(
        "jobs/submit",
        "nothing is sent after the lease",
        " and time.monotonic() < lease_end",
        "",
    ),
    Mutant(
        "jobs/submit",
        "nothing is sent for a caller who left",
        "self.may_be_sent = not is_left() and ",
        "self.may_be_sent = ",
    ),
    Mutant(
        "jobs/submit",
        "the last look decides",
        "deadline=self.deadline, may_send=may_send",
        "deadline=self.deadline, may_send=None",
    ),
    Mutant(
        "jobs/submit",
        "the deadline comes down to the request",
        "deadline=self.deadline, may_send=may_send",
        "deadline=math.inf, may_send=may_send",
    ),
    Mutant(
        "jobs/submit",
        "a lost answer is no refusal",
        "        if isinstance(error, OutcomeUnknown):",
        "        if False:",
    ),
    Mutant(
        "jobs/submit",
        "a lost answer is written down",
        "            verdict = await writer.write(Lose(key, number))",
        "            verdict = None",
    ),
    Mutant(
        "jobs/submit",
        "a callback that was faster counts",
        "            if (job_id := record.receipt.job_id) is not None:",
        "            if (job_id := record.receipt.job_id) is not None and False:",
    ),
    Mutant(
        "jobs/submit",
        "what may be retried goes back to an intent",
        "            verdict = await writer.write(NotSent(key, number, goes_on=True))",
        "            verdict = self.record",
    ),
    Mutant(
        "jobs/submit",
        "nobody goes on for a caller who left",
        "            if verdict is None or self.is_left:",
        "            if verdict is None:",
    ),
    Mutant(
        "jobs/submit",
        "no attempt follows one that is not written down",
        "            if verdict is None:  # so no further attempt can be begun",
        "            if False:",
    ),
    Mutant(
        "jobs/submit",
        "a refusal is written down",
        "            await writer.write(Refuse(key, number))",
        "            pass",
    ),
    Mutant(
        "jobs/submit",
        "the job id is durable before it is returned",
        "        await engine.writer.write(Accept(",
        "        engine.writer.put(Accept(",
    ),
    Mutant(
        "jobs/submit",
        "the job id is written down again until it is",
        "        await engine.writer.write(Accept(",
        "        await engine.journal.apply(engine.account, Accept(",
    ),
    Mutant(
        "jobs/submit",
        "the result that came at once is kept",
        "Accept(record.key, number, job_id, result)",
        "Accept(record.key, number, job_id)",
    ),
    Mutant(
        "jobs/submit",
        "an answer that came counts without the journal",
        "            if self.accepted is not None:",
        "            if False:",
    ),
    # stepwriter: until it is written
    Mutant(
        "jobs/step_writer",
        "what cannot be written is kept",
        "                self._keep(step)\n                return None",
        "                return None",
    ),
    Mutant(
        "jobs/step_writer",
        "a cancelled caller does not cancel a step",
        "                self._keep(step)  # taking it twice does no harm\n",
        "",
    ),
    Mutant(
        "jobs/step_writer",
        "steps keep their order",
        "        if step.key not in self._late:\n            try:",
        "        if True:\n            try:",
    ),
    Mutant(
        "jobs/step_writer",
        "a kept step is written again",
        "                await asyncio.sleep(pause)\n",
        "                steps.popleft()\n",
    ),
    Mutant(
        "jobs/step_writer",
        "closing waits for what is kept",
        "                await asyncio.gather(*self._writing_late, "
        "return_exceptions=True)\n",
        "",
    ),
    Mutant(
        "jobs/step_writer",
        "closing waits for what is being written",
        "        with suppress(TimeoutError):\n"
        "            async with asyncio.timeout(grace):\n"
        "                await self.flush()\n",
        "        with suppress(TimeoutError):\n"
        "            async with asyncio.timeout(grace):\n",
    ),
    # keyed: one key, one payment
    Mutant(
        "jobs/idempotency",
        "a key stands for one request",
        "        _compare(record, request)\n",
        "",
    ),
    Mutant(
        "jobs/idempotency",
        "the key reaches the journal",
        "engine, receipt, request, caller_key=caller_key",
        "engine, receipt, request, caller_key=None",
    ),
    Mutant(
        "jobs/idempotency",
        "an unknown outcome is not paid again",
        "            if verdict.is_won:",
        "            if verdict.is_won or verdict.record.state == 'unknown':",
    ),
    Mutant(
        "jobs/idempotency",
        "whoever loses joins",
        "                except KeyInUse:\n                    continue",
        "                except KeyInUse:\n                    raise",
    ),
    Mutant(
        "jobs/idempotency",
        "whoever joins works on the job of the dead",
        "            await in_time(claiming, deadline)\n"
        "            return self._resume_record(record)",
        "            claiming.close()\n            return self._resume_record(record)",
    ),
    Mutant(
        "jobs/idempotency",
        "a living sender is waited for",
        "record.state is SubmitState.SENDING and not record.is_held",
        "record.state is SubmitState.SENDING",
    ),
    Mutant(
        "jobs/idempotency",
        "a dead sender is not waited for",
        "record.state is SubmitState.SENDING and not record.is_held",
        "False",
    ),
    Mutant(
        "jobs/idempotency",
        "a lost answer is looked for",
        "        found = await reconcile(engine, record, deadline)",
        "        found = record",
    ),
    # recovery: what may be found, and paid again
    Mutant(
        "jobs/reconcile",
        "a rival keeps a job from being bound",
        "        return only.fits(other) is not False",
        "        return False",
    ),
    Mutant(
        "jobs/reconcile",
        "an undecided rival is one",
        "        return only.fits(other) is not False",
        "        return only.fits(other) is True",
    ),
    Mutant(
        "jobs/reconcile",
        "one of several that fit is not taken",
        "    if len(candidates) != 1:\n        return record\n    [only] = candidates",
        "    if not candidates:\n        return record\n    only = candidates[0]",
    ),
    Mutant(
        "jobs/reconcile",
        "time alone proves nothing",
        "    if only.fits(record) is None and not by_time_alone:",
        "    if False:",
    ),
    Mutant(
        "jobs/reconcile",
        "what contradicts is no candidate",
        "        if candidate.fits(record) is not False",
        "        if True",
    ),
    Mutant(
        "jobs/reconcile",
        "a job of another record is no candidate",
        "for job_id in found.keys() - known]",
        "for job_id in found]",
    ),
    Mutant(
        "jobs/reconcile",
        "texts are read",
        "    if not candidate.line.snapshot.state.is_final:",
        "    if True:",
    ),
    Mutant(
        "jobs/reconcile",
        "the list is read to its end",
        "        if not lines or (times and min(times) < earliest):",
        "        if True:",
    ),
    Mutant(
        "jobs/recovery",
        "a double charge must be accepted",
        "        if not is_unsent and accept_possible_double_charge is not True:",
        "        if False:",
    ),
    Mutant(
        "jobs/recovery",
        "only True accepts a double charge",
        "accept_possible_double_charge is not True:",
        "not accept_possible_double_charge:",
    ),
    Mutant(
        "jobs/recovery",
        "what has a job is not submitted again",
        "        if record.state in WITH_JOB:\n"
        '            raise invalid("receipt", "has a job"',
        '        if False:\n            raise invalid("receipt", "has a job"',
    ),
    Mutant(
        "jobs/recovery",
        "what is settled is not open",
        "    if record.state in SETTLED:",
        "    if False:",
    ),
    Mutant(
        "jobs/recovery",
        "what a living process sends is not pending",
        "            if record.state not in WITH_JOB and not record.is_held",
        "            if record.state not in WITH_JOB",
    ),
    Mutant(
        "jobs/recovery",
        "what a living process sends is not settled by others",
        "    if record.is_held and record.state not in WITH_JOB:",
        "    if False:",
    ),
    Mutant(
        "jobs/recovery",
        "what the dead sent is unknown",
        "    if record.state is not SubmitState.SENDING or record.is_held:",
        "    if True:",
    ),
    Mutant(
        "jobs/recovery",
        "an adopted job exists",
        "            await read_once(engine, named, deadline)\n",
        "            pass\n",
    ),
    Mutant(
        "jobs/recovery",
        "an intent is withdrawn, not abandoned",
        "Withdraw if record.state is SubmitState.INTENT else Abandon",
        "Abandon",
    ),
    Mutant(
        "jobs/recovery",
        "an unknown outcome is abandoned, not withdrawn",
        "Withdraw if record.state is SubmitState.INTENT else Abandon",
        "Withdraw",
    ),
    Mutant(
        "jobs/recovery",
        "a lost race of a settling is told",
        "        if not verdict.is_won:\n            raise _moved",
        "        if False:\n            raise _moved",
    ),
    # job and workflows: delivered once
    Mutant(
        "jobs/delivery",
        "a result is delivered after the block",
        "    try:\n        yield\n",
        "    await engine.writer.write(Deliver(receipt.key, attempt))\n"
        "    try:\n        yield\n",
    ),
    Mutant(
        "jobs/delivery",
        "a block that raised delivers nothing",
        "            await engine.writer.write(Return(receipt.key, attempt))",
        "            await engine.writer.write(Deliver(receipt.key, attempt))",
    ),
    Mutant(
        "jobs/delivery",
        "a block that raised gives the result back",
        "            await engine.writer.write(Return(receipt.key, attempt))",
        "            pass",
    ),
    Mutant(
        "jobs/delivery",
        "a block that ended delivers",
        "        verdict = await engine.writer.write(Deliver(receipt.key, attempt))",
        "        verdict = None",
    ),
    Mutant(
        "jobs/job",
        "the end is durable before the caller has it",
        "        await self.end(engine, deadline)\n        if final",
        "        if final",
    ),
    Mutant(
        "jobs/delivery",
        "one block at a time",
        "        if verdict.is_won:",
        "        if True:",
    ),
    Mutant(
        "jobs/delivery",
        "what was delivered is not delivered again",
        "        if verdict.record.state is SubmitState.DELIVERED:",
        "        if False:",
    ),
    Mutant(
        "jobs/job",
        "an awaited result is delivered",
        "        await self._deliver_soon(engine)\n        return final",
        "        return final",
    ),
    Mutant(
        "jobs/job",
        "a wait that ran out delivers nothing",
        "        if self._is_ended:\n            engine.deliver_soon",
        "        if True:\n            engine.deliver_soon",
    ),
    Mutant(
        "jobs/engine",
        "a cancelled caller has not had the result",
        "            if task is None or task.cancelling() <= cancels:",
        "            if True:",
    ),
    Mutant(
        "jobs/engine",
        "a result is delivered once the caller went on",
        "        asyncio.get_running_loop().call_soon(deliver)",
        "        deliver()",
    ),
    Mutant(
        "jobs/engine",
        "an end is written down again until it is",
        "    await engine.writer.write(End(",
        "    await engine.journal.apply(engine.account, End(",
    ),
    Mutant(
        "jobs/batch",
        "an outcome is delivered",
        "                    engine.writer.put(Deliver(key))",
        "                    pass",
    ),
    Mutant(
        "jobs/batch",
        "an outcome is delivered after its turn of the loop",
        "                yield outcome\n                if key is not None:\n"
        "                    engine.writer.put(Deliver(key))",
        "                if key is not None:\n"
        "                    engine.writer.put(Deliver(key))\n"
        "                yield outcome",
    ),
    # callbacks: whose job it is
    Mutant(
        "callbacks",
        "the address is signed",
        "        if not is_ours or ",
        "        if ",
    ),
    Mutant(
        "callbacks",
        "the body is signed",
        "        if not self._is_signed(headers, body, job_id):",
        "        if False:",
    ),
    Mutant(
        "callbacks",
        "the address names the attempt",
        "number = min(attempt, _LAST_NUMBER)",
        "number = min(1, _LAST_NUMBER)",
    ),
    Mutant(
        "callbacks",
        "an attempt that is settled takes no other job",
        "            if record is not None and not record.awaits(attempt):",
        "            if False:",
    ),
    Mutant(
        "callbacks",
        "the service must know the job",
        "            await read_once(engine, receipt, deadline_in(READ_TIMEOUT))",
        "            pass",
    ),
    Mutant(
        "callbacks",
        "a job of another record is refused",
        "            by_callback=True,",
        "            is_reported=False,",
    ),
    Mutant(
        "callbacks",
        "a report that is not taken is refused",
        "        if not verdict.is_won:",
        "        if False:",
    ),
    Mutant(
        "callbacks",
        "a submit that the journal lacks is kept",
        "            receipt=receipt.with_job(None),\n",
        "",
    ),
    # flight and retry: whether a byte left
    Mutant(
        "http/flight",
        "no byte leaves after the deadline",
        "        if asyncio.get_running_loop().time() >= self.deadline:",
        "        if False:",
    ),
    Mutant(
        "http/flight",
        "no byte leaves against the last look",
        "        elif is_last and self.may_send is not None and not self.may_send():",
        "        elif False:",
    ),
    Mutant(
        "http/flight",
        "the last look is right before the first byte",
        "            self.check()\n            self._is_begun = True",
        "            self._is_begun = True",
    ),
    Mutant(
        "http/flight",
        "what was stopped was not sent",
        "            return NoAnswer(self.stopped, sent=False)",
        "            return NoAnswer(self.stopped, sent=True)",
    ),
    Mutant(
        "http/flight",
        "a byte that left was sent",
        "            sent=self.sent and not isinstance(error, _NEVER_SENT),",
        "            sent=False,",
    ),
    Mutant(
        "http/flight",
        "no connection means nothing was sent",
        "            sent=self.sent and not isinstance(error, _NEVER_SENT),",
        "            sent=self.sent,",
    ),
    Mutant(
        "http/retry",
        "a lost answer to a paid request is unknown",
        "    if lost.sent and not request.repeatable:",
        "    if False:",
    ),
    Mutant(
        "http/retry",
        "only what is safe is retried",
        "            if not error.retry_safe or clock()",
        "            if clock()",
    ),
    Mutant(
        "http/retry",
        "no attempt is made after the deadline",
        "    if clock() >= deadline:\n        raise too_late()\n",
        "",
    ),
)


async def find_failure(mutant: Mutant, tree: Path) -> str | None:
    """Return the first test that fails on a mutant.

    It is None if all pass, or if the mutant's text is no longer in the package.
    """
    path = tree / "personakit" / f"{mutant.module}.py"
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        return None
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        return await run_tests([mutant.module], tree)
    finally:
        path.write_text(text, encoding="utf-8")


async def run_tests(modules: Iterable[str], tree: Path) -> str | None:
    """Return the first of the tests that fails, None if all pass.

    Args:
        modules: Whose own tests come first.
        tree: The package and its tests.
    """
    own = [find_tests(module) for module in modules]
    tests = [one for one in dict.fromkeys((*own, *FAST)) if (tree / one).exists()]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=no"),
        *("-p", "no:cacheprovider", *tests),
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(LONGEST):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return "hangs"
    if process.returncode == 0:
        return None
    lines = output.decode(errors="replace").splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return failed[0].split(" - ")[0] if failed else str(lines[-1:])


@contextmanager
def copy_tree() -> Iterator[Path]:
    """Copy the package and its tests to where they may be changed."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in COPIED:
            source = ROOT / name
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, tree / name)
        yield tree


async def main(words: list[str]) -> int:
    """Try the mutants, print what noticed each, and return how many survived."""
    chosen = [
        mutant
        for mutant in MUTANTS
        if not words or any(word in mutant.name for word in words)
    ]
    waiting, survived = [*reversed(chosen)], 0
    began = time.perf_counter()
    with copy_tree() as tree:
        failed = await run_tests({mutant.module for mutant in chosen}, tree)
    if failed is not None:
        print(f"{failed} fails without a mutant")
        return 1

    async def take_mutants() -> None:
        nonlocal survived
        with copy_tree() as tree:
            while waiting:
                mutant = waiting.pop()
                failed = await find_failure(mutant, tree)
                survived += failed is None
                print(f"{mutant.name} | {failed or 'SURVIVED'}", flush=True)

    await asyncio.gather(*(take_mutants() for _ in range(AT_ONCE)))
    took = time.perf_counter() - began
    print(f"{len(chosen)} mutants, {survived} survived (must be 0), {took:.0f} s")
    return survived


if __name__ == "__main__":
    sys.exit(min(asyncio.run(main(sys.argv[1:])), 1))
