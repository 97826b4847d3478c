# Records docs/images/session.svg, as $WORK/session.svg: a tenant is connected, its token is refused, and the app does not notice.
sandbox
configured
behind sidecar 'is listening' flexslot-proxy
record "$CRATE/tests/it/docs/commands/session.txt" >session.svg
