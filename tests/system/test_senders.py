"""Test each sender's attempts in each profile: the result at the sender, and on the account's list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from signup_bridge.core.outcomes import OUTCOMES

from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from signup_toolkit import ports
from tests.support.bridge.clocks import StillClock
from tests.support.bridge.instances import bridge, post
from tests.support.bridge.responses import HttpResponse
from tests.support.bridge.serving import serving
from tests.support.bridge.signed_requests import CODE, PHONE
from tests.support.scenarios.lost_replies import CREATE
from tests.support.scenarios.sender_policies import POLICIES, Judgement, Policy, Signers, signers
from tests.support.tools import node_packages

pytestmark = pytest.mark.timeout(node_packages.INSTALL_LIMIT + 60)


@dataclass(frozen=True)
class Scene:
    """A scenario of a delivery. ``needs`` is the number of the attempt that receives the outcome.

    ``calls`` is the number of `CreateIntlPhoneEmail` calls. ``at_first`` has the number of calls, and whether the
    contact is listed, after the first attempt.
    """

    ends: str
    calls: int = 1
    needs: int = 1
    listed: bool = True
    at_first: tuple[int, bool] = (1, True)
    fault: str | None = None
    wrong: bool = False
    before: bool = False
    response_lost: bool = False


NO = (1, False)
SCENES = {
    "verified": Scene("verified"),
    "wrong code": Scene("code-incorrect", wrong=True, listed=False, at_first=NO),
    "verified before": Scene("already-verified", wrong=True, before=True),
    "contact refused": Scene(
        "contact-invalid", fault="InvalidParameterValue.InvalidParameterFormat", listed=False, at_first=NO
    ),
    "throttled once": Scene("verified", calls=2, needs=2, at_first=NO, fault="LimitExceeded.RequestLimit"),
    "no answer in time": Scene("verified", needs=2, fault="hang"),
    "reset after the request": Scene("verified", needs=2, fault="reset"),
    "closed, and not processed": Scene("verified", calls=2, needs=2, at_first=NO, fault="unprocessed"),
    "neither yes nor no": Scene("verified", calls=2, needs=2, at_first=NO, fault="InternalError.AddPhoneEmailErr"),
    "a wrong code, and the reply lost": Scene(
        "outcome-unresolved", calls=2, needs=2, at_first=NO, fault="reset", wrong=True, listed=False
    ),
    "response lost": Scene("verified", needs=2, response_lost=True),
}

ONE, ALL = False, True
REFUSED: dict[tuple[str, str], tuple[Judgement, bool]] = {
    ("Standard Webhooks", "status"): ("again", ALL),
    ("Svix", "status"): ("stop", ONE),
    ("Clerk", "status"): ("stop", ONE),
    ("Auth0", "status"): ("again", ALL),
    ("GitHub", "status"): ("stop", ONE),
    ("Zapier", "status"): ("stop", ONE),
    ("Brevo", "status"): ("stop", ONE),
    ("Standard Webhooks", "ack"): ("done", ONE),
    ("Svix", "ack"): ("done", ONE),
    ("Clerk", "ack"): ("done", ONE),
    ("Auth0", "ack"): ("done", ONE),
    ("GitHub", "ack"): ("done", ONE),
    ("Zapier", "ack"): ("done", ONE),
    ("Brevo", "ack"): ("done", ONE),
    ("Standard Webhooks", "supabase"): ("done", ONE),
    ("Svix", "supabase"): ("done", ONE),
    ("Supabase", "supabase"): ("stop", ONE),
    ("Supabase", "status"): ("stop", ONE),
    ("Supabase", "ack"): ("done", ONE),
}
"""A sender's reaction to a rejection, and whether it uses one or all attempts, in each profile that is useful for it.

The libraries of Standard Webhooks and Svix are also tested with ``supabase``. Supabase is also tested with the other
profiles, which shows why it has its own."""

PAIRS = [
    (policy, profile)
    for policy in POLICIES
    for profile in ("status", "ack", "supabase")
    if (policy.name.partition(",")[0], profile) in REFUSED
]


@dataclass
class Sending:
    """One delivery of a sender, from the first attempt to the result."""

    policy: Policy
    scene: Scene
    number: int
    contact: str
    data: bytes
    end: Judgement = "again"
    responses: list[HttpResponse] = field(default_factory=list)

    def go_on(self, street: Street, tries: int) -> None:
        """Send the delivery once more, and interpret the response as the sender does."""
        delivery_id = f"msg_{self.number}" + (f"_{tries}" if self.policy.new_id else "")
        url = street.hasty if self.scene.fault == "hang" and not self.responses else street.url
        headers = street.signing.headers(self.policy, self.data, delivery_id, street.clock.time())
        response = post(f"{url}/webhooks/signup", self.data, headers)
        response_lost = self.scene.response_lost and not self.responses
        self.responses.append(response)
        self.end = self.policy.judge(None if response_lost else response)


@dataclass
class Street:
    """An account, a bridge behind a socket, and one clock for both and the sender.

    ``hasty`` is a bridge with the same ledger that waits only briefly for a reply. The clock does not run, so that load
    on the machine does not use up budgets.
    """

    emulator: Emulator
    clock: StillClock
    url: str
    hasty: str
    signing: Signers

    def sending(self, policy: Policy, scene: Scene, number: int) -> Sending:
        contact = f"jo-{number}@example.com"
        self.emulator.domain.perform("SendIntlPhoneEmailCode", {"Type": 2, "Code": contact})
        code = self.emulator.domain.sent_codes()[0].code
        if scene.before:
            self.emulator.domain.perform(CREATE, {"Type": 2, "Code": contact, "VerifyCode": code})
        if scene.fault:
            self.emulator.faults.arm(Fault(scene.fault, CREATE, contact))
        if scene.wrong:
            code = "000000" if code != "000000" else "111111"
        return Sending(policy, scene, number, contact, policy.body_of(contact, code, number))

    def send_all(self, sendings: list[Sending], before: Callable[[int], None] = lambda _: None) -> None:
        """Send all deliveries of one sender until each has ended. The clock advances by the sender's waits."""
        with ThreadPoolExecutor(len(sendings)) as pool:
            for tries, wait in enumerate((0.0, *sendings[0].policy.waits), 1):
                before(tries)
                self.clock.advance(wait)
                work = [one for one in sendings if one.end == "again"]
                list(pool.map(lambda one, tries=tries: one.go_on(self, tries), work))


def end_of(street: Street, one: Sending) -> tuple[Judgement, int, int, bool]:
    """Return the sender's result, the numbers of attempts and of calls, and whether the contact is on the list."""
    calls = sum(call.action == CREATE and call.contact == one.contact for call in street.emulator.calls)
    return (
        one.end,
        len(one.responses),
        calls,
        any(contact == one.contact for _, contact in street.emulator.domain.verified()),
    )


def goes_on(policy: Policy, profile: str, scene: Scene) -> bool:
    """Return whether the sender retries. Supabase does not retry 502 and 504, which other profiles return."""
    at_home = policy.name != "Supabase" or profile == "supabase"
    return at_home or scene.needs == 1 or scene.response_lost or scene.fault == "LimitExceeded.RequestLimit"


def is_expired_before_retry(policy: Policy, profile: str) -> bool:
    """Return whether the next attempt is another delivery: too late without an id, or with a new id."""
    return policy.expires_before_retry or (policy.new_id and profile != "supabase")


def expected(policy: Policy, profile: str, scene: Scene) -> tuple[Judgement, int, int, bool]:
    tries = len(policy.waits) + 1
    if scene.needs > tries or not goes_on(policy, profile, scene):  # the sender never receives the outcome
        return "stop", 1, *scene.at_first
    end, by = REFUSED[policy.name.partition(",")[0], profile] if scene.ends != "verified" else ("done", ONE)
    if scene.response_lost and is_expired_before_retry(policy, profile):  # the second call: already verified
        return "stop" if profile == "status" else "done", scene.needs, scene.calls + 1, scene.listed
    return end, tries if by is ALL else scene.needs, scene.calls, scene.listed


def outcome_code(response: HttpResponse) -> str:
    """Return the outcome of a response. A hook's response has only the outcome's title."""
    members = response.json
    title: str = members.get("error", {}).get("message") or members["code"]
    return next((outcome.code for outcome in OUTCOMES if outcome.title == title), title)


def is_of_npm(policy: Policy) -> bool:
    return policy.sign.endswith("npm")


@pytest.fixture(scope="module")
def signing() -> Iterator[Signers]:
    with signers(None) as found:
        yield found


@pytest.fixture(scope="module")
def signing_by_npm(npm_packages: Path) -> Iterator[Signers]:
    with signers(npm_packages) as found:
        yield found


@pytest.fixture
def open_street(request: pytest.FixtureRequest, emulator: Emulator, tmp_path: Path) -> Iterator[Callable[..., Street]]:
    with ExitStack() as servers:

        def one(policy: Policy, profile: str, url: str = emulator.url) -> Street:
            clock = StillClock()
            emulator.domain.now = clock.time
            emulator.domain.change({"code_life": 86_400})  # a slow sender's second attempt is hours later
            settings = {"LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db", "SENDER_PROFILE": profile, **policy.environ}

            def url_of(budget: float) -> str:
                bridged = bridge(url, clock, REQUEST_BUDGET=budget, **settings)
                return f"http://127.0.0.1:{servers.enter_context(serving(bridged.app)).port}"

            signing: Signers = request.getfixturevalue("signing_by_npm" if is_of_npm(policy) else "signing")
            return Street(emulator, clock, url_of(4), url_of(0.3), signing)

        yield one


@pytest.mark.parametrize(
    ("policy", "profile"),
    [
        pytest.param(*pair, id=", ".join((pair[0].name, pair[1])),
                     marks=[pytest.mark.toolchain] if is_of_npm(pair[0]) else [])
        for pair in PAIRS
    ],
)  # fmt: skip
def test_deliveries_of_each_sender_and_profile_end_as_expected(
    open_street: Callable[..., Street], policy: Policy, profile: str
) -> None:
    street = open_street(policy, profile)
    sendings = {name: street.sending(policy, scene, number) for number, (name, scene) in enumerate(SCENES.items(), 1)}
    street.send_all(list(sendings.values()))
    ends = {name: end_of(street, one) for name, one in sendings.items()}
    assert ends == {name: expected(policy, profile, scene) for name, scene in SCENES.items()}
    for one in sendings.values():
        if len(one.responses) >= one.scene.needs and not (
            one.scene.response_lost and is_expired_before_retry(policy, profile)
        ):
            assert {outcome_code(response) for response in one.responses[one.scene.needs - 1 :]} == {one.scene.ends}
            assert len({response.body for response in one.responses[one.scene.needs - 1 :]}) == 1


RETRYING = [
    (policy, profile)
    for (policy, profile) in PAIRS
    if policy.waits and not is_of_npm(policy) and profile != "ack" and policy.new_id == (profile == "supabase")
]


@pytest.mark.parametrize(("policy", "profile"), RETRYING, ids=[policy.name for policy, _ in RETRYING])
def test_unreachable_api_at_first_is_retried_by_sender(
    open_street: Callable[..., Street], policy: Policy, profile: str
) -> None:
    """The API is not running until the sender's second attempt."""
    port = ports.free()
    street = open_street(policy, profile, f"http://127.0.0.1:{port}")
    sending = Sending(policy, Scene("verified", needs=2), 1, PHONE, policy.body_of(PHONE, CODE, 1))
    with ExitStack() as servers:

        def start(tries: int) -> None:
            if tries == 2:
                assert outcome_code(sending.responses[0]) == "upstream-unreachable"
                street.emulator = servers.enter_context(Emulator(port=port, rate=0))
                street.emulator.domain.now = street.clock.time

        street.send_all([sending], start)
        assert end_of(street, sending) == ("done", 2, 1, True)
