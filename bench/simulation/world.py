"""The bridge and what is around it, in simulated time: an account of the API, a ledger, instances.

What can be, is the bridge's own code: the pace, places and seats, deadlines, `Retry-After`, the form of an answer, and
of the emulator the API's count of requests. What waits is told anew here, as `bridge.once` and `bridge.calling` do
it; each method names the one that it follows.
"""

from __future__ import annotations

import math
import random
import sys
from functools import cache
from typing import NamedTuple

from signup_bridge.app import RETRY_SPREAD_FACTOR
from signup_bridge.core import outcomes
from signup_bridge.core.actions import CREATE
from signup_bridge.core.clock import Deadline, Stopwatch
from signup_bridge.core.contact import Contact, ContactType
from signup_bridge.core.outcomes import CODE_INCORRECT, OVERLOADED, UPSTREAM_THROTTLED, VERIFIED, Result
from signup_bridge.core.rate_limit import RateLimiterState, interval
from signup_bridge.service.admission import ConcurrencyLimiter
from signup_bridge.service.idempotency import PERMIT_TIMEOUT
from signup_bridge.settings import MAX_QUEUED
from signup_bridge.upstream import error_codes
from signup_bridge.upstream.calls import MAX_RESERVATIONS, SLOT_TOLERANCE, SlotReservation, max_slot_wait
from signup_bridge.web import responses
from signup_bridge.web.profiles import PROFILES
from signup_bridge.web.routes import MAX_QUEUE_FRACTION

from bench.simulation.events import Bell, Crew, Processor, Steps, Wait, World
from signup_emulator.api.account.behaviour import CODE_LIFE
from signup_emulator.api.account.domain import Domain
from signup_emulator.api.account.error_codes import ApiError
from tests.support.builders import PHONE, Answer

SPARE_THREADS = 4
"""That gunicorn has beside those for work and for waiting (`gunicorn.conf.py`)."""

WAY_THERE = 0.02
"""Seconds of a call's latency after which the API counts it."""


SWITCH = sys.getswitchinterval()
"""Seconds after which CPython lets a thread that woke go on, whoever else is at work."""


class Costs(NamedTuple):
    """Seconds of a processor for the parts of a request: measured, as docs/capacity.md tells."""

    read: float = 0.0014
    claim: float = 0.0010
    call: float = 0.0015
    settle: float = 0.0009
    answer: float = 0.0006


class Setup(NamedTuple):
    """What is simulated: the account's ``quota`` in requests a second, the bridge's settings, and its surroundings.

    ``latency`` is a call's median in seconds, ``spread`` the standard deviation of its logarithm. ``front`` is how many
    requests the platform lets into one instance at once; it refuses the others itself.
    """

    quota: int = 20
    instances: int = 1
    concurrency: int = 16
    budget: float = 8.0
    profile: str = "status"
    latency: float = 0.3
    spread: float = 0.25
    front: float = math.inf
    costs: Costs = Costs()


class Account:
    """The API's account: it counts requests, and accepts a code once, as long as it is good."""

    def __init__(self, world: World, setup: Setup, chance: random.Random) -> None:
        self._world = world
        self._setup = setup
        self._chance = chance
        self._domain = Domain(world.time, rate=setup.quota)
        self.codes: dict[int, float] = {}
        """When the code of each delivery was sent."""
        self.calls: list[tuple[float, int, str]] = []
        """Each call's time, whose it was, and what came of it."""

    def create(self, delivery: int) -> Steps[Result]:
        latency = self._setup.latency * math.exp(self._setup.spread * self._chance.gauss(0.0, 1.0))
        yield min(WAY_THERE, latency)
        began = self._world.now
        verdict = self._decide(delivery)
        self.calls.append((began, delivery, verdict.api_code or "OK"))
        yield max(0.0, latency - WAY_THERE)
        return verdict

    def _decide(self, delivery: int) -> Result:
        try:
            self._domain.check_rate(CREATE)
        except ApiError as error:
            return Result(error_codes.outcome_for(error.code), api_code=error.code)
        if self._world.now - self.codes[delivery] > CODE_LIFE:
            return Result(CODE_INCORRECT, api_code="InternalError.VerifyCodeErr")
        return Result(VERIFIED)


class Ledger:
    """What all instances share: the pace, and how each delivery ended."""

    def __init__(self, world: World, setup: Setup) -> None:
        self._world = world
        self._interval = interval(setup.quota)
        self.ended: dict[int, Result] = {}
        self._pace = RateLimiterState()

    def reserve(self, deadline: Deadline) -> tuple[float, bool]:
        """Seconds until the next free slot, and whether it fits, and is reserved. Follows the ledgers' ``_slot``."""
        now = self._world.now
        wait = self._pace.next_slot(now) - now
        fits = wait <= max_slot_wait(deadline)
        if fits:
            self._pace = self._pace.after_reserve(now, self._interval)
        return wait, fits

    def slow_down(self) -> None:
        self._pace = self._pace.after_throttle(self._world.now)


class Instance:
    """One instance of the function: its threads, its processor, its places."""

    def __init__(self, world: World, setup: Setup, ledger: Ledger, account: Account) -> None:
        self._world, self._setup, self._costs = world, setup, setup.costs
        self._ledger, self._account = ledger, account
        self._threads = Crew(world, setup.concurrency + MAX_QUEUED + SPARE_THREADS)
        self._processor = Processor(world)
        self._places = ConcurrencyLimiter(
            setup.concurrency, interval(setup.quota) / RETRY_SPREAD_FACTOR, world, max_queued=MAX_QUEUED
        )
        self._freed = Bell(world)
        self._inside = 0

    def webhook(self, delivery: int) -> Steps[Answer]:
        """The answer to a request. Follows `Worker` and `Webhooks`."""
        if self._inside >= self._setup.front:
            return REFUSED_BY_SCF
        self._inside += 1
        accepted, budget = self._world.now, self._setup.budget
        yield from self._threads.enter()
        age = self._world.now - accepted
        deadline = Deadline(self._world, budget - age if age < budget * MAX_QUEUE_FRACTION else 0.0, total=budget)
        yield self._processor.work(self._costs.read)
        verdict = yield from self._process(delivery, deadline)
        yield self._processor.work(self._costs.answer)
        self._threads.leave()
        self._inside -= 1
        seconds = None if verdict.retry_after is None else math.ceil(verdict.retry_after)
        return answer_of(verdict.outcome, seconds, self._setup.profile)

    def message(self, delivery: int, deadline: Deadline) -> Steps[Result]:
        """What becomes of a CKafka record. Nothing else is worked on in the instance."""
        yield self._processor.work(self._costs.read)
        return (yield from self._process(delivery, deadline))

    def _process(self, delivery: int, deadline: Deadline) -> Steps[Result]:
        """Follows `Once._process`; no sender here sends a delivery again that it waits for."""
        verdict = Result(OVERLOADED)
        if deadline.remaining():
            verdict = yield from self._in_a_place(delivery, deadline)
            if verdict.outcome is OVERLOADED:
                with self._places.queue() as seated:
                    if seated:
                        verdict = yield from self._soon(delivery, deadline)
        if verdict.outcome is OVERLOADED:
            return Result(OVERLOADED, retry_after=self._places.next_retry_after())
        return verdict

    def _in_a_place(self, delivery: int, deadline: Deadline) -> Steps[Result]:
        with self._places.acquire(b"%d" % delivery) as taken:
            if not taken:
                return self._ledger.ended.get(delivery, Result(OVERLOADED))
            verdict = yield from self._claim(delivery, deadline)
        self._freed.ring()
        return verdict

    def _soon(self, delivery: int, deadline: Deadline) -> Steps[Result]:
        """Follows `Once._soon`."""
        patience = deadline.within(PERMIT_TIMEOUT)
        while True:
            verdict = yield from self._in_a_place(delivery, deadline)
            if verdict.outcome is not OVERLOADED or not (yield Wait(self._freed, patience.remaining())):
                return verdict

    def _claim(self, delivery: int, deadline: Deadline) -> Steps[Result]:
        """Follows `Once._claim` and `Once._work`."""
        yield self._processor.work(self._costs.claim)
        if delivery in self._ledger.ended:
            return self._ledger.ended[delivery]._replace(replayed=True)
        wait, fits = self._ledger.reserve(deadline)
        if not fits:
            return Result(UPSTREAM_THROTTLED, retry_after=wait)
        verdict = yield from self._call(delivery, SlotReservation(wait, Stopwatch(self._world)), deadline)
        yield self._processor.work(self._costs.settle)
        if verdict.outcome.stored == "definitive":
            self._ledger.ended[delivery] = verdict
        return verdict

    def _call(self, delivery: int, turn: SlotReservation, deadline: Deadline) -> Steps[Result]:
        """Follows `Caller._made`: again only when the API refused the call for its quota."""
        while True:
            yield from self._wait_for(turn, deadline)
            yield self._processor.work(self._costs.call)
            if not deadline.remaining():
                return Result(UPSTREAM_THROTTLED)
            verdict = yield from self._account.create(delivery)
            if verdict.outcome is not UPSTREAM_THROTTLED:
                return verdict
            self._ledger.slow_down()
            wait, fits = self._ledger.reserve(deadline)
            if not fits:
                return verdict._replace(retry_after=wait)
            turn = SlotReservation(wait, Stopwatch(self._world))

    def _wait_for(self, turn: SlotReservation, deadline: Deadline) -> Steps[None]:
        """Follows `Caller._wait_for`."""
        for _ in range(MAX_RESERVATIONS):
            yield max(0.0, turn.wait - turn.since.seconds())
            yield min(self._processor.work(0.0), SWITCH)
            if not turn.wait or turn.since.seconds() - turn.wait < SLOT_TOLERANCE:
                return
            wait, fits = self._ledger.reserve(deadline)
            if not fits:
                return
            turn = SlotReservation(wait, Stopwatch(self._world))


REFUSED_BY_SCF = Answer(432, {}, b"")
"""When more come at once than its instances may take. Source: Tencent Cloud SCF's documents, "Concurrency Overrun"."""


@cache
def answer_of(outcome: outcomes.Outcome, retry_after: int | None, profile: str) -> Answer:
    """What a sender hears, in the form of its profile."""
    told = responses.Responder(PROFILES[profile]).from_result(
        Result(outcome, retry_after=retry_after), ContactType.PHONE, Contact(ContactType.PHONE, PHONE)
    )
    return Answer(told.status, {name.lower(): value for name, value in told.headers}, told.body)
