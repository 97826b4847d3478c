"""What a description cannot say of a request: which values the configuration of this sidecar has."""

import schemathesis
from schemathesis import GenerationMode

ALLOWED = {
    "return_to": "https://app.example.com/settings/flexslot",
    "client_id": "flx_client_process",
    "client": "flx_client_process",
    "tenant": None,
    # No schema can say that a point lies on a curve, and that a number belongs to it.
    "dpop_jwk": None,
}


@schemathesis.hook
def before_call(context, case, kwargs):
    meta = case.meta
    if meta is None or meta.generation.mode is not GenerationMode.POSITIVE or not isinstance(case.body, dict):
        return
    for field, value in ALLOWED.items():
        if case.body.get(field) is not None:
            case.body[field] = value
