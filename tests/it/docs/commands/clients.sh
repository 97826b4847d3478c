terminal sandbox 'connected-apps' 'flexslot-proxy sandbox'
block 'tenant set-pat'
seen 'client create' >made
says 'Connected acme to Flexslot' made
says 'My Integration' made
block 'rotate-secret' >rotated 2>&1
says 'has another secret; the one before is void' rotated
asked 'client revoke' 'type its name (My Integration): ' 'My Integration' >revoked
says 'Revoked the client' revoked
