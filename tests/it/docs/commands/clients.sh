terminal sandbox 'connected-apps' 1
block 2
seen 3 >made
says 'Connected acme to Flexslot' made
says 'My Integration' made
block 4 >rotated 2>&1
says 'has another secret; the one before is void' rotated
asked 5 'type its name (My Integration): ' 'My Integration' >revoked
says 'Revoked the client' revoked
