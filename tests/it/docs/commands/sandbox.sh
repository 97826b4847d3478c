terminal sandbox 'connected-apps' 'flexslot-proxy sandbox'
block 'after_processing'
block 'flx_client_bound' >bound
says dpop_jwk bound
ctrl_c sandbox

(block 'set -eu') >counted
says '{"refreshes":1,"replays":0}' counted
