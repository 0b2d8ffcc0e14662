"""The whole way of one delivery, and the only module that knows it.

In comes a `Delivery` and its deadline, out comes a `Verdict`. One call to the API at most.
"""

from __future__ import annotations

from .clock import Deadline
from .domain_api import DomainApi
from .judge import Verdict, judge
from .payload import Delivery


def verify(delivery: Delivery, deadline: Deadline, *, domain_api: DomainApi) -> Verdict:
    """Verify the delivery's code for its contact: one call to the API at most, over by the deadline. Never raises."""
    # ledger.claim: was this delivery seen before, is its contact busy?
    # pacing: wait for our slot.
    call = domain_api.create_intl_phone_email(delivery.contact, delivery.verify_code, deadline)
    # ledger.settle: remember what it means.
    return judge(call)
