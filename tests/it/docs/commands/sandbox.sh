terminal sandbox 'connected-apps' 1
block 2
block 3 >bound
says dpop_jwk bound
ctrl_c sandbox

(block 4) >counted
says '{"refreshes":1,"replays":0}' counted
